//! `Rolling`: the rolling files of tracing-appender behind the promises of this crate.

use std::{
    fmt,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tracing_appender::rolling::RollingFileAppender;
use tracing_subscriber::fmt::MakeWriter;

use super::{
    Stats, TakeLines,
    handle::{Handle, takes_lines},
    lines,
    tail::Tail,
    turns::{HasTail, Turns},
};
use crate::{Error, error::Trouble, handoff, notice::Notice, sys};

/// How long a child made by fork(2) waits for its turn: a thread that had it may not be there.
const PATIENCE_OF_CHILDREN: Duration = Duration::from_secs(1);

/// The rolling files of a [`RollingFileAppender`], for those who have one.
///
/// Names, times, links and pruning stay what they are there. This adds: every line is whole and in one file, because a
/// rotation happens between lines; a line of which the operating system takes a part at a time is completed, or else
/// closed with CAN LF before the next; lines that can't be written are counted, told to the error hook or stderr, and
/// announced in the log; what arrives in pieces is gathered until LF. Every line is with the operating system when the
/// log call returns.
///
/// Without an appender at hand, prefer [`InstanceFile`](super::InstanceFile).
///
/// Clones share the appender. Threads take turns for each line.
///
/// # What it can't do
///
/// - It doesn't know the appender's file. There is no path in its errors and no `sync`, no rotation is counted
///   ([`Stats::rotations`] stays 0), and it doesn't stay below a file size limit of the process (`ulimit -f`): the
///   kernel sends SIGXFSZ, which ends the program unless it is ignored.
/// - A fragment that an earlier run left at the end of the file isn't seen: the first line is glued to it. A fragment
///   that this run leaves right before a rotation stays without LF, and the new file begins with CAN LF.
/// - Whatever the appender can't do, it can't either: no rotation at a size, no local time (UTC only), no compression,
///   no file mode.
/// - It looks at no owner and no link, as a root process with one of the other writers does: give it a directory that only root may
///   write to.
/// - There is no lock: two processes may write to one name. Each line is whole there too, but neither knows of the
///   other's fragments.
/// - The appender's `max_log_files` takes every file whose name begins with the prefix for its own (and ends in the
///   suffix): it removes files of other instances, so with several processes each needs a prefix that begins no
///   other's.
/// - When a rotation fails, the appender says so on stderr, not to the error hook, and stays with the old file until the
///   next one is due.
///
/// # After fork(2)
///
/// The child's lines go to the same file, and its [`stats`](Self::stats) count its own lines only. It rotates by itself.
/// If another thread was writing at the very moment of the fork, the child never has its turn: the lines that it writes
/// are lost, the first after a second, and the error hook or stderr is told.
///
/// # Examples
///
/// ```
/// use tracing_appender::rolling::{RollingFileAppender, Rotation};
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskLayer, writer::Rolling};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let appender = RollingFileAppender::builder()
///     .rotation(Rotation::DAILY)
///     .filename_prefix("tasks")
///     .filename_suffix("log")
///     .max_log_files(7)
///     .build(dir)?;
/// let file = Rolling::new(appender);
/// tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();
///
/// tracing::info!("hello");
/// assert_eq!(file.stats().written_lines, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Rolling(Handle<Shared>);

takes_lines!(Rolling);

/// What clones share.
struct Shared {
    appender: RollingFileAppender,
    notice: Notice,
    turns: Turns<State>,
    /// How often this process was forked when this was made.
    forks: u64,
}

/// What changes from line to line.
struct State {
    tail: Tail,
    /// How often the process was forked whose account it is.
    forks: u64,
}

impl Rolling {
    /// Returns a writer to the files of `appender`. stderr is told about errors, one line for each kind of trouble in
    /// 10 s.
    pub fn new(appender: RollingFileAppender) -> Self {
        Self::with_notice(appender, Notice::default())
    }

    /// Returns a writer to the files of `appender` that has `hook` called with each error that nobody who logs can be
    /// told.
    ///
    /// It is called on the thread whose line met the error, without any lock: it may log. Trouble that this makes in
    /// turn goes to stderr.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use tracing_tasklog::writer::Rolling;
    ///
    /// static ERRORS: AtomicU64 = AtomicU64::new(0);
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path();
    /// let appender = tracing_appender::rolling::daily(dir, "tasks.log");
    /// let file = Rolling::with_on_error(appender, |_| {
    ///     ERRORS.fetch_add(1, Ordering::Relaxed);
    /// });
    /// # drop(file);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_on_error(
        appender: RollingFileAppender,
        hook: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Self {
        Self::with_notice(appender, Notice::hook(hook))
    }

    fn with_notice(appender: RollingFileAppender, notice: Notice) -> Self {
        sys::watch_forks();
        let forks = sys::forks();
        let turns = Turns::new(State { tail: Tail::default(), forks });
        Rolling(Handle::new(Shared { appender, notice, turns, forks }))
    }

    /// Returns the counters as they are now: one snapshot. [`Stats::rotations`] stays 0.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}

impl Shared {
    /// Returns how long a line waits for its turn, if not for as long as it takes.
    fn patience(&self) -> Option<Duration> {
        let patience = if self.turns.has_missed() { Duration::ZERO } else { PATIENCE_OF_CHILDREN };
        (self.forks != sys::forks()).then_some(patience)
    }

    fn stats(&self) -> Stats {
        let own = self.turns.try_lock(self.patience()).filter(|state| state.forks == sys::forks());
        own.map(|state| state.tail.stats).unwrap_or_default()
    }

    fn append(&self, lines: &[u8], was_cut: bool) -> io::Result<()> {
        let count = lines::count(lines);
        let mut state = self.turns.lock_for(count, was_cut, self.patience())?;
        // Held until the lines are written: what the operating system takes in parts goes to one file.
        match open(|| self.appender.make_writer()) {
            Ok(mut file) => state.tail.append(lines, &mut |bytes| file.write(bytes)).1,
            Err(error) => {
                state.tail.stats.errors += 1;
                state.tail.lose(count, &error);
                Err(error)
            }
        }
    }
}

/// Asks the appender for its file, which it rotates first if that is due.
///
/// It panics when it can't, and can't say so on stderr either. By then it has put the rotation off, and gives the
/// file that is open when it is asked again.
fn open<W>(make_writer: impl Fn() -> W) -> io::Result<W> {
    let ask = || catch_unwind(AssertUnwindSafe(&make_writer));
    ask().or_else(|_| ask()).map_err(|_| io::Error::other("the appender panicked"))
}

impl HasTail for State {
    /// The account; in a child made by fork(2) a new one.
    fn tail_mut(&mut self) -> &mut Tail {
        let forks = sys::forks();
        if self.forks != forks {
            *self = State { tail: Tail::default(), forks };
        }
        &mut self.tail
    }
}

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        if let Err(cause) = self.append(lines, was_cut) {
            self.notice.tell(Trouble::Write, &Error::io_somewhere("write a line to the rolling file", cause));
        }
    }
}

/// The same as [`Rolling::new`].
impl From<RollingFileAppender> for Rolling {
    fn from(appender: RollingFileAppender) -> Self {
        Rolling::new(appender)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rolling").field("appender", &self.appender).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Instant};

    use tracing_appender::rolling::never;

    use super::*;

    #[test]
    fn a_child_of_fork_waits_once_for_a_turn_that_never_comes() {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let shared = Shared {
            appender: never(&dir, "tasks.log"),
            notice: Notice::hook(|_| {}),
            turns: Turns::new(State { tail: Tail::default(), forks: sys::forks() }),
            forks: sys::forks() + 1, // as if this process were a child of the one that made it
        };
        let held = shared.turns.lock();
        let waited = std::thread::scope(|scope| {
            // This thread would not wait for itself.
            let other = scope.spawn(|| {
                [(); 3].map(|()| {
                    let start = Instant::now();
                    shared.take_lines(b"line\n");
                    start.elapsed() >= PATIENCE_OF_CHILDREN
                })
            });
            other.join().expect("it doesn't panic")
        });
        assert_eq!(waited, [true, false, false]);
        assert_eq!(shared.stats(), Stats::default());
        drop(held);
        shared.take_lines(b"line\n");
        let stats = shared.stats();
        assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (4, 1, 3));
    }

    #[test]
    fn an_appender_that_panics_is_asked_once_more() {
        for (panics, expected) in [(0, Some(1)), (1, Some(2)), (2, None)] {
            let asked = Cell::new(0);
            let file = open(|| {
                asked.set(asked.get() + 1);
                assert!(asked.get() > panics, "stderr is gone");
                asked.get()
            });
            assert_eq!(file.ok(), expected);
            assert_eq!(asked.get(), expected.unwrap_or(2));
        }
    }
}

//! Writers: where lines go.
//!
//! | writer | for | rotation |
//! |---|---|---|
//! | [`InstanceFile`] | one file per process | by itself, at a size, by the hour, day or week |
//! | `WatchedFile` (feature `watch`) | one path, for any number of processes | by somebody else: logrotate(8) |
//! | `Rolling` (feature `rolling`) | those who have a `RollingFileAppender` of tracing-appender | that one's: by the hour, day or week in UTC |
//! | `SharedQueue` (feature `queue`) | a bounded queue before one of these, or any other `io::Write`, with a thread that writes | as the one behind it |
//! | `SharedQueue` and `Collector` (feature `multiprocess`, Unix) | the same for any number of processes: each has a ring, and one of them writes | as the one behind the collector |
//! | [`TaskWriter`] | an `InstanceFile`, a `WatchedFile` or standard output, each also behind a queue, or a worker's end of a queue; chosen at run time by a text from configuration | as the chosen one |
//!
//! # Which writer when
//!
//! | you have | take |
//! |---|---|
//! | one process, or a file for each | an [`InstanceFile`] |
//! | logrotate(8), or somebody else who rotates | a `WatchedFile`, in every process |
//! | a sink that is slow now and then (a disk, a socket, a pipe), and callers that must not wait for it | a `SharedQueue` before it |
//! | many processes, and one file that rotates by itself; or one sink, whatever it is | a `Collector` before it, and a `SharedQueue` that is connected to it in each process |
//! | workers that may be killed, and log calls that must not cost a system call | the same |
//! | a container whose log driver does the rest | `stdout` of a [`TaskWriter`] |
//!
//! **Why not two writers on one file?** Lines of a `WatchedFile` stay whole, whoever writes, since each is one write at the end of the
//! file. But nobody can rotate such a file from within: who renames it pulls it away from the others, which go on in the old
//! one. An [`InstanceFile`] is therefore one process's own, by a lock. And a lock within a process, such as a `Mutex<File>` has,
//! means nothing to another process.
//!
//! **Why not a queue alone?** One that lives in a process dies with it: what a killed worker had in it is lost. One in a pipe or a
//! socket costs a system call a line, and one with locks that processes share can be left locked by who is killed. And a queue
//! writes nothing: there must be one who does, and only one.
//!
//! # What survives what
//!
//! | lines whose log call has returned | `InstanceFile`, `WatchedFile`, `stdout` | behind a `SharedQueue` in one process | `SharedQueue` across processes |
//! |---|---|---|---|
//! | return from `main`, a panic that unwinds | every line | every line | every line |
//! | `process::exit` | every line | every line (but on Windows) | every line |
//! | `abort`, `panic = "abort"` | every line | a panic: every line with `flush_on_panic`; else what is in the queue is lost | every line |
//! | SIGKILL, the OOM killer, a signal that nobody handles | every line | what is in the queue is lost | every line. Of a collector: those that were on their way into the sink may be there twice |
//! | fork(2) | the child writes to the same file | the child writes directly to the same sink | the child gets a ring of its own |
//! | a sink that hangs | the log call waits in the system call | it waits `stall_timeout`; then lines are dropped and counted | the same, once the ring is full |
//! | a full disk | lines are dropped, counted and announced, until there is room | the same with these writers; another sink is tried again | the same |
//! | `ulimit -f` (RLIMIT_FSIZE) | an `InstanceFile` rotates below it; the others count what has no room. No SIGXFSZ | the same | a ring that would be larger is refused |
//! | a signal handler that logs | written; if its thread was just writing a line, counted | written, or counted | written, or counted |
//! | a power failure | what the kernel had written, or `sync` | the same | the same; rings on a tmpfs are gone |
//!
//! Several processes that write to one pipe, by `stdout`, keep a line whole up to 4,096 bytes (PIPE_BUF, pipe(7)):
//! [`with_max_line`](crate::TaskLayer::with_max_line) cuts longer ones. A log that links to `/dev/stdout` is refused where that is a pipe.
//!
//! # What every writer promises
//!
//! * It takes whole lines, and writes each with one system call at the end of the file (`O_APPEND`: POSIX write(2)
//!   has the position set to the end and the bytes written as one step); behind a queue as many as fit into 64 KiB. What
//!   arrives in pieces is gathered until its LF.
//! * It creates missing parent directories.
//! * A line that can't be written is never an error for the one who logs. It is counted, and stderr is told, once in
//!   10 s for each kind of trouble. [`Stats`] is the account: at rest `accepted = written + dropped + queued`.
//! * A line is never glued to a fragment: what a short write or a crash has left without LF is closed with
//!   CAN LF before the next line. (What an earlier run left at the end of a file of `Rolling` can't be seen. Of processes
//!   that share a `WatchedFile`, one closes what another leaves within 250 ms.)
//! * `flush` returns when everything taken so far has been handed to the operating system (of a queue: or is
//!   counted as lost; or with an error after 5 s).
//!
//! Each is a [`MakeWriter`](tracing_subscriber::fmt::MakeWriter), for [`TaskLayer`](crate::TaskLayer) and for
//! `tracing_subscriber::fmt` alike, and an [`io::Write`], so that it can be the sink of another. All are cheap to
//! clone: clones share the file.

mod handle;
mod instance;
mod lines;
mod path;
#[cfg(feature = "queue")]
mod queue;
#[cfg(any(all(feature = "multiprocess", unix), all(test, tasklog_loom)))]
mod ring;
#[cfg(feature = "rolling")]
mod rolling;
mod stats;
mod stdout;
mod tail;
mod task_writer;
mod turns;
#[cfg(feature = "watch")]
mod watched;

use std::{fmt, io};

use tracing::{Level, Metadata};

#[cfg(feature = "queue")]
pub use self::queue::{Announce, Drops, Overflow, QueueGuard, Report, SharedQueue, SharedQueueBuilder};
#[cfg(all(feature = "multiprocess", unix))]
pub use self::queue::{Collector, CollectorBuilder, CollectorGuard, Running};
#[cfg(feature = "rolling")]
pub use self::rolling::Rolling;
#[cfg(feature = "watch")]
pub use self::watched::{WatchedFile, WatchedFileBuilder};
pub use self::{
    handle::LineWriter,
    instance::{InUse, InstanceFile, InstanceFileBuilder},
    stats::Stats,
    task_writer::TaskWriter,
};
pub use crate::calendar::Every;

/// What lines a writer is given: for those to which it makes a difference.
///
/// Bits of one byte: of four `bool`s, written one by one and read as one word, the processor would wait 5 ns for the last.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "queue"), allow(dead_code, reason = "only a queue asks"))]
pub(crate) struct LineKind(u8);

#[cfg_attr(not(feature = "queue"), allow(dead_code, reason = "only a queue asks"))]
impl LineKind {
    const LOGGED: u8 = 1;
    const NESTED: u8 = 2;
    const URGENT: u8 = 4;
    const ABOUT_TASK: u8 = 8;

    /// Lines of a log call, which may be within another one of the same thread; `meta` is that of the event, or of the span that
    /// they are about, if it is known.
    #[inline]
    pub(crate) fn logged(is_nested: bool, meta: Option<&Metadata<'_>>) -> Self {
        let bit = |holds: bool, bit| u8::from(holds) * bit;
        LineKind(
            LineKind::LOGGED
                | bit(is_nested, LineKind::NESTED)
                | bit(meta.is_some_and(|meta| *meta.level() == Level::ERROR), LineKind::URGENT)
                | bit(meta.is_some_and(Metadata::is_span), LineKind::ABOUT_TASK),
        )
    }

    /// They come from a log call, not from a writer whose sink this is.
    #[inline]
    pub(crate) fn is_logged(self) -> bool {
        self.0 & LineKind::LOGGED > 0
    }

    /// Their log call is within another one of the same thread.
    #[inline]
    pub(crate) fn is_nested(self) -> bool {
        self.0 & LineKind::NESTED > 0
    }

    /// They are not to wait: of level ERROR, or about a task whose span is.
    #[inline]
    pub(crate) fn is_urgent(self) -> bool {
        self.0 & LineKind::URGENT > 0
    }

    /// They are about a task: a transition, a separator.
    #[inline]
    pub(crate) fn is_about_task(self) -> bool {
        self.0 & LineKind::ABOUT_TASK > 0
    }
}

/// Something that takes whole lines.
pub(crate) trait TakeLines: fmt::Debug + Send + Sync {
    /// Takes one or more lines, each with its LF. What becomes of them is in the stats.
    fn take_lines(&self, lines: &[u8]);

    /// The same, and what lines they are.
    fn take_lines_of(&self, _kind: LineKind, lines: &[u8]) {
        self.take_lines(lines);
    }

    /// Returns when everything taken was handed to the operating system: as a rule it was when it was taken.
    ///
    /// # Errors
    ///
    /// That took too long.
    fn flush_lines(&self) -> io::Result<()> {
        Ok(())
    }
}

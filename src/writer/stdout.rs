//! Standard output as a writer: whole lines beside whatever else the program prints there.
//!
//! The lock of `io::stdout` is taken first and the counters' second, by every thread, because a program may log while
//! it holds the former. On Unix lines go past the buffer of `io::stdout`, so that it is known how many bytes were taken,
//! and so that a line that the program has begun to print, and not ended yet, isn't torn; and at the end of the process
//! the lock of `io::stdout`, which can't be tried, is not waited for: its holder may never run again.

use std::{
    fmt,
    io::{self, ErrorKind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Gather, Stats, TakeLines, lines};
use crate::{
    Error,
    error::{Trouble, report},
    handoff, sys,
};

/// What closes a fragment: CAN LF.
const CLOSE_FRAGMENT: &[u8] = b"\x18\n";

/// How long a standard output that doesn't block is left alone when it is full.
const PAUSE: Duration = Duration::from_millis(1);

/// Whether a write of ours has left a fragment. There is one standard output. (Changed under its lock: Relaxed.)
static IS_TORN: AtomicBool = AtomicBool::new(false);

/// Standard output. Clones share the counters.
#[derive(Default)]
pub(super) struct Stdout {
    stats: Arc<Mutex<Stats>>,
    /// What was written to this very clone, as an `io::Write`, without LF.
    gather: Gather,
}

impl Stdout {
    pub(super) fn stats(&self) -> Stats {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines and counts them. Returns why some are lost, if they are.
    fn print(&self, lines: &[u8], was_cut: bool) -> Result<(), String> {
        let is_exiting = sys::is_exiting();
        let _turn = (!is_exiting).then(|| io::stdout().lock());
        let locked = if is_exiting { sys::lock_at_exit(&self.stats) } else { Some(self.lock()) };
        let mut stats = locked.ok_or("it was busy at the end")?;
        let count = lines::count(lines);
        stats.accepted_lines += count;
        stats.cut_lines += u64::from(was_cut);
        let result = append_all(lines, &mut stats);
        let taken = result.as_ref().map_or_else(|(taken, _)| *taken, |()| lines.len());
        let written = lines::count(&lines[..taken]);
        stats.written_lines += written;
        stats.dropped_lines += count - written;
        result.map_err(|(_, error)| error.to_string())
    }
}

/// Writes lines, after the end of a fragment that an earlier write left. On an error says how many bytes of the lines
/// were taken.
fn append_all(lines: &[u8], stats: &mut Stats) -> Result<(), (usize, io::Error)> {
    let closed;
    let (bytes, before) = if IS_TORN.load(Ordering::Relaxed) {
        closed = [CLOSE_FRAGMENT, lines].concat();
        (closed.as_slice(), CLOSE_FRAGMENT.len())
    } else {
        (lines, 0)
    };
    let mut taken = 0;
    while taken < bytes.len() {
        match append(&bytes[taken..]) {
            Ok(length @ 1..) => {
                taken += length;
                stats.bytes += length as u64;
                IS_TORN.store(bytes[taken - 1] != b'\n', Ordering::Relaxed);
            }
            // Whoever reads is slow. That is no failure: a standard output that blocks would just take its time.
            Err(error) if error.kind() == ErrorKind::WouldBlock && may_wait() => thread::sleep(PAUSE),
            result => {
                stats.errors += 1;
                let error = result.err().unwrap_or_else(|| ErrorKind::WriteZero.into());
                if error.kind() != ErrorKind::Interrupted {
                    return Err((taken.saturating_sub(before), error));
                }
            }
        }
    }
    Ok(())
}

/// Returns whether there is time left to wait for a reader: always, until the process ends.
fn may_wait() -> bool {
    !sys::is_exiting() || !sys::exit_patience().is_zero()
}

/// Hands bytes over to the operating system. Returns how many it took.
#[cfg(unix)]
fn append(bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(io::stdout(), bytes)?)
}

/// Hands bytes over to the operating system. Returns how many it took.
#[cfg(not(unix))]
fn append(bytes: &[u8]) -> io::Result<usize> {
    use io::Write as _;

    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(bytes.len())
}

/// Returns when what was written is on the disk, if standard output is a file.
#[cfg(unix)]
pub(super) fn sync() -> Result<(), Error> {
    use rustix::io::Errno;
    use std::path::Path;

    match rustix::fs::fsync(io::stdout()) {
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP | Errno::ROFS) => Ok(()), // a pipe, a terminal, a device
        Err(error) => Err(Error::io("synchronize with the disk", Path::new("stdout"), error.into())),
    }
}

/// Can't do more than the writing did.
#[cfg(not(unix))]
pub(super) fn sync() -> Result<(), Error> {
    Ok(())
}

impl TakeLines for Stdout {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        if let Err(why) = self.print(lines, was_cut) {
            report(Trouble::Write, format_args!("lines are lost, stdout could not be written: {why}"));
        }
    }
}

/// Writing never fails: what becomes of a line is in the [`Stats`].
impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut gather = std::mem::take(&mut self.gather);
        gather.write(bytes, self);
        self.gather = gather;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // every whole line is with the operating system already
    }
}

impl Drop for Stdout {
    fn drop(&mut self) {
        let mut gather = std::mem::take(&mut self.gather);
        gather.finish(self);
    }
}

impl Clone for Stdout {
    fn clone(&self) -> Self {
        Stdout { stats: Arc::clone(&self.stats), gather: Gather::default() }
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

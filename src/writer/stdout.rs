//! Standard output as a writer: whole lines beside whatever else the program prints there.
//!
//! The lock of `io::stdout` is taken first and the counters' second, by every thread, because a program may log while
//! it holds the former. On Unix lines go past the buffer of `io::stdout`, so that it is known how many bytes were taken,
//! and so that a line that the program has begun to print, and not ended yet, isn't torn; and at the end of the process
//! the lock of `io::stdout`, which can't be tried, is not waited for: its holder may never run again.

use std::{
    fmt,
    io::{self, ErrorKind},
    thread,
    time::Duration,
};

use super::{
    Stats, TakeLines,
    handle::{Handle, takes_lines},
    lines,
    tail::Tail,
    turns::Turns,
};
use crate::{
    Error,
    error::{Trouble, advice, report},
    handoff, sys,
};

/// How long a standard output that doesn't block is left alone when it is full.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a child made by fork(2) waits for its turn: a thread that had it may not be there.
const PATIENCE_OF_CHILDREN: Duration = Duration::from_secs(1);

/// Standard output. Clones share the account.
#[derive(Clone)]
pub(super) struct Stdout(Handle<Shared>);

takes_lines!(Stdout);

/// What clones share.
struct Shared {
    turns: Turns<Tail>,
    /// How often this process was forked when this was made.
    forks: u64,
    /// How large a file may be that this process writes to, when this was made.
    size_limit: u64,
}

impl Stdout {
    pub(super) fn new() -> Self {
        sys::watch_forks();
        let turns = Turns::new(Tail::default());
        Stdout(Handle::new(Shared { turns, forks: sys::forks(), size_limit: sys::file_size_limit() }))
    }

    pub(super) fn stats(&self) -> Stats {
        self.0.turns.lock().stats
    }
}

impl Shared {
    /// Locks standard output, then the account; while the process ends, only the account, and within a limit.
    fn print(&self, lines: &[u8], was_cut: bool) -> io::Result<()> {
        let is_forked = self.forks != sys::forks(); // a thread that had a lock may not be there
        let limit = is_forked.then_some(PATIENCE_OF_CHILDREN);
        let stdout = || (!sys::is_exiting() && !is_forked).then(|| io::stdout().lock());
        let mut tail = self.turns.lock_for_after(lines::count(lines), was_cut, limit, stdout)?;
        tail.append(lines, &mut |bytes| append_patiently(bytes, self.size_limit)).1
    }
}

/// Hands bytes over. A standard output that doesn't block and is full is waited for: whoever reads is slow, which is no
/// failure.
fn append_patiently(mut bytes: &[u8], size_limit: u64) -> io::Result<usize> {
    // Without a limit that costs nothing.
    if let Some(room) = (size_limit != u64::MAX).then(|| room(size_limit)).flatten() {
        bytes = &bytes[..lines::fitting(bytes, room)];
        if bytes.is_empty() {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    loop {
        match append(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && may_wait() => thread::sleep(PAUSE),
            result => return result,
        }
    }
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

/// Returns how many bytes a standard output that is a file takes up to a size: one more would end this process (SIGXFSZ).
#[cfg(unix)]
fn room(size_limit: u64) -> Option<u64> {
    use rustix::fs::{FileType, OFlags, SeekFrom, fcntl_getfl, fstat, seek};

    let stdout = io::stdout();
    let meta = fstat(&stdout).ok().filter(|meta| FileType::from_raw_mode(meta.st_mode).is_file())?;
    let at_end = fcntl_getfl(&stdout).is_ok_and(|flags| flags.contains(OFlags::APPEND));
    let position = seek(&stdout, SeekFrom::Current(0)).ok().filter(|_| !at_end);
    Some(size_limit.saturating_sub(position.unwrap_or(u64::try_from(meta.st_size).unwrap_or(0))))
}

/// There is no such limit.
#[cfg(not(unix))]
fn room(_size_limit: u64) -> Option<u64> {
    None
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

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        if let Err(error) = self.print(lines, was_cut) {
            let advice = advice(&error);
            report(
                Trouble::Write,
                format_args!("lines are lost, stdout could not be written: {error}{advice}"),
            );
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

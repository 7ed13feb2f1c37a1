//! `WatchedFile`: one path that somebody else rotates.

mod broken;
mod builder;
mod change;
mod ending;
mod events;
mod fate;
mod follow;
mod forked;
mod hints;
mod hub;
mod left;
mod recent;
mod shared;
mod state;

use std::{fmt, path::Path, sync::Arc};

pub use self::builder::WatchedFileBuilder;
use self::{hub::Hub, shared::Shared};
use super::{
    Stats, TakeLines,
    handle::{Handle, takes_lines},
};
use crate::Error;

/// A log file that another program rotates, logrotate(8) for one.
///
/// It follows its path by itself: no signal, no `postrotate`, no `copytruncate` is needed. Whatever happens to the file, lines
/// go on into the one that is open until there is a new one; that is opened first, and then the old one is closed, within
/// milliseconds as a rule, and at most 250 ms. Any number of processes may write to one path: each line is one `write` with
/// O_APPEND, and those are whole whatever others do.
///
/// | what happens to the path | what this does |
/// |---|---|
/// | renamed, and another file made (`create`) or renamed to it | opens that |
/// | renamed, and nothing else (`nocreate`) | makes it after [`create_after`](WatchedFileBuilder::create_after) |
/// | removed | makes it at once, its directory too if that is gone; the lines of the moment before are written again |
/// | its descriptor goes bad (ESTALE, or other code has closed it) | opens it again; lines that are not in the file are written again |
/// | cut short (`copytruncate`) | goes on at the new end, without a hole; what may be lost is counted |
/// | its directory is renamed, or removed and made again; a link in it leads elsewhere | follows the path, never the old directory |
/// | a directory, a FIFO, a device, a link that leads nowhere or in a circle; not to be opened | goes on with the open file, tries again ten times a second, and says so once |
///
/// # What it costs
///
/// A line pays for no wait, and for no stat(2) but one for each 256 KiB of lines: a number is read beside the write. One thread for all files of the process looks at
/// each path when notify tells of an event in its directory, and seven times a second anyway (ten while lines are
/// written). inotify(7) is asked about names that are made, renamed and removed, never about writes.
/// Without it (no instance or watch is left, a network file system) the timer does: the error hook, or stderr, is told once.
///
/// # What can be lost
///
/// No line, as long as every rotated file stays. Where another program reads and removes it, [`Stats::at_risk_lines`] counts
/// lines that may be lost, the hook is told, and the log says `up to 12 lines may be lost`:
///
/// - `copytruncate` truncates the file some time after it has read it for the last time. The count is of the lines since the
///   copy was begun, if it was made in the directory of the log, and else of those of about 200 ms: too few if the copy takes
///   longer to reach the disk.
/// - `compress` without `delaycompress` reads the old file while a process that was stopped, or is just being told, may still
///   write to it. With gzip(1) no line is lost: the `.gz` tells how much was read, and what came behind that is written again.
///   With another compressor the count is of the lines of the moment before, if the old file is gone right after it was left.
/// - `renamecopy` into another directory is like another compressor; into the same one it costs no line. With `rotate 0` nothing
///   is made of the old file: lines of about 100 ms before the rotation are kept, too.
///
/// What is written again may come behind later lines. A file that was removed and can't be made again, or whose descriptor went
/// bad and that can't be opened again, can't be written to. Lines wait in memory then, up to 256 KiB; the others are counted as
/// lost, and announced.
///
/// # Descriptors that other code closes
///
/// A library that daemonizes closes all descriptors. If another file gets the number of this one, lines of up to 150 ms go into
/// that: what is open is compared with what was opened at every look, not for every line. They are written again, and the other
/// file is not closed.
///
/// # Several processes
///
/// A process that is killed in the middle of a write leaves the beginning of a line. Within 250 ms one of the others closes it
/// with CAN LF; a line that one of them writes before that is glued to it. A process that opens the file closes it as well.
///
/// A file system where O_APPEND is no promise (NFS, see open(2)) can't be shared by hosts.
///
/// # After fork(2)
///
/// The child's lines go to the same path, and each looks where it leads to: that is a stat(2) for every line, so open the
/// file in each worker of a prefork server. The child's [`stats`](Self::stats) count its own lines.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskLayer, writer::WatchedFile};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let path = dir.join("tasks.log");
/// let file = WatchedFile::open(&path)?;
/// let layer = TaskLayer::new(file.clone()).with_timer(());
/// let _guard = tracing_subscriber::registry().with(layer).set_default();
///
/// tracing::info!(target: "app", "one");
/// std::fs::rename(&path, dir.join("tasks.log.1"))?; // what `create` of logrotate(8) does
/// std::fs::File::create(&path)?;
/// while file.stats().reopens == 0 {
///     std::thread::yield_now();
/// }
/// tracing::info!(target: "app", "two");
///
/// assert_eq!(std::fs::read_to_string(dir.join("tasks.log.1"))?, "[-] [app] one\n");
/// assert_eq!(std::fs::read_to_string(path)?, "[-] [app] two\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WatchedFile(Handle<Log>);

takes_lines!(WatchedFile);

/// What goes with the last clone.
struct Log {
    shared: Arc<Shared>,
    _hub: Option<Arc<Hub>>,
}

impl WatchedFile {
    /// Opens the file at `path`, with every option at its default.
    ///
    /// # Errors
    ///
    /// See [`build`](WatchedFileBuilder::build).
    pub fn open(path: impl AsRef<Path>) -> Result<WatchedFile, Error> {
        Self::builder(path).build()
    }

    /// Returns a builder for the file at `path`, with every option at its default.
    ///
    /// The path may have the placeholders of [`InstanceFile::builder`](super::InstanceFile::builder); `{{` is a brace.
    pub fn builder(path: impl AsRef<Path>) -> WatchedFileBuilder {
        WatchedFileBuilder::new(path.as_ref())
    }

    /// Returns the path from the root on, placeholders replaced.
    pub fn path(&self) -> &Path {
        &self.0.shared.path
    }

    /// Returns the counters as they are now: one snapshot. [`Stats::reopens`] counts how often the path was followed.
    pub fn stats(&self) -> Stats {
        self.0.shared.stats()
    }

    /// Follows the path now, and makes the file if there is none: for programs that are told of a rotation by a signal.
    ///
    /// It opens the file again also if the path leads to the one that is open. It is never needed. It may open files and take locks, so call it on a thread, not in a signal handler. Somebody has to
    /// handle the signal: SIGHUP ends a program that doesn't.
    ///
    /// # Errors
    ///
    /// The path can't be followed. The file that is open stays in use, and following is tried again.
    pub fn reopen(&self) -> Result<(), Error> {
        self.0.shared.reopen()
    }

    /// Returns when every line written so far is on the disk; from the first call on also those in files that are rotated
    /// away.
    ///
    /// Waits for the disk: milliseconds at best. Other threads can't log meanwhile.
    ///
    /// # Errors
    ///
    /// The file or its directory can't be synchronized, with fsync(2)'s error as the source.
    pub fn sync(&self) -> Result<(), Error> {
        self.0.shared.sync()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.finish(true);
    }
}

impl TakeLines for Log {
    fn take_lines(&self, lines: &[u8]) {
        self.shared.take_lines(lines);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

#[cfg(all(test, unix))]
mod tests;

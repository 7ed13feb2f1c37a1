//! `InstanceFile`: one file per process, which rotates by itself.

mod builder;
mod ending;
mod family;
mod forked;
#[cfg(all(feature = "gzip", unix))]
mod gzip;
mod list;
mod lock;
mod look;
mod name;
#[cfg(unix)]
mod prune;
mod rotate;
mod shared;

use std::{fmt, path::Path, sync::Arc};

pub use self::builder::{InUse, InstanceFileBuilder};
use self::shared::Shared;
use super::{
    Stats, TakeLines,
    handle::{Handle, takes_lines},
};
use crate::Error;

/// A log file of this process alone, which rotates by itself: at a size, by the hour, day or week.
///
/// `tasks.log` keeps its name; `tasks.log.1` is the newest backup. A line is never split over two files. Every line
/// is with the operating system when the log call returns: whatever happens to the process, it is in the file.
///
/// Give each process a path of its own, best by a placeholder: `{instance}`, or `{host}` in containers. A second process on the same path gets an error that
/// names it ([`Error::is_in_use`]), or the next free name ([`InUse::NextFree`]). Nothing that this log did not write is
/// ever renamed, overwritten or removed: which files are its own is kept in `.tasks.log.lock` beside it, which also
/// holds the lock. If that list is lost, the backups of before stay for good.
///
/// A live file that somebody moves or deletes is made again by a line: before the first one of a later second. Until then lines
/// go where the file went; those of a removed one are counted as at risk and announced. The same look notices that a library which daemonizes has closed the descriptor; the line whose
/// write(2) fails for that goes to the path's file, which is opened again at once. Where there is no flock(2), on Windows, there
/// is no lock.
///
/// Clones share the file. Threads take turns for each line.
///
/// # When a rotation fails
///
/// The line is written to the file that is open, which grows beyond its limit, and a second later the next line tries
/// again. No line is lost, and the order of the steps is such that a process killed between any two of them loses none
/// either.
///
/// # When the disk is full
///
/// Lines that can't be written are counted, and the error hook or stderr is told. The first line that can be written
/// again comes behind `[-] [tracing_tasklog] <timestamp> 152 lines dropped reason="disk full"`, with the exact number; a
/// line of which only a part was written ends in CAN.
///
/// # After fork(2)
///
/// The child's lines go to the same file. Only the process that opened the log rotates it, and its limit counts its own
/// lines only: in a prefork server, open a log in each worker. The lock goes with the last of them: while a child lives, no
/// other process gets the path.
///
/// When the process that opened the log is gone, because the program has daemonized, say, a child that logs takes the lock and
/// the rotation over, within a second. Of several children one does, and when that is gone, another. From then on only the
/// child that has taken over keeps other processes from the path. Backups are not compressed by a child: the error hook or stderr
/// is told so once, and the next start compresses them. With `compress`, a child that is stopped between finding
/// the file and writing to it, for as long as a rotation and the compression take, loses that line.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskLayer, writer::InstanceFile};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().display();
/// let file = InstanceFile::builder(format!("{dir}/tasks-{{instance}}.log"))
///     .max_bytes(50 * 1024 * 1024)
///     .backups(3)
///     .build()?;
/// tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();
///
/// tracing::info!("hello");
/// assert_eq!(file.stats().written_lines, 1);
///
/// let second = InstanceFile::builder(file.path()).build();
/// assert!(second.unwrap_err().is_in_use());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct InstanceFile(Handle<Log>);

takes_lines!(InstanceFile);

impl Log {
    #[cfg(all(feature = "gzip", unix))]
    fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        let start = |signal| gzip::Compressor::start(Arc::clone(&shared), signal);
        let compressor = shared.compress.as_ref().map(Arc::clone).map(start).transpose();
        let failed = |cause| Error::io("start the thread that compresses", &shared.path, cause);
        Ok(Log { _compressor: compressor.map_err(failed)?, shared })
    }

    #[cfg(not(all(feature = "gzip", unix)))]
    fn new(shared: Arc<Shared>) -> Result<Self, Error> {
        Ok(Log { shared })
    }
}

/// What goes with the last clone.
struct Log {
    shared: Arc<Shared>,
    /// Compresses what is left when it is dropped.
    #[cfg(all(feature = "gzip", unix))]
    _compressor: Option<gzip::Compressor>,
}

impl InstanceFile {
    /// Returns a builder for the file at `path`, with every option at its default.
    ///
    /// `{pid}` in the path stands for the number of the process, `{host}` for the name of the machine, `{env:NAME}`
    /// for an environment variable, `{instance}` for `$TASKLOG_INSTANCE` or, if that is unset, the number of the
    /// process; `{{` is a brace.
    ///
    /// In containers every process may have the number 1, and `{pid}` and `{instance}` are the same in all of them. If they share
    /// the directory of the log, put `{host}` into the path (the name of the container, by default), or set `$TASKLOG_INSTANCE`.
    pub fn builder(path: impl AsRef<Path>) -> InstanceFileBuilder {
        InstanceFileBuilder::new(path.as_ref())
    }

    /// Returns the path of the live file from the root on, placeholders replaced.
    pub fn path(&self) -> &Path {
        &self.0.shared.path
    }

    /// Returns the counters as they are now: one snapshot.
    pub fn stats(&self) -> Stats {
        self.0.shared.stats()
    }

    /// Returns when every line written so far is on the disk, also those in backups since the last call.
    ///
    /// Waits for the disk: milliseconds at best. Other threads can't log meanwhile.
    ///
    /// # Errors
    ///
    /// A file or its directory can't be synchronized, with fsync(2)'s error as the source.
    pub fn sync(&self) -> Result<(), Error> {
        self.0.shared.sync()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.finish();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl TakeLines for Log {
    fn take_lines(&self, lines: &[u8]) {
        self.shared.take_lines(lines);
    }
}

#[cfg(test)]
mod tests;

//! Writers: where lines go.
//!
//! | writer | for | rotation |
//! |---|---|---|
//! | [`InstanceFile`] | one file per process | by itself, at a size, by the hour, day or week |
//! | `WatchedFile` (feature `watch`) | one path, for any number of processes | by somebody else: logrotate(8) |
//! | `Rolling` (feature `rolling`) | those who have a `RollingFileAppender` of tracing-appender | that one's: by the hour, day or week in UTC |
//! | `SharedQueue` (feature `queue`) | a bounded queue before one of these, or any other `io::Write`, with a thread that writes | as the one behind it |
//! | [`TaskWriter`] | an `InstanceFile`, a `WatchedFile` or standard output, each also behind a queue, chosen at run time by a text from configuration | as the chosen one |
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
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(not(feature = "queue"), allow(dead_code, reason = "only a queue asks"))]
pub(crate) struct LineKind {
    /// They come from a log call, not from a writer whose sink this is.
    pub(crate) is_logged: bool,
    /// Their log call is within another one of the same thread.
    pub(crate) is_nested: bool,
    /// They are not to wait: of level ERROR.
    pub(crate) is_urgent: bool,
    /// They are about a task: a transition, a separator.
    pub(crate) is_reserved: bool,
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

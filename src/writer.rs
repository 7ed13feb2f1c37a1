//! Writers: where lines go.
//!
//! | writer | for | rotation |
//! |---|---|---|
//! | [`InstanceFile`] | one file per process | by itself, at a size, by the hour, day or week |
//! | `Rolling` (feature `rolling`) | those who have a `RollingFileAppender` of tracing-appender | that one's: by the hour, day or week in UTC |
//! | [`TaskWriter`] | an `InstanceFile` or standard output, chosen at run time by a text from configuration | as the chosen one |
//!
//! # What every writer promises
//!
//! * It takes whole lines, and writes each with one system call at the end of the file (`O_APPEND`: POSIX write(2)
//!   has the position set to the end and the bytes written as one step). What arrives in pieces is gathered until
//!   its LF.
//! * It creates missing parent directories.
//! * A line that can't be written is never an error for the one who logs. It is counted, and stderr is told, once in
//!   10 s for each kind of trouble. [`Stats`] is the account: at rest `accepted = written + dropped + queued`.
//! * A line is never glued to a fragment: what a short write or a crash has left without LF is closed with
//!   CAN LF before the next line. (What an earlier run left at the end of a file of `Rolling` can't be seen.)
//! * `flush` returns when everything taken so far has been handed to the operating system.
//!
//! Each is a [`MakeWriter`](tracing_subscriber::fmt::MakeWriter), for [`TaskLayer`](crate::TaskLayer) and for
//! `tracing_subscriber::fmt` alike, and an [`io::Write`], so that it can be the sink of another. All are cheap to
//! clone: clones share the file.

mod instance;
mod lines;
mod path;
#[cfg(feature = "rolling")]
mod rolling;
mod stats;
mod stdout;
mod tail;
mod task_writer;
mod turns;

use std::{fmt, io};

#[cfg(feature = "rolling")]
pub use self::rolling::Rolling;
pub use self::{
    instance::{InUse, InstanceFile, InstanceFileBuilder},
    stats::Stats,
    task_writer::TaskWriter,
};
pub use crate::calendar::Every;

/// Something that takes whole lines.
pub(crate) trait TakeLines: fmt::Debug + Send + Sync {
    /// Takes one or more lines, each with its LF. What becomes of them is in the stats.
    fn take_lines(&self, lines: &[u8]);
}

/// The beginning of a line whose LF is still to come.
#[derive(Default)]
pub(crate) struct Gather(Vec<u8>);

impl Gather {
    /// Passes on every line that `bytes` completes, and keeps the rest.
    fn write(&mut self, bytes: &[u8], to: &dyn TakeLines) {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        if self.0.is_empty() && whole > 0 {
            to.take_lines(&bytes[..whole]);
        } else if whole > 0 {
            self.0.extend_from_slice(&bytes[..whole]);
            to.take_lines(&self.0);
            self.0.clear();
        }
        self.0.extend_from_slice(&bytes[whole..]);
    }

    /// Ends a line that never got its LF, and passes it on.
    fn finish(&mut self, to: &dyn TakeLines) {
        if !self.0.is_empty() {
            self.0.push(b'\n');
            to.take_lines(&self.0);
            self.0.clear();
        }
    }
}

/// One event on its way into a writer of this crate: what its `make_writer` returns.
///
/// Writing never fails: see [what every writer promises](crate::writer). What is written without a final LF is
/// completed when this is dropped.
pub struct LineWriter<'a> {
    to: &'a dyn TakeLines,
    gather: Gather,
}

impl<'a> LineWriter<'a> {
    fn new(to: &'a dyn TakeLines) -> Self {
        LineWriter { to, gather: Gather::default() }
    }
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gather.write(bytes, self.to);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // every whole line is with the operating system already
    }
}

impl Drop for LineWriter<'_> {
    fn drop(&mut self) {
        self.gather.finish(self.to);
    }
}

impl fmt::Debug for LineWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").field("to", &self.to).finish_non_exhaustive()
    }
}

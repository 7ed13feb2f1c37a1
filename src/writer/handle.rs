//! What a program holds of a writer: clones that share it, and what is on its way into it.

use std::{fmt, io, ops::Deref, sync::Arc};

use tracing::Metadata;

use super::{LineKind, TakeLines, lines};
use crate::handoff;

/// The beginning of a line whose LF is still to come.
#[derive(Default)]
struct Gather(Vec<u8>);

impl Gather {
    /// Passes on every line that `bytes` completes, and keeps the rest.
    fn write(&mut self, bytes: &[u8], kind: LineKind, to: &dyn TakeLines) {
        let whole = lines::whole(bytes);
        if self.0.is_empty() && whole > 0 {
            to.take_lines_of(kind, &bytes[..whole]);
        } else if whole > 0 {
            self.0.extend_from_slice(&bytes[..whole]);
            to.take_lines_of(kind, &self.0);
            self.0.clear();
        }
        self.0.extend_from_slice(&bytes[whole..]);
    }

    /// Ends a line that never got its LF, and passes it on.
    fn finish(&mut self, kind: LineKind, to: &dyn TakeLines) {
        if !self.0.is_empty() {
            self.0.push(b'\n');
            to.take_lines_of(kind, &self.0);
            self.0.clear();
        }
    }
}

/// One clone of a writer.
///
/// Writing to it, as an `io::Write`, never fails: what becomes of a line is in the stats. A line without LF waits for it
/// in this clone, and is completed when the clone is dropped.
pub(super) struct Handle<S: TakeLines> {
    shared: Arc<S>,
    /// What was written to this very clone, as an `io::Write`, without LF.
    gather: Gather,
}

impl<S: TakeLines> Handle<S> {
    pub(super) fn new(shared: S) -> Self {
        Handle { shared: Arc::new(shared), gather: Gather::default() }
    }

    /// Returns a writer for one event, or for a line about a span, if it is known for which.
    #[inline]
    pub(super) fn line_writer(&self, meta: Option<&Metadata<'_>>) -> LineWriter<'_> {
        let kind = LineKind::logged(handoff::is_nested(), meta);
        LineWriter { to: &*self.shared, kind, gather: Gather::default() }
    }
}

impl<S: TakeLines> Deref for Handle<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.shared
    }
}

impl<S: TakeLines> io::Write for Handle<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gather.write(bytes, LineKind::default(), &*self.shared);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.flush_lines()
    }
}

impl<S: TakeLines> Drop for Handle<S> {
    fn drop(&mut self) {
        self.gather.finish(LineKind::default(), &*self.shared);
    }
}

impl<S: TakeLines> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Handle { shared: Arc::clone(&self.shared), gather: Gather::default() }
    }
}

impl<S: TakeLines> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

/// One event on its way into a writer of this crate: what its `make_writer` returns.
///
/// Writing never fails: see [what every writer promises](crate::writer). What is written without a final LF is
/// completed when this is dropped.
pub struct LineWriter<'a> {
    to: &'a dyn TakeLines,
    kind: LineKind,
    gather: Gather,
}

impl io::Write for LineWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// A layer hands over whole lines, which need no gathering.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.gather.0.is_empty() && bytes.last() == Some(&b'\n') {
            self.to.take_lines_of(self.kind, bytes);
        } else {
            self.gather.write(bytes, self.kind, self.to);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush_lines()
    }
}

impl Drop for LineWriter<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.gather.0.is_empty() {
            self.gather.finish(self.kind, self.to);
        }
    }
}

impl fmt::Debug for LineWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").field("to", &self.to).finish_non_exhaustive()
    }
}

/// Gives a writer that is a tuple of one [`Handle`] the two traits by which lines come to it, and the look of what its
/// clones share.
macro_rules! takes_lines {
    ($writer:ident) => {
        impl std::fmt::Debug for $writer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for $writer {
            type Writer = $crate::writer::LineWriter<'a>;

            #[inline]
            fn make_writer(&'a self) -> Self::Writer {
                self.0.line_writer(None)
            }

            #[inline]
            fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
                self.0.line_writer(Some(meta))
            }
        }

        /// Writing never fails: what becomes of a line is in the [`Stats`](crate::writer::Stats). A line without LF waits
        /// for it in this clone, and is completed when the clone is dropped.
        impl std::io::Write for $writer {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.write(bytes)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                self.0.flush()
            }
        }
    };
}
pub(super) use takes_lines;

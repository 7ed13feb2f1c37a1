//! `SharedQueue`: a bounded queue, with one thread that writes.

mod builder;
mod core;
mod drops;
mod duty;
mod failure;
mod guard;
mod inner;
mod outlet;
mod registry;
mod run;
mod side;
mod slot;

use std::{fmt, io, sync::Arc, time::Duration};

pub use self::{
    builder::SharedQueueBuilder,
    drops::{Announce, Drops},
    guard::{QueueGuard, Report},
};
use self::inner::{Inner, Limit};
use super::{
    LineKind, Stats, TakeLines,
    handle::{Handle, takes_lines},
};
use crate::handoff;

/// How long `io::Write::flush` waits at most.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// What happens to a line when the queue is full.
///
/// Whatever it is, a log call never waits where that could be for ever: see [`SharedQueue`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The log call waits for room, as long as the sink takes something at least once in every
    /// [`stall_timeout`](SharedQueueBuilder::stall_timeout). The default.
    #[default]
    Block,
    /// The same, but so long at most; then the line is dropped.
    BlockFor(Duration),
    /// The line is dropped at once.
    DropNewest,
}

/// A bounded queue.
#[derive(Clone)]
pub struct SharedQueue(Handle<Shared>);

takes_lines!(SharedQueue);

/// What the clones hold.
struct Shared {
    queue: Arc<Inner>,
}

impl SharedQueue {
    /// Returns a builder with every option at its default.
    pub fn builder() -> SharedQueueBuilder {
        SharedQueueBuilder::new()
    }

    /// Returns the counters as they are now: one snapshot.
    pub fn stats(&self) -> Stats {
        self.0.queue.here().stats()
    }

    /// Returns how many lines were lost, by what was the cause.
    pub fn drops(&self) -> Drops {
        self.0.queue.here().drops()
    }
}

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        self.take_lines_of(LineKind::default(), lines);
    }

    fn take_lines_of(&self, kind: LineKind, lines: &[u8]) {
        let was_cut = handoff::take();
        self.queue.here().take(lines, kind, was_cut);
    }

    fn flush_lines(&self) -> io::Result<()> {
        let queue = self.queue.here();
        if queue.flush(Limit::Time(FLUSH_PATIENCE)) {
            return Ok(());
        }
        Err(guard::not_flushed(queue, FLUSH_PATIENCE).into())
    }
}

/// The last clone is gone: nobody can log any more.
impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.here_if_any() {
            queue.close();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.fmt(f)
    }
}

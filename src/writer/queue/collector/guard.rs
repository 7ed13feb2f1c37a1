//! What ends a collector, and says what became of the lines.

use std::{mem, sync::Arc, time::Duration};

use super::shared::Shared;
use crate::{
    Error,
    writer::{Drops, Report, Stats},
};

/// Ends a [`Collector`](super::Collector) when it is dropped.
///
/// Bind it to a name: `let _guard = …`. Dropped, it has everything written that is in the rings by then, as long as the sink takes
/// something at least once in every [`stall_timeout`](super::CollectorBuilder::stall_timeout), and ends the thread. What the sink
/// doesn't take stays in the rings, and so does what live workers log later: it is there for the next collector.
///
/// Forgotten, it costs no line: the process does the same when it exits by returning from `main` or by `std::process::exit`.
/// Dropped too early, by `let _ = …` say, it ends the collector: the workers write on into their rings.
///
/// Dropped on the collector's own thread, by the sink or an error hook, it waits for nothing. In a child made by fork(2) it ends
/// nothing: the collector is the parent's. If the parent is gone, because the program has daemonized, say, there is no collector any
/// more: a flush, a shutdown or the end of the child tells the error hook once how many lines wait for one.
#[must_use = "dropping the guard ends the collector: bind it to a name"]
#[derive(Debug)]
pub struct CollectorGuard {
    shared: Arc<Shared>,
    is_shut_down: bool,
}

impl CollectorGuard {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        CollectorGuard { shared, is_shut_down: false }
    }

    /// Returns when every line that any process had logged before the call has been handed to the operating system (the sink has
    /// taken it, and was flushed), or is counted as lost.
    ///
    /// # Errors
    ///
    /// That took longer than `limit` ([`Error::is_timeout`]), or would have: the call was made by the sink itself, or in a
    /// child made by fork(2). Or a ring can't be opened or read, and not because too many others are: that was told to the error hook.
    /// The lines stay in the rings. (What isn't a sound ring is told of as well, and isn't counted here.)
    pub fn flush(&self, limit: Duration) -> Result<(), Error> {
        let directory = self.shared.directory.path();
        match self.shared.flush(limit) {
            Some(0) => Ok(()),
            Some(rings) => Err(Error::invalid(format!(
                "could not read {rings} of the rings in {directory:?}: all others are written; the error hook was told why"
            ))),
            None if self.shared.is_parents() => Err(Error::timed_out(format!(
                "could not write what is in {directory:?}: the collector belongs to the process of which this is a child made by fork(2)"
            ))),
            None => {
                Err(Error::timed_out(format!("could not write what is in {directory:?} within {limit:?}")))
            }
        }
    }

    /// Ends the collector as dropping the guard does, but within `limit`, and says what became of the lines.
    ///
    /// What is `pending` is in the rings: the next collector writes it. (A line that the sink had taken a part of is written again
    /// then, as a whole.) In a child made by fork(2) that is all that the report says. A ring that can't be looked at counts as one line, as it may have some.
    pub fn shutdown(mut self, limit: Duration) -> Report {
        self.is_shut_down = true;
        self.shared.end_within(limit)
    }

    /// Returns the counters as they are now: one snapshot. What is in the rings is not among them; what the workers have dropped
    /// isn't either: that is in the log, and in the stats of each.
    pub fn stats(&self) -> Stats {
        self.shared.queue.stats()
    }

    /// Returns how many lines the sink has lost, by what was the cause.
    pub fn drops(&self) -> Drops {
        self.shared.queue.drops()
    }
}

impl Drop for CollectorGuard {
    fn drop(&mut self) {
        if self.shared.is_parents() {
            self.shared.end();
            mem::forget(Arc::clone(&self.shared)); // the sink may hold something that the parent writes
        } else if !self.is_shut_down {
            self.shared.end();
        }
    }
}

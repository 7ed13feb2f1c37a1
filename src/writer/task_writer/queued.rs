//! A writer behind a queue of its own.

use std::{io, path::Path, sync::Arc};

use super::TaskWriter;
use crate::{
    Error,
    writer::{QueueGuard, SharedQueue, Stats},
};

/// A writer, and the queue before it.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    /// Ends the queue with the last clone.
    guard: Arc<QueueGuard>,
    queue: SharedQueue,
    sink: TaskWriter,
}

/// Ends a queue when it is dropped.
#[derive(Debug)]
pub(crate) struct EndQueue(Arc<QueueGuard>);

impl Drop for EndQueue {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Queued {
    pub(super) fn new(sink: TaskWriter) -> Result<Self, Error> {
        let (queue, guard) = SharedQueue::builder().spawn(sink.clone())?;
        Ok(Queued { guard: Arc::new(guard), queue, sink })
    }

    pub(super) fn queue(&self) -> &SharedQueue {
        &self.queue
    }

    pub(super) fn bytes(&mut self) -> &mut dyn io::Write {
        &mut self.queue
    }

    pub(super) fn end(&self) -> EndQueue {
        EndQueue(Arc::clone(&self.guard))
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.sink.path()
    }

    /// The account of both: what the queue has handed over counts as what became of it in the writer behind.
    pub(super) fn stats(&self) -> Stats {
        let queue = self.queue.stats();
        Self::with_sink(queue, self.sink.stats()) // after the queue's
    }

    /// Written is what the queue has handed over, but for what the writer behind it has lost or kept by now: of two accounts
    /// that are read one after the other, never too much.
    fn with_sink(queue: Stats, sink: Stats) -> Stats {
        let lost = sink.dropped_lines.min(queue.written_lines);
        let kept = sink.queued_lines.min(queue.written_lines - lost);
        Stats {
            accepted_lines: queue.accepted_lines,
            written_lines: queue.written_lines - lost - kept,
            dropped_lines: queue.dropped_lines + lost,
            queued_lines: queue.queued_lines + kept,
            cut_lines: queue.cut_lines,
            ..sink
        }
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.queue.hand_over()?;
        self.sink.sync()
    }
}

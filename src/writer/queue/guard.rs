//! What ends a queue, and says what became of its lines.

use std::{panic, sync::Arc, time::Duration};

use super::{inner::Inner, run::NotFlushed, waiting::Limit};
use crate::{
    Error,
    error::{Trouble, report},
};

/// How long a panic waits for what was logged before it.
const PANIC_PATIENCE: Duration = Duration::from_secs(5);

/// Ends a [`SharedQueue`](super::SharedQueue) when it is dropped.
///
/// Bind it to a name in `main`: `let (queue, _guard) = …`. Dropped there, it has everything written that was logged, as long as
/// the sink takes something at least once in every [`stall_timeout`](super::SharedQueueBuilder::stall_timeout) (what is left then is
/// told on stderr, and still tried until the process is gone), and ends the thread. What is logged afterwards is written on the
/// thread that logs, before the log call returns.
///
/// Dropped too early, by `let (queue, _) = …` say, or forgotten, it costs no line: the queue then writes directly, or is
/// flushed when the process ends (by returning from `main` or by `std::process::exit`).
///
/// The guard of the layer's tasks ([`InterruptGuard`](crate::InterruptGuard)) is best dropped first, that is bound last: its
/// lines then go through the queue. After this guard they are written directly.
///
/// Dropped on the queue's own thread, by the sink or an error hook, it waits for nothing.
#[must_use = "dropping the guard ends the thread that writes: bind it to a name"]
#[derive(Debug)]
pub struct QueueGuard {
    queue: Arc<Inner>,
    is_shut_down: bool,
}

/// What became of the lines of a queue, when it was [shut down](QueueGuard::shutdown).
///
/// The queue's own announcements are not among them. A sink of this crate counts what it loses in its own `stats()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Lines that the sink has taken since the queue was made.
    pub written: u64,
    /// Lines that were lost since then. Of a `Collector`: by its sink. What workers had no room for is in the log, and in the
    /// stats of each.
    pub dropped: u64,
    /// Lines that the sink has not taken yet.
    pub pending: u64,
}

impl QueueGuard {
    pub(super) fn new(queue: Arc<Inner>) -> Self {
        QueueGuard { queue, is_shut_down: false }
    }

    /// Returns when every line that was logged before the call has been handed to the operating system (the sink has taken it,
    /// and was flushed), or is counted as lost.
    ///
    /// # Errors
    ///
    /// - That took longer than `limit` ([`Error::is_timeout`]), or would have: the call was made by the sink itself. The lines
    ///   stay in the queue.
    /// - The sink has taken the lines, but refuses to flush what it keeps of them: its error is the source.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tracing_tasklog::writer::SharedQueue;
    ///
    /// let (queue, guard) = SharedQueue::builder().spawn(std::io::sink())?;
    /// guard.flush(Duration::from_secs(1))?;
    /// # drop(queue);
    /// # Ok::<(), tracing_tasklog::Error>(())
    /// ```
    pub fn flush(&self, limit: Duration) -> Result<(), Error> {
        flush(&self.queue, limit)
    }

    /// Ends the queue as dropping the guard does, but within `limit`, and says what became of its lines.
    ///
    /// What is `pending` is still tried until the process is gone. Its exit waits for that as long as the sink moves, and not
    /// again for one that takes nothing.
    ///
    /// ```
    /// use std::{io::Write, time::Duration};
    /// use tracing_tasklog::writer::SharedQueue;
    ///
    /// let (mut queue, guard) = SharedQueue::builder().spawn(std::io::sink())?;
    /// queue.write_all(b"one\ntwo\n")?;
    /// let report = guard.shutdown(Duration::from_secs(1));
    /// assert_eq!((report.written, report.dropped, report.pending), (2, 0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(mut self, limit: Duration) -> Report {
        self.is_shut_down = true;
        let queue = self.queue.here();
        if !queue.end(Limit::Time(limit)) {
            queue.give_up();
        }
        let stats = queue.stats();
        Report { written: stats.written_lines, dropped: stats.dropped_lines, pending: stats.queued_lines }
    }

    /// Ends the queue as dropping the guard does.
    pub(crate) fn end(&self) {
        end(&self.queue);
    }

    /// Has a panic, on whatever thread, write what was logged before it, 5 s long at most, and then call the panic hook that
    /// was there before.
    ///
    /// A program that is built with `panic = "abort"` loses what is in the queue otherwise, at most its capacity. (Its open tasks
    /// get no closing line. `std::process::abort` calls no hook.) A hook that the program sets later replaces this one. What a
    /// hook logs itself comes after the flush: set such a hook after this call, and have it log, then call the hook before it. A
    /// panic on the queue's own thread, in the sink say, waits for nothing.
    ///
    /// # Panics
    ///
    /// The thread is panicking ([`std::panic::set_hook`]).
    pub fn flush_on_panic(&self) {
        let queue = Arc::downgrade(&self.queue);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if let Some(queue) = queue.upgrade() {
                // Whoever is told of the panic is told of a sink that fails by the writer's thread.
                let _ = queue.here().flush(PANIC_PATIENCE);
            }
            before(info);
        }));
    }
}

/// Hands everything that was logged so far over.
pub(super) fn flush(queue: &Inner, limit: Duration) -> Result<(), Error> {
    let queue = queue.here();
    queue.flush(limit).map_err(|failed| match failed {
        NotFlushed::InTime => {
            let lines = queue.stats().queued_lines;
            Error::timed_out(format!(
                "could not flush the queue within {limit:?}: {lines} lines wait for the sink"
            ))
        }
        NotFlushed::BySink(error) => Error::io_somewhere("flush the sink of the queue", error),
    })
}

impl Drop for QueueGuard {
    fn drop(&mut self) {
        if !self.is_shut_down {
            self.end();
        }
    }
}

/// Ends a queue, as long as its sink takes something from time to time.
pub(super) fn end(queue: &Inner) {
    let Some(queue) = queue.here_if_any() else { return };
    let is_over = queue.end(Limit::Progress(queue.options.stall_timeout));
    let lines = queue.stats().queued_lines;
    if !is_over && lines > 0 && !queue.is_mine() {
        report(
            Trouble::Pending,
            format_args!("{lines} lines are still in the queue, its sink takes nothing"),
        );
    }
}

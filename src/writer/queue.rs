//! `SharedQueue`: a bounded queue, with one thread that writes.
//!
//! # The protocol
//!
//! A log call copies its line into the *lane* of its thread ([`lanes`]), and publishes where the lane ends. That is all, as long as the
//! lane has room at hand. When it has none, the log call takes the lock of the [`core`], which counts the room of all lanes, and has
//! its lane lent more of it. Bytes count as queued until the sink has taken them.
//!
//! The *sink* is in a [`slot`]: the thread that takes it out is the only one that writes. It has one turn ([`outlet`]: one write, or
//! one flush), and puts the sink back. Nobody holds a lock while the sink runs. As a rule it is the writer's thread ([`run`]). For a turn
//! it merges up to 64 KiB of lines out of the lanes, by their stamps. It works while there is as much as that, then *lingers* for a
//! moment, so that more lines go into one system call, then takes what is there, and sleeps when nothing more has come. It says
//! in the lanes' memory whether it lingers or sleeps, and looks once more before it does. A log call looks at that after it has
//! published. If the writer's thread sleeps, the log call wakes it. If it lingers, the log call wakes it for a line of level ERROR, when the queue
//! is half full, or when somebody waits for room.
//!
//! Without that thread (after the end of the queue, in a child of fork) a log call appends its line as ever, and then takes turns with
//! the sink until the line is written.
//!
//! A log call takes the lock of the core only if this thread can't be holding it ([`duty`]), and never waits on the thread that makes
//! room. Where it must not, its line goes into the *side buffer* ([`side`]), which has no lock, with a stamp: it is written at its
//! place in the order of all lines. What is logged while such a line is written is only counted: a sink that logs whenever it is called
//! would otherwise keep itself busy for ever.
//!
//! What threads share without a lock is in [`lanes`], with the order that makes it sound, and modelled with loom. The counters of the side
//! buffer, and a copy of one number for those who can't have the lock, are atomics that order nothing. Everything else goes through a
//! mutex or a channel.

mod builder;
#[cfg(all(feature = "multiprocess", unix))]
mod collector;
#[cfg(all(feature = "multiprocess", unix))]
mod connected;
mod core;
mod drops;
mod duty;
mod failure;
mod first;
mod for_children;
mod guard;
mod inner;
pub(super) mod lanes;
mod ledger;
mod locked;
#[cfg(all(test, tasklog_loom))]
mod model;
mod outlet;
mod registry;
mod run;
mod side;
mod slot;
#[cfg(all(test, not(tasklog_loom)))]
mod tests;
mod waiting;

use std::{fmt, io, sync::Arc, time::Duration};

#[cfg(all(feature = "multiprocess", unix))]
pub use self::collector::{Collector, CollectorBuilder, CollectorGuard, Running};
use self::inner::Inner;
pub use self::{
    builder::SharedQueueBuilder,
    drops::{Announce, Drops},
    guard::{QueueGuard, Report},
};
use super::{
    LineKind, Stats, TakeLines,
    handle::{Handle, takes_lines},
};
use crate::{Error, handoff};

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
    /// The line is dropped at once. Lines of level ERROR and lines about tasks are dropped only when the
    /// [room of their own](SharedQueueBuilder::capacity_bytes) is full too.
    DropNewest,
}

/// A bounded queue: whoever logs puts a line into it and goes on, and one thread writes to a sink.
///
/// A log call costs a copy of the line, and threads that log don't meet. The sink, which is any [`io::Write`], gets whole lines, up to 64 KiB with
/// one call: those of a thread in the order in which it logged them, and a line that was logged after the log call of another one had
/// returned behind that, also on another thread. So a file on a slow disk, a socket, or a writer that compresses holds nobody up. A
/// line is there within 50 ms, one of level ERROR at once. While nothing is logged the thread sleeps.
///
/// Clones share the queue. It ends with its [`QueueGuard`], or with its last clone.
///
/// That is the queue of one process. With the feature `multiprocess`, on Unix, `SharedQueue::connect` makes the end of a queue that
/// many processes share: there the lines outlive the process that has logged them, and a `Collector`, in one process, has the
/// thread and the sink.
///
/// # When the queue is full
///
/// What happens then is up to [`overflow`](SharedQueueBuilder::overflow): as a rule the log call waits. A sink that takes nothing
/// for 5 s ([`stall_timeout`](SharedQueueBuilder::stall_timeout)) holds nobody up any longer: lines are dropped until it moves
/// again. Each is counted ([`drops`](Self::drops)), the error hook or stderr is told, and the log says so about where they would
/// be (a shorter line that did find room may come first): `[-] [tracing_tasklog] 2026-01-01T12:00:00 152 lines dropped reason="queue full"`.
///
/// # It can't deadlock on itself
///
/// Whatever is logged on the thread that writes (by the sink, by a value that it drops, by an error hook, by a panic hook), and
/// whatever is logged inside of another log call of the same thread (by a `Display` in an event of a
/// [`TaskLayer`](crate::TaskLayer), by a signal handler), waits for nothing. If
/// there is no room, or no lock can be had, it goes into a side buffer of 256 KiB and 1,024 lines, in order. What doesn't fit,
/// and what the writing of such lines causes in turn, is counted. All signals are blocked on the thread, but those for a fault
/// of its own.
///
/// (A signal handler that logs can still meet what it has interrupted elsewhere: a lock of the allocator, say, or of another
/// layer. It is safe where the thread was in this queue. Better have a thread wait for signals. A `Display` in an event of
/// `tracing_subscriber::fmt` counts as a log call of its own: it may wait for room.)
///
/// # When the sink fails
///
/// | the sink | then |
/// |---|---|
/// | takes a part | gets the rest with the next call: no line is torn |
/// | `Interrupted`, `WouldBlock`, `TimedOut`, a full disk or quota, `ResourceBusy`, `OutOfMemory` | is tried again, soon and then twice a second, and nothing is lost while there is room |
/// | any other error | is tried three times; then the line is lost, and the next one is tried. A fragment of it is closed by CAN LF |
/// | panics with several lines | gets them again one by one: if it had taken some before, they are there twice |
/// | panics with one line | that is lost |
/// | hangs | see above. The program still ends |
///
/// The writers of this crate never return an error: behind a queue, too, a line that they can't write is lost, announced, and
/// counted in their `stats()`, not in the queue's. The queue doesn't reconnect: a `TcpStream` whose peer is gone stays broken, and
/// every later line is lost; reconnect in a `write` of your own.
///
/// # What survives what
///
/// | | lines that were logged before |
/// |---|---|
/// | return from `main`, a panic that unwinds, `process::exit` (but on Windows) | all are written, as long as the sink takes them |
/// | `panic = "abort"` | with [`QueueGuard::flush_on_panic`] a panic has them written; else what is in the queue is lost |
/// | exec(2), `_exit` | what is in the queue is lost, at most its capacity: call [`QueueGuard::flush`] before |
/// | `std::process::abort`, SIGKILL, the OOM killer; SIGTERM, SIGINT (Ctrl+C) or SIGHUP that nobody handles | what is in the queue is lost |
///
/// # After the end, and after fork(2)
///
/// Lines that are logged after the end of the queue are written directly: by the thread that logs, before the log call returns.
/// The same holds in a child made by fork(2), with the same sink; its [`stats`](Self::stats) count its own lines.
///
/// If the sink is a file of this crate ([`InstanceFile`](super::InstanceFile), `WatchedFile`, either in a
/// [`TaskWriter`](super::TaskWriter)), the fork doesn't wait, and the child writes by a clone. Of any other sink it waits until
/// that is in no call and keeps nothing, a fifth of a second at most. A sink that is slower costs the child its lines: they are
/// lost, counted and told.
///
/// Only the guard flushes within a limit of yours; a clone does as [`io::Write::flush`], within 5 s.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::{filter::LevelFilter, prelude::*};
/// use tracing_tasklog::{
///     TaskLayer,
///     writer::{InstanceFile, SharedQueue},
/// };
///
/// # let dir = tempfile::tempdir()?;
/// # std::env::set_current_dir(&dir)?;
/// let file = InstanceFile::builder("logs/tasks-{instance}.log").build()?;
/// let (queue, _ends_the_queue) = SharedQueue::builder().spawn(file.clone())?;
/// let layer = TaskLayer::new(queue).with_lifecycle(true);
/// let _interrupts_open_tasks = layer.interrupt_on_drop(); // dropped first: its lines still go through the queue
/// tracing_subscriber::registry().with(layer).with(LevelFilter::INFO).init();
///
/// tracing::info!("hello");
/// # drop((_interrupts_open_tasks, _ends_the_queue));
/// # assert_eq!(file.stats().written_lines, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// One line of JSON for each event, by tracing-subscriber's own layer:
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::writer::{Announce, SharedQueue};
///
/// let (queue, _guard) = SharedQueue::builder().announce(Announce::Json).spawn(std::io::stdout())?;
/// tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().json().with_writer(queue)).init();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SharedQueue(Handle<Shared>);

takes_lines!(SharedQueue);

/// What the clones hold.
enum Shared {
    /// A queue of this process.
    Here(Arc<Inner>),
    /// The end of a queue for many processes.
    #[cfg(all(feature = "multiprocess", unix))]
    Connected(Box<connected::Connected>),
}

impl SharedQueue {
    /// Returns a builder with every option at its default.
    pub fn builder() -> SharedQueueBuilder {
        SharedQueueBuilder::new()
    }

    /// Connects this process, a worker, to the [`Collector`] of a directory, with every option at its default.
    ///
    /// A log call copies its line into a ring of this process, a mapped file in that directory, and returns. From then on the line
    /// is safe from whatever becomes of the process: SIGKILL, an abort, `process::exit` lose nothing, and there is nothing to flush,
    /// no guard and no thread. The collector writes it within 50 ms. [`Collector`] says where the directory belongs and
    /// what it costs.
    ///
    /// - **No collector yet**, or none for a while: the line waits in the ring. When that is full,
    ///   [`overflow`](SharedQueueBuilder::overflow) decides; see there for the 5 s of [`stall_timeout`](SharedQueueBuilder::stall_timeout).
    ///   What is dropped is counted ([`drops`](Self::drops)), the error hook or stderr is told, and the log says so with the name of
    ///   this worker: `$TASKLOG_INSTANCE`, or the process id.
    /// - **Other workers** don't matter: each has a ring of its own, and nobody waits for the lock of another process.
    /// - **In a child made by fork(2)** the queue has a ring of its own, which is made with its first line. If that can't be, its
    ///   lines are lost, counted and told, and it is tried again once a second.
    /// - **A log call inside of another one**, one in a signal handler, and those of a collector's own thread never wait: what finds no
    ///   room goes into 64 KiB beside the ring, in order; what doesn't fit there is counted.
    /// - **Lines of level ERROR** have room for another 64 KiB when the ring is full. **Lines about tasks** (RUNNING and its like,
    ///   retry separators) have that and 64 KiB more, which no line of level ERROR takes.
    /// - **A line that is larger than the ring**, or than 16 MiB, is cut, ends in ` [cut N bytes]`, and is counted (`cut_lines`).
    /// - Connected twice, a process has two rings. Clones share one; it ends with the last of them.
    /// - [`io::Write::flush`] has nothing to do: the kernel has the lines. Only [`CollectorGuard::flush`] knows when they are written.
    ///
    /// ```
    /// use tracing_subscriber::prelude::*;
    /// use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::SharedQueue};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # std::env::set_current_dir(&dir)?;
    /// let queue = SharedQueue::connect("run/q")?; // the collector may come later
    /// let layer = TaskLayer::new(queue.clone()).with_lifecycle(true);
    /// let _interrupts_open_tasks = layer.interrupt_on_drop();
    /// tracing_subscriber::registry().with(layer).init();
    ///
    /// task_span!("send_email", "abc12345").run_task(|| tracing::info!("Connecting to SMTP server"));
    /// let stats = queue.stats();
    /// assert_eq!((stats.accepted_lines, stats.written_lines, stats.queued_lines), (3, 0, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`SharedQueueBuilder::connect`].
    #[cfg(all(feature = "multiprocess", unix))]
    pub fn connect(directory: impl AsRef<std::path::Path>) -> Result<Self, Error> {
        SharedQueue::builder().connect(directory)
    }

    /// Returns the counters as they are now: one snapshot. In a signal handler that has interrupted a log call, zeros.
    ///
    /// Of a queue that is connected to a collector: those of this process. What the collector has taken counts as
    /// written.
    pub fn stats(&self) -> Stats {
        match &*self.0 {
            Shared::Here(queue) => queue.here().stats(),
            #[cfg(all(feature = "multiprocess", unix))]
            Shared::Connected(queue) => queue.stats(),
        }
    }

    /// Returns how many lines were lost, by what was the cause. In a signal handler that has interrupted a log call, zeros.
    pub fn drops(&self) -> Drops {
        match &*self.0 {
            Shared::Here(queue) => queue.here().drops(),
            #[cfg(all(feature = "multiprocess", unix))]
            Shared::Connected(queue) => queue.drops(),
        }
    }

    /// Returns when everything logged so far was handed over.
    pub(super) fn hand_over(&self) -> Result<(), Error> {
        self.0.hand_over()
    }
}

impl Shared {
    fn hand_over(&self) -> Result<(), Error> {
        match self {
            Shared::Here(queue) => guard::flush(queue, FLUSH_PATIENCE),
            #[cfg(all(feature = "multiprocess", unix))]
            Shared::Connected(_) => Ok(()), // the kernel has it
        }
    }
}

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        self.take_lines_of(LineKind::default(), lines);
    }

    fn take_lines_of(&self, kind: LineKind, lines: &[u8]) {
        let was_cut = handoff::take();
        match self {
            Shared::Here(queue) => queue.here().take(lines, kind, was_cut),
            #[cfg(all(feature = "multiprocess", unix))]
            Shared::Connected(queue) => queue.take(lines, kind, was_cut),
        }
    }

    fn flush_lines(&self) -> io::Result<()> {
        Ok(self.hand_over()?)
    }
}

/// The last clone is gone: nobody can log any more.
impl Drop for Shared {
    fn drop(&mut self) {
        #[cfg_attr(
            not(all(feature = "multiprocess", unix)),
            allow(irrefutable_let_patterns, reason = "there is one kind only")
        )]
        if let Shared::Here(shared) = self
            && let Some(queue) = shared.here_if_any()
        {
            queue.close();
            queue.finish();
            queue.tell_of_the_rest(Arc::strong_count(shared) > 1);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shared::Here(queue) => queue.fmt(f),
            #[cfg(all(feature = "multiprocess", unix))]
            Shared::Connected(queue) => queue.fmt(f),
        }
    }
}

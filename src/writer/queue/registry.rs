//! The queues of this process, for what concerns them all: its end, and forks.
//!
//! The child of a fork has the parent's memory as it was at that moment: locks that other threads held are held for ever,
//! and the writer's thread isn't there. So it touches nothing of the parent's queue. It has one of its own, without a
//! thread, and with the same sink, which the forking thread has taken out of the parent's for the moment of the fork: so no
//! other thread was in the middle of a call of it. (Of a writer of this crate it has a [clone](super::for_children) instead.) Lines
//! that were on their way are the parent's to write.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    core::Mode,
    duty,
    inner::{self, Inner},
    outlet::Outlet,
    waiting::Limit,
};
use crate::{
    error::{Trouble, report},
    sys,
};

/// How long a fork waits for the sink of a queue; and for the list of the queues, which could be locked for ever in a child of
/// the child.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long the end of the process waits for one queue at a time.
const SLICE: Duration = Duration::from_millis(50);

/// As for any other allocation: a process that has none left ends.
const HAS_MEMORY: &str = "there is no memory for a queue";

/// The capacity of a child's queue that can't have its parent's.
const SMALL: usize = 4096;

static QUEUES: Mutex<Vec<Weak<Inner>>> = Mutex::new(Vec::new());

/// Makes a queue known.
pub(super) fn register(queue: &Arc<Inner>) {
    sys::at_exit(sys::AtExit::Queues, end_at_exit);
    sys::around_forks(before_fork, after_fork_in_parent);
    let Some(mut queues) = lock() else { return };
    queues.retain(|queue| queue.strong_count() > 0);
    queues.push(Arc::downgrade(queue));
}

/// Locks the list, within a limit where its holder may never run again: in a child of fork, and when a signal handler has ended
/// the process.
fn lock() -> Option<MutexGuard<'static, Vec<Weak<Inner>>>> {
    if sys::forks() > 0 || sys::is_exiting() {
        return sys::lock_within(&QUEUES, PATIENCE);
    }
    Some(QUEUES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the queues that are in use. They are dropped without the lock, wherever that is.
fn queues() -> Vec<Arc<Inner>> {
    let queues = lock();
    queues.map(|queues| queues.iter().filter_map(Weak::upgrade).collect()).unwrap_or_default()
}

/// Ends all queues before the process ends, as long as their sinks take something. Whoever logs afterwards writes.
fn end_at_exit() {
    let queues = queues();
    if duty::is_locking() {
        return end_in_a_log_call(&queues);
    }
    let mut left: Vec<&Inner> = queues.iter().filter_map(|queue| queue.here_if_any()).collect();
    left.iter().for_each(|queue| queue.close()); // all at once
    let mut patience: Vec<_> = left.iter().map(|queue| queue.patience_at_exit()).collect();
    let mut pending = 0;
    while !left.is_empty() {
        let slice = SLICE / u32::try_from(left.len()).unwrap_or(u32::MAX);
        let mut still = Vec::new();
        for (queue, mut patience) in left.drain(..).zip(patience.drain(..)) {
            if queue.end(Limit::Time(slice)) {
                continue;
            }
            if patience.is_over_for(queue) || duty::has_sink_of(queue.id()) {
                pending += queue.stats().queued_lines;
            } else {
                still.push((queue, patience));
            }
        }
        (left, patience) = still.into_iter().unzip();
    }
    if pending > 0 {
        report(Trouble::Pending, format_args!("{pending} lines are lost, their sink takes nothing"));
    }
}

/// A signal handler has ended the process in the middle of a log call: this thread may have the lock that the writers' threads
/// need, and can't wait for them by way of it.
fn end_in_a_log_call(queues: &[Arc<Inner>]) {
    let own: Vec<&Inner> = queues.iter().filter_map(|queue| queue.here_if_any()).collect();
    own.iter().for_each(|queue| queue.wake());
    let deadline = Instant::now() + PATIENCE;
    let pending = || own.iter().map(|queue| queue.pending_bytes()).sum::<u64>();
    while pending() > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    let bytes = pending();
    if bytes > 0 {
        report(
            Trouble::Pending,
            format_args!("{bytes} bytes are lost: a log call was interrupted by the end"),
        );
    }
}

/// The place of the sink during a fork.
#[derive(Debug)]
pub(super) struct Parked(Sender<Box<Outlet>>, Receiver<Box<Outlet>>);

impl Parked {
    pub(super) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Parked(sender, receiver)
    }
}

/// The sink of a child whose parent's could not be had.
#[derive(Debug)]
struct Busy;

impl io::Write for Busy {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::other("it was in use when this process was forked"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn before_fork() {
    if duty::is_locking() {
        return; // it may wait for itself
    }
    let mut left = PATIENCE;
    for queue in queues() {
        let queue = queue.here();
        let _duty = duty::lock();
        if queue.for_children.has_any() || duty::has_sink_of(queue.id()) {
            continue;
        }
        let Some(outlet) = queue.clean_outlet(&mut left) else { continue };
        if let Err(outlet) = queue.parked.0.try_send(outlet) {
            queue.slot.put_back(outlet.into_inner()); // another thread forks at the same moment
        }
    }
}

fn after_fork_in_parent() {
    if duty::is_locking() {
        return;
    }
    for queue in queues() {
        let queue = queue.here();
        let _duty = duty::lock();
        if let Ok(outlet) = queue.parked.1.try_recv() {
            queue.slot.put_back(outlet);
        }
    }
}

impl Inner {
    /// Returns the queue of this process: itself, but in a child made by fork(2).
    #[inline]
    pub(super) fn here(&self) -> &Inner {
        if self.forks == sys::forks() { self } else { self.in_child() }
    }

    #[cold]
    fn in_child(&self) -> &Inner {
        self.child.get_or_init(|| Box::new(self.child())).here()
    }

    /// Returns whether this is the queue of a process that has forked this one.
    pub(super) fn is_parents(&self) -> bool {
        self.forks != sys::forks()
    }

    /// Returns the queue of this process, if anything was logged to it.
    pub(super) fn here_if_any(&self) -> Option<&Inner> {
        if self.forks == sys::forks() { Some(self) } else { self.child.get()?.here_if_any() }
    }

    /// The queue of a child: whoever logs writes.
    fn child(&self) -> Inner {
        let outlet = match (self.for_children.make(), self.parked.1.try_recv()) {
            (Some(own), _) => Outlet::new(own),
            (None, Ok(parents)) => parents.in_child(),
            (None, Err(_)) => Outlet::new(Box::new(Busy)),
        };
        let mut options = self.options.clone();
        if inner::lanes_of(options.capacity).is_none() {
            options.capacity = SMALL; // a limit of the child's own, say
        }
        Inner::new(options, Mode::Direct, Box::new(outlet), self.for_children.clone()).expect(HAS_MEMORY)
    }

    /// Takes the sink out when it keeps nothing: what it keeps would be written twice. It is not flushed here: that may take
    /// longer than a fork should.
    fn clean_outlet(&self, left: &mut Duration) -> Option<Box<Outlet>> {
        self.slot.take_to_fork(&mut Duration::default()).or_else(|| {
            let mut core = self.lock();
            core.cleans = true;
            drop(core);
            self.wake_if_needed(true);
            self.slot.take_to_fork(left)
        })
    }
}

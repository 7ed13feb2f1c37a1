//! What a collector's thread and its guard share.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Running, lock::lock};
use crate::{
    Error,
    error::{Trouble, report},
    sys,
    writer::{
        Report, lines,
        queue::{
            duty,
            inner::Inner,
            waiting::{Patience, SLICE},
        },
        ring::{
            consumer::{Consumer, Flaw},
            directory::{Directory, Found, HAS_CHANGED},
        },
    },
};

/// What a collector's thread and its guard share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) directory: Directory,
    /// A byte in it wakes the thread.
    pipe: File,
    /// The sink, and the account of what came to it.
    pub(super) queue: Arc<Inner>,
    /// Lines that were taken out of rings for good: written and flushed, or lost.
    pub(super) lines: AtomicU64,
    orders: Mutex<Orders>,
    done: Condvar,
    /// How often this process was forked: the thread isn't in its children. And which process has it.
    forks: u64,
    opener: u32,
    /// A child has said that the process with the thread is gone.
    is_told: AtomicBool,
}

/// What the thread is told, and what it has done of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Orders {
    /// Flushes that were asked for, and how many of them are done.
    pub(super) flushes: u64,
    pub(super) flushed: u64,
    /// Rings that it could not read then.
    pub(super) unread: usize,
    /// It is to write what is there, and to end then.
    pub(super) is_closing: bool,
    /// It is to end at once: nobody waits for it any more. What it leaves in the rings is there for the next one.
    pub(super) is_given_up: bool,
    /// It has ended; and it has written all that was there by then.
    pub(super) is_over: bool,
    pub(super) is_drained: bool,
}

/// What has woken the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The time is over.
    Timeout,
    /// There are lines, or orders.
    Lines,
    /// There is a new ring, or one that will have no more lines; orders perhaps.
    Change,
}

impl Shared {
    pub(super) fn new(directory: Directory, pipe: File, queue: Arc<Inner>) -> Self {
        let (orders, done) = Default::default();
        let (lines, opener, is_told) = (AtomicU64::new(0), process::id(), AtomicBool::new(false));
        Shared { directory, pipe, queue, lines, orders, done, forks: sys::forks(), opener, is_told }
    }

    pub(super) fn pipe(&self) -> &File {
        &self.pipe
    }

    /// Returns whether this is a child, in which there is no such thread.
    pub(super) fn is_parents(&self) -> bool {
        self.forks != sys::forks()
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn orders(&self) -> Orders {
        *self.lock()
    }

    /// The thread: it has done something of what it was told.
    pub(super) fn has_done(&self, what: impl FnOnce(&mut Orders)) {
        what(&mut self.lock());
        self.done.notify_all();
    }

    /// Gives an order, and wakes the thread.
    fn order(&self, what: impl FnOnce(&mut Orders)) -> Orders {
        let mut orders = self.lock();
        what(&mut orders);
        let now = *orders;
        drop(orders);
        let _ = (&self.pipe).write(&[HAS_CHANGED]); // a full pipe wakes it too
        now
    }

    /// Waits for `limit` until it is so. Returns whether it is.
    fn wait_for(&self, limit: Duration, is_so: impl Fn(&Orders) -> bool) -> bool {
        let waited = self.done.wait_timeout_while(self.lock(), limit, |orders| !is_so(orders));
        is_so(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The thread: waits until somebody wakes it, by this pipe or another one.
    pub(super) fn sleep(&self, limit: Duration, other: Option<&File>) -> Woken {
        let limit = Timespec::try_from(limit).ok();
        let pipes = [Some(&self.pipe), other].into_iter().flatten();
        let mut polled: Vec<PollFd<'_>> =
            pipes.clone().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        if !matches!(poll(&mut polled, limit.as_ref()), Ok(1..)) {
            return Woken::Timeout; // or by a signal of a debugger, say
        }
        let mut woken = Woken::Lines;
        for mut pipe in pipes {
            let mut bytes = [0; 4096];
            let read = pipe.read(&mut bytes).unwrap_or(0); // they don't block
            if bytes[..read].contains(&HAS_CHANGED) {
                woken = Woken::Change;
            }
        }
        woken
    }

    /// Returns whether this is called by the sink or the error hook: then it would wait for itself.
    fn is_mine(&self) -> bool {
        duty::has_sink_of(self.queue.id())
    }

    /// Has everything that is in the rings now written and flushed. Returns how many rings could not be read, if that was done within
    /// `limit`.
    pub(super) fn flush(&self, limit: Duration) -> Option<usize> {
        if self.is_parents() {
            self.left_behind();
            return None;
        }
        if self.is_mine() {
            return None;
        }
        let number = self.order(|orders| orders.flushes += 1).flushes;
        self.wait_for(limit, |orders| orders.flushed >= number || orders.is_over);
        let orders = self.orders();
        (orders.flushed >= number).then_some(orders.unread)
    }

    /// Begins to end the collector.
    pub(super) fn close(&self) {
        if !self.is_parents() {
            self.order(|orders| orders.is_closing = true);
        }
    }

    /// Ends the collector within `limit`, or gives it up.
    pub(super) fn end_within(&self, limit: Duration) -> Report {
        if self.is_parents() {
            return Report { pending: self.left_behind(), ..Report::default() };
        }
        self.close();
        let is_over = !self.is_mine() && self.wait_for(limit, |orders| orders.is_over);
        if !is_over {
            self.order(|orders| orders.is_given_up = true);
            // In slices: of the time for which the machine stands still only one is taken.
            let is_done = || self.wait_for(SLICE / 5, |orders| orders.is_over || self.is_mine());
            let _ = (0..5).any(|_| is_done());
        }
        let lines = self.lines.load(Ordering::Relaxed); // first: what of them is lost is in the stats by now
        let stats = self.queue.stats();
        let pending = if is_over && self.orders().is_drained { 0 } else { self.pending() };
        // What the sink has taken and not passed on is still in the rings.
        let written = lines.saturating_sub(stats.dropped_lines);
        Report { written: written.min(stats.written_lines), dropped: stats.dropped_lines, pending }
    }

    /// Ends the collector, as long as its sink takes something from time to time.
    pub(super) fn end(&self) {
        if self.is_parents() {
            if !sys::lives(self.opener) {
                self.left_behind();
            }
            return;
        }
        self.close();
        if self.is_mine() || self.orders().is_given_up {
            return; // somebody has waited in vain already
        }
        let progress = || self.queue.lock_to_look().map_or(0, |core| core.progress);
        let mut patience = Patience::new(progress(), self.queue.options.stall_timeout);
        while !self.wait_for(SLICE, |orders| orders.is_over) {
            if patience.look(progress()) {
                let left = self.end_within(Duration::ZERO).pending;
                let directory = self.directory.path();
                return report(
                    Trouble::Pending,
                    format_args!(
                        "the sink of the collector takes nothing, or rings can't be read: {left} lines stay in \
                         {directory:?} for the next one"
                    ),
                );
            }
        }
    }

    /// Counts, in a child made by fork(2), the lines that are in the rings. Says once that they wait, if the process is gone that has
    /// the thread, and no other collects.
    fn left_behind(&self) -> u64 {
        let pending = self.pending();
        let is_left =
            pending > 0 && !sys::lives(self.opener) && lock(&self.directory, Running::Refuse).is_ok();
        if is_left && !self.is_told.swap(true, Ordering::Relaxed) {
            let directory = self.directory.path();
            let error = Error::invalid(format!(
                "{pending} lines wait in {directory:?} for a collector: this one ended with process {}, of which this process is a \
                 child made by fork(2): start the collector after daemonizing",
                self.opener
            ));
            self.queue.options.notice.tell(Trouble::Pending, &error);
        }
        pending
    }

    /// Counts the lines that are in the rings. What can't be looked at, a ring or all of the directory, counts as one: there may be some.
    fn pending(&self) -> u64 {
        let rings = match self.directory.list() {
            Ok(listed) => listed.rings,
            Err(error) => return u64::from(error.kind() != ErrorKind::NotFound),
        };
        let count = |ring: Found| match Consumer::peek(&ring.names[0]) {
            Ok(ring) => pending_in(&ring),
            Err(Flaw::Io(error)) => u64::from(error.kind() != ErrorKind::NotFound),
            Err(Flaw::Nonsense(_)) => 0, // it is no ring
        };
        rings.into_iter().map(count).sum()
    }

    /// Returns when somebody else has had the time to end, or an order has come.
    pub(super) fn pause_until(&self, at: Instant) -> bool {
        while Instant::now() < at && !self.orders().is_given_up {
            self.sleep(at.saturating_duration_since(Instant::now()), None);
        }
        self.orders().is_given_up
    }
}

/// Counts the lines in a ring.
fn pending_in(ring: &Consumer) -> u64 {
    let (progress, taken) = (ring.progress(), ring.taken());
    let (mut count, mut at, mut bytes) = (0, taken.main, Vec::new());
    while at < progress.main {
        bytes.clear();
        let Ok(next) = ring.read_lines(&mut bytes, at, progress.main, 64 * 1024) else { break };
        count += lines::count(&bytes);
        at = next;
    }
    let mut at = taken.aside;
    while let Ok(Some((_, lines, next))) = ring.read_entry(at, progress.aside) {
        count += lines::count(&lines);
        at = next;
    }
    count
}

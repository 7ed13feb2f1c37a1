//! What the clones of a queue, its guard and its writer's thread share; and the way of a line into it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use super::{
    Overflow,
    core::{Batches, Core, Mode},
    drops::{Announce, Cause, Drops},
    duty::{self, Locks},
    outlet::Outlet,
    registry::Parked,
    side::Side,
    slot::Slot,
};
use crate::{
    Error,
    error::Trouble,
    notice::Notice,
    sys,
    writer::{LineKind, Stats, lines},
};

/// How long somebody waits at a time. Longer, and a process that was stopped (SIGSTOP) would take that for a stall.
const SLICE: Duration = Duration::from_millis(50);

/// Who has waited so long goes before those who come later.
const FIRST_AFTER: Duration = Duration::from_millis(100);

/// What can be told to a queue before it starts.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) capacity: usize,
    pub(super) overflow: Overflow,
    pub(super) stall_timeout: Duration,
    pub(super) announce: Announce,
    pub(super) notice: Notice,
}

/// A queue.
pub(super) struct Inner {
    pub(super) options: Options,
    core: Mutex<Core>,
    /// There is room, or somebody else is the first.
    room: Condvar,
    /// Something was written, or the writer's thread has ended.
    moved: Condvar,
    pub(super) batches: Batches,
    pub(super) side: Side,
    /// A copy of the core's position, for those who can't have its lock.
    position: AtomicU64,
    pub(super) slot: Slot,
    /// The writer's thread, and whether it has let go of this.
    pub(super) thread: OnceLock<Thread>,
    pub(super) ended: Arc<Ended>,
    /// How often this process was forked when this was made, and the queue of its children.
    pub(super) forks: u64,
    pub(super) child: OnceLock<Box<Inner>>,
    pub(super) parked: Parked,
}

/// Whether a thread has let go of everything.
#[derive(Debug, Default)]
pub(super) struct Ended {
    has: Mutex<bool>,
    told: Condvar,
}

impl Ended {
    pub(super) fn tell(&self) {
        *self.has.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    /// Waits for it, within `limit`.
    pub(super) fn wait(&self, limit: Duration) {
        let has = self.has.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it has is of no consequence: it is about to.
        let _ = self.told.wait_timeout_while(has, limit, |has| !*has);
    }
}

/// The core, locked.
pub(super) struct Locked<'a> {
    core: Option<MutexGuard<'a, Core>>,
    of: &'a Mutex<Core>,
    _duty: Locks, // ends after the lock
}

impl std::ops::Deref for Locked<'_> {
    type Target = Core;

    fn deref(&self) -> &Core {
        self.core.as_ref().expect("it is there but for a moment in `wait`; this is a bug in tracing-tasklog")
    }
}

impl std::ops::DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        self.core.as_mut().expect("it is there but for a moment in `wait`; this is a bug in tracing-tasklog")
    }
}

impl Locked<'_> {
    /// Waits until it is told, for a slice of time at most.
    fn wait(&mut self, condition: &Condvar, limit: Duration) {
        if let Some(core) = self.core.take() {
            let waited = condition.wait_timeout(core, limit.min(SLICE));
            self.core = Some(waited.unwrap_or_else(PoisonError::into_inner).0);
        }
    }

    /// Releases the lock while `f` runs.
    fn without(&mut self, f: impl FnOnce()) {
        self.core = None;
        f();
        self.core = Some(self.of.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    pub(super) fn new(options: Options, mode: Mode, outlet: Box<Outlet>) -> Self {
        let batches = Batches::new(options.capacity);
        let core = Core::new(mode, options.capacity, batches.empty());
        Inner {
            options,
            core: Mutex::new(core),
            room: Condvar::new(),
            moved: Condvar::new(),
            batches,
            side: Side::new(),
            position: AtomicU64::new(0),
            slot: Slot::new(outlet),
            thread: OnceLock::new(),
            ended: Arc::default(),
            forks: sys::forks(),
            child: OnceLock::new(),
            parked: Parked::new(),
        }
    }

    /// What tells this queue from others.
    pub(super) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Locks the core. Nobody holds it for long.
    pub(super) fn lock(&self) -> Locked<'_> {
        let duty = duty::lock();
        let core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { core: Some(core), of: &self.core, _duty: duty }
    }

    /// Takes lines: the whole way of a log call.
    pub(super) fn take(&self, lines: &[u8], kind: LineKind, was_cut: bool) {
        let count = lines::count(lines);
        if self.must_go_aside(kind) {
            return self.take_aside(lines, count, was_cut);
        }
        let mut core = self.lock();
        core.accepted += count;
        core.cut += u64::from(was_cut);
        let is_crowded = !core.is_turn_of(None) || !core.has_room(lines.len(), kind.is_reserved);
        if is_crowded {
            if kind.is_nested {
                core.accepted -= count; // the side buffer counts it
                core.cut -= u64::from(was_cut);
                drop(core);
                return self.take_aside(lines, count, was_cut);
            }
            if let Err(cause) = self.wait_for_room(&mut core, lines.len(), kind) {
                return self.refuse(core, cause, count);
            }
        }
        core.append(lines, &self.batches);
        self.position.store(core.position, Ordering::Relaxed); // for this thread's own handlers and nested calls
        core.is_urgent |= kind.is_urgent;
        let (wakes, mode) = (core.wakes_writer(), core.mode);
        drop(core);
        if wakes {
            self.wake();
        }
        if mode != Mode::Threaded {
            self.see_off(self.patience());
        }
    }

    /// Returns whether these lines can't even have the lock.
    fn must_go_aside(&self, kind: LineKind) -> bool {
        duty::is_locking() || if kind.is_logged { duty::has_a_sink() } else { duty::has_sink_of(self.id()) }
    }

    /// Takes lines where nobody may wait.
    fn take_aside(&self, lines: &[u8], count: u64, was_cut: bool) {
        if duty::is_echoing() {
            return self.side.lose(count, was_cut);
        }
        self.side.push(self.position.load(Ordering::Relaxed), lines, count, was_cut);
        self.wake(); // whether it sleeps can't be asked
        if !self.is_mine() {
            self.finish();
        }
    }

    /// Counts lines for which no room was found.
    #[cold]
    fn refuse(&self, mut core: Locked<'_>, cause: Cause, count: u64) {
        core.drop_lines(cause, count);
        let wakes = core.wakes_writer();
        let is_told = cause != Cause::Stalled || std::mem::replace(&mut core.has_told_stall, true);
        drop(core);
        if wakes {
            self.wake();
        }
        if !is_told {
            // The one who writes may never come to say so.
            let error =
                Error::dropped(count, "the sink of the queue takes nothing, and so with what follows");
            self.options.notice.tell(Trouble::Dropped, &error);
        }
    }

    /// Waits for room as long as the options have it.
    #[cold]
    fn wait_for_room(&self, core: &mut Locked<'_>, bytes: usize, kind: LineKind) -> Result<(), Cause> {
        let began = Instant::now();
        let limit = match self.options.overflow {
            Overflow::DropNewest => return Err(Cause::Full),
            Overflow::BlockFor(limit) => limit,
            Overflow::Block => Duration::MAX,
        };
        let mut patience = Patience::new(core, self.options.stall_timeout);
        let mut ticket = None;
        core.waiting += 1;
        let result = loop {
            if ticket.is_none() && (core.is_large(bytes) || began.elapsed() >= FIRST_AFTER) {
                ticket = Some(core.become_first());
            }
            if core.has_room(bytes, kind.is_reserved) && core.is_turn_of(ticket) {
                break Ok(());
            }
            if core.is_stalled {
                break Err(Cause::Stalled);
            }
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                break Err(Cause::Full);
            }
            if core.mode == Mode::Direct {
                core.without(|| self.see_off(left.min(self.patience())));
                continue;
            }
            if core.wakes_writer() {
                self.wake();
            }
            core.wait(&self.room, left);
            core.is_stalled |= patience.look(core);
        };
        core.waiting -= 1;
        if let Some(ticket) = ticket {
            core.first.retain(|&other| other != ticket);
            self.room.notify_all();
        }
        result
    }

    /// How long a log call waits at most without anything moving.
    fn patience(&self) -> Duration {
        match self.options.overflow {
            Overflow::BlockFor(limit) => limit.min(self.options.stall_timeout),
            _ => self.options.stall_timeout,
        }
    }

    /// Wakes the writer's thread.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Tells those who wait that something has moved.
    pub(super) fn tell_of_progress(&self, core: Locked<'_>) {
        let (waiting, watching) = (core.waiting > 0, core.watching > 0);
        drop(core);
        if waiting {
            self.room.notify_all();
        }
        if watching {
            self.moved.notify_all();
        }
    }

    /// Waits until `is_over`, but not longer than `limit` says. Returns whether it is.
    pub(super) fn wait_until(&self, limit: Limit, is_over: impl Fn(&Core) -> bool) -> bool {
        let began = Instant::now();
        let mut core = self.lock();
        let mut patience = Patience::new(&core, self.options.stall_timeout);
        let mut own_patience = Patience::new(&core, limit.at_most(Duration::MAX));
        core.watching += 1;
        let is_over = loop {
            if is_over(&core) {
                break true;
            }
            if core.wakes_writer() {
                self.wake();
            }
            let left = match limit {
                Limit::Time(limit) => limit.saturating_sub(began.elapsed()),
                Limit::Progress(_) if core.is_stalled || own_patience.is_over() => Duration::ZERO,
                Limit::Progress(_) => SLICE,
            };
            if left.is_zero() {
                break false;
            }
            core.wait(&self.moved, left);
            if patience.look(&core) && matches!(limit, Limit::Progress(_)) {
                core.is_stalled = true;
            }
            own_patience.look(&core);
        };
        core.watching -= 1;
        is_over
    }

    /// The patience of the end of the process.
    pub(super) fn patience_at_exit(&self) -> Patience {
        Patience::new(&self.lock(), self.options.stall_timeout)
    }

    /// Returns the counters as they are now.
    pub(super) fn stats(&self) -> Stats {
        let core = self.lock();
        let accepted = core.accepted + self.side.accepted();
        let dropped = core.drops.total() + self.side.lost();
        Stats {
            accepted_lines: accepted,
            written_lines: core.written,
            dropped_lines: dropped,
            queued_lines: accepted.saturating_sub(core.written + dropped),
            bytes: core.bytes,
            errors: core.errors,
            cut_lines: core.cut + self.side.cut(),
            ..Stats::default()
        }
    }

    /// Returns what was lost, by what was the cause.
    pub(super) fn drops(&self) -> Drops {
        let core = self.lock();
        Drops { nested: self.side.lost(), ..core.drops }
    }
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// So long.
    Time(Duration),
    /// As long as the sink takes something at least once in so long.
    Progress(Duration),
}

impl Limit {
    /// The time without progress, or so long at most.
    pub(super) fn at_most(self, most: Duration) -> Duration {
        match self {
            Limit::Time(limit) | Limit::Progress(limit) => limit.min(most),
        }
    }
}

/// Somebody's patience with a sink that takes nothing: it counts the time that was really waited, in slices, so that nobody
/// loses it while the whole process is stopped.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    seen: u64,
    since: Instant,
    waited: Duration,
}

impl Patience {
    fn new(core: &Core, limit: Duration) -> Self {
        Patience { limit, seen: core.progress, since: Instant::now(), waited: Duration::ZERO }
    }

    /// Looks after a slice of waiting. Returns whether it has come to an end.
    fn look(&mut self, core: &Core) -> bool {
        let now = Instant::now();
        let slice = now.saturating_duration_since(self.since).min(2 * SLICE);
        self.since = now;
        if self.seen == core.progress {
            self.waited += slice;
        } else {
            (self.seen, self.waited) = (core.progress, Duration::ZERO);
        }
        self.is_over()
    }

    fn is_over(&self) -> bool {
        self.waited >= self.limit
    }

    /// The same as [`look`](Self::look), for one who has waited without the lock. Nobody else has to wait as long.
    pub(super) fn is_over_for(&mut self, queue: &Inner) -> bool {
        let mut core = queue.lock();
        core.is_stalled |= self.look(&core);
        core.is_stalled
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("options", &self.options).finish_non_exhaustive()
    }
}

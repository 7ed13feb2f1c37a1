//! What the clones of a queue, its guard and its writer's thread share; and the way of a line into it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use super::{
    Overflow,
    batches::Batches,
    core::{Core, Mode},
    drops::{Announce, Cause, Drops},
    duty,
    for_children::ForChildren,
    locked::{self, Locked},
    outlet::Outlet,
    registry::Parked,
    side::Side,
    slot::Slot,
};
use crate::{
    Error,
    error::Trouble,
    handoff,
    notice::Notice,
    sys,
    writer::{LineKind, Stats, lines},
};

/// What can be told to a queue before it starts.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) capacity: usize,
    pub(super) overflow: Overflow,
    pub(super) stall_timeout: Duration,
    pub(super) announce: Announce,
    pub(super) notice: Notice,
    /// A ring may be on a file system where a log call could hang.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) any_file_system: bool,
}

impl Options {
    /// How long a log call waits for room at most; `None` for not at all.
    pub(super) fn limit_for_room(&self) -> Option<Duration> {
        match self.overflow {
            Overflow::DropNewest => None,
            Overflow::BlockFor(limit) => Some(limit),
            Overflow::Block => Some(Duration::MAX),
        }
    }

    /// How long a log call waits at most without anything moving.
    pub(super) fn patience(&self) -> Duration {
        match self.overflow {
            Overflow::BlockFor(limit) => limit.min(self.stall_timeout),
            _ => self.stall_timeout,
        }
    }
}

/// A queue.
pub(super) struct Inner {
    pub(super) options: Options,
    core: Mutex<Core>,
    /// There is room, or somebody else is the first.
    pub(super) room: Condvar,
    /// Something was written, or the writer's thread has ended.
    pub(super) moved: Condvar,
    pub(super) batches: Batches,
    pub(super) side: Side,
    /// Copies of two numbers of the core, for those who can't have its lock.
    position: AtomicU64,
    settled: AtomicU64,
    pub(super) slot: Slot,
    /// The writer's thread, and whether it has let go of this.
    pub(super) thread: OnceLock<Thread>,
    pub(super) ended: Arc<Ended>,
    /// How often this process was forked when this was made, and the queue of its children.
    pub(super) forks: u64,
    pub(super) child: OnceLock<Box<Inner>>,
    pub(super) parked: Parked,
    pub(super) for_children: ForChildren,
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

/// What is to be done when lines were appended.
#[derive(Clone, Copy)]
struct Then {
    wakes: bool,
    mode: Mode,
}

impl Inner {
    pub(super) fn new(options: Options, mode: Mode, outlet: Box<Outlet>, for_children: ForChildren) -> Self {
        let batches = Batches::new(options.capacity);
        let core = Core::new(mode, options.capacity, &batches);
        Inner {
            options,
            core: Mutex::new(core),
            room: Condvar::new(),
            moved: Condvar::new(),
            batches,
            side: Side::new(),
            position: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            slot: Slot::new(outlet),
            thread: OnceLock::new(),
            ended: Arc::default(),
            forks: sys::forks(),
            child: OnceLock::new(),
            parked: Parked::new(),
            for_children,
        }
    }

    /// What tells this queue from others.
    pub(super) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Locks the core. Nobody holds it for long.
    pub(super) fn lock(&self) -> Locked<'_, Core> {
        locked::lock(&self.core)
    }

    /// Locks the core, unless this thread, interrupted by a signal, may have it.
    pub(super) fn lock_to_look(&self) -> Option<Locked<'_, Core>> {
        (!duty::is_locking()).then(|| self.lock())
    }

    /// Takes lines: the whole way of a log call.
    pub(super) fn take(&self, lines: &[u8], kind: LineKind, was_cut: bool) {
        let count = if handoff::is_one_line(lines) { 1 } else { lines::count(lines) };
        if self.must_go_aside(kind) {
            return self.take_aside(lines, count, was_cut);
        }
        let mut locked = self.lock();
        let core = &mut *locked;
        core.accepted += count;
        core.cut += u64::from(was_cut);
        if !core.first.is_turn_of(None) || !core.has_room(lines.len(), kind) {
            return self.take_crowded(locked, lines, kind, count, was_cut);
        }
        let then = self.append(core, lines, kind);
        drop(locked);
        self.go_on(then);
    }

    /// The same when there is no room, or others go first.
    #[cold]
    fn take_crowded(
        &self,
        mut core: Locked<'_, Core>,
        lines: &[u8],
        kind: LineKind,
        count: u64,
        was_cut: bool,
    ) {
        if kind.is_nested() {
            core.accepted -= count; // the side buffer counts it
            core.cut -= u64::from(was_cut);
            drop(core);
            return self.take_aside(lines, count, was_cut);
        }
        if let Err(cause) = self.wait_for_room(&mut core, lines.len(), kind) {
            return self.refuse(core, cause, count);
        }
        let then = self.append(&mut core, lines, kind);
        drop(core);
        self.go_on(then);
    }

    /// Appends lines for which there is room. Returns what is to be done without the lock.
    #[inline]
    fn append(&self, core: &mut Core, lines: &[u8], kind: LineKind) -> Then {
        core.append(lines, &self.batches);
        self.position.store(core.position, Ordering::Relaxed); // for this thread's own handlers and nested calls
        core.is_urgent |= kind.is_urgent();
        Then { wakes: core.wakes_writer_for_lines(), mode: core.mode }
    }

    #[inline]
    fn go_on(&self, then: Then) {
        if then.wakes {
            self.wake();
        }
        if then.mode != Mode::Threaded {
            self.see_off(self.options.patience());
        }
    }

    /// Returns whether these lines can't even have the lock.
    fn must_go_aside(&self, kind: LineKind) -> bool {
        duty::is_locking() || if kind.is_logged() { duty::has_a_sink() } else { duty::has_sink_of(self.id()) }
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
    fn refuse(&self, mut core: Locked<'_, Core>, cause: Cause, count: u64) {
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

    /// Wakes the writer's thread.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Tells those who wait that something has moved.
    pub(super) fn tell_of_progress(&self, core: Locked<'_, Core>) {
        self.settled.store(core.settled, Ordering::Relaxed);
        let (waiting, watching) = (core.waiting > 0, core.watching > 0);
        drop(core);
        if waiting {
            self.room.notify_all();
        }
        if watching {
            self.moved.notify_all();
        }
    }

    /// Returns how many bytes wait, as far as that can be told without the lock.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.position.load(Ordering::Relaxed).saturating_sub(self.settled.load(Ordering::Relaxed))
    }

    /// Returns whether all that was taken is written or lost.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn is_all_settled(&self) -> bool {
        self.lock().is_settled() && self.side.is_clear()
    }

    /// Has the sink flushed as soon as it isn't in the middle of a line, for what it has taken so far.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn want_flush_of_settled(&self) {
        let mut core = self.lock();
        let mark = self.mark_of_settled(&core);
        core.want_flush(mark);
    }

    /// Returns the counters as they are now.
    pub(super) fn stats(&self) -> Stats {
        self.lock_to_look().map(|core| self.stats_of(&core)).unwrap_or_default()
    }

    /// The same, for one who has the lock and looks at more than the counters.
    pub(super) fn stats_of(&self, core: &Core) -> Stats {
        // First what is lost, as it is counted last: so no line is lost here that is not accepted.
        let dropped = core.drops.total() + self.side.lost();
        let accepted = core.accepted + self.side.accepted();
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
        let core = self.lock_to_look();
        core.map(|core| Drops { nested: self.side.lost(), ..core.drops }).unwrap_or_default()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("options", &self.options).finish_non_exhaustive()
    }
}

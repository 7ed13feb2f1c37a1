//! What the clones of a queue, its guard and its writer's thread share; and the way of a line into it.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    thread::Thread,
    time::Duration,
};

use super::{
    Overflow,
    core::{Core, Mode},
    drops::{Announce, Cause, Drops},
    duty,
    for_children::ForChildren,
    lanes::{Lanes, Room, Shape, protocol, shape},
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
    sys::{self, stamp, words::Words},
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
    pub(super) lanes: Lanes,
    /// There is a writer's thread, and it isn't about to end.
    is_threaded: AtomicBool,
    pub(super) side: Side,
    /// A copy of a number of the core, for those who can't have its lock.
    settled: AtomicU64,
    /// Bytes that were too many for a lane.
    beyond: AtomicU64,
    /// Lines that were cut.
    cut: AtomicU64,
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

/// Makes lanes for so many bytes of lines, if there is memory for them.
pub(super) fn lanes_of(capacity: usize) -> Option<Lanes> {
    let shape = Shape::in_process(capacity);
    Some(Lanes::new(Words::new(shape.len())?, shape))
}

/// Makes a queue.
///
/// # Errors
///
/// There is no memory for it.
pub(super) fn make(
    options: Options,
    mode: Mode,
    outlet: Box<Outlet>,
    for_children: ForChildren,
) -> Result<Inner, Error> {
    let capacity = options.capacity;
    Inner::new(options, mode, outlet, for_children).ok_or_else(|| {
        Error::invalid(format!("capacity_bytes is {capacity}: there is no memory for so many, give less"))
    })
}

impl Inner {
    /// `None` if there is no memory for it.
    pub(super) fn new(
        options: Options,
        mode: Mode,
        outlet: Box<Outlet>,
        for_children: ForChildren,
    ) -> Option<Self> {
        let lanes = lanes_of(options.capacity)?;
        let core = Core::new(mode, Room::new(options.capacity, lanes.shape()));
        Some(Inner {
            options,
            core: Mutex::new(core),
            room: Condvar::new(),
            moved: Condvar::new(),
            lanes,
            is_threaded: AtomicBool::new(mode == Mode::Threaded),
            side: Side::new(),
            settled: AtomicU64::new(0),
            beyond: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            slot: Slot::new(outlet),
            thread: OnceLock::new(),
            ended: Arc::default(),
            forks: sys::forks(),
            child: OnceLock::new(),
            parked: Parked::new(),
            for_children,
        })
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
    #[inline]
    pub(super) fn take(&self, lines: &[u8], kind: LineKind, was_cut: bool) {
        let count = if handoff::is_one_line(lines) { 1 } else { lines::count(lines) };
        if self.must_go_aside(kind) {
            return self.take_aside(lines, count, was_cut);
        }
        if was_cut {
            self.cut.fetch_add(1, Ordering::Relaxed); // statistics only
        }
        if self.lanes.append(lines, count) {
            self.go_on(kind, false);
        } else {
            self.take_slowly(lines, kind, count, was_cut);
        }
    }

    /// The same when the lane of this thread needs more room, under the lock.
    #[cold]
    fn take_slowly(&self, lines: &[u8], kind: LineKind, count: u64, was_cut: bool) {
        let mut core = self.lock();
        core.accepted += count; // until a lane counts it
        if !core.first.is_turn_of(None) || !self.has_room(&mut core, lines.len(), kind) {
            if kind.is_nested() || self.lanes.is_interrupted() {
                core.accepted -= count; // the side buffer counts it
                self.cut.fetch_sub(u64::from(was_cut), Ordering::Relaxed);
                drop(core);
                return self.take_aside(lines, count, was_cut);
            }
            if let Err(cause) = self.wait_for_room(&mut core, lines.len(), kind) {
                return self.refuse(core, cause, count);
            }
        }
        core.accepted -= count;
        if !self.append(&mut core, lines, count) {
            drop(core);
            return self.take_aside(lines, count, false); // a signal has interrupted it in every lane
        }
        let is_pressing = core.room.is_half_full() || core.waiting > 0;
        drop(core);
        self.go_on(kind, is_pressing);
    }

    /// Returns whether there is room for so many bytes of such lines.
    pub(super) fn has_room(&self, core: &mut Core, bytes: usize, kind: LineKind) -> bool {
        self.lanes.has_room(&mut core.room, bytes, kind)
    }

    /// Appends lines for which there is room.
    fn append(&self, core: &mut Core, lines: &[u8], count: u64) -> bool {
        if core.room.is_too_large(lines.len()) {
            self.beyond.fetch_add(lines.len() as u64, Ordering::Relaxed);
            core.take_large(lines, count);
            return true;
        }
        let takes_spare = core.waiting == 0 && core.first.is_turn_of(None);
        self.lanes.append_with(&mut core.room, lines, count, takes_spare)
    }

    #[inline]
    fn go_on(&self, kind: LineKind, is_pressing: bool) {
        if kind.is_urgent() {
            self.lanes.number(shape::URGENT).store(1, Ordering::Release);
        }
        self.wake_if_needed(is_pressing || kind.is_urgent());
        if !self.is_threaded.load(Ordering::Relaxed) {
            self.see_off(self.options.patience());
        }
    }

    /// Wakes the writer's thread if it sleeps; if it lingers, only for something pressing.
    #[inline]
    pub(super) fn wake_if_needed(&self, is_pressing: bool) {
        if protocol::wakes(self.lanes.number(shape::STATE), is_pressing) {
            self.wake();
        }
    }

    /// Says what the writer's thread does. Look afterwards whether anything is to be done before it does that.
    pub(super) fn set_state(&self, state: u64) {
        self.lanes.number(shape::STATE).store(state, Ordering::Relaxed);
        protocol::between_reads();
    }

    /// Returns whether there is anything in the queue that was not fetched to be written.
    pub(super) fn has_lines(&self, core: &Core) -> bool {
        core.large.is_some() || self.lanes.waiting() > 0
    }

    /// Returns whether what is there shall be written now, without waiting for more.
    pub(super) fn is_pressing(&self, core: &Core) -> bool {
        core.is_pressing() || self.lanes.number(shape::URGENT).load(Ordering::Relaxed) > 0
    }

    /// Has those who log see off their lines themselves, from now on: the writer's thread, which is told, sees all lines of those who
    /// have not seen that.
    pub(super) fn see_off_from_now(&self) {
        self.is_threaded.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst); // as in `protocol::wakes`, between a line and the look at this
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
        self.side.push(stamp::now(), lines, count, was_cut);
        self.wake(); // whether it sleeps can't be asked
        if !self.is_mine() {
            self.finish();
        }
    }

    /// Counts lines for which no room was found.
    #[cold]
    fn refuse(&self, mut core: Locked<'_, Core>, cause: Cause, count: u64) {
        core.drop_lines(cause, count);
        let is_told = cause != Cause::Stalled || std::mem::replace(&mut core.has_told_stall, true);
        drop(core);
        self.wake_if_needed(true);
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
        let taken = self.lanes.totals().1 + self.beyond.load(Ordering::Relaxed);
        taken.saturating_sub(self.settled.load(Ordering::Relaxed))
    }

    /// Returns whether all that was taken is written or lost.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn is_all_settled(&self) -> bool {
        self.lock().room.is_empty() && self.side.is_clear()
    }

    /// Has the sink flushed as soon as it isn't in the middle of a line, for what it has taken so far.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn want_flush_of_settled(&self) {
        self.lock().cleans = true;
    }

    /// Returns the counters as they are now.
    pub(super) fn stats(&self) -> Stats {
        self.lock_to_look().map(|core| self.stats_of(&core)).unwrap_or_default()
    }

    /// The same, for one who has the lock and looks at more than the counters.
    pub(super) fn stats_of(&self, core: &Core) -> Stats {
        // First what is lost, as it is counted last: so no line is lost here that is not accepted.
        let dropped = core.drops.total() + self.side.lost();
        let accepted = core.accepted + self.lanes.totals().0 + self.side.accepted();
        Stats {
            accepted_lines: accepted,
            written_lines: core.written,
            dropped_lines: dropped,
            queued_lines: accepted.saturating_sub(core.written + dropped),
            bytes: core.bytes,
            errors: core.errors,
            cut_lines: self.cut.load(Ordering::Relaxed) + self.side.cut(),
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

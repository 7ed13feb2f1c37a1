//! The queue of a worker: a log call puts its line into the ring of this process, and a collector does the rest.

mod child;
mod moved;
mod waiting;

use std::{
    fmt,
    path::Path,
    sync::{
        Condvar, Mutex, OnceLock, TryLockError,
        atomic::{AtomicU64, Ordering, fence},
    },
    thread,
    time::Instant,
};

use self::{child::Orphans, waiting::NoRoom};
use super::{
    drops::{Cause, Drops},
    duty,
    first::First,
    inner::Options,
    lanes::room::{self, RESERVED},
    locked::{self, Locked},
};
use crate::{
    Error,
    error::Trouble,
    handoff, sys,
    writer::{
        LineKind, Stats, lines, path,
        ring::{
            directory::Directory,
            file_system,
            layout::LONGEST_LINE,
            producer::{self, DroppedFor, Lane, Producer},
        },
    },
};

/// How many bytes are logged until it is looked whether the ring is still there, while the collector is awake.
const LOOK_EVERY: u64 = 16 * 1024;

/// The smallest ring: less would be no page.
const SMALLEST: usize = 4096;

/// How often somebody who must not wait tries to have the aside lane: another thread has it for some nanoseconds.
const TRIES: u32 = 1000;

/// The queue of a worker.
pub(super) struct Connected {
    options: Options,
    directory: Directory,
    producer: Producer,
    main: Mutex<Main>,
    /// Somebody else is the first of those who wait for room.
    room: Condvar,
    aside: Mutex<Lane>,
    /// Lines that went aside, or were to, and those of all that were cut.
    accepted_aside: AtomicU64,
    cut: AtomicU64,
    /// How often this process was forked when this was made; the same, as long as this is the queue to log to; and the one that
    /// its children have, or itself when its ring was removed.
    forks: u64,
    generation: AtomicU64,
    successor: OnceLock<Box<Connected>>,
    orphans: Orphans,
}

/// What is under the lock.
struct Main {
    lane: Lane,
    accepted: u64,
    /// Threads that wait for room, and their lines, which are accepted; and those of them that go before any other.
    waiting: usize,
    waiting_lines: u64,
    first: First,
    /// Somebody has waited in vain, when the collector had come so far.
    stalled_at: Option<u64>,
    /// When the error hook was told last of lines that were dropped, and what else it is to be told.
    told: Option<Instant>,
    trouble: Option<(Trouble, Error)>,
}

/// What is to be done when lines were appended.
struct Then {
    /// The collector is to be woken though it lingers.
    presses: bool,
    /// It is time to look whether the ring is still there.
    looks: bool,
}

impl Connected {
    /// Opens the directory, unless it is where a log call could hang, and makes a ring for this process.
    pub(super) fn open(options: Options, path: &Path) -> Result<Self, Error> {
        if !options.any_file_system {
            file_system::check(path)?;
        }
        Connected::connect(options, Directory::open(path)?)
    }

    /// Makes a ring for this process.
    fn connect(options: Options, directory: Directory) -> Result<Self, Error> {
        sys::watch_forks();
        if options.capacity > 1 << 29 {
            return Err(Error::invalid(format!(
                "capacity_bytes is {}: across processes the most is 512 MiB for each of them",
                options.capacity
            )));
        }
        let capacity = options.capacity.max(SMALLEST);
        let options = Options { capacity, ..options };
        let (producer, [main, aside]) = producer::make(
            &directory,
            [capacity as u64, RESERVED as u64],
            &path::instance(),
            options.any_file_system,
        )?;
        let main = Main {
            lane: main,
            accepted: 0,
            waiting: 0,
            waiting_lines: 0,
            first: First::new(),
            stalled_at: None,
            told: None,
            trouble: None,
        };
        Ok(Connected {
            options,
            directory,
            producer,
            main: Mutex::new(main),
            room: Condvar::new(),
            aside: Mutex::new(aside),
            accepted_aside: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            forks: sys::forks(),
            generation: AtomicU64::new(sys::forks()),
            successor: OnceLock::new(),
            orphans: Orphans::default(),
        })
    }

    fn lock(&self) -> Locked<'_, Main> {
        locked::lock(&self.main)
    }

    /// Takes lines: the whole way of a log call.
    #[inline]
    pub(super) fn take(&self, lines: &[u8], kind: LineKind, was_cut: bool) {
        let Some(here) = self.here() else { return self.orphans.lose(&self.options.notice, lines) };
        if was_cut {
            here.cut.fetch_add(1, Ordering::Relaxed);
        }
        if lines.len() > here.largest() {
            return here.take_in_pieces(lines, kind);
        }
        here.take_piece(lines, kind);
    }

    /// The most that goes into the ring with one step.
    fn largest(&self) -> usize {
        self.options.capacity.min(LONGEST_LINE)
    }

    fn take_piece(&self, lines: &[u8], kind: LineKind) {
        let count = if handoff::is_one_line(lines) { 1 } else { lines::count(lines) };
        if self.must_go_aside(kind) {
            return self.take_aside(lines, count);
        }
        let mut locked = self.lock();
        let main = &mut *locked; // once: each time costs a look whether it is there
        main.accepted += count;
        if !main.first.is_turn_of(None) || !self.has_room(main, lines.len(), kind) {
            return self.take_crowded(locked, lines, kind, count);
        }
        let then = self.append(main, lines, kind);
        drop(locked);
        self.go_on(then);
    }

    /// The same when there is no room, or others go first.
    #[cold]
    fn take_crowded(&self, mut main: Locked<'_, Main>, lines: &[u8], kind: LineKind, count: u64) {
        main.waiting_lines += count;
        let waited = self.wait_for_room(&mut main, lines.len(), kind);
        main.waiting_lines -= count;
        let refused = match waited {
            Ok(()) => {
                let then = self.append(&mut main, lines, kind);
                self.tell(main);
                return self.go_on(then);
            }
            Err(NoRoom::For(cause)) => return self.refuse(main, cause, count),
            Err(refused) => refused,
        };
        main.accepted -= count; // whoever takes it counts it
        self.tell(main);
        match refused {
            NoRoom::HasMoved => self.take(lines, kind, false),
            _ => self.take_aside(lines, count),
        }
    }

    /// Appends lines for which there is room. Returns what is to be done without the lock.
    #[inline]
    fn append(&self, main: &mut Main, lines: &[u8], kind: LineKind) -> Then {
        let before = main.lane.end();
        main.lane.append(&self.producer, lines);
        let is_half_full = main.lane.used() >= self.options.capacity as u64 / 2;
        Then {
            presses: kind.is_urgent() || is_half_full || main.waiting > 0,
            looks: before / LOOK_EVERY != main.lane.end() / LOOK_EVERY,
        }
    }

    #[inline]
    fn go_on(&self, then: Then) {
        if self.producer.wake_if_needed(then.presses) || then.looks {
            self.look_after_ring();
        }
    }

    #[inline]
    fn has_room(&self, main: &mut Main, bytes: usize, kind: LineKind) -> bool {
        let (bytes, capacity) = (bytes as u64, self.options.capacity as u64);
        main.lane.has_room(&self.producer, bytes, capacity) || self.has_room_beyond(main, bytes, kind)
    }

    /// The same, of the room that isn't for all lines.
    #[cold]
    fn has_room_beyond(&self, main: &mut Main, bytes: u64, kind: LineKind) -> bool {
        let beyond = room::beyond(kind);
        beyond > 0 && main.lane.has_room(&self.producer, bytes, (self.options.capacity + beyond) as u64)
    }

    /// Returns whether these lines can't even have the lock, or are logged by the sink of the collector.
    fn must_go_aside(&self, kind: LineKind) -> bool {
        duty::is_locking() || (kind.is_logged() && duty::has_a_sink())
    }

    /// Takes lines where nobody may wait.
    fn take_aside(&self, lines: &[u8], count: u64) {
        self.accepted_aside.fetch_add(count, Ordering::Relaxed);
        let has_room = !duty::is_echoing() && self.append_aside(lines);
        if !has_room {
            self.producer.drop_lines(DroppedFor::Nested, count);
        }
        self.producer.wake_if_needed(true);
    }

    /// Appends lines to the aside lane. Whoever has that may be what this has interrupted: so it isn't waited for.
    fn append_aside(&self, lines: &[u8]) -> bool {
        for _ in 0..TRIES {
            let mut lane = match self.aside.try_lock() {
                Ok(lane) => lane,
                Err(TryLockError::Poisoned(lane)) => lane.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    thread::yield_now();
                    continue;
                }
            };
            return lane.append_entry(&self.producer, self.producer.main_end(), lines);
        }
        false
    }

    /// Counts lines for which no room was found.
    #[cold]
    fn refuse(&self, mut main: Locked<'_, Main>, cause: Cause, count: u64) {
        self.producer.drop_lines(
            match cause {
                Cause::Full => DroppedFor::Full,
                Cause::Stalled => DroppedFor::Stalled,
            },
            count,
        );
        let is_told = main.is_to_be_told();
        self.tell(main);
        self.producer.wake_if_needed(true);
        if is_told {
            self.look_after_ring();
            let (directory, lines) = (self.directory.path(), self.drops().total());
            let why = format!(
                "the ring of this process in {directory:?} is full, and these are all losses so far: start a collector, or \
                 look at the sink of the one that runs"
            );
            self.options.notice.tell(Trouble::Dropped, &Error::dropped(lines, why));
        }
    }

    /// Takes lines that are too many or too long for one step.
    #[cold]
    fn take_in_pieces(&self, lines: &[u8], kind: LineKind) {
        let (mut rest, largest) = (lines, self.largest());
        while !rest.is_empty() {
            let fitting = lines::fitting(rest, largest as u64);
            let len = if fitting > 0 { fitting } else { lines::first(rest) };
            let (piece, behind) = rest.split_at(len);
            if fitting > 0 {
                self.take_piece(piece, kind);
            } else {
                self.cut.fetch_add(1, Ordering::Relaxed);
                self.take_piece(&lines::cut(piece, largest), kind);
            }
            rest = behind;
        }
    }

    /// Returns the counters as they are now: what the collector has taken counts as written.
    pub(super) fn stats(&self) -> Stats {
        if duty::is_locking() {
            return Stats::default(); // a signal handler: this thread may have the lock
        }
        let mut stats = self.orphans.stats();
        self.look_at_each(|queue, main| {
            // First what became of lines, as that is counted last: so none is taken or lost here that is not accepted.
            stats.written_lines += queue.producer.taken_lines();
            stats.dropped_lines += queue.producer.dropped().iter().sum::<u64>();
            fence(Ordering::Acquire);
            stats.accepted_lines += main.accepted + queue.accepted_aside.load(Ordering::Relaxed);
            stats.cut_lines += queue.cut.load(Ordering::Relaxed);
        });
        stats.queued_lines = stats.accepted_lines.saturating_sub(stats.written_lines + stats.dropped_lines);
        stats
    }

    /// Returns what was lost, by what was the cause.
    pub(super) fn drops(&self) -> Drops {
        if duty::is_locking() {
            return Drops::default();
        }
        let mut drops = Drops { queue_full: self.orphans.stats().dropped_lines, ..Drops::default() };
        self.look_at_each(|queue, _| {
            let [queue_full, queue_stalled, nested] = queue.producer.dropped();
            drops = drops.and(&Drops { queue_full, queue_stalled, nested, sink_failed: 0 });
        });
        drops
    }

    /// Looks at each queue of this process to which anything was logged, under its lock: more than one, if a ring was removed.
    /// Lines move from one to the next under that lock.
    fn look_at_each(&self, mut look: impl FnMut(&Connected, &Main)) {
        let mut next = Some(self);
        while let Some(queue) = next {
            let is_own = queue.forks == sys::forks();
            let main = is_own.then(|| queue.lock());
            if let Some(main) = &main {
                look(queue, main);
            }
            next = queue.successor.get().map(|next| &**next);
        }
    }
}

impl Main {
    /// Returns whether somebody has waited in vain, and the collector has taken nothing since.
    fn is_stalled(&self) -> bool {
        self.stalled_at == Some(self.lane.taken())
    }

    /// Returns whether it is time to tell of lines that were dropped: not with each of them.
    fn is_to_be_told(&mut self) -> bool {
        let now = Instant::now();
        let is_soon = self.told.is_some_and(|told| now.duration_since(told) < super::ledger::EVERY);
        if !is_soon {
            self.told = Some(now);
        }
        !is_soon
    }
}

/// Nobody can log any more: the last clone is gone.
impl Drop for Connected {
    fn drop(&mut self) {
        if self.generation.load(Ordering::Relaxed) == sys::forks() {
            self.look_after_ring();
        }
        if self.forks == sys::forks() {
            let main = self.main.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            let aside = self.aside.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            self.producer.close([&mut main.lane, aside]);
        }
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.path();
        f.debug_struct("SharedQueue")
            .field("directory", &directory)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

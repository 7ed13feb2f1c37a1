//! Whether there is a reason to look, for whoever comes by first: the thread that looks, or the next line.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::clock::Clock;

/// `due` when something has happened in the directory.
const HINT: u64 = 0;

/// `due` while a look is under way.
const LOOKING: u64 = u64::MAX;

/// How long after a look was due the lines begin to do it themselves: the thread that looks may be stopped.
pub(super) const LATE: Duration = Duration::from_millis(100);

/// What happened in the directory, as far as it was told, and when the next look is due.
#[derive(Debug)]
pub(super) struct Hints {
    /// The zero of `due`.
    began: Instant,
    /// When to look next, in milliseconds; [`HINT`] for now. A hint about the path and nothing else: no memory is
    /// published by it, so that no ordering is needed.
    due: AtomicU64,
    /// Whether the file was renamed away since the path was last followed.
    pub(super) was_moved: AtomicBool,
    /// Whether another file was made whose name begins as this one's does: a copy, perhaps.
    pub(super) is_copied: AtomicBool,
    /// Whether the open file, or the one that was left a moment ago, has another name.
    pub(super) is_elsewhere: AtomicBool,
    /// Whether every change is told.
    pub(super) is_told: AtomicBool,
    /// Whether it was tried to have changes told.
    pub(super) is_seen_to: AtomicBool,
    /// Whether the program was told that it is not.
    pub(super) is_outage_told: AtomicBool,
}

impl Hints {
    pub(super) fn new(clock: &Clock) -> Self {
        Hints {
            began: clock.instant(),
            due: AtomicU64::new(HINT),
            was_moved: AtomicBool::new(false),
            is_copied: AtomicBool::new(false),
            is_elsewhere: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
            is_seen_to: AtomicBool::new(false),
            is_outage_told: AtomicBool::new(false),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        // From 1 on, so that no time is `HINT`.
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(LOOKING - 2) + 1
    }

    /// Something has happened: the next one who comes by looks.
    pub(super) fn hint(&self) {
        self.due.store(HINT, Ordering::Relaxed);
    }

    /// Returns how long the next look has time.
    pub(super) fn due_in(&self, now: Instant) -> Duration {
        match self.due.load(Ordering::Relaxed) {
            LOOKING => LATE, // a line does it right now
            due => Duration::from_millis(due.saturating_sub(self.millis(now))),
        }
    }

    /// Returns whether a line has to look by itself.
    #[inline]
    pub(super) fn is_due_for_lines(&self, clock: &Clock) -> bool {
        let due = self.due.load(Ordering::Relaxed);
        due == HINT || self.millis(clock.instant()) >= due.saturating_add(LATE.as_millis() as u64)
    }

    /// Returns whether the look that begins now comes much later than it was due.
    pub(super) fn begin(&self, now: Instant) -> bool {
        let due = self.due.swap(LOOKING, Ordering::Relaxed);
        due != HINT && due != LOOKING && self.millis(now) >= due.saturating_add(LATE.as_millis() as u64)
    }

    /// A look is over. What was hinted at meanwhile is not forgotten.
    pub(super) fn end(&self, next: Instant) {
        let next = self.millis(next);
        let _ = self.due.compare_exchange(LOOKING, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

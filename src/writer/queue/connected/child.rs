//! What a child made by fork(2) has: a ring of its own, made with its first line. The parent's is the parent's: its locks may be
//! held for ever in the child, and there is one writer to a ring.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::Connected;
use crate::{
    Error, clock,
    error::Trouble,
    notice::Notice,
    sys,
    writer::{Stats, lines, queue::duty},
};

/// How long it is until the making of a ring that has failed is tried again.
const AGAIN_AFTER_MILLIS: u64 = 1000;

/// How long a thread waits for another one that makes it. In a child of a child that may be for ever.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines of a child that could not have a ring.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    lost: AtomicU64,
    /// When to try again after that has failed: milliseconds of the process's own time.
    try_at: AtomicU64,
    /// Somebody makes one; others wait.
    making: Mutex<()>,
}

impl Orphans {
    /// Counts lines for which there is no ring.
    #[cold]
    pub(super) fn lose(&self, notice: &Notice, bytes: &[u8]) {
        let lines = lines::count(bytes);
        self.lost.fetch_add(lines, Ordering::Relaxed);
        notice.tell(
            Trouble::Dropped,
            &Error::dropped(lines, "this child of a fork could not make a ring of its own"),
        );
    }

    /// Lines that were lost, as an account.
    pub(super) fn stats(&self) -> Stats {
        let lost = self.lost.load(Ordering::Relaxed);
        Stats { accepted_lines: lost, dropped_lines: lost, ..Stats::default() }
    }

    /// Returns whether it is time to try.
    pub(super) fn is_due(&self) -> bool {
        clock::uptime_millis() >= self.try_at.load(Ordering::Relaxed)
    }

    pub(super) fn has_failed(&self) {
        self.try_at.store(clock::uptime_millis() + AGAIN_AFTER_MILLIS, Ordering::Relaxed);
    }
}

impl Connected {
    /// Returns the queue of this process: itself, but in a child made by fork(2), and when its ring was removed. It may be that
    /// there can be none.
    #[inline]
    pub(super) fn here(&self) -> Option<&Connected> {
        if self.generation.load(Ordering::Relaxed) == sys::forks() { Some(self) } else { self.elsewhere() }
    }

    #[cold]
    fn elsewhere(&self) -> Option<&Connected> {
        if self.successor.get().is_none() && !duty::is_locking() {
            self.make_successor();
        }
        self.successor.get()?.here()
    }

    fn make_successor(&self) {
        let _duty = duty::lock(); // a signal handler in the middle of it can't wait for itself
        let Some(_making) = sys::lock_within(&self.orphans.making, PATIENCE) else { return };
        if self.successor.get().is_some() || !self.orphans.is_due() {
            return;
        }
        match Connected::connect(self.options.clone(), self.directory.clone()) {
            Ok(child) => drop(self.successor.set(Box::new(child))),
            Err(error) => {
                self.orphans.has_failed();
                self.options.notice.tell(Trouble::Write, &error);
            }
        }
    }
}

//! What a child made by fork(2) has: a ring of its own, made with its first line. The parent's is the parent's: its locks may be
//! held for ever in the child, and there is one writer to a ring.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Connected;
use crate::{
    Error, clock,
    error::Trouble,
    notice::Notice,
    sys,
    writer::{Stats, lines},
};

/// How long it is until the making of a ring that has failed is tried again.
const AGAIN_AFTER_MILLIS: u64 = 1000;

/// Lines of a child that could not have a ring.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    lost: AtomicU64,
    /// When to try again: milliseconds of the process's own time.
    try_at: AtomicU64,
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

    /// Returns whether it is time to try, for one thread.
    fn is_due(&self) -> bool {
        let (now, at) = (clock::uptime_millis(), self.try_at.load(Ordering::Relaxed));
        let next = now + AGAIN_AFTER_MILLIS;
        now >= at && self.try_at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
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
        if self.successor.get().is_none() && self.orphans.is_due() {
            match Connected::connect(self.options.clone(), self.directory.clone()) {
                Ok(child) => drop(self.successor.set(Box::new(child))),
                Err(error) => self.options.notice.tell(Trouble::Write, &error),
            }
        }
        self.successor.get()?.here()
    }

    /// Returns the queues of this process to which anything was logged: more than one, if a ring was removed.
    pub(super) fn all_here(&self) -> impl Iterator<Item = &Connected> {
        let chain = std::iter::successors(Some(self), |queue| queue.successor.get().map(|next| &**next));
        chain.filter(|queue| queue.forks == sys::forks())
    }
}

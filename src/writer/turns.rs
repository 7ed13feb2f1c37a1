//! Whose turn it is to write: the lock of a writer's state, and the account of lines that never had their turn.
//!
//! While the process ends nobody waits for it without a limit: its holder may never run again.

use std::{
    io::{self, ErrorKind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::tail::Tail;
use crate::sys;

/// A state with an account in it.
pub(super) trait HasTail {
    fn tail_mut(&mut self) -> &mut Tail;
}

impl HasTail for Tail {
    fn tail_mut(&mut self) -> &mut Tail {
        self
    }
}

/// The lock of a writer's state.
#[derive(Debug)]
pub(super) struct Turns<S> {
    state: Mutex<S>,
    /// Lines that could not even be counted in the state, because it could not be had.
    missed: AtomicU64,
}

impl<S: HasTail> Turns<S> {
    pub(super) fn new(state: S) -> Self {
        Turns { state: Mutex::new(state), missed: AtomicU64::new(0) }
    }

    /// Locks the state. Lines that were missed are counted now.
    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.counted(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Locks the state within `limit`, if there is one. While the process ends there always is.
    pub(super) fn try_lock(&self, limit: Option<Duration>) -> Option<MutexGuard<'_, S>> {
        let state = match limit {
            _ if sys::is_exiting() => sys::lock_at_exit(&self.state)?,
            Some(limit) => sys::lock_within(&self.state, limit)?,
            None => return Some(self.lock()),
        };
        Some(self.counted(state))
    }

    /// Locks the state as [`try_lock`](Self::try_lock) does, for so many lines, which count as accepted.
    ///
    /// If it can't be had, they are lost: they count as soon as somebody has it.
    pub(super) fn lock_for(
        &self,
        lines: u64,
        was_cut: bool,
        limit: Option<Duration>,
    ) -> io::Result<MutexGuard<'_, S>> {
        let Some(mut state) = self.try_lock(limit) else {
            self.missed.fetch_add(lines, Ordering::Relaxed); // statistics only
            return Err(ErrorKind::ResourceBusy.into());
        };
        let stats = &mut state.tail_mut().stats;
        stats.accepted_lines += lines;
        stats.cut_lines += u64::from(was_cut);
        Ok(state)
    }

    /// Returns whether the state could not be had for a line, and nobody has had it since.
    #[cfg(feature = "rolling")]
    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Relaxed) > 0
    }

    fn counted<'a>(&self, mut state: MutexGuard<'a, S>) -> MutexGuard<'a, S> {
        let missed = self.missed.swap(0, Ordering::Relaxed); // statistics only
        if missed > 0 {
            let tail = state.tail_mut();
            tail.stats.accepted_lines += missed;
            tail.lose(missed, &io::Error::from(ErrorKind::ResourceBusy));
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_never_had_their_turn_are_counted_when_somebody_has_it() {
        let turns = Turns::new(Tail::default());
        let held = turns.lock();
        for cut in [false, true] {
            let refused = turns.lock_for(2, cut, Some(Duration::ZERO)).expect_err("it is held");
            assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
        }
        assert!(turns.try_lock(Some(Duration::ZERO)).is_none());
        drop(held);
        drop(turns.lock_for(1, true, Some(Duration::ZERO)).expect("it is free"));
        for _ in 0..2 {
            let stats = turns.lock().stats;
            assert_eq!((stats.accepted_lines, stats.dropped_lines, stats.cut_lines), (5, 4, 1));
        }
    }
}

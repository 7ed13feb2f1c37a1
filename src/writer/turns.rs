//! Whose turn it is to write: the lock of a writer's state, and the account of lines that never had their turn.
//!
//! While the process ends nobody waits for it without a limit: its holder may never run again. A signal handler that logs on the
//! thread that has the lock doesn't wait for it at all: its lines are lost, and counted.

use std::{
    cell::Cell,
    io::{self, ErrorKind},
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering, compiler_fence},
    },
    time::Duration,
};

use super::tail::Tail;
use crate::sys;

/// How long a signal handler waits for a lock while its thread has another one.
const PATIENCE_OF_HANDLERS: Duration = Duration::from_secs(1);

thread_local! {
    /// The address of the lock that this thread has, or is about to take; 0 for none. Without a destructor: it can be had even
    /// while the thread ends.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// That this thread has a lock, until this is dropped. No code of others runs meanwhile but signal handlers.
#[derive(Debug)]
struct Held {
    before: usize,
}

impl Held {
    fn begin<T>(lock: &T) -> Self {
        let before = HELD.replace((&raw const *lock).addr());
        compiler_fence(Ordering::SeqCst); // a handler that finds the lock taken finds this
        Held { before }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        HELD.set(self.before);
    }
}

/// The state, while this thread has it, and another lock that was taken before it.
#[derive(Debug)]
pub(super) struct Turn<'a, S, T = ()> {
    state: MutexGuard<'a, S>,
    _first: T,
    _held: Held, // dropped when the locks are given back
}

impl<S, T> Deref for Turn<'_, S, T> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S, T> DerefMut for Turn<'_, S, T> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}

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
    pub(super) fn lock(&self) -> Turn<'_, S> {
        let held = Held::begin(self);
        self.counted(self.state.lock().unwrap_or_else(PoisonError::into_inner), (), held)
    }

    /// Locks the state within `limit`, if there is one. While the process ends there always is.
    ///
    /// A signal handler doesn't get what its thread has.
    pub(super) fn try_lock(&self, limit: Option<Duration>) -> Option<Turn<'_, S>> {
        self.try_lock_after(limit, || ())
    }

    fn try_lock_after<T>(
        &self,
        limit: Option<Duration>,
        first: impl FnOnce() -> T,
    ) -> Option<Turn<'_, S, T>> {
        let held = Held::begin(self);
        let first = first();
        let state = match (held.before, limit) {
            (own, _) if own == (&raw const *self).addr() => sys::lock_within(&self.state, Duration::ZERO)?,
            _ if sys::is_exiting() => sys::lock_at_exit(&self.state)?,
            (_, Some(limit)) => sys::lock_within(&self.state, limit)?,
            (0, None) => self.state.lock().unwrap_or_else(PoisonError::into_inner),
            (_, None) => sys::lock_within(&self.state, PATIENCE_OF_HANDLERS)?,
        };
        Some(self.counted(state, first, held))
    }

    /// Locks the state as [`try_lock`](Self::try_lock) does, for so many lines, which count as accepted.
    ///
    /// If it can't be had, they are lost: they count as soon as somebody has it.
    pub(super) fn lock_for(
        &self,
        lines: u64,
        was_cut: bool,
        limit: Option<Duration>,
    ) -> io::Result<Turn<'_, S>> {
        self.accepting(lines, was_cut, self.try_lock(limit))
    }

    /// The same, with another lock that `first` takes before it. A signal handler on a thread that has or is about to take either
    /// gets none: a lock of the standard library doesn't tell a handler from another thread at each moment.
    pub(super) fn lock_for_after<T>(
        &self,
        lines: u64,
        was_cut: bool,
        limit: Option<Duration>,
        first: impl FnOnce() -> T,
    ) -> io::Result<Turn<'_, S, T>> {
        let is_free = HELD.get() != (&raw const *self).addr();
        self.accepting(lines, was_cut, is_free.then(|| self.try_lock_after(limit, first)).flatten())
    }

    /// Counts lines as accepted, or as missed without the state.
    fn accepting<'a, T>(
        &self,
        lines: u64,
        was_cut: bool,
        state: Option<Turn<'a, S, T>>,
    ) -> io::Result<Turn<'a, S, T>> {
        let Some(mut state) = state else {
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

    fn counted<'a, T>(&self, mut state: MutexGuard<'a, S>, first: T, held: Held) -> Turn<'a, S, T> {
        let missed = self.missed.swap(0, Ordering::Relaxed); // statistics only
        if missed > 0 {
            let tail = state.tail_mut();
            tail.stats.accepted_lines += missed;
            tail.lose(missed, &io::Error::from(ErrorKind::ResourceBusy));
        }
        Turn { state, _first: first, _held: held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_a_lock_and_logs_waits_for_no_lock_for_ever() {
        let (one, two) = (Turns::new(Tail::default()), Turns::new(Tail::default()));
        let held = one.lock();
        assert!(one.lock_for(3, false, None).is_err(), "it is this thread that has it");
        drop(held);
        let other = two.lock();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _own = one.lock();
                assert!(two.lock_for(1, false, None).is_err(), "its holder may wait for this thread");
            });
        });
        drop(other);
        drop(two.lock_for(1, false, None).expect("it is free"));
        let stats = one.lock().stats;
        assert_eq!((stats.accepted_lines, stats.dropped_lines), (3, 3));
    }

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

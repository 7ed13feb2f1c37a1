//! A lock that a signal handler of the same thread knows to be held.

use std::{
    ops::{Deref, DerefMut},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::duty::{self, Locks};

const IS_THERE: &str = "it is there but for a moment in `wait`; this is a bug in tracing-tasklog";

/// What a mutex has, locked.
pub(super) struct Locked<'a, T> {
    value: Option<MutexGuard<'a, T>>,
    of: &'a Mutex<T>,
    _duty: Locks, // ends after the lock
}

/// Locks. Nobody holds such a lock for long.
#[inline]
pub(super) fn lock<T>(of: &Mutex<T>) -> Locked<'_, T> {
    let duty = duty::lock();
    let value = of.lock().unwrap_or_else(PoisonError::into_inner);
    Locked { value: Some(value), of, _duty: duty }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect(IS_THERE)
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect(IS_THERE)
    }
}

impl<T> Locked<'_, T> {
    /// Waits until it is told, but not longer than `limit`.
    pub(super) fn wait(&mut self, condition: &Condvar, limit: Duration) {
        if let Some(value) = self.value.take() {
            let waited = condition.wait_timeout(value, limit);
            self.value = Some(waited.unwrap_or_else(PoisonError::into_inner).0);
        }
    }

    /// Releases the lock while `f` runs.
    pub(super) fn without(&mut self, f: impl FnOnce()) {
        self.value = None;
        f();
        self.value = Some(self.of.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

//! A lock that is never waited for: whoever finds it held does something else. So it can be used in a signal handler, and a thread that
//! is not running holds nobody up.
//!
//! Part of the only room with unsafe code.

use std::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicBool, Ordering},
};

/// Something that one has at a time.
pub(crate) struct TryLock<T> {
    is_held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by way of a `Held` only, of which there is one at a time. It goes from thread to thread with the lock.
unsafe impl<T: Send> Sync for TryLock<T> {}

/// The right to what is locked, until this is dropped.
pub(crate) struct Held<'a, T>(&'a TryLock<T>);

impl<T> TryLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        TryLock { is_held: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Locks, unless it is held.
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Held<'_, T>> {
        // Acquire: what the holder before has done is there.
        (!self.is_held.swap(true, Ordering::Acquire)).then(|| Held(self))
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.is_held.store(false, Ordering::Release);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this is the only `Held` of its lock, as the next one is made when it is dropped. It is borrowed meanwhile.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and it is borrowed exclusively.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> fmt::Debug for TryLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryLock").field("is_held", &self.is_held).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_has_it_at_a_time() {
        let lock = TryLock::new(0_u64);
        let count = |times: u64| {
            let mut done = 0;
            while done < times {
                if let Some(mut held) = lock.try_lock() {
                    *held += 1;
                    done += 1;
                } else {
                    thread::yield_now();
                }
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| count(10_000)))));
        let held = lock.try_lock().expect("nobody has it");
        assert!(*held == 40_000 && lock.try_lock().is_none());
    }
}

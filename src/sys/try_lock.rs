//! A lock that no thread waits for: a thread that finds it held learns which thread has it, and does something else. So a signal handler may
//! use it, and a thread that is not running holds no other one up.
//!
//! Part of the only room with unsafe code.

use std::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    sync::atomic::{AtomicU32, Ordering},
};

/// Something that one has at a time.
pub(crate) struct TryLock<T> {
    /// 0, or one more than the number of the thread that has it.
    holder: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by way of a `Held` only, of which there is one at a time. It goes from thread to thread with the lock.
unsafe impl<T: Send + Sync> Sync for TryLock<T> {}

/// The right to what is locked, until this is dropped.
pub(crate) struct Held<'a, T>(&'a TryLock<T>);

impl<T> TryLock<T> {
    pub(crate) const fn new(value: T) -> Self {
        TryLock { holder: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Locks, for the thread with a number, unless it is held.
    ///
    /// # Errors
    ///
    /// The number of the thread that holds it.
    #[inline]
    pub(crate) fn try_lock(&self, thread: u32) -> Result<Held<'_, T>, u32> {
        // Acquire: what the holder before has done is there.
        match self.holder.compare_exchange(0, thread + 1, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(Held(self)),
            Err(holder) => Err(holder - 1),
        }
    }
}

impl<T> TryLock<T> {
    /// Returns the number of the thread that holds it.
    pub(crate) fn holder(&self) -> Option<u32> {
        self.holder.load(Ordering::Relaxed).checked_sub(1)
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.holder.store(0, Ordering::Release);
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
        f.debug_struct("TryLock").field("holder", &self.holder).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_has_it_at_a_time() {
        let lock = TryLock::new(0_u64);
        let count = &|thread: u32| {
            let mut done = 0;
            while done < 10_000 {
                if let Ok(mut held) = lock.try_lock(thread) {
                    *held += 1;
                    done += 1;
                } else {
                    thread::yield_now();
                }
            }
        };
        thread::scope(|scope| (0..4).for_each(|thread| drop(scope.spawn(move || count(thread)))));
        let held = lock.try_lock(7).expect("nobody has it");
        assert_eq!(lock.holder(), Some(7));
        assert!(*held == 40_000 && lock.try_lock(8).is_err_and(|holder| holder == 7));
    }
}

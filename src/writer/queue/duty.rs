//! What a thread is in the middle of, so that a log call inside of it knows that it must not wait.
//!
//! A signal handler may ask between any two instructions of its thread. So a duty is taken on before the lock that it
//! stands for is taken, and ends after that is released.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, compiler_fence};

/// What a thread does for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Duty {
    /// Nothing.
    None,
    /// It may hold the lock of a queue, or wait for it.
    Locks,
    /// It has a sink, and writes to it what was logged.
    Writes,
    /// It has a sink, and writes to it what the writing has caused: lines of the side buffer, announcements.
    WritesEcho,
}

use Duty::{Locks, None, Writes, WritesEcho};

thread_local! {
    // Without destructors: they are there as long as the thread. Atomic for the signal handlers of their own thread.
    static DUTY: AtomicU8 = const { AtomicU8::new(0) };
    static QUEUE: AtomicUsize = const { AtomicUsize::new(0) };
}

/// Returns what this thread is in the middle of.
#[inline]
pub(super) fn current() -> Duty {
    // The order of the enum.
    match DUTY.with(|duty| duty.load(Ordering::Relaxed)) {
        0 => None,
        1 => Locks,
        2 => Writes,
        _ => WritesEcho,
    }
}

/// Returns whether this thread is in the middle of something for just this queue, or holds some queue's lock.
pub(super) fn is_busy_with(queue: usize) -> bool {
    match current() {
        None => false,
        Locks => true,
        Writes | WritesEcho => QUEUE.with(|on| on.load(Ordering::Relaxed)) == queue,
    }
}

/// Takes a duty on, until what is returned is dropped. One who has a sink keeps it on when it locks.
#[inline]
pub(super) fn enter(duty: Duty, queue: usize) -> OnDuty {
    let before = DUTY.with(|on| on.load(Ordering::Relaxed));
    let queue_before = QUEUE.with(|on| on.load(Ordering::Relaxed));
    if duty != Locks || before == 0 {
        DUTY.with(|on| on.store(duty as u8, Ordering::Relaxed));
        QUEUE.with(|on| on.store(queue, Ordering::Relaxed));
    }
    compiler_fence(Ordering::SeqCst);
    OnDuty { before, queue_before }
}

/// A duty that ends when this is dropped: then the one before it holds again.
#[derive(Debug)]
pub(super) struct OnDuty {
    before: u8,
    queue_before: usize,
}

impl Drop for OnDuty {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        DUTY.with(|on| on.store(self.before, Ordering::Relaxed));
        QUEUE.with(|on| on.store(self.queue_before, Ordering::Relaxed));
    }
}

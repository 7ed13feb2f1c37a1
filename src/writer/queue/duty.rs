//! What a thread is in the middle of, so that a log call inside of it knows that it must not wait.
//!
//! A signal handler may ask between any two instructions of its thread. So a duty is taken on before the lock that it
//! stands for is taken, and ends after that is released.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, compiler_fence};

/// How many sinks within each other are known one by one.
const DEPTH: usize = 8;

/// A thread's duties. Atomic for the signal handlers of this very thread.
#[derive(Debug)]
struct Duties {
    /// It may hold the lock of a queue, or wait for it.
    locks: AtomicU8,
    /// It writes what the writing has caused: lines of the side buffer, announcements.
    echoes: AtomicU8,
    /// How many sinks it has, within each other, and of which queues.
    sinks: AtomicUsize,
    queues: [AtomicUsize; DEPTH],
}

thread_local! {
    // Without a destructor: it is there as long as the thread.
    static DUTIES: Duties = const {
        Duties {
            locks: AtomicU8::new(0),
            echoes: AtomicU8::new(0),
            sinks: AtomicUsize::new(0),
            queues: [const { AtomicUsize::new(0) }; DEPTH],
        }
    };
}

/// Returns whether this thread may hold the lock of some queue.
#[inline]
pub(super) fn is_locking() -> bool {
    DUTIES.with(|duties| duties.locks.load(Ordering::Relaxed) > 0)
}

/// Returns whether this thread has the sink of some queue.
#[inline]
pub(super) fn has_a_sink() -> bool {
    DUTIES.with(|duties| duties.sinks.load(Ordering::Relaxed) > 0)
}

/// Returns whether this thread has the sink of this queue.
#[inline]
pub(super) fn has_sink_of(queue: usize) -> bool {
    DUTIES.with(|duties| {
        let sinks = duties.sinks.load(Ordering::Relaxed);
        let known = duties.queues.iter().take(sinks);
        sinks > DEPTH || known.into_iter().any(|has| has.load(Ordering::Relaxed) == queue)
    })
}

/// Returns whether this thread writes what the writing has caused.
pub(super) fn is_echoing() -> bool {
    DUTIES.with(|duties| duties.echoes.load(Ordering::Relaxed) > 0)
}

/// This thread is about to take the lock of a queue. Until what is returned is dropped.
#[inline]
pub(super) fn lock() -> Locks {
    DUTIES.with(|duties| duties.locks.store(duties.locks.load(Ordering::Relaxed) + 1, Ordering::Relaxed));
    compiler_fence(Ordering::SeqCst);
    Locks(())
}

/// The duty of one who locks.
#[derive(Debug)]
pub(super) struct Locks(());

impl Drop for Locks {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        DUTIES.with(|duties| duties.locks.store(duties.locks.load(Ordering::Relaxed) - 1, Ordering::Relaxed));
    }
}

/// This thread has the sink of a queue, for what was logged, or for what the writing of that has caused (`is_echo`). Until what
/// is returned is dropped.
pub(super) fn write(queue: usize, is_echo: bool) -> Writes {
    DUTIES.with(|duties| {
        let sinks = duties.sinks.load(Ordering::Relaxed);
        if let Some(place) = duties.queues.get(sinks) {
            place.store(queue, Ordering::Relaxed);
        }
        compiler_fence(Ordering::SeqCst); // a handler that sees the number sees the queue
        duties.sinks.store(sinks + 1, Ordering::Relaxed);
        let echoes = duties.echoes.swap(u8::from(is_echo), Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        Writes { echoes }
    })
}

/// The duty of one who has a sink.
#[derive(Debug)]
pub(super) struct Writes {
    /// As it was before.
    echoes: u8,
}

impl Drop for Writes {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        DUTIES.with(|duties| {
            duties.echoes.store(self.echoes, Ordering::Relaxed);
            duties.sinks.store(duties.sinks.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duties_end_in_the_order_in_which_they_began() {
        assert!(!has_a_sink() && !is_locking() && !is_echoing());
        let writes = write(1, false);
        assert!(has_a_sink() && has_sink_of(1) && !has_sink_of(2) && !is_locking());
        {
            let _locks = lock();
            let _echo = write(2, true);
            assert!(is_locking() && is_echoing() && has_sink_of(1) && has_sink_of(2));
        }
        assert!(has_sink_of(1) && !has_sink_of(2) && !is_locking() && !is_echoing());
        drop(writes);
        assert!(!has_a_sink());
    }

    #[test]
    fn who_has_more_sinks_than_are_known_has_each() {
        let many: Vec<_> = (1..=DEPTH).map(|queue| write(queue, false)).collect();
        assert!(has_sink_of(DEPTH) && !has_sink_of(99));
        let one_more = write(50, false);
        assert!(has_sink_of(99));
        drop((one_more, many));
        assert!(!has_sink_of(1));
    }
}

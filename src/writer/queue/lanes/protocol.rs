//! What a worker and the collector owe each other, apart from where it stands in the file. The worker's side is atomic numbers in
//! mapped memory; the collector's is pread(2) and pwrite(2) with fences around them, for which the model has atomics too.
//!
//! - The worker copies lines, then moves the end ([`publish`]). The collector reads the end, then the lines ([`between_reads`]).
//! - The collector reads lines, and says so ([`before_taken`]) with two writes of the same number. The worker believes it when
//!   both are the same ([`taken`]), and only then writes over the lines.
//! - A worker that finds everything taken may leave out places: it says so ([`publish`]) before it moves the end again. The
//!   collector reads the end, then what was left out ([`between_reads`]).
//! - The collector says that it sleeps, and then looks once more ([`between_reads`]). The worker publishes, and then looks whether
//!   the collector sleeps ([`wakes`]). One of them sees the other.

#[cfg(not(tasklog_loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

#[cfg(tasklog_loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};

/// What the collector does.
pub(in crate::writer) const AWAKE: u64 = 0;
pub(in crate::writer) const LINGERS: u64 = 1;
pub(in crate::writer) const SLEEPS: u64 = 2;

/// The worker: what it has copied up to there is to be read.
#[inline]
pub(in crate::writer) fn publish(end: &AtomicU64, to: u64) {
    end.store(to, Ordering::Release);
}

/// The worker: up to where the collector has taken what was there. `None` while it is saying so: what it said before still holds.
///
/// The second copy is written after the first one and read before it. So if what is read from both is the same, it is whole,
/// even where a write of 8 bytes by the kernel is not one step.
#[inline]
pub(in crate::writer) fn taken(first: &AtomicU64, second: &AtomicU64) -> Option<u64> {
    let taken = second.load(Ordering::Acquire);
    (first.load(Ordering::Acquire) == taken).then_some(taken)
}

/// The worker: whether it is to wake the collector, for what it has just published.
#[inline]
pub(in crate::writer) fn wakes(collector: &AtomicU64, is_pressing: bool) -> bool {
    fence(Ordering::SeqCst); // the end that was published first, or the collector's second look, sees what the other did
    let state = collector.load(Ordering::Relaxed);
    let is_wanted = state >= SLEEPS || (state != AWAKE && is_pressing);
    is_wanted && collector.swap(AWAKE, Ordering::Relaxed) != AWAKE // of several threads one
}

/// The collector: between a read or write of one number and the reads that are to see at least as much.
#[inline]
pub(in crate::writer) fn between_reads() {
    fence(Ordering::SeqCst);
}

/// The collector: after it has read lines, before it says so. And between the two times that it says so.
#[cfg(any(all(feature = "multiprocess", unix), all(test, tasklog_loom)))]
#[inline]
pub(in crate::writer) fn before_taken() {
    fence(Ordering::SeqCst);
}

//! Stamps of a clock that never goes back, and that is the same on all cores and, on Linux, in all processes.
//!
//! Part of the only room with unsafe code.

/// Returns the nanoseconds of `CLOCK_MONOTONIC` (clock_gettime(2)): whatever happens after this call has a later stamp, or the same.
#[cfg(all(unix, not(tasklog_loom)))]
#[inline]
#[allow(clippy::useless_conversion, reason = "time_t and the nanoseconds have other sizes elsewhere")]
pub(crate) fn now() -> u64 {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime(2) initializes the time that it is given if it returns 0, and only then it is looked at.
    let time = unsafe {
        (libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) == 0).then(|| time.assume_init())
    };
    time.map_or(1, |time| {
        let [seconds, nanos] = [i64::from(time.tv_sec), i64::from(time.tv_nsec)].map(|part| part as u64);
        seconds.wrapping_mul(1_000_000_000).wrapping_add(nanos)
    })
}

/// Returns the nanoseconds since the first call, at least 1: whatever happens after this call has a later stamp, or the same.
#[cfg(not(any(unix, tasklog_loom)))]
pub(crate) fn now() -> u64 {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let began = BEGAN.get_or_init(std::time::Instant::now);
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The clock as the model has it: all threads read it in one order, and that orders nothing else.
#[cfg(tasklog_loom)]
pub(crate) fn now() -> u64 {
    loom::lazy_static! {
        static ref CLOCK: loom::sync::atomic::AtomicU64 = loom::sync::atomic::AtomicU64::new(1);
    }
    CLOCK.fetch_add(1, loom::sync::atomic::Ordering::Relaxed)
}

/// The same, for a thread that then looks at what others have written: it looks after the clock was read, not before.
///
/// A fence orders reads and writes of memory. Reading the time stamp counter is neither: on x86-64, LFENCE orders it before later
/// reads (Intel SDM, volume 2, RDTSC and LFENCE). On other machines the vDSO does that itself.
#[inline]
pub(crate) fn before_looking() -> u64 {
    let now = now();
    #[cfg(target_arch = "x86_64")]
    #[allow(unused_unsafe, reason = "it is safe since Rust 1.87")]
    // SAFETY: every x86-64 machine has LFENCE; it touches no memory.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    now
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_go_back() {
        let mut last = now();
        assert!(last > 0 || cfg!(not(unix)));
        for turn in 0..10_000 {
            let next = if turn % 2 == 0 { now() } else { before_looking() };
            assert!(next >= last);
            last = next;
        }
    }
}

//! The protocol under loom: every order in which a worker's threads and the collector can run.
//!
//! `bash .ci/deep loom` runs it. The collector's pread(2) and pwrite(2) are relaxed loads and stores here, with the fences that the
//! real one has around them.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use crate::writer::queue::lanes::protocol::{
    AWAKE, LINGERS, SLEEPS, before_taken, between_reads, publish, taken, wakes,
};

/// A ring with room for one line, which is a number.
struct Ring {
    line: AtomicU64,
    void: AtomicU64,
    end: AtomicU64,
    taken: [AtomicU64; 2],
    collector: AtomicU64,
}

impl Ring {
    fn new(collector: u64) -> Arc<Self> {
        let number = || AtomicU64::new(0);
        Arc::new(Ring {
            line: number(),
            void: number(),
            end: number(),
            taken: [number(), number()],
            collector: AtomicU64::new(collector),
        })
    }

    /// A write by the kernel, of which nobody says that it is one step.
    fn write_in_two_steps(place: &AtomicU64, number: u64) {
        place.store(number & 0xFF, Relaxed);
        place.store(number, Relaxed);
    }

    /// As `Consumer::take`.
    fn take(&self, number: u64) {
        for place in &self.taken {
            before_taken();
            Self::write_in_two_steps(place, number);
        }
    }
}

#[test]
fn a_line_that_is_seen_is_whole_and_is_not_written_over_before_it_is_taken() {
    const FIRST: u64 = 0x0101;
    loom::model(|| {
        let ring = Ring::new(AWAKE);
        let worker = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                ring.line.store(1, Relaxed);
                publish(&ring.end, FIRST);
                match taken(&ring.taken[0], &ring.taken[1]) {
                    None | Some(0) => {}
                    Some(FIRST) => ring.line.store(2, Relaxed),
                    Some(torn) => panic!("{torn:#x} was never said"),
                }
            }
        });
        let end = ring.end.load(Relaxed);
        between_reads();
        if end == FIRST {
            assert_eq!(ring.line.load(Relaxed), 1);
            ring.take(FIRST);
        }
        worker.join().expect("no panic");
    });
}

#[test]
fn who_sees_the_end_behind_a_part_that_was_left_out_knows_that_part() {
    loom::model(|| {
        let ring = Ring::new(AWAKE);
        let worker = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                ring.line.store(1, Relaxed);
                publish(&ring.end, 1);
                if taken(&ring.taken[0], &ring.taken[1]) == Some(1) {
                    publish(&ring.void, 10);
                    ring.line.store(2, Relaxed);
                    publish(&ring.end, 11);
                }
            }
        });
        for seen in 0..2 {
            let end = ring.end.load(Relaxed);
            between_reads();
            let from = seen.max(ring.void.load(Relaxed).min(end));
            if end == 11 {
                assert_eq!((seen, from, ring.line.load(Relaxed)), (1, 10, 2));
            }
            if end == 0 {
                break;
            }
            ring.take(1);
        }
        worker.join().expect("no panic");
    });
}

#[test]
fn no_line_is_left_while_the_collector_sleeps() {
    loom::model(|| {
        let ring = Ring::new(LINGERS);
        let lock = Arc::new(Mutex::new(0));
        let collector = thread::spawn({
            let ring = Arc::clone(&ring);
            move || {
                loop {
                    ring.collector.store(SLEEPS, Relaxed);
                    between_reads();
                    if ring.end.load(Relaxed) == 2 {
                        break;
                    }
                    thread::park();
                }
            }
        });
        let log = move |ring: &Ring, lock: &Mutex<u64>| {
            let mut end = lock.lock().expect("no panic");
            *end += 1;
            publish(&ring.end, *end);
            drop(end);
            wakes(&ring.collector, false)
        };
        let other = thread::spawn({
            let (ring, lock, collector) = (Arc::clone(&ring), Arc::clone(&lock), collector.thread().clone());
            move || {
                if log(&ring, &lock) {
                    collector.unpark();
                }
            }
        });
        if log(&ring, &lock) {
            collector.thread().unpark();
        }
        other.join().expect("no panic");
        collector.join().expect("no panic");
    });
}

#[test]
fn a_collector_that_lingers_is_woken_only_for_what_is_pressing() {
    loom::model(|| {
        for (state, is_pressing, is_woken) in [
            (AWAKE, true, false),
            (LINGERS, false, false),
            (LINGERS, true, true),
            (SLEEPS, false, true),
            (u64::MAX, false, true), // nonsense in the file
        ] {
            let collector = AtomicU64::new(state);
            assert_eq!(wakes(&collector, is_pressing), is_woken, "{state} {is_pressing}");
            assert!(!wakes(&collector, is_pressing) || !is_woken, "once");
        }
    });
}

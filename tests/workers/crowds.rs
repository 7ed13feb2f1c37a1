//! Many at once: threads of one worker while its ring is full, and workers whose rings are all full.

use std::{
    fs::File,
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tracing_tasklog::writer::{Collector, SharedQueue};

use crate::{
    support::{holds_within, verify::Expect, verify::numbered, wait_until, wait_within},
    workers_kit::{LATEST, Place, alone},
};

const THREADS: u32 = 64;

/// A log that can be told to take nothing for a while, and that takes a moment for each write.
struct Slow {
    file: File,
    is_paused: Arc<AtomicBool>,
    moment: Duration,
    most: usize,
}

impl std::io::Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        wait_until("the sink goes on", LATEST, || !self.is_paused.load(Ordering::SeqCst));
        if !self.moment.is_zero() {
            holds_within(self.moment, || false);
        }
        self.file.write(&bytes[..bytes.len().min(self.most)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Slow {
    fn new(place: &Place, moment: Duration, most: usize) -> Slow {
        let file =
            File::options().append(true).create(true).open(place.log()).expect("the folder is our own");
        Slow { file, is_paused: Arc::default(), moment, most }
    }
}

/// Threads that log until they are told to stop.
#[derive(Clone, Default)]
struct Crowd {
    written: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Crowd {
    /// Has a thread log, as fast as the others let it; it returns how many lines it logged.
    fn log(&self, queue: &SharedQueue, worker: u32) -> thread::JoinHandle<u64> {
        let (crowd, mut queue) = (self.clone(), queue.clone());
        thread::spawn(move || {
            let mut lines = 0;
            while !crowd.is_over.load(Ordering::SeqCst) {
                lines += 1;
                let line = numbered(worker, lines, 60) + "\n";
                queue.write_all(line.as_bytes()).expect("writing never fails");
                crowd.written.fetch_add(1, Ordering::SeqCst);
                holds_within(Duration::from_millis(1), || false);
            }
            lines
        })
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

#[test]
fn a_crowd_that_had_to_wait_is_as_fast_afterwards_as_before() {
    alone("crowds::a_crowd_that_had_to_wait_is_as_fast_afterwards_as_before", || {
        let place = Place::new();
        let sink = Slow::new(&place, Duration::ZERO, usize::MAX);
        let is_paused = Arc::clone(&sink.is_paused);
        let builder = SharedQueue::builder().capacity_bytes(64 * 1024).stall_timeout(3 * LATEST);
        let queue = builder.connect(place.queue()).expect("a ring can be made");
        let guard = Collector::builder(place.queue()).spawn(sink).expect("no other collector runs");
        let crowd = Crowd::default();
        let threads: Vec<_> = (0..THREADS).map(|worker| crowd.log(&queue, worker)).collect();
        wait_until("all of them log", LATEST, || crowd.written() > 5_000);
        is_paused.store(true, Ordering::SeqCst);
        wait_until("all of them wait, for long enough to stand in line", LATEST, || {
            let before = crowd.written();
            !holds_within(Duration::from_millis(300), || crowd.written() > before)
        });
        is_paused.store(false, Ordering::SeqCst);
        let before = crowd.written();
        wait_within("it is fast again", Duration::from_secs(6), || crowd.written() > before + 20_000);
        crowd.is_over.store(true, Ordering::SeqCst);
        let lines = threads.into_iter().map(|thread| thread.join().expect("no thread panics"));
        let expect = (0..)
            .zip(lines)
            .fold(Expect::new().bare_lines(), |expect, (worker, lines)| expect.worker(worker, lines));
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written, report.dropped, report.pending), (crowd.written(), 0, 0), "{report:?}");
        place.verify(&expect).assert_clean();
    });
}

/// Each of them comes round seldom enough that its own ring alone would look stalled.
#[test]
fn a_worker_whose_turn_comes_late_is_not_stalled_while_the_others_are_taken() {
    alone("crowds::a_worker_whose_turn_comes_late_is_not_stalled_while_the_others_are_taken", || {
        let (place, lines) = (Place::new(), 200);
        let connect = |_| {
            let builder = SharedQueue::builder().capacity_bytes(64 * 1024);
            let builder = builder.stall_timeout(Duration::from_millis(300));
            builder.connect(place.queue()).expect("a ring can be made")
        };
        let queues: Vec<SharedQueue> = (0..20).map(connect).collect();
        let sink = Slow::new(&place, Duration::from_millis(20), 64 * 1024);
        let guard = Collector::builder(place.queue()).spawn(sink).expect("no other collector runs");
        thread::scope(|scope| {
            for (worker, mut queue) in (0..).zip(queues.iter().cloned()) {
                scope.spawn(move || {
                    for n in 1..=lines {
                        let line = numbered(worker, n, 450) + "\n";
                        queue.write_all(line.as_bytes()).expect("writing never fails");
                    }
                });
            }
        });
        let dropped: Vec<u64> = queues.iter().map(|queue| queue.drops().queue_stalled).collect();
        assert_eq!(dropped.iter().sum::<u64>(), 0, "{dropped:?}");
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written, report.dropped, report.pending), (20 * lines, 0, 0), "{report:?}");
        let expect = (0..20).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, lines));
        place.verify(&expect).assert_clean();
    });
}

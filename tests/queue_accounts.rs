//! What the counters and the reports of queues say while threads are at work: never more than is true.
#![cfg(feature = "queue")]

mod support;

use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use support::{
    child::{Child, role},
    dir::Dir,
    verify::LogFamily,
};
use tracing_tasklog::writer::{SharedQueue, Stats, TaskWriter};

const ROUNDS: u64 = 10_000;

/// How long the counters are watched.
const WATCHED: Duration = Duration::from_secs(2);

/// As many bytes as an `InstanceFile` keeps at least, with every option at its default.
const KEPT: u64 = 40 << 20;

#[test]
fn child_drops_queues_before_their_guards() {
    if !role("child_drops_queues_before_their_guards") {
        return;
    }
    for _ in 0..ROUNDS {
        let (mut queue, guard) = SharedQueue::builder().spawn(io::sink()).expect("a thread can be made");
        (0..3).for_each(|_| queue.write_all(b"line\n").expect("writing never fails"));
        drop(queue);
        drop(guard);
    }
}

#[test]
fn a_queue_that_is_dropped_before_its_guard_reports_no_loss_when_there_is_none() {
    let child = Child::of_test("child_drops_queues_before_their_guards").limit(Duration::from_secs(120));
    let output = child.spawn().wait().assert_success();
    assert!(!output.stderr.contains("tracing-tasklog"), "{output}");
}

/// Looks at the counters again and again while two threads write lines; `stats` are what `look` is given.
fn watch(write: impl Fn() + Sync, stats: impl Fn() -> Stats, look: impl Fn(&Stats)) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    write();
                }
            });
        }
        let end = OnDrop(|| is_over.store(true, Ordering::Relaxed)); // after a panic too
        let began = Instant::now();
        while began.elapsed() < WATCHED {
            look(&stats());
        }
        drop(end);
    });
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_queue_and_the_file_behind_it_never_count_more_than_was_accepted() {
    let dir = Dir::new();
    let writer = TaskWriter::open(&format!("queued+instance:{}", dir.path("tasks.log").display()));
    let writer = writer.expect("the folder is the test's own");
    // No more than fits into the live file and its backups: else the oldest lines are removed.
    let bytes = AtomicU64::new(0);
    watch(
        || {
            if bytes.fetch_add(8, Ordering::Relaxed) < KEPT {
                writer.clone().write_all(b"one\ntwo\n").expect("writing never fails");
            }
        },
        || writer.stats(),
        |stats| {
            let counted = stats.written_lines + stats.dropped_lines + stats.queued_lines;
            assert_eq!(stats.accepted_lines, counted, "{stats:?}");
        },
    );
    writer.sync().expect("the disk has room");
    let stats = writer.stats();
    assert_eq!((stats.written_lines, stats.dropped_lines), (stats.accepted_lines, 0), "{stats:?}");
    assert_eq!(LogFamily::of(dir.path("tasks.log")).lines().len() as u64, stats.written_lines);
}

#[cfg(all(unix, feature = "multiprocess"))]
#[test]
fn a_worker_never_counts_more_as_written_than_it_has_accepted() {
    use tracing_tasklog::writer::Collector;

    let dir = Dir::new();
    let collector = Collector::builder(dir.path("q")).spawn(io::sink()).expect("nobody else collects");
    let queue =
        SharedQueue::builder().capacity_bytes(8192).connect(dir.path("q")).expect("a ring can be made");
    watch(
        || queue.clone().write_all(b"one\ntwo\n").expect("writing never fails"),
        || queue.stats(),
        |stats| {
            let counted = stats.written_lines + stats.dropped_lines + stats.queued_lines;
            assert_eq!(stats.accepted_lines, counted, "{stats:?}");
        },
    );
    collector.flush(Duration::from_secs(20)).expect("the sink takes everything");
    let stats = queue.stats();
    assert_eq!((stats.written_lines, stats.queued_lines), (stats.accepted_lines, 0), "{stats:?}");
}

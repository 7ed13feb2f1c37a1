//! `SharedQueue` when there is no room: who waits, for how long, what is dropped, and what the log says of it.
#![cfg(feature = "queue")]

#[path = "queue_overflow/announcements.rs"]
mod announcements;
#[path = "queue_overflow/errors.rs"]
mod errors;
#[path = "queue_overflow/pace.rs"]
mod pace;
mod queue_kit;
#[path = "queue_overflow/sizes.rs"]
mod sizes;
mod support;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use queue_kit::{Gate, LATEST, Log, Step, alone, line_length, write};
use support::{capture::under, holds_within, verify::LogFamily, wait_until};
use tracing::info;
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{Overflow, QueueGuard, SharedQueue, SharedQueueBuilder},
};

/// Room for ten lines of [`write`].
fn small() -> SharedQueueBuilder {
    SharedQueue::builder().capacity_bytes(10 * line_length(1))
}

/// A queue whose sink stands before a gate with the first line: from now on there is room for a few lines only.
fn stopped(builder: SharedQueueBuilder, log: &Log) -> (SharedQueue, QueueGuard, Gate) {
    let gate = Gate::shut();
    let before = gate.clone();
    let sink = log.sink(move |_, _| {
        before.pass();
        Step::Take
    });
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    write(&queue, 1, 1);
    wait_until("the sink is stopped", LATEST, || gate.has_visitors());
    (queue, guard, gate)
}

#[test]
fn block_waits_for_a_sink_that_stands_still_and_loses_nothing() {
    alone("block_waits_for_a_sink_that_stands_still_and_loses_nothing", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().stall_timeout(2 * LATEST), &log);
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                write(&queue, 2, 100);
                is_done.store(true, Ordering::SeqCst);
            });
            wait_until("the queue is full", LATEST, || queue.stats().accepted_lines > 8);
            let is_done = || is_done.load(Ordering::SeqCst);
            assert!(!holds_within(Duration::from_millis(300), is_done), "it didn't wait");
            assert!(queue.stats().queued_lines <= 12, "{:?}", queue.stats());
            gate.open();
            wait_until("it goes on", LATEST, is_done);
        });
        assert_eq!(log.settle(&queue, guard, 100).lost, 0);
    });
}

/// In all it takes longer than the stall timeout, but it goes on all the time.
#[test]
fn block_waits_for_a_slow_sink_and_loses_nothing() {
    alone("block_waits_for_a_slow_sink_and_loses_nothing", || {
        let log = Log::new();
        let sink = log.sink(|_, _| {
            holds_within(Duration::from_millis(50), || false);
            Step::Take
        });
        let stall = Duration::from_secs(1);
        let builder = SharedQueue::builder().capacity_bytes(4 * line_length(1)).stall_timeout(stall);
        let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
        let began = Instant::now();
        write(&queue, 1, 120);
        assert!(began.elapsed() > stall, "{:?}", began.elapsed());
        assert_eq!(log.settle(&queue, guard, 120).lost, 0);
    });
}

const STALL: Duration = Duration::from_millis(300);

#[test]
fn after_a_stall_lines_are_dropped_at_once_and_counted_until_the_sink_goes_on() {
    alone("after_a_stall_lines_are_dropped_at_once_and_counted_until_the_sink_goes_on", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().stall_timeout(STALL), &log);
        let began = Instant::now();
        write(&queue, 2, 1000);
        let took = began.elapsed();
        assert!(
            took >= STALL && took < STALL + LATEST / 2,
            "one call waits for the stall, no other: {took:?}"
        );
        let dropped = queue.drops().queue_stalled;
        assert!((980..1000).contains(&dropped) && queue.drops().queue_full == 0, "{:?}", queue.drops());
        gate.open();
        guard.flush(LATEST).expect("the sink goes on");
        write(&queue, 1001, 1100); // they wait for room again
        assert_eq!(log.settle(&queue, guard, 1100).lost, dropped);
        assert_eq!(log.announcements(), [format!("{dropped} lines dropped reason=\"queue stalled\"")]);
        // It stands where the lines are missing.
        let lines = log.dir.lines("tasks.log");
        let at = lines.iter().position(|line| line.starts_with("[-]")).expect("it is there");
        assert_eq!(at as u64, 1000 - dropped);
        assert!(lines[at + 1].starts_with("w=0 n=1001 "), "{}", lines[at + 1]);
    });
}

#[test]
fn threads_that_wait_for_a_stalled_sink_wait_for_it_together() {
    alone("threads_that_wait_for_a_stalled_sink_wait_for_it_together", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().stall_timeout(STALL), &log);
        let slowest = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    let began = Instant::now();
                    (0..50).for_each(|_| queue_kit::write_text(&queue, "[-] [a] many of them"));
                    slowest.fetch_max(began.elapsed().as_millis() as u64, Ordering::SeqCst);
                });
            }
        });
        let slowest = Duration::from_millis(slowest.into_inner());
        assert!(slowest >= STALL && slowest < STALL + Duration::from_secs(2), "{slowest:?}");
        gate.open();
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written + report.dropped, report.pending), (601, 0), "{report:?}");
    });
}

#[test]
fn block_for_returns_within_its_bound() {
    alone("block_for_returns_within_its_bound", || {
        let log = Log::new();
        let bound = Duration::from_millis(100);
        let builder = small().overflow(Overflow::BlockFor(bound)).stall_timeout(2 * LATEST);
        let (queue, guard, gate) = stopped(builder, &log);
        let mut n = 1;
        let mut last = Duration::ZERO;
        while queue.drops().queue_full < 3 {
            n += 1;
            let began = Instant::now();
            write(&queue, n, n);
            last = began.elapsed();
            assert!(last < bound + Duration::from_secs(1), "line {n} took {last:?}");
        }
        assert!(last >= bound, "it didn't wait: {last:?}");
        gate.open();
        assert_eq!(log.settle(&queue, guard, n).lost, 3);
        assert_eq!(log.announcements(), [r#"3 lines dropped reason="queue full""#]);
    });
}

#[test]
fn block_for_takes_the_line_when_there_is_room_in_time() {
    alone("block_for_takes_the_line_when_there_is_room_in_time", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().overflow(Overflow::BlockFor(LATEST)), &log);
        thread::scope(|scope| {
            scope.spawn(|| write(&queue, 2, 50));
            wait_until("the queue is full", LATEST, || queue.stats().accepted_lines > 8);
            gate.open();
        });
        assert_eq!(log.settle(&queue, guard, 50).lost, 0);
    });
}

#[test]
fn drop_newest_never_waits_and_counts_exactly() {
    alone("drop_newest_never_waits_and_counts_exactly", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().overflow(Overflow::DropNewest), &log);
        // That this ends with the gate shut says that no call waits for the sink.
        let mut calls: Vec<_> = (2..=20_000)
            .map(|n| {
                let began = Instant::now();
                write(&queue, n, n);
                began.elapsed()
            })
            .collect();
        assert!(gate.has_visitors());
        calls.sort_unstable();
        let p99 = calls[calls.len() * 99 / 100];
        assert!(p99 < Duration::from_millis(1), "p99 {p99:?}");
        let dropped = queue.drops().queue_full;
        assert!((19_980..20_000).contains(&dropped), "{:?}", queue.drops());
        gate.open();
        assert_eq!(log.settle(&queue, guard, 20_000).lost, dropped);
        assert_eq!(log.announcements(), [format!("{dropped} lines dropped reason=\"queue full\"")]);
    });
}

/// Lifecycle lines and separators of three hundred tasks, when nothing else has room any more.
#[test]
fn lines_about_tasks_have_room_when_the_queue_is_full() {
    alone("lines_about_tasks_have_room_when_the_queue_is_full", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().overflow(Overflow::DropNewest), &log);
        under(TaskLayer::new(queue.clone()).with_lifecycle(true), || {
            task_span!("noisy", 0).run_task(|| {
                while queue.drops().queue_full < 100 {
                    info!("more and more");
                }
            });
            for id in 1..=300 {
                let span = task_span!("quiet", id);
                span.record_retry(1);
                span.run_task(|| info!("no room for this"));
            }
        });
        assert_eq!(queue.drops().queue_full, 100 + 300);
        gate.open();
        assert_eq!(guard.shutdown(LATEST).dropped, 400);
        let tasks = LogFamily::of(log.path()).tasks();
        tasks.assert_every_task_complete(301);
        assert_eq!(tasks.only("300").retries, [1]);
        assert_eq!(log.announcements(), [r#"400 lines dropped reason="queue full""#]);
    });
}

/// With `Block` they don't wait either, as long as there is that room.
#[test]
fn lines_about_tasks_do_not_wait_when_the_queue_is_full() {
    alone("lines_about_tasks_do_not_wait_when_the_queue_is_full", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().stall_timeout(2 * LATEST), &log);
        // Filled to the brim, with nobody waiting.
        let brim = 10 * line_length(1) - line_length(1);
        queue_kit::write_text(&queue, &"x".repeat(brim - 1));
        let began = Instant::now();
        under(TaskLayer::new(queue.clone()).with_lifecycle(true), || task_span!("t", 1).run_task(|| ()));
        assert!(began.elapsed() < LATEST / 2 && gate.has_visitors(), "{:?}", began.elapsed());
        gate.open();
        assert_eq!(guard.shutdown(LATEST).written, 4);
    });
}

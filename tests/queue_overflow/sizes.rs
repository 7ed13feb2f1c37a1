//! Capacities and lines of all sizes.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{LATEST, Log, Step, alone, line_length, write};
use crate::{
    queue_kit::Scripted,
    support::{
        holds_within,
        verify::{Expect, numbered},
    },
};
use tracing_tasklog::writer::{Overflow, SharedQueue};

fn write_as(queue: &SharedQueue, worker: u32, n: u64, padding: usize) {
    let line = numbered(worker, n, padding) + "\n";
    io::Write::write_all(&mut queue.clone(), line.as_bytes()).expect("writing never fails");
}

#[test]
fn a_capacity_of_nothing_is_refused() {
    let error =
        SharedQueue::builder().capacity_bytes(0).spawn(io::sink()).expect_err("there is no room at all");
    let text = error.to_string();
    assert!(text.contains("capacity_bytes") && text.contains('0'), "{text}");
    assert!(!error.is_timeout() && !error.is_in_use());
}

#[test]
fn a_capacity_of_one_byte_is_enough_for_one_line_at_a_time() {
    alone("sizes::a_capacity_of_one_byte_is_enough_for_one_line_at_a_time", || {
        let log = Log::new();
        let sink = log.sink(|_, bytes| {
            assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
            Step::Take
        });
        let (queue, guard) =
            SharedQueue::builder().capacity_bytes(1).spawn(sink).expect("a thread can be made");
        thread::scope(|scope| {
            for worker in 0..3 {
                let queue = &queue;
                scope.spawn(move || (1..=300).for_each(|n| write_as(queue, worker, n, 9)));
            }
        });
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written, report.dropped, report.pending), (900, 0, 0));
        let expect = (0..3).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, 300));
        log.verify(&expect).assert_clean();
    });
}

#[test]
fn a_line_larger_than_the_queue_passes_alone() {
    alone("sizes::a_line_larger_than_the_queue_passes_alone", || {
        for overflow in [Overflow::Block, Overflow::BlockFor(LATEST), Overflow::DropNewest] {
            let log = Log::new();
            let builder = SharedQueue::builder().capacity_bytes(1000).overflow(overflow);
            let (queue, guard) = builder.spawn(log.file()).expect("a thread can be made");
            write_as(&queue, 0, 1, 300_000);
            guard.flush(LATEST).expect("the file takes everything");
            write_as(&queue, 0, 2, 9);
            assert_eq!(log.settle(&queue, guard, 2).lost, 0, "{overflow:?}");
        }
    });
}

/// Takes one line at a time, each when the queue is full again: as long as others find room, it never runs empty.
fn reluctant(log: &Log, queue: &Arc<OnceLock<SharedQueue>>) -> Scripted {
    let queue = Arc::clone(queue);
    log.sink(move |_, bytes| {
        let is_full = || queue.get().is_some_and(|queue| queue.stats().queued_lines >= 15);
        holds_within(Duration::from_millis(6), is_full);
        Step::TakeOnly(bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1))
    })
}

/// Three threads keep the queue full; lines of another that need all of it, or more, get their turn.
#[test]
fn lines_larger_than_the_queue_pass_while_others_log_all_the_time() {
    alone("sizes::lines_larger_than_the_queue_pass_while_others_log_all_the_time", || {
        let log = Log::new();
        let builder = SharedQueue::builder().capacity_bytes(20 * line_length(1));
        let handle = Arc::default();
        let (queue, guard) = builder.spawn(reluctant(&log, &handle)).expect("a thread can be made");
        handle.set(queue.clone()).expect("set once");
        let is_over = AtomicBool::new(false);
        let counts: Vec<u64> = thread::scope(|scope| {
            let (queue, is_over) = (&queue, &is_over);
            let busy: Vec<_> = (1..4)
                .map(|worker| {
                    scope.spawn(move || {
                        let written = (1..).take_while(|&n| {
                            write_as(queue, worker, n, 9);
                            !is_over.load(Ordering::SeqCst)
                        });
                        written.count() as u64 + 1
                    })
                })
                .collect();
            (1..=6).for_each(|n| write_as(queue, 0, n, 500 + 700 * (n as usize % 3)));
            is_over.store(true, Ordering::SeqCst);
            busy.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        let report = guard.shutdown(LATEST);
        assert_eq!((report.dropped, report.pending), (0, 0));
        let expect = Expect::new().bare_lines().worker(0, 6);
        let expect = (1..4).zip(counts).fold(expect, |expect, (worker, count)| expect.worker(worker, count));
        log.verify(&expect).assert_clean();
    });
}

#[test]
fn several_lines_in_one_call_are_taken_or_dropped_together() {
    alone("sizes::several_lines_in_one_call_are_taken_or_dropped_together", || {
        let log = Log::new();
        let (queue, guard, gate) = super::stopped(super::small().overflow(Overflow::DropNewest), &log);
        let text = |from: u64| (from..from + 5).map(|n| numbered(0, n, 9) + "\n").collect::<String>();
        for from in [2, 7, 12, 17] {
            io::Write::write_all(&mut queue.clone(), text(from).as_bytes()).expect("writing never fails");
        }
        assert_eq!(queue.drops().queue_full % 5, 0, "{:?}", queue.drops());
        assert_eq!(queue.stats().accepted_lines, 21);
        gate.open();
        guard.flush(LATEST).expect("the sink goes on");
        write(&queue, 22, 22);
        assert!(log.settle(&queue, guard, 22).lost >= 10);
    });
}

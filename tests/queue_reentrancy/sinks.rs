//! Sinks that log: in `write`, in `flush`, by a value that they drop.

use std::sync::{Arc, OnceLock};

use super::{LINES, Loud, Story, assert_story, log_inner, log_line, tiny};
use crate::{
    queue_kit::{Gate, LATEST, Log, Step, alone, write_text},
    support::{child::role, wait_until},
};
use tracing_tasklog::writer::SharedQueue;

fn quiet(_: u64) {}

#[test]
fn child_sink_logs_at_every_write() {
    if !role("sinks::child_sink_logs_at_every_write") {
        return;
    }
    let write = |_, _: &[u8]| {
        log_inner();
        Ok(())
    };
    let story = Story::begin(tiny(), Loud::new(write, quiet));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_at_every_write() {
    let left = assert_story("sinks::child_sink_logs_at_every_write");
    assert!(left.inner > 100 && left.inner > left.nested, "{}", left.output);
}

#[test]
fn child_sink_logs_at_every_tenth_write() {
    if !role("sinks::child_sink_logs_at_every_tenth_write") {
        return;
    }
    let write = |call, _: &[u8]| {
        if call % 10 == 0 {
            log_inner();
        }
        Ok(())
    };
    let story = Story::begin(tiny(), Loud::new(write, quiet));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_at_every_tenth_write() {
    let left = assert_story("sinks::child_sink_logs_at_every_tenth_write");
    // Now and then the tenth call is the one that writes an inner line.
    assert!(left.inner > 100 && left.inner > left.nested, "{}", left.output);
}

#[test]
fn child_sink_logs_in_flush() {
    if !role("sinks::child_sink_logs_in_flush") {
        return;
    }
    let story = Story::begin(tiny(), Loud::new(|_, _: &[u8]| Ok(()), |_| log_inner()));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_in_flush() {
    let left = assert_story("sinks::child_sink_logs_in_flush");
    assert!(left.inner > 100 && left.inner > left.nested, "{}", left.output);
}

/// Logs when it is dropped.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        log_inner();
    }
}

#[test]
fn child_sink_drops_what_logs() {
    if !role("sinks::child_sink_drops_what_logs") {
        return;
    }
    let write = |call, bytes: &[u8]| {
        // Several at a time, in the middle of the work with the lines.
        let garbage: Vec<_> = (0..call % 5).map(|_| Farewell).collect();
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        drop(garbage);
        assert!(lines > 0);
        Ok(())
    };
    let story = Story::begin(tiny(), Loud::new(write, quiet));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_drops_what_logs() {
    let left = assert_story("sinks::child_sink_drops_what_logs");
    assert!(left.inner > 100 && left.inner > left.nested, "{}", left.output);
}

/// How much the sink logs at once in the next test: more than is held for it.
const MUCH: u64 = 3_000;

#[test]
fn child_sink_logs_much_at_once() {
    if !role("sinks::child_sink_logs_much_at_once") {
        return;
    }
    let write = |call, _: &[u8]| {
        (0..if call == 1 { MUCH } else { 0 }).for_each(|_| log_inner());
        Ok(())
    };
    let story = Story::begin(tiny(), Loud::new(write, quiet));
    story.produce(LINES, log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_more_at_once_than_is_held_for_it() {
    let left = assert_story("sinks::child_sink_logs_much_at_once");
    assert_eq!(left.inner, MUCH, "{}", left.output);
    assert!((MUCH / 10..MUCH * 9 / 10).contains(&left.nested), "{}", left.output);
}

/// The line is still in the queue when that begins to end, so that the flush that follows it is the last.
#[test]
fn what_a_sink_logs_in_its_last_flush_is_written_before_the_queue_has_ended() {
    alone("sinks::what_a_sink_logs_in_its_last_flush_is_written_before_the_queue_has_ended", || {
        let log = Log::new();
        let own = Arc::new(OnceLock::<SharedQueue>::new());
        let handle = Arc::clone(&own);
        let sink = log.sink(|_, _| Step::Take).on_flush(move |call| {
            if call == 1 {
                write_text(handle.get().expect("it is there before the first line"), "the sink's");
            }
            Step::Take
        });
        let (queue, guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
        own.set(queue.clone()).expect("set once");
        write_text(&queue, "last");
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written, report.dropped, report.pending), (2, 0, 0));
        assert_eq!(log.text(), "last\nthe sink's\n");
    });
}

#[test]
fn what_a_sink_logs_stands_between_the_lines_before_and_after() {
    alone("sinks::what_a_sink_logs_stands_between_the_lines_before_and_after", || {
        let log = Log::new();
        let gates = [Gate::shut(), Gate::shut()];
        let (before, own) = (gates.clone(), Arc::new(OnceLock::<SharedQueue>::new()));
        let handle = Arc::clone(&own);
        let sink = log.sink(move |call, _| {
            if call == 1 {
                before[0].pass();
                write_text(handle.get().expect("it is there before the first line"), "the sink's");
                before[1].pass();
            }
            Step::Take
        });
        let (queue, guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
        own.set(queue.clone()).expect("set once");
        write_text(&queue, "first");
        wait_until("the sink has the first line", LATEST, || gates[0].has_visitors());
        write_text(&queue, "before");
        gates[0].open();
        wait_until("the sink has logged", LATEST, || gates[1].has_visitors());
        write_text(&queue, "after");
        gates[1].open();
        assert_eq!(guard.shutdown(LATEST).written, 4);
        assert_eq!(log.text(), "first\nbefore\nthe sink's\nafter\n");
    });
}

/// The guard is dropped by the sink, on the queue's own thread, where nobody may wait for the queue.
#[test]
fn child_sink_drops_the_guard() {
    if !role("sinks::child_sink_drops_the_guard") {
        return;
    }
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None));
    let theirs = std::sync::Arc::clone(&slot);
    let write = move |_, _: &[u8]| {
        log_inner();
        drop(theirs.lock().expect("nobody panics").take());
        Ok(())
    };
    let Story { queue, guard } = Story::begin(tiny(), Loud::new(write, quiet));
    *slot.lock().expect("nobody panics") = Some(guard);
    (1..=1000).for_each(|n| log_line(0, n));
    crate::support::wait_until("everything is written", crate::queue_kit::LATEST, || {
        queue.stats().queued_lines == 0
    });
}

#[test]
fn a_guard_that_the_sink_drops() {
    let log = Log::new();
    let child = crate::support::child::Child::of_test("sinks::child_sink_drops_the_guard");
    child.env("LOG", log.path()).limit(super::LIMIT).spawn().wait().assert_success();
    let expect = crate::support::verify::Expect::new().worker(0, 1000).other_lines();
    log.verify(&expect).assert_clean();
}

//! Sinks that log through their own collector: in `write`, in `flush`, when they are dropped.

use std::time::Duration;

use super::{LATEST, LINES, Loud, Place, Story, assert_story, collector, log_inner, log_line, messages};
use crate::{
    collector_kit::{log_path, told},
    queue_kit::{Gate, Step, scripted},
    support::{
        child::role,
        verify::{Expect, numbered},
        wait_until,
    },
};

#[test]
fn child_sink_logs() {
    if !role("sinks::child_sink_logs") {
        return;
    }
    let (at_write, at_flush) = (told("CASE").contains("write"), told("CASE").contains("flush"));
    let write = move |_, _: &[u8]| {
        if at_write {
            log_inner();
        }
        Ok(())
    };
    let flush = move |_| {
        if at_flush {
            log_inner();
        }
    };
    let story = Story::begin(collector(), Loud::new(write, flush));
    story.produce(log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_through_its_own_collector() {
    for case in ["write", "flush", "write and flush"] {
        let left = assert_story("sinks::child_sink_logs", case);
        assert!(left.inner > 20 && left.inner > left.nested, "{case}: {}", left.output);
    }
}

/// Logs when it is dropped.
struct LogsAtEnd;

impl Drop for LogsAtEnd {
    fn drop(&mut self) {
        log_inner();
    }
}

#[test]
fn child_sink_logs_when_it_is_dropped() {
    if !role("sinks::child_sink_logs_when_it_is_dropped") {
        return;
    }
    let last = LogsAtEnd;
    let write = move |call, _: &[u8]| {
        let _of_the_sink = &last;
        let of_each = LogsAtEnd;
        if call % 2 == 0 {
            drop(of_each)
        } else {
            std::mem::forget(of_each)
        }
        Ok(())
    };
    let story = Story::begin(collector(), Loud::new(write, |_| {}));
    story.produce(log_line);
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_drops_what_logs_and_logs_when_it_is_dropped() {
    let left = assert_story("sinks::child_sink_logs_when_it_is_dropped", "");
    assert!(left.inner > 10, "{}", left.output);
}

/// The ring is full, and both its producers wait, when the sink logs.
#[test]
fn child_sink_logs_while_its_ring_is_full() {
    if !role("sinks::child_sink_logs_while_its_ring_is_full") {
        return;
    }
    let gate = Gate::shut();
    let at_gate = gate.clone();
    let sink = scripted(log_path(), move |call, _| {
        if call == 1 {
            at_gate.pass();
            (0..10).for_each(|_| log_inner());
        }
        Step::Take
    });
    let story = Story::begin(collector(), sink);
    std::thread::scope(|scope| {
        for worker in 0..2 {
            scope.spawn(move || (1..=LINES).for_each(|n| log_line(worker, n)));
        }
        wait_until("the sink is at the gate", LATEST, || gate.has_visitors());
        let mut before = 0;
        wait_until("both wait for room", LATEST, || {
            std::thread::sleep(Duration::from_millis(50));
            let now = story.queue.stats().accepted_lines;
            now == std::mem::replace(&mut before, now)
        });
        assert!(before < 2 * LINES, "{before}");
        gate.open();
    });
    story.end(2 * LINES);
}

#[test]
fn a_sink_that_logs_while_its_ring_is_full() {
    let left = assert_story("sinks::child_sink_logs_while_its_ring_is_full", "");
    assert_eq!((left.inner, left.nested), (10, 0), "there is room aside: {}", left.output);
}

/// Another worker's sink, which is no collector: what it logs has room aside, and nobody reads it for a while.
#[test]
fn child_logs_from_a_sink_of_its_own() {
    if !role("sinks::child_logs_from_a_sink_of_its_own") {
        return;
    }
    let queue = crate::collector_kit::connect();
    let layer = tracing_subscriber::fmt::layer().with_level(false).with_target(false).with_ansi(false);
    crate::collector_kit::set_global(layer.without_time().with_writer(queue.clone()));
    let sink = scripted(log_path().with_extension("own"), |_, _| {
        (1..=SHORT).for_each(|n| tracing::info!("{n}"));
        Step::Take
    });
    let (own, guard) =
        tracing_tasklog::writer::SharedQueue::builder().spawn(sink).expect("a thread can be made");
    crate::queue_kit::write_text(&own, "once");
    assert_eq!(guard.shutdown(LATEST).written, 1);
    assert_eq!((queue.stats().queued_lines, queue.stats().dropped_lines), (SHORT, 0), "all have room");
    std::process::exit(0);
}

/// As many short lines as the aside lane has room for.
const SHORT: u64 = 2_500;

#[test]
fn all_lines_that_have_found_room_aside_are_written() {
    let place = Place::new();
    place.child("sinks::child_logs_from_a_sink_of_its_own").spawn().wait().assert_success();
    let guard = place.collect();
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (SHORT, 0, 0));
    let lines: Vec<_> = place.text().lines().map(str::to_owned).collect();
    let expected = (1..=SHORT).map(|n| n.to_string());
    assert!(expected.eq(lines.iter().map(|line| line.trim().to_owned())), "in order: {:?}", lines.first());
}

#[test]
fn child_sink_logs_between_lines() {
    if !role("sinks::child_sink_logs_between_lines") {
        return;
    }
    let gate = Gate::shut();
    let at_gate = gate.clone();
    let sink = scripted(log_path(), move |call, _| {
        if call == 1 {
            log_inner();
            at_gate.pass();
        }
        Step::Take
    });
    let story = Story::begin(collector(), sink);
    (1..=3).for_each(|n| log_line(0, n));
    wait_until("the sink has logged", LATEST, || gate.has_visitors());
    (4..=6).for_each(|n| log_line(0, n));
    gate.open();
    story.end(6);
}

/// What the sink logs stands behind all that was logged before and in front of all that came later.
#[test]
fn what_a_sink_logs_stands_where_it_belongs() {
    let place = Place::new();
    place.child("sinks::child_sink_logs_between_lines").spawn().wait().assert_success();
    place.verify(&Expect::new().worker(0, 6).other_lines()).assert_clean();
    let texts: Vec<_> = messages(&place).collect();
    let at = texts.iter().position(|text| text == "inner 1").expect("it is there");
    assert!(texts[at + 1..].contains(&numbered(0, 4, 9)), "{texts:#?}");
    assert!(texts[..at].contains(&numbered(0, 1, 9)), "{texts:#?}");
}

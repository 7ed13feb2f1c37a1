//! What the writing of inner lines causes in turn: it is counted, and doesn't go on for ever.

use std::{
    fs, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tracing::info;

use super::{LIMIT, Loud, Story, log_inner, tiny};
use crate::{
    queue_kit::{LATEST, Log, Step, alone, write_text},
    support::{
        child::{Child, role},
        holds_within, wait_until, wait_within,
    },
};
use tracing_tasklog::writer::SharedQueue;

/// How often the sink was called.
static CALLS: AtomicU64 = AtomicU64::new(0);

fn count() {
    CALLS.fetch_add(1, Ordering::SeqCst);
    log_inner();
}

fn calls() -> u64 {
    CALLS.load(Ordering::SeqCst)
}

fn assert_child(name: &str) {
    let log = Log::new();
    let child = Child::of_test(name).env("LOG", log.path()).limit(LIMIT);
    child.spawn().wait().assert_success();
}

#[test]
fn child_sink_logs_whatever_it_does() {
    if !role("echoes::child_sink_logs_whatever_it_does") {
        return;
    }
    let write = |_, _: &[u8]| {
        count();
        Ok(())
    };
    let story = Story::begin(SharedQueue::builder(), Loud::new(write, |_| count()));
    for round in 1..=10 {
        let before = calls();
        info!("round {round}");
        story.guard.flush(LATEST).expect("the sink takes everything");
        wait_until("the round is over", LATEST, || story.queue.stats().queued_lines == 0);
        holds_within(Duration::from_millis(100), || calls() > before + 1000);
        // The line, what its writing and its flush log, flushes, and what the log says of the losses.
        let calls = calls() - before;
        assert!(calls <= 10, "{calls} calls for one line");
    }
    let before = calls();
    let is_idle = !holds_within(Duration::from_millis(500), || calls() > before);
    assert!(is_idle, "{} calls of an idle queue's sink", calls() - before);
    story.end(10);
}

#[test]
fn a_sink_that_logs_whatever_it_does_is_left_in_peace_at_last() {
    assert_child("echoes::child_sink_logs_whatever_it_does");
}

#[test]
fn child_hook_logs_that_the_sink_is_broken() {
    if !role("echoes::child_hook_logs_that_the_sink_is_broken") {
        return;
    }
    let write = |_, _: &[u8]| {
        CALLS.fetch_add(1, Ordering::SeqCst);
        Err(io::Error::other("as told"))
    };
    let builder = tiny().on_error(|_| log_inner());
    let story = Story::begin(builder, Loud::new(write, |_| {}));
    info!("the only line");
    wait_until("it is given up", LATEST, || story.queue.drops().sink_failed > 0);
    holds_within(Duration::from_millis(200), || false);
    let before = calls();
    holds_within(Duration::from_secs(1), || calls() > before + 1000);
    let tries = calls() - before;
    assert!(tries <= 20, "{tries} calls of a broken sink in a second, because the hook logs about it");
    drop(story.guard);
}

#[test]
fn a_hook_that_logs_about_a_broken_sink_does_not_feed_it() {
    assert_child("echoes::child_hook_logs_that_the_sink_is_broken");
}

/// Two queues: what the thread of one logs into the other is written soon, though the other sleeps.
#[test]
fn child_sink_logs_into_another_queue() {
    if !role("echoes::child_sink_logs_into_another_queue") {
        return;
    }
    let story = Story::begin(SharedQueue::builder(), Loud::new(|_, _: &[u8]| Ok(()), |_| {}));
    let write = |_, _: &[u8]| {
        log_inner();
        Ok(())
    };
    let (other, other_guard) =
        SharedQueue::builder().spawn(Loud::new(write, |_| {})).expect("a thread can be made");
    for n in 1..=5 {
        let written = story.queue.stats().written_lines;
        // The queue under the global default has nothing to do, and sleeps.
        holds_within(Duration::from_millis(100), || false);
        crate::queue_kit::write(&other, n, n);
        wait_within("the other's line", Duration::from_secs(2), || {
            story.queue.stats().written_lines > written
        });
    }
    drop(other_guard);
    story.end(0);
}

#[test]
fn what_a_sink_logs_into_another_queue_is_written_at_once() {
    assert_child("echoes::child_sink_logs_into_another_queue");
}

#[test]
fn what_a_sink_logs_into_a_queue_that_has_ended_is_written_when_the_call_returns() {
    alone("echoes::what_a_sink_logs_into_a_queue_that_has_ended_is_written_when_the_call_returns", || {
        let (log, own) = (Log::new(), Log::new());
        let (ended, guard) = SharedQueue::builder().spawn(log.file()).expect("a thread can be made");
        drop(guard);
        let (path, found) = (log.path(), Arc::new(OnceLock::new()));
        let finds = Arc::clone(&found);
        let sink = own.sink(move |_, _| {
            write_text(&ended, "the sink's");
            let _ = finds.set(fs::read_to_string(&path).expect("it is there"));
            Step::Take
        });
        let (queue, guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
        write_text(&queue, "a line");
        assert_eq!(guard.shutdown(LATEST).written, 1);
        assert_eq!(found.get().map(String::as_str), Some("the sink's\n"));
    });
}

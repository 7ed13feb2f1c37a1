//! What the writing of inner lines causes in turn: it is counted, and doesn't go on for ever.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tracing::info;

use super::{LATEST, LIMIT, Loud, Place, Story, collector, log_inner};
use crate::support::{child::role, holds_within, stopwatch::Stopwatch, wait_until};

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
    let place = Place::new();
    place.child(name).limit(LIMIT).spawn().wait().assert_success();
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
    let story = Story::begin(collector(), Loud::new(write, |_| count()));
    for round in 1..=10 {
        let before = calls();
        info!("round {round}");
        story.guard.flush(LATEST).expect("the sink takes everything");
        wait_until("the round is over", LATEST, || story.queue.stats().queued_lines == 0);
        holds_within(Duration::from_millis(100), || calls() > before + 1000);
        // The line, what its writing and its flush log, flushes, and what the log says of the losses.
        let calls = calls() - before;
        assert!(calls <= 12, "{calls} calls for one line");
    }
    let before = calls();
    let is_idle = !holds_within(Duration::from_millis(700), || calls() > before);
    assert!(is_idle, "{} calls of an idle collector's sink", calls() - before);
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
    let story = Story::begin(collector().on_error(|_| log_inner()), Loud::new(write, |_| {}));
    info!("the only line");
    wait_until("it is given up", LATEST, || story.guard.drops().sink_failed > 0);
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

/// Flush, shutdown and the guard's drop, called by the sink or a hook: they would wait for themselves.
#[test]
fn child_sink_ends_its_own_collector() {
    if !role("echoes::child_sink_ends_its_own_collector") {
        return;
    }
    use std::sync::{Mutex, OnceLock};
    static GUARD: OnceLock<Mutex<Option<tracing_tasklog::writer::CollectorGuard>>> = OnceLock::new();
    let guard = GUARD.get_or_init(Mutex::default);
    let write = |call, _: &[u8]| {
        if call <= 2 {
            wait_until("the guard is there", LATEST, || guard.lock().expect("nobody panics").is_some());
            let own = guard.lock().expect("nobody panics").take().expect("it is there");
            if call == 1 {
                assert!(own.flush(Duration::from_secs(5)).is_err(), "it would wait for itself");
                *guard.lock().expect("nobody panics") = Some(own);
            }
        }
        count();
        Ok(())
    };
    let Story { queue, guard: own } = Story::begin(collector(), Loud::new(write, |_| {}));
    info!("one");
    *guard.lock().expect("nobody panics") = Some(own);
    wait_until("it is written", LATEST, || queue.stats().written_lines > 0);
    info!("two");
    wait_until("its guard is gone, and all is written", LATEST, || {
        guard.lock().expect("nobody panics").is_none() && queue.stats().written_lines >= 2
    });
}

#[test]
fn a_sink_that_flushes_and_ends_its_own_collector_waits_for_nothing() {
    let place = Place::new();
    let began = Stopwatch::start();
    place.child("echoes::child_sink_ends_its_own_collector").limit(LIMIT).spawn().wait().assert_success();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    place.collect_all(); // what was logged when it had ended
    let text = place.text();
    assert!(text.contains(" one\n") && text.contains(" two\n"), "{text}");
}

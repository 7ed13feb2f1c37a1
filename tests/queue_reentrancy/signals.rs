//! A signal handler that logs, while its thread logs all the time.

// Handlers of signals, and signals to one thread.
#![allow(unsafe_code)]

use std::{
    env,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{consts::SIGUSR1, low_level};
use tracing::info;

use super::{INNER, LIMIT, LINES, LINES_SINGLY, Loud, Story, TINY, assert_story_of, log_inner};
use crate::support::{
    child::{Child, role},
    verify::numbered,
};
use tracing_tasklog::writer::SharedQueue;

/// How many signals are sent; on a slow machine as many as are sent in `AT_MOST`, but never fewer than `AT_LEAST`.
const SIGNALS: u64 = 3_000;
const AT_LEAST: u64 = 400;
const AT_MOST: Duration = Duration::from_secs(3);

/// Logs lines that were made before. A thread that is interrupted in the allocator must not allocate in the handler: that
/// is nothing that a log can help.
fn log_all(texts: &[String]) {
    texts.iter().for_each(|text| info!("{text}"));
}

/// Sends a signal to a thread, again and again, each when the one before was handled.
fn interrupt(thread: libc::pthread_t) {
    let handled = || INNER.load(Ordering::SeqCst);
    let began = Instant::now();
    for sent in 0..SIGNALS {
        if sent >= AT_LEAST && began.elapsed() > AT_MOST {
            break;
        }
        let before = handled();
        // SAFETY: the thread lives until it is told that all was sent.
        assert_eq!(unsafe { libc::pthread_kill(thread, SIGUSR1) }, 0);
        while handled() == before {
            thread::yield_now();
        }
    }
}

#[test]
fn child_handler_logs() {
    if !role("signals::child_handler_logs") {
        return;
    }
    let number = |name| env::var(name).expect("the parent says it").parse().expect("a number");
    let builder = SharedQueue::builder().capacity_bytes(number("CAPACITY"));
    let story = Story::begin(builder, Loud::new(|_, _: &[u8]| Ok(()), |_| {}));
    log_inner(); // what tracing makes once for each place in the source is made here
    // SAFETY: what the handler does is what is tested.
    unsafe { low_level::register(SIGUSR1, log_inner) }.expect("SIGUSR1 can be handled");
    let lines = number("LINES") as u64;
    let texts = |worker| (1..=lines).map(|n| numbered(worker, n, 9)).collect::<Vec<_>>();
    let (interrupted, other) = (texts(0), texts(1));
    let (is_over, more) = (AtomicBool::new(false), AtomicU64::new(0));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| log_all(&other));
        scope.spawn(|| {
            let (first, interrupted) = interrupted.split_at(20);
            log_all(first); // makes what the thread keeps: its buffer, above all
            // SAFETY: it always succeeds.
            tell.send(unsafe { libc::pthread_self() }).expect("it is waited for");
            log_all(interrupted);
            while !is_over.load(Ordering::SeqCst) {
                info!("more");
                more.fetch_add(1, Ordering::SeqCst);
            }
        });
        interrupt(told.recv().expect("the thread begins"));
        is_over.store(true, Ordering::SeqCst);
    });
    story.end(2 * lines + more.into_inner());
}

fn assert_handled(capacity: usize, lines: u64) {
    let child = Child::of_test("signals::child_handler_logs");
    let child = child.env("CAPACITY", capacity.to_string()).env("LINES", lines.to_string());
    let left = assert_story_of(child.limit(2 * LIMIT), lines);
    assert!(left.inner >= AT_LEAST, "{}", left.output);
}

#[test]
fn a_signal_handler_that_logs_while_its_thread_waits_for_room() {
    assert_handled(TINY, LINES);
}

#[test]
fn a_signal_handler_that_logs_while_its_thread_waits_for_room_for_one_line() {
    assert_handled(1, LINES_SINGLY);
}

#[test]
fn a_signal_handler_that_logs_while_its_thread_has_the_lock() {
    assert_handled(1024 * 1024, LINES);
}

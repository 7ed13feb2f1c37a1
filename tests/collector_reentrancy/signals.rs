//! A signal handler that logs, while its thread logs all the time.

// Handlers of signals, and signals to one thread.
#![allow(unsafe_code)]

use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{consts::SIGUSR1, low_level};
use tracing::info;

use super::{INNER, LIMIT, LINES, Loud, Place, Story, assert_story_of, collector, log_inner};
use crate::support::{child::role, verify::numbered};

/// How many signals are sent; on a slow machine as many as are sent in `AT_MOST`, but never fewer than `AT_LEAST`.
const SIGNALS: u64 = 2_000;
const AT_LEAST: u64 = 400;
const AT_MOST: Duration = Duration::from_secs(2);

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
    let story = Story::begin(collector(), Loud::new(|_, _: &[u8]| Ok(()), |_| {}));
    log_inner(); // what tracing makes once for each place in the source is made here
    // SAFETY: what the handler does is what is tested.
    unsafe { low_level::register(SIGUSR1, log_inner) }.expect("SIGUSR1 can be handled");
    let texts = |worker| (1..=LINES).map(|n| numbered(worker, n, 9)).collect::<Vec<_>>();
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
    story.end(2 * LINES + more.into_inner());
}

#[test]
fn a_signal_handler_that_logs_into_a_thread_that_logs() {
    let place = Place::new();
    let child = place.child("signals::child_handler_logs").limit(2 * LIMIT);
    let left = assert_story_of(&place, child);
    assert!(left.inner >= AT_LEAST, "{}", left.output);
}

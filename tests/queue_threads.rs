//! Many threads that log a line each: what becomes of the lines, of the memory, and of the sleep of the thread that writes.
#![cfg(all(target_os = "linux", feature = "queue"))]

mod order_kit;
#[path = "queue_threads/program.rs"]
mod program;
mod support;

use std::{
    cell::RefCell,
    sync::{Arc, Barrier},
    thread::{self, JoinHandle},
    time::Duration,
};

use program::{Engine, Log, resident, sleeps};
use support::{
    child::say,
    holds_within,
    verify::{Expect, Kind},
    wait_within,
};

/// How many of the short-lived threads are alive at the same time.
const AT_ONCE: u32 = 200;

/// Has the threads `from..to` log, so many at a time: each ends when the last of its company has logged.
fn run_threads(from: u32, to: u32, log: impl Fn(u32) + Send + Copy + 'static) {
    let threads: Vec<u32> = (from..to).collect();
    for company in threads.chunks(AT_ONCE as usize) {
        let together = Arc::new(Barrier::new(company.len()));
        let start = |&n: &u32| {
            let together = Arc::clone(&together);
            thread::spawn(move || {
                log(n);
                together.wait();
            })
        };
        let company: Vec<JoinHandle<()>> = company.iter().map(start).collect();
        // A thread that was joined has run its destructors too; one of a scope may not have.
        company.into_iter().for_each(|thread| thread.join().expect("no call panics"));
    }
}

/// Every second thread logs through the layer, the others directly.
fn log_line(n: u32) {
    log_nth(n, 1);
}

fn log_nth(n: u32, counter: u64) {
    if n.is_multiple_of(2) { program::log(n, counter) } else { program::write(n, counter) }
}

/// Threads of the same number before, which leave what the allocator, the layer and the queue keep in reserve.
const WARM: u32 = 2_000;

/// KiB that may be in use more after ten thousand threads: 200 bytes a thread.
const GROWTH: i64 = 2 * 1024;

fn log_from_short_lived_threads(engine: Engine, count: u32) {
    let log = Log::new();
    let end = engine.start(&log, 1024 * 1024);
    run_threads(0, WARM, log_line);
    let before = resident();
    run_threads(WARM, WARM + count, log_line);
    let growth = resident() - before;
    let expect = (0..WARM + count).fold(Expect::new(), |expect, n| expect.worker(n, 1)).bare_lines();
    end(u64::from(WARM + count));
    log.verify(&expect).assert_clean();
    say(&format!("{growth} KiB more after {count} threads"));
    assert!(growth < GROWTH, "{growth} KiB more after {count} threads");
}

#[test]
fn ten_thousand_threads_of_one_line() {
    program::alone("ten_thousand_threads_of_one_line", || {
        log_from_short_lived_threads(Engine::Queue, 10_000);
    });
}

#[cfg(feature = "multiprocess")]
#[test]
fn ten_thousand_threads_of_one_line_in_a_worker() {
    program::alone("ten_thousand_threads_of_one_line_in_a_worker", || {
        log_from_short_lived_threads(Engine::Worker, 10_000);
    });
}

/// Logs when its thread ends.
struct Last {
    n: u32,
    counter: u64,
}

impl Drop for Last {
    fn drop(&mut self) {
        log_nth(self.n, self.counter);
    }
}

thread_local! {
    static EARLY: RefCell<Option<Last>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// One destructor is known to the thread before the queue's own, and one after them: whatever the order in which they run, one
/// of them finds the queue's gone. Of every third thread these lines are the first ones.
fn log_in_destructors(n: u32) {
    let logs_first = !n.is_multiple_of(3);
    let counters = if logs_first { [2, 3] } else { [1, 2] };
    let last = |counter| Some(Last { n, counter });
    EARLY.with_borrow_mut(|early| *early = last(counters[0]));
    if logs_first {
        log_nth(n, 1);
    }
    LATE.with_borrow_mut(|late| *late = last(counters[1]));
}

fn log_from_destructors(engine: Engine) {
    let log = Log::new();
    let end = engine.start(&log, 64 * 1024);
    run_threads(0, WARM, log_in_destructors);
    let before = resident();
    run_threads(WARM, 2 * WARM, log_in_destructors);
    let growth = resident() - before;
    let lines = |n: u32| if n.is_multiple_of(3) { 2 } else { 3 };
    let expect = (0..2 * WARM).fold(Expect::new(), |expect, n| expect.worker(n, lines(n))).bare_lines();
    end((0..2 * WARM).map(lines).sum());
    let verdict = log.verify(&expect);
    // Which of the two destructors runs first is up to the library.
    let faults: Vec<_> = verdict.faults.iter().filter(|fault| fault.kind != Kind::Order).collect();
    assert!(faults.is_empty() && verdict.found == (0..2 * WARM).map(lines).sum::<u64>(), "{verdict}");
    assert!(growth < GROWTH, "{growth} KiB more");
}

#[test]
fn lines_of_thread_local_destructors_are_there_once() {
    program::alone("lines_of_thread_local_destructors_are_there_once", || {
        log_from_destructors(Engine::Queue);
    });
}

#[cfg(feature = "multiprocess")]
#[test]
fn lines_of_thread_local_destructors_in_a_worker_are_there_once() {
    program::alone("lines_of_thread_local_destructors_in_a_worker_are_there_once", || {
        log_from_destructors(Engine::Worker);
    });
}

const ALIVE: u32 = 1_000;

/// How often the thread that writes goes to sleep in a second: at most so often in one of several seconds. A busy machine has it run
/// more often, and never less.
fn assert_sleeps(engine: Engine, most: u64) {
    let second = || {
        let before = sleeps(engine);
        holds_within(Duration::from_secs(1), || false);
        sleeps(engine) - before
    };
    let mut seconds = Vec::new();
    while seconds.last().is_none_or(|&slept| slept > most) {
        assert!(seconds.len() < 4, "it wakes up in each second: {seconds:?}");
        seconds.push(second());
    }
}

fn rest_with_many_threads(engine: Engine, most_sleeps: u64) {
    let log = Log::new();
    let end = engine.start(&log, 1024 * 1024);
    let (logged, over) = (Arc::new(Barrier::new(ALIVE as usize + 1)), Arc::new(Barrier::new(2)));
    let all_over = Arc::new(Barrier::new(ALIVE as usize + 1));
    let threads: Vec<JoinHandle<()>> = (0..ALIVE)
        .map(|n| {
            let (logged, over, all_over) = (logged.clone(), over.clone(), all_over.clone());
            thread::spawn(move || {
                log_line(n);
                logged.wait();
                if n == 0 {
                    over.wait();
                    log_nth(n, 2);
                }
                all_over.wait();
            })
        })
        .collect();
    logged.wait();
    let lines = || log.lines();
    support::wait_until("all lines are written", program::LATEST, || lines() == u64::from(ALIVE));
    holds_within(Duration::from_millis(500), || false);
    assert_sleeps(engine, most_sleeps);
    // It sleeps, it isn't dead: for a thread that it knows, and for a new one.
    let limit = Duration::from_millis(50);
    over.wait();
    wait_within("a thread that lives is heard", limit, || lines() == u64::from(ALIVE) + 1);
    thread::spawn(|| log_line(ALIVE)).join().expect("no call panics");
    wait_within("a new thread is heard", limit, || lines() == u64::from(ALIVE) + 2);
    all_over.wait();
    threads.into_iter().for_each(|thread| thread.join().expect("no call panics"));
    end(u64::from(ALIVE) + 2);
    let expect = (1..=ALIVE).fold(Expect::new().worker(0, 2), |expect, n| expect.worker(n, 1));
    log.verify(&expect.bare_lines()).assert_clean();
}

#[test]
fn a_thousand_threads_that_are_silent_wake_nobody() {
    program::alone("a_thousand_threads_that_are_silent_wake_nobody", || {
        rest_with_many_threads(Engine::Queue, 0);
    });
}

/// A collector looks for workers that are new or gone.
#[cfg(feature = "multiprocess")]
#[test]
fn a_thousand_threads_of_a_worker_that_are_silent_hardly_wake_the_collector() {
    program::alone("a_thousand_threads_of_a_worker_that_are_silent_hardly_wake_the_collector", || {
        rest_with_many_threads(Engine::Worker, 5);
    });
}

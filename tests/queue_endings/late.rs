//! Log calls where a program is nearly over: after the queue's end, in thread-local destructors, in exit hooks.

// `atexit` of the C library: there is no safe way to run code in an exit hook.
#![allow(unsafe_code)]

use std::{cell::RefCell, ffi::c_int, process, sync::atomic::Ordering, thread, time::Duration};

use tracing::info;
use tracing_tasklog::writer::SharedQueue;

use crate::{
    Held, LET_GO, SINKS, assert_log, case, is_in_file, log, run_with, set_global, sink,
    support::{child::role, verify::Expect},
};

unsafe extern "C" {
    fn atexit(hook: extern "C" fn()) -> c_int;
}

#[test]
fn child_logs_after_the_end_of_its_queue() {
    if !role("late::child_logs_after_the_end_of_its_queue") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().spawn(sink()).expect("a thread can be made");
    set_global(&queue);
    (1..=100).for_each(|n| log(0, n));
    match case().as_str() {
        "drop" => drop(guard),
        _ => assert_eq!(guard.shutdown(Duration::from_secs(5)).written, 100),
    }
    assert!(is_in_file(0, 100));
    thread::scope(|scope| {
        for worker in 0..3 {
            scope.spawn(move || {
                for n in if worker == 0 { 101..=150 } else { 1..=50 } {
                    log(worker, n);
                    assert!(is_in_file(worker, n), "it is written when the log call returns");
                }
            });
        }
    });
    let stats = queue.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.queued_lines), (250, 250, 0));
}

#[test]
fn lines_after_the_end_of_the_queue_are_in_the_file_when_the_log_call_returns() {
    for (sink, case) in
        [("file", "drop"), ("file", "shutdown"), ("buffered", "drop"), ("buffered", "shutdown")]
    {
        let (dir, output) = run_with("late::child_logs_after_the_end_of_its_queue", sink, case);
        output.assert_success();
        assert_log(
            &dir,
            &Expect::new().worker(0, 150).worker(1, 50).worker(2, 50),
            format_args!("{sink} {case}"),
        );
    }
}

/// Logs lines when its thread ends.
struct LastWords(u32);

impl Drop for LastWords {
    fn drop(&mut self) {
        (1..=100).for_each(|n| log(self.0, n));
    }
}

thread_local! {
    static EARLY: RefCell<Option<LastWords>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

/// Has this thread log when its other thread-locals are gone, and while some are there.
fn leave_last_words(early: u32, late: u32) {
    EARLY.with(|words| *words.borrow_mut() = Some(LastWords(early)));
    info!("hello"); // the thread-locals that a log call makes come in between
    LATE.with(|words| *words.borrow_mut() = Some(LastWords(late)));
}

#[test]
fn child_logs_in_thread_local_destructors() {
    if !role("late::child_logs_in_thread_local_destructors") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().capacity_bytes(4096).spawn(Held(sink())).expect("spawn");
    LET_GO.store(true, Ordering::Relaxed);
    set_global(&queue);
    thread::spawn(|| leave_last_words(1, 2)).join().expect("no thread panics");
    drop(guard);
    thread::spawn(|| leave_last_words(3, 4)).join().expect("no thread panics");
    assert!(case() == "instance" || (is_in_file(3, 100) && is_in_file(4, 100)), "there is no queue any more");
    leave_last_words(5, 6); // process::exit runs the destructors of the thread that calls it
    process::exit(0);
}

#[test]
fn log_calls_in_thread_local_destructors_are_written() {
    for sink in SINKS {
        let (dir, output) = run_with("late::child_logs_in_thread_local_destructors", sink, sink);
        let output = output.assert_success();
        let expect = (1..=6).fold(Expect::new().other_lines(), |expect, worker| expect.worker(worker, 100));
        assert_log(&dir, &expect, format_args!("{sink}: {output}"));
    }
}

extern "C" fn log_first() {
    (1..=500).for_each(|n| log(1, n));
}

extern "C" fn log_last() {
    (1..=500).for_each(|n| log(2, n));
}

fn register(hook: extern "C" fn()) {
    // SAFETY: the hook takes nothing and returns nothing. If it unwinds the process aborts, which the test sees.
    assert_eq!(unsafe { atexit(hook) }, 0);
}

#[test]
fn child_logs_in_exit_hooks() {
    if !role("late::child_logs_in_exit_hooks") {
        return;
    }
    register(log_last); // hooks run from the last to the first
    let builder = SharedQueue::builder().capacity_bytes(64 * 1024);
    let (queue, guard) = builder.spawn(Held(sink())).expect("a thread can be made");
    register(log_first);
    set_global(&queue);
    (1..=500).for_each(|n| log(0, n));
    LET_GO.store(true, Ordering::Relaxed);
    match case().as_str() {
        "ended" => drop(guard),
        _ => std::mem::forget(guard),
    }
}

#[test]
fn log_calls_in_exit_hooks_before_and_after_the_queues_are_written() {
    for case in ["ended", "running"] {
        for sink in SINKS {
            let (dir, output) = run_with("late::child_logs_in_exit_hooks", sink, case);
            let output = output.assert_success();
            let expect = Expect::new().worker(0, 500).worker(1, 500).worker(2, 500);
            assert_log(&dir, &expect, format_args!("{sink} {case}: {output}"));
        }
    }
}

//! The program aborts: with `flush_on_panic` nothing is lost, without it no more than the queue has room for.

use std::{
    os::unix::process::ExitStatusExt,
    panic, process,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use tracing_tasklog::writer::SharedQueue;

use crate::{
    ANY, Held, LET_GO, LIMIT, append_to, assert_log, case,
    kills::{CAPACITY, assert_lost_is_what_had_room, ledger},
    log, log_path, run_with, set_global,
    support::{
        child::{Child, Output, role, say},
        dir::Dir,
        ledger::Ledger,
        stopwatch::Stopwatch,
        verify::Expect,
        wait_until,
    },
};

/// Runs an entry point that aborts, without a core file.
fn aborted(name: &str, case: &str) -> (Dir, Output) {
    let dir = Dir::new();
    drop(Ledger::create(dir.path("ledger"), 3));
    let child = Child::of_test_after(name, "ulimit -c 0").env("LOG", dir.path("tasks.log")).env("CASE", case);
    let output = child.limit(LIMIT).spawn().wait();
    assert_eq!(output.status.signal(), Some(6), "it aborts: {output}");
    (dir, output)
}

/// Logs, with two others, through a small queue with a slow sink, which is full all the time.
fn keep_it_full() {
    LET_GO.store(true, Ordering::Relaxed);
    for worker in 0..2 {
        thread::spawn(move || {
            for n in 1.. {
                ledger().around(worker, n, || log(worker, n));
            }
        });
    }
    (1..=2000).for_each(|n| ledger().around(2, n, || log(2, n)));
    wait_until("the others log", LIMIT, || ledger().read().iter().all(|w| w.1 > 100));
}

/// Panics on this thread or on another one, and says what had returned before.
fn panic_at_last() {
    let panics = || {
        ledger().read().iter().for_each(|worker| say(&format!("returned={}", worker.1)));
        panic!("as told");
    };
    match case().as_str() {
        "main" => panics(),
        _ => drop(thread::spawn(panics).join()),
    }
}

#[test]
fn child_aborts() {
    if !role("aborts::child_aborts") {
        return;
    }
    let builder = SharedQueue::builder().capacity_bytes(CAPACITY);
    let (queue, guard) = builder.spawn(Held(append_to(log_path()))).expect("a thread can be made");
    set_global(&queue);
    // What `panic = "abort"` does when the hook returns.
    panic::set_hook(Box::new(|_| process::abort()));
    if !case().ends_with("unflushed") {
        guard.flush_on_panic();
    }
    keep_it_full();
    panic_at_last();
}

#[test]
fn flush_on_panic_loses_no_line_from_before_the_panic() {
    for case in ["main", "other"] {
        let (dir, output) = aborted("aborts::child_aborts", case);
        let returned = output.stdout.lines().filter_map(|line| line.strip_prefix("returned=")?.parse().ok());
        let returned: Vec<u64> = returned.collect();
        assert_eq!((returned.len(), returned[2]), (3, 2000), "{output}");
        let expect = (0..).zip(returned).fold(Expect::new(), |expect, (worker, returned)| {
            expect.worker(worker, returned).allowed(worker, ANY)
        });
        assert_log(&dir, &expect.open_fragments(), case);
    }
}

#[test]
fn an_abort_costs_no_more_than_the_queue_has_room_for() {
    let (dir, _output) = aborted("aborts::child_aborts", "unflushed");
    assert_lost_is_what_had_room(&dir, CAPACITY);
}

#[test]
fn child_panics_while_its_sink_hangs() {
    if !role("aborts::child_panics_while_its_sink_hangs") {
        return;
    }
    let (queue, guard) =
        SharedQueue::builder().spawn(Held(append_to(log_path()))).expect("a thread can be made");
    set_global(&queue);
    guard.flush_on_panic();
    log(0, 1);
    let (began, watch) = (Instant::now(), Stopwatch::start());
    assert!(thread::spawn(|| panic!("as told")).join().is_err());
    let (waited, blamed) = (began.elapsed(), watch.elapsed());
    assert!(waited >= Duration::from_secs(4) && blamed < Duration::from_secs(6), "{waited:?} {blamed:?}");
    LET_GO.store(true, Ordering::Relaxed);
}

#[test]
fn a_panic_waits_five_seconds_at_most_and_then_calls_the_hook_from_before() {
    let (dir, output) = run_with("aborts::child_panics_while_its_sink_hangs", "file", "");
    let output = output.assert_success();
    assert!(output.stderr.contains("panicked") && output.stderr.contains("as told"), "{output}");
    assert_log(&dir, &Expect::new().worker(0, 1), output);
}

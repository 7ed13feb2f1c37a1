//! The program ends by itself, with the guard at its place, or anywhere else.

use std::{
    mem, panic, process,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tracing_tasklog::writer::{QueueGuard, SharedQueue};

use crate::{
    ANY, Held, LET_GO, LIMIT, LINES, SINKS, assert_all_lines, assert_log, is_in_file, log, run, set_global,
    sink,
    support::{
        child::{role, say},
        verify::Expect,
        wait_until,
    },
};

/// A queue for all that is logged, with lines in it of which none is written.
fn full_queue() -> (SharedQueue, QueueGuard) {
    let (queue, guard) = SharedQueue::builder().spawn(Held(sink())).expect("a thread can be made");
    set_global(&queue);
    (1..=LINES).for_each(|n| log(0, n));
    let stats = queue.stats();
    assert_eq!((stats.queued_lines, stats.written_lines), (LINES, 0), "the sink takes nothing yet");
    (queue, guard)
}

/// From now on the sink takes what there is.
fn let_go() {
    LET_GO.store(true, Ordering::Relaxed);
}

#[test]
fn child_returns() {
    if !role("guards::child_returns") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let_go();
}

#[test]
fn a_return_with_the_guard_loses_nothing() {
    assert_all_lines("guards::child_returns", LINES);
}

#[test]
fn child_panics() {
    if !role("guards::child_panics") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let_go();
    panic!("as told");
}

#[test]
fn a_panic_that_unwinds_through_the_guard_loses_nothing() {
    for sink in SINKS {
        let (dir, output) = run("guards::child_panics", sink);
        assert_eq!(output.status.code(), Some(101), "{output}");
        assert_log(&dir, &Expect::new().worker(0, LINES), sink);
    }
}

#[test]
fn child_loses_a_thread() {
    if !role("guards::child_loses_a_thread") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let other = thread::spawn(|| {
        (1..=LINES).for_each(|n| log(1, n));
        panic!("as told");
    });
    assert!(other.join().is_err(), "it panics");
    (LINES + 1..=LINES + 10).for_each(|n| log(0, n));
    let_go();
}

#[test]
fn a_panic_of_another_thread_loses_nothing() {
    for sink in SINKS {
        let (dir, output) = run("guards::child_loses_a_thread", sink);
        output.assert_success();
        assert_log(&dir, &Expect::new().worker(0, LINES + 10).worker(1, LINES), sink);
    }
}

#[test]
fn child_exits() {
    if !role("guards::child_exits") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let_go();
    process::exit(0);
}

#[test]
fn process_exit_loses_nothing() {
    assert_all_lines("guards::child_exits", LINES);
}

#[test]
fn child_exits_elsewhere() {
    if !role("guards::child_exits_elsewhere") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let exits = thread::spawn(|| {
        let_go();
        process::exit(0);
    });
    exits.join().expect("it never returns");
}

#[test]
fn process_exit_on_another_thread_loses_nothing() {
    assert_all_lines("guards::child_exits_elsewhere", LINES);
}

#[test]
fn child_exits_while_others_log() {
    if !role("guards::child_exits_while_others_log") {
        return;
    }
    let (_queue, _guard) = full_queue();
    let returned = &*Box::leak(Box::new([const { AtomicU64::new(0) }; 3]));
    for (worker, returned) in (1..).zip(returned) {
        thread::spawn(move || {
            for n in 1.. {
                log(worker, n);
                returned.store(n, Ordering::Release);
            }
        });
    }
    let_go();
    let all_log = || returned.iter().all(|returned| returned.load(Ordering::Acquire) > 1000);
    wait_until("the others log", LIMIT, all_log);
    for (worker, returned) in (1..).zip(returned) {
        say(&format!("w{worker}={}", returned.load(Ordering::Acquire)));
    }
    process::exit(0);
}

#[test]
fn process_exit_while_others_log_loses_no_line_from_before() {
    for sink in SINKS {
        let (dir, output) = run("guards::child_exits_while_others_log", sink);
        let output = output.assert_success();
        let mut expect = Expect::new().worker(0, LINES).open_fragments();
        for worker in 1..=3 {
            let key = format!("w{worker}=");
            let said = output.stdout.lines().find_map(|line| line.strip_prefix(&key)?.parse().ok());
            expect = expect.worker(worker, said.expect("it says so")).allowed(worker, ANY);
        }
        assert_log(&dir, &expect, sink);
    }
}

#[test]
fn child_forgets_its_guard() {
    if !role("guards::child_forgets_its_guard") {
        return;
    }
    let (_queue, guard) = full_queue();
    mem::forget(guard);
    let_go();
}

#[test]
fn a_forgotten_guard_loses_nothing() {
    assert_all_lines("guards::child_forgets_its_guard", LINES);
}

static GUARD: OnceLock<QueueGuard> = OnceLock::new();

#[test]
fn child_has_its_guard_in_a_static() {
    if !role("guards::child_has_its_guard_in_a_static") {
        return;
    }
    let (_queue, guard) = full_queue();
    GUARD.get_or_init(|| guard);
    let_go();
}

#[test]
fn a_guard_in_a_static_loses_nothing() {
    assert_all_lines("guards::child_has_its_guard_in_a_static", LINES);
}

#[test]
fn child_never_binds_its_guard() {
    if !role("guards::child_never_binds_its_guard") {
        return;
    }
    let (queue, _) = SharedQueue::builder().spawn(sink()).expect("a thread can be made");
    set_global(&queue);
    for n in 1..=200 {
        log(0, n);
        assert!(is_in_file(0, n), "line {n} is written when the log call returns");
    }
    assert!(panic::catch_unwind(|| panic!("as told")).is_err());
    log(0, 201);
}

#[test]
fn a_guard_that_is_dropped_at_once_has_every_line_written_directly() {
    for sink in ["file", "buffered"] {
        let (dir, output) = run("guards::child_never_binds_its_guard", sink);
        output.assert_success();
        assert_log(&dir, &Expect::new().worker(0, 201), sink);
    }
}

//! Ends with more than a queue and its guard: tasks that are open, several queues, scoped subscribers, clones.

use std::{
    io::{self, Write},
    mem, process,
    sync::atomic::Ordering,
    time::Duration,
};

use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::SharedQueue};

use crate::{
    Held, LET_GO, LIMIT, SINKS, append_to, assert_log, case, is_in_file, log, log_path, message, run,
    run_with, sink,
    support::{
        child::{hang, role},
        stopwatch::Stopwatch,
        verify::{Expect, LogFamily},
        wait_until,
    },
};

#[test]
fn child_leaves_tasks_open() {
    if !role("several::child_leaves_tasks_open") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().spawn(Held(sink())).expect("a thread can be made");
    let layer = TaskLayer::new(queue).with_lifecycle(true);
    dispatcher::set_global_default(Dispatch::new(Registry::default().with(layer))).expect("it is the first");
    for id in 0..20 {
        let span = task_span!("t", id);
        span.in_scope(|| (1..=10).for_each(|n| log(id, n)));
        mem::forget(span);
    }
    task_span!("t", 20).run_task(|| info!("done"));
    LET_GO.store(true, Ordering::Relaxed);
    match case().as_str() {
        "exit" => process::exit(0),
        "forget" => mem::forget(guard),
        _ => drop(guard),
    }
}

#[test]
fn tasks_that_are_open_at_the_end_read_interrupted() {
    for sink in SINKS {
        for case in ["exit", "forget", "drop"] {
            let (dir, output) = run_with("several::child_leaves_tasks_open", sink, case);
            let output = output.assert_success();
            let expect =
                (0..20).fold(Expect::new().other_lines(), |expect, worker| expect.worker(worker, 10));
            assert_log(&dir, &expect, format_args!("{sink} {case}: {output}"));
            let tasks = LogFamily::of(dir.path("tasks.log")).tasks();
            tasks.assert_every_task_complete(21);
            let interrupted = tasks.all().iter().filter(|task| task.status() == Some("INTERRUPTED")).count();
            assert_eq!(interrupted, 20, "{sink} {case}");
        }
    }
}

/// A sink that never returns.
struct Hangs;

impl Write for Hangs {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        hang()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn child_has_several_queues() {
    if !role("several::child_has_several_queues") {
        return;
    }
    let spawn = |name: &str| {
        let sink = Held(append_to(log_path().with_file_name(name)));
        SharedQueue::builder().spawn(sink).expect("a thread can be made")
    };
    let (first, first_guard) = spawn("first.log");
    let builder = SharedQueue::builder().stall_timeout(Duration::from_millis(500));
    let (stuck, stuck_guard) = builder.spawn(Hangs).expect("a thread can be made");
    let (last, last_guard) = spawn("last.log");
    let layers = Registry::default().with(TaskLayer::new(first)).with(TaskLayer::new(last));
    let is_stuck = case().contains("stuck");
    let dispatch =
        if is_stuck { Dispatch::new(layers.with(TaskLayer::new(stuck))) } else { Dispatch::new(layers) };
    dispatcher::set_global_default(dispatch).expect("it is the first");
    (1..=3000).for_each(|n| log(0, n));
    LET_GO.store(true, Ordering::Relaxed);
    if case().contains("return") {
        drop((first_guard, stuck_guard, last_guard));
    } else {
        mem::forget((first_guard, stuck_guard, last_guard));
    }
}

#[test]
fn several_queues_end_well_together_also_when_one_of_them_hangs() {
    for case in ["return", "forget", "stuck, return", "stuck, forget"] {
        let began = Stopwatch::start();
        let (dir, output) = run_with("several::child_has_several_queues", "file", case);
        let output = output.assert_success();
        assert!(began.elapsed() < Duration::from_secs(8), "{case}: {:?}", began.elapsed());
        for name in ["first.log", "last.log"] {
            let verdict = LogFamily::of(dir.path(name)).verify(&Expect::new().worker(0, 3000));
            assert!(verdict.faults.is_empty(), "{case}, {name}: {verdict}\n{output}");
        }
    }
}

#[test]
fn child_has_a_scoped_subscriber() {
    if !role("several::child_has_a_scoped_subscriber") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().spawn(Held(sink())).expect("a thread can be made");
    let mut guard = Some(guard);
    LET_GO.store(true, Ordering::Relaxed);
    tracing::subscriber::with_default(Registry::default().with(TaskLayer::new(queue)), || {
        (1..=1000).for_each(|n| log(0, n));
        match case().as_str() {
            "exit inside" => process::exit(0),
            "drop inside" => drop(guard.take()),
            "forget" => mem::forget(guard.take()),
            _ => {}
        }
    });
    // The last clone went with the subscriber.
}

#[test]
fn a_queue_under_a_scoped_subscriber_loses_nothing() {
    for sink in SINKS {
        for case in ["exit inside", "drop inside", "forget", "drop outside"] {
            let (dir, output) = run_with("several::child_has_a_scoped_subscriber", sink, case);
            let output = output.assert_success();
            assert_log(&dir, &Expect::new().worker(0, 1000), format_args!("{sink} {case}: {output}"));
        }
    }
}

/// Writes lines of worker 0 without any subscriber.
fn write(queue: &SharedQueue, n: u64) {
    let line = format!("[-] [clones] 2026-01-01T12:00:00 {}\n", message(0, n));
    queue.clone().write_all(line.as_bytes()).expect("writing never fails");
}

#[test]
fn child_drops_clones_and_guard() {
    if !role("several::child_drops_clones_and_guard") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().spawn(Held(sink())).expect("a thread can be made");
    let clone = queue.clone();
    (1..=1000).for_each(|n| write(&queue, n));
    drop(queue);
    LET_GO.store(true, Ordering::Relaxed);
    if case() == "guard first" {
        drop(guard);
        assert!(is_in_file(0, 1000));
        (1001..=1010).for_each(|n| write(&clone, n));
        assert!(is_in_file(0, 1010));
        drop(clone);
        return;
    }
    (1001..=1010).for_each(|n| write(&clone, n));
    drop(clone);
    wait_until("all is written, though the guard lives", LIMIT, || is_in_file(0, 1010));
    guard.flush(Duration::from_secs(5)).expect("nothing is to be done");
    let report = guard.shutdown(Duration::from_secs(5));
    assert_eq!((report.written, report.dropped, report.pending), (1010, 0, 0));
}

#[test]
fn the_last_clone_and_the_guard_may_go_in_any_order() {
    for sink in ["file", "buffered"] {
        for case in ["guard first", "clones first"] {
            let (dir, output) = run_with("several::child_drops_clones_and_guard", sink, case);
            let output = output.assert_success();
            assert_log(&dir, &Expect::new().worker(0, 1010), format_args!("{sink} {case}: {output}"));
        }
    }
}

#[test]
fn child_forgets_all_of_it() {
    if !role("several::child_forgets_all_of_it") {
        return;
    }
    let (queue, guard) = SharedQueue::builder().spawn(Held(sink())).expect("a thread can be made");
    mem::forget(guard);
    (1..=1000).for_each(|n| write(&queue, n));
    LET_GO.store(true, Ordering::Relaxed);
    drop(queue); // the queue ends by itself now; nobody holds it but its thread
}

#[test]
fn a_queue_that_nobody_holds_any_more_is_written_too() {
    for sink in SINKS {
        let (dir, output) = run("several::child_forgets_all_of_it", sink);
        let output = output.assert_success();
        assert_log(&dir, &Expect::new().worker(0, 1000), format_args!("{sink}: {output}"));
    }
}

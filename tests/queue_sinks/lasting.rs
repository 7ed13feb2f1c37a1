//! Sinks that never work again, or hang: the program ends within its limits all the same. Each in a process of its own.

use std::{
    env,
    io::{ErrorKind, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::Step;
use crate::{
    queue_kit::{Gate, LATEST, Log, Told, alone, write, write_text},
    support::{
        child::{Child, Output, Spawn, role, say},
        fork, holds_within,
        stopwatch::Stopwatch,
        wait_until,
    },
};
use tracing_tasklog::writer::{QueueGuard, SharedQueue};

/// How long a child may live that has nothing to wait for but a stall of [`STALL`].
const LIMIT: Duration = Duration::from_secs(8);
const STALL: Duration = Duration::from_millis(300);

fn run(name: &str, end: &str) -> Output {
    in_time(Child::of_test(name).env("END", end))
}

/// How a child ends, which does it within its limit.
fn in_time(child: Spawn) -> Output {
    let watch = Stopwatch::start();
    let output = child.spawn().wait();
    assert!(watch.elapsed() < LIMIT, "{:?} {output}", watch.elapsed());
    output
}

/// How the parent wants this child to end.
fn end(queue: &SharedQueue, guard: QueueGuard) {
    let way = env::var("END").expect("the parent says how");
    say(&format!("ends by {way}"));
    match way.as_str() {
        "drop" => drop(guard),
        "shutdown" => {
            let report = guard.shutdown(STALL);
            let stats = queue.stats();
            assert_eq!(report.written + report.dropped + report.pending, stats.accepted_lines, "{report:?}");
        }
        "flush" => say(&format!("flushed: {}", guard.flush(STALL).is_ok())),
        "exit" => std::process::exit(0),
        "forget" => std::mem::forget(guard),
        other => panic!("{other}?"),
    }
    say("ended");
}

const WAYS: [&str; 5] = ["drop", "shutdown", "flush", "exit", "forget"];

#[test]
fn child_has_a_sink_that_hangs() {
    if !role("lasting::child_has_a_sink_that_hangs") {
        return;
    }
    let (log, gate) = (Log::new(), Gate::shut());
    let before = gate.clone();
    let sink = log.sink(move |call, _| {
        if call > 1 {
            before.pass();
        }
        Step::Take
    });
    let builder = SharedQueue::builder().stall_timeout(STALL).capacity_bytes(1000);
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    write(&queue, 1, 1);
    guard.flush(LATEST).expect("the first line is taken");
    // More than there is room for: the calls wait for a stall once, and are dropped then.
    let began = Instant::now();
    write(&queue, 2, 500);
    assert!(began.elapsed() >= STALL, "{:?}", began.elapsed());
    assert!(gate.has_visitors() && queue.drops().queue_stalled > 400, "{:?}", queue.drops());
    end(&queue, guard);
}

#[test]
fn a_sink_that_hangs_does_not_keep_the_program() {
    for way in WAYS {
        let output = run("lasting::child_has_a_sink_that_hangs", way).assert_success();
        let is_told =
            [" lines are still in the queue", " lines are lost"].map(|text| output.stderr.contains(text));
        assert!(is_told.contains(&true), "{way}: what is left is told: {output}");
    }
}

#[test]
fn child_has_a_broken_sink() {
    if !role("lasting::child_has_a_broken_sink") {
        return;
    }
    let step = if env::var_os("PANICS").is_some() { Step::Panic } else { Step::Break };
    let log = Log::new();
    let sink = log.sink(move |call, _| if call > 1 { step } else { Step::Take });
    let builder = SharedQueue::builder().stall_timeout(STALL).on_error(Told::default().hook());
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    write(&queue, 1, 1);
    guard.flush(LATEST).expect("the first line is taken");
    write(&queue, 2, 200);
    end(&queue, guard);
    if env::var("END").is_ok_and(|way| way == "drop") {
        let stats = queue.stats();
        assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (200, 1, 199));
    }
}

#[test]
fn a_sink_that_is_broken_for_good_does_not_keep_the_program() {
    for way in WAYS {
        run("lasting::child_has_a_broken_sink", way).assert_success();
    }
}

#[test]
fn a_sink_that_always_panics_does_not_keep_the_program() {
    for way in WAYS {
        let child = Child::of_test("lasting::child_has_a_broken_sink").env("PANICS", "1").env("END", way);
        in_time(child).assert_success();
    }
}

#[test]
fn child_is_idle_behind_a_broken_sink() {
    if !role("lasting::child_is_idle_behind_a_broken_sink") {
        return;
    }
    let step = if env::var_os("PANICS").is_some() { Step::Panic } else { Step::Break };
    let (log, told) = (Log::new(), Told::default());
    let is_healed = Arc::new(AtomicBool::new(false));
    let works = Arc::clone(&is_healed);
    let sink = log.sink(move |_, _| if works.load(Ordering::SeqCst) { Step::Take } else { step });
    let calls = sink.calls();
    let (queue, guard) =
        SharedQueue::builder().on_error(told.hook()).spawn(sink).expect("a thread can be made");
    write(&queue, 1, 20);
    wait_until("every line is given up", LATEST, || queue.stats().dropped_lines == 20);
    // The announcement may be tried again meanwhile, but not all the time, and nobody is told all the time.
    let (before, heard) = (calls.writes(), told.all().len());
    holds_within(Duration::from_secs(1), || calls.writes() > before + 1000);
    let (tries, told) = (calls.writes() - before, told.all().len() - heard);
    assert!(tries <= 20 && told <= 20, "{tries} tries and {told} calls of the hook in a second of idleness");
    is_healed.store(true, Ordering::SeqCst);
    write(&queue, 21, 30);
    assert_eq!(log.settle(&queue, guard, 30).lost, 20);
}

#[test]
fn a_broken_sink_is_left_in_peace_and_told_of_its_losses_when_it_works_again() {
    let name = "lasting::child_is_idle_behind_a_broken_sink";
    in_time(Child::of_test(name)).assert_success();
    in_time(Child::of_test(name).env("PANICS", "1")).assert_success();
}

#[test]
fn a_line_after_the_end_waits_for_a_full_disk_no_longer_than_for_one_that_hangs() {
    alone("lasting::a_line_after_the_end_waits_for_a_full_disk_no_longer_than_for_one_that_hangs", || {
        let log = Log::new();
        let has_room = Arc::new(AtomicBool::new(false));
        let is_freed = Arc::clone(&has_room);
        let full = Step::Fail(ErrorKind::StorageFull);
        let sink = log.sink(move |_, _| if is_freed.load(Ordering::SeqCst) { Step::Take } else { full });
        let builder = SharedQueue::builder().stall_timeout(STALL).on_error(Told::default().hook());
        let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
        drop(guard);
        let began = Instant::now();
        write(&queue, 1, 1);
        let waited = began.elapsed();
        assert!((STALL..LATEST).contains(&waited), "{waited:?}");
        let stats = queue.stats();
        assert_eq!((stats.queued_lines, stats.dropped_lines), (1, 0), "{stats:?}");
        has_room.store(true, Ordering::SeqCst);
        wait_until("the line is written", LATEST, || queue.clone().flush().is_ok());
        assert_eq!((queue.stats().written_lines, log.dir.lines("tasks.log").len()), (1, 1));
    });
}

/// The child writes into the same file, behind what its parent has left there.
#[cfg(unix)]
#[test]
fn a_child_made_by_fork_closes_the_fragment_of_a_line_that_its_parent_has_given_up() {
    let name = "lasting::a_child_made_by_fork_closes_the_fragment_of_a_line_that_its_parent_has_given_up";
    alone(name, || {
        let log = Log::new();
        let is_healed = Arc::new(AtomicBool::new(false));
        let works = Arc::clone(&is_healed);
        let sink = log.sink(move |call, _| match call {
            1 => Step::TakeOnly(5),
            _ if works.load(Ordering::SeqCst) => Step::Take,
            _ => Step::Break,
        });
        let builder = SharedQueue::builder().on_error(Told::default().hook());
        let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
        write_text(&queue, "given up");
        guard.flush(LATEST).expect("the sink keeps nothing");
        fork::wait_for(fork::forked(|| {
            is_healed.store(true, Ordering::SeqCst);
            write_text(&queue, "the child's");
        }));
        assert_eq!(log.text(), "given\u{18}\nthe child's\n");
    });
}

//! The collector's own process forks: its children log on, and leave the collector alone.

use std::{io::BufWriter, process, time::Duration};

use tracing_tasklog::writer::{Collector, CollectorGuard};

use super::{LINES, ROUNDS, of_parent, rings, with_children};
use crate::{
    collector_kit::{
        LATEST, Place, connect, log_file, log_path, queue_path, said, told, told_number, write, write_lines,
    },
    queue_kit::{Gate, Step, scripted},
    support::{
        child::{hang, role, say},
        fork::{PATIENCE, THREADS, daemonized, forked, lives, wait_for, while_others_log},
        stopwatch::Stopwatch,
        verify::Expect,
        wait_until,
    },
};

/// A collector in this process, whose sink keeps what it is given until it is flushed.
fn collect_here() -> CollectorGuard {
    Collector::builder(queue_path()).spawn(BufWriter::new(log_file())).expect("nobody else collects")
}

#[test]
fn child_forks_beside_its_own_collector() {
    if !role("collectors::child_forks_beside_its_own_collector") {
        return;
    }
    let guard = collect_here();
    let queue = connect();
    while_others_log(
        |worker, n| write(&queue, worker, n),
        || {
            for round in 0..ROUNDS {
                let before = queue.stats().accepted_lines;
                wait_for(forked(|| {
                    write_lines(&queue, THREADS + round, LINES);
                    end_collector_in_child(&guard, round);
                }));
                wait_until("the parent goes on", PATIENCE, || queue.stats().accepted_lines > before + 100);
            }
        },
    );
    guard.flush(LATEST).expect("the parent's collector is as it was");
    let report = guard.shutdown(LATEST);
    assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
    say(&format!("written={}", report.written));
    say(&format!("accepted={}", queue.stats().accepted_lines));
}

/// What a child does with the guard of its parent: it is the parent's, whatever it does.
fn end_collector_in_child(guard: &CollectorGuard, round: u32) {
    let began = Stopwatch::start();
    let other =
        Collector::builder(queue_path()).spawn(Vec::new()).map(drop).expect_err("the parent collects");
    assert!(other.is_in_use(), "{other}");
    match told("CASE").as_str() {
        "exit" => process::exit(0),
        "flush" => assert!(guard.flush(Duration::from_secs(3)).is_err(), "it has nobody who would flush"),
        case @ ("drop" | "drop and exit" | "shutdown") => {
            // SAFETY: it isn't used again in this process, and the parent has its own memory.
            #[allow(unsafe_code)]
            let own = unsafe { std::ptr::read(guard) };
            if case == "shutdown" {
                assert_eq!(own.shutdown(Duration::from_secs(3)).written, 0, "it has written nothing");
            } else {
                drop(own);
            }
            if case == "drop and exit" || round.is_multiple_of(2) {
                process::exit(0);
            }
        }
        _ => {}
    }
    assert!(began.elapsed() < Duration::from_secs(1), "it waits for nobody: {:?}", began.elapsed());
}

#[test]
fn children_of_the_collectors_process_log_on_and_leave_the_collector_alone() {
    for case in ["", "exit", "flush", "drop", "drop and exit", "shutdown"] {
        let place = Place::new();
        let child = place.child("collectors::child_forks_beside_its_own_collector").env("CASE", case);
        let output = child.limit(Duration::from_secs(60)).spawn().wait().assert_success();
        place.collect_all(); // what came in the last moment
        let expect = with_children(of_parent(&output), ROUNDS, LINES);
        place.assert_log(&expect, format_args!("{case}: {output}"));
        let threads: u64 = (0..THREADS).map(|worker| said(&output, &format!("w{worker}"))).sum();
        assert_eq!(said(&output, "accepted"), threads, "{case}: the parent counts its own lines");
        assert_eq!(said(&output, "written"), threads + u64::from(ROUNDS) * LINES, "{case}");
    }
}

#[test]
fn child_takes_over_the_collection() {
    if !role("collectors::child_takes_over_the_collection") {
        return;
    }
    let guard = collect_here();
    let queue = connect();
    write_lines(&queue, 0, LINES);
    drop(guard);
    wait_for(forked(|| {
        let guard = collect_here();
        write_lines(&queue, 1, LINES);
        assert_eq!(guard.shutdown(PATIENCE).written, LINES + told_number("LEFT"));
    }));
    let guard = collect_here();
    write_lines(&queue, 2, LINES);
    assert_eq!(guard.shutdown(LATEST).written, LINES);
    assert!(log_path().exists() && rings() == 1);
}

#[test]
fn a_child_can_collect_when_its_parent_does_not() {
    let place = Place::new();
    place
        .child("collectors::child_takes_over_the_collection")
        .env("LEFT", "0")
        .spawn()
        .wait()
        .assert_success();
    place.assert_log(&(0..3).fold(Expect::new().bare_lines(), |expect, w| expect.worker(w, LINES)), "all");
}

#[test]
fn child_forks_while_its_sink_hangs() {
    if !role("collectors::child_forks_while_its_sink_hangs") {
        return;
    }
    let (gate, queue) = (Gate::shut(), connect());
    let at_gate = gate.clone();
    let sink = scripted(log_path(), move |_, _| {
        at_gate.pass();
        Step::Take
    });
    let guard = Collector::builder(queue_path()).spawn(sink).expect("nobody else collects");
    write(&queue, 0, 1);
    wait_until("it hangs", PATIENCE, || gate.has_visitors());
    for round in 1..=5 {
        let began = Stopwatch::start();
        let pid = forked(|| {
            write_lines(&queue, round, LINES);
            if round.is_multiple_of(2) {
                process::exit(0);
            }
        });
        assert!(began.elapsed() < Duration::from_millis(500), "a fork waits for no sink for long");
        wait_for(pid);
    }
    gate.open();
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (1 + 5 * LINES, 0, 0));
}

#[test]
fn children_forked_while_the_sink_hangs_log_on() {
    let place = Place::new();
    place.child("collectors::child_forks_while_its_sink_hangs").spawn().wait().assert_success();
    let expect = (1..=5).fold(Expect::new().bare_lines().worker(0, 1), |expect, w| expect.worker(w, LINES));
    place.assert_log(&expect, "all");
}

#[test]
fn child_collects_for_its_parent() {
    if !role("collectors::child_collects_for_its_parent") {
        return;
    }
    let queue = connect();
    write_lines(&queue, 0, LINES);
    forked(|| {
        let _guard = collect_here();
        wait_until("the parent's lines are taken", PATIENCE, || log_path().exists());
        say("child collects");
        hang();
    });
    hang();
}

#[test]
fn a_child_that_collects_removes_the_ring_of_its_dead_parent() {
    let place = Place::new();
    let mut parent = place.child("collectors::child_collects_for_its_parent").spawn();
    parent.wait_for_stdout_line(|line| line == "child collects");
    assert_eq!(place.rings().len(), 1);
    parent.kill();
    wait_until("its ring goes", LATEST, || place.rings().is_empty());
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES), "the parent's lines");
}

#[test]
fn child_becomes_a_daemon() {
    if !role("collectors::child_becomes_a_daemon") {
        return;
    }
    let (queue, opener, beside) = (connect(), process::id(), queue_path().with_file_name("told"));
    let hook = move |error: &tracing_tasklog::Error| {
        let told = std::fs::read_to_string(&beside).unwrap_or_default();
        std::fs::write(&beside, format!("{told}{error}\n")).expect("the folder is the test's own");
    };
    let guard =
        Collector::builder(queue_path()).on_error(hook).spawn(log_file()).expect("nobody else collects");
    write_lines(&queue, 0, LINES);
    daemonized(|| {
        wait_until("the opener is gone", PATIENCE, || !lives(opener));
        write_lines(&queue, 1, LINES);
        let error = guard.flush(Duration::from_secs(3)).expect_err("nobody writes").to_string();
        assert!(error.contains("the collector belongs to the process of which this is a child"), "{error}");
        // SAFETY: it isn't used again in this process.
        #[allow(unsafe_code)]
        let own = unsafe { std::ptr::read(&raw const guard) };
        let report = own.shutdown(Duration::from_secs(3));
        assert_eq!((report.written, report.dropped, report.pending), (0, 0, LINES));
        std::fs::write(queue_path().with_file_name("done"), "").expect("the folder is the test's own");
    });
}

#[test]
fn a_collector_that_was_left_behind_by_a_daemon_says_so_once_and_its_report_counts_what_waits() {
    let place = Place::new();
    place.child("collectors::child_becomes_a_daemon").spawn().wait().assert_success();
    let beside = |name: &str| place.queue().with_file_name(name);
    wait_until("the daemon is done", PATIENCE, || beside("done").exists());
    let told = std::fs::read_to_string(beside("told")).expect("it was told");
    let expected =
        format!("{LINES} lines wait in {:?} for a collector: this one ended with process ", place.queue());
    assert!(told.starts_with(&expected) && told.lines().count() == 1, "{told}");
    place.collect_all();
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES).worker(1, LINES), "all");
}

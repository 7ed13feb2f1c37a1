//! Children that fork(2) made and that never call exec(2), of processes that log through a queue for many processes: a child has a
//! ring of its own, and every line of parent and children is in the log once.

#![cfg(all(unix, feature = "multiprocess"))]

mod collector_kit;
#[path = "collector_fork/collectors.rs"]
mod collectors;
#[path = "collector_fork/first_lines.rs"]
mod first_lines;
mod queue_kit;
mod support;

use std::{process, thread, time::Duration};

use collector_kit::{LATEST, Place, connect, queue_path, said, told, write, write_lines};
use support::{
    child::{Output, hang, role, say},
    fork::{PATIENCE, THREADS, forked, wait_for, while_others_log},
    stopwatch::Stopwatch,
    verify::Expect,
    wait_until,
};
use tracing_tasklog::writer::SharedQueue;

/// The lines of each child.
const LINES: u64 = 100;

const ROUNDS: u32 = 20;

fn rings() -> usize {
    let entries = std::fs::read_dir(queue_path()).expect("the directory is there");
    entries
        .filter(|entry| {
            entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "ring"))
        })
        .count()
}

/// What the threads of the parent have written, as they said.
fn of_parent(output: &Output) -> Expect {
    let written = |worker: u32| said(output, &format!("w{worker}"));
    (0..THREADS).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, written(worker)))
}

fn with_children(expect: Expect, children: u32, lines: u64) -> Expect {
    (THREADS..THREADS + children).fold(expect, |expect, worker| expect.worker(worker, lines))
}

/// Runs an entry point of this binary beside a collector in this process.
fn run_beside_collector(name: &str, case: &str) -> (Place, Output) {
    let place = Place::new();
    let guard = place.collect();
    let child = place.child(name).env("CASE", case).limit(Duration::from_secs(60));
    let output = child.spawn().wait().assert_success();
    let report = guard.shutdown(LATEST);
    assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
    assert!(place.rings().is_empty(), "all are drained and gone: {:?}", place.names());
    (place, output)
}

/// What a child does before it ends.
fn end_in_child(queue: &SharedQueue) {
    match told("CASE").as_str() {
        "exit" => process::exit(0), // and so the exit hooks run
        "drop" => {
            // SAFETY: it isn't used again in this process, and the parent has its own memory.
            #[allow(unsafe_code)]
            let own = unsafe { std::ptr::read(queue) };
            drop(own);
        }
        _ => {}
    }
}

#[test]
fn child_forks_while_others_log() {
    if !role("child_forks_while_others_log") {
        return;
    }
    let queue = connect();
    while_others_log(
        |worker, n| write(&queue, worker, n),
        || {
            for round in 0..ROUNDS {
                let before = queue.stats().accepted_lines;
                wait_for(forked(|| {
                    write_lines(&queue, THREADS + round, LINES);
                    let stats = queue.stats();
                    assert_eq!(
                        (stats.accepted_lines, stats.dropped_lines),
                        (LINES, 0),
                        "it counts its own lines"
                    );
                    end_in_child(&queue);
                }));
                wait_until("the parent goes on", PATIENCE, || queue.stats().accepted_lines > before + 100);
            }
        },
    );
    assert_eq!(queue.stats().dropped_lines, 0);
}

#[test]
fn children_forked_while_others_log_have_rings_of_their_own() {
    for case in ["", "exit", "drop"] {
        let (place, output) = run_beside_collector("child_forks_while_others_log", case);
        place.assert_log(&with_children(of_parent(&output), ROUNDS, LINES), format_args!("{case}: {output}"));
    }
}

#[test]
fn child_has_grandchildren() {
    if !role("child_has_grandchildren") {
        return;
    }
    let queue = connect();
    while_others_log(
        |worker, n| write(&queue, worker, n),
        || {
            for round in 0..5 {
                let own = THREADS + 2 * round;
                wait_for(forked(|| {
                    if round.is_multiple_of(2) {
                        write_lines(&queue, own, LINES); // else it forks before it has logged at all
                    }
                    wait_for(forked(|| {
                        write_lines(&queue, own + 1, LINES);
                        assert_eq!(queue.stats().accepted_lines, LINES);
                        if round % 2 == 1 {
                            process::exit(0);
                        }
                    }));
                    let from = if round % 2 == 0 { LINES + 1 } else { 1 };
                    (from..=2 * LINES).for_each(|n| write(&queue, own, n));
                }));
            }
        },
    );
}

#[test]
fn a_child_of_a_child_has_a_ring_of_its_own() {
    let (place, output) = run_beside_collector("child_has_grandchildren", "");
    let expect = (0..5)
        .map(|round| THREADS + 2 * round)
        .fold(of_parent(&output), |expect, own| expect.worker(own, 2 * LINES).worker(own + 1, LINES));
    place.assert_log(&expect, output);
}

#[test]
fn child_forks_on_two_threads() {
    if !role("child_forks_on_two_threads") {
        return;
    }
    let queue = &connect();
    while_others_log(
        |worker, n| write(queue, worker, n),
        || {
            thread::scope(|scope| {
                for forker in 0..2 {
                    let fork = move |round| {
                        let own = THREADS + 2 * round + forker;
                        wait_for(forked(|| write_lines(queue, own, LINES)));
                    };
                    scope.spawn(move || (0..ROUNDS).for_each(fork));
                }
            });
        },
    );
}

#[test]
fn two_threads_that_fork_at_once_give_each_child_a_ring() {
    let (place, output) = run_beside_collector("child_forks_on_two_threads", "");
    place.assert_log(&with_children(of_parent(&output), 2 * ROUNDS, LINES), output);
}

#[test]
fn child_of_fork_outlives_its_parent() {
    if !role("child_of_fork_outlives_its_parent") {
        return;
    }
    let queue = connect();
    write_lines(&queue, 0, LINES);
    forked(|| {
        // Before it has a ring of its own nothing of the parent's must be held, and afterwards neither.
        if told("CASE") == "logs" {
            write_lines(&queue, 1, LINES);
        }
        say("child lives");
        hang();
    });
    hang();
}

#[test]
fn a_child_does_not_keep_the_ring_of_its_dead_parent_alive() {
    for case in ["", "logs"] {
        let place = Place::new();
        let guard = place.collect();
        let mut child = place.child("child_of_fork_outlives_its_parent").env("CASE", case).spawn();
        child.wait_for_stdout_line(|line| line == "child lives");
        let parents: Vec<_> = place.rings();
        assert_eq!(parents.len(), if case == "logs" { 2 } else { 1 }, "{parents:?}");
        let pid = child.id();
        let own = |path: &std::path::PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            name.starts_with(&format!("{pid}-"))
        };
        child.kill();
        wait_until("the parent's ring goes", LATEST, || !place.rings().iter().any(own));
        // The child's own stays: it lives.
        assert_eq!(place.rings().len(), parents.len() - 1);
        guard.flush(LATEST).expect("the sink takes everything");
        drop(guard);
        let expect = Expect::new().bare_lines().worker(0, LINES);
        place.assert_log(&expect.worker(1, if case == "logs" { LINES } else { 0 }), case);
        drop(child);
    }
}

#[test]
fn child_forks_without_a_collector() {
    if !role("child_forks_without_a_collector") {
        return;
    }
    let queue = connect();
    write_lines(&queue, 0, 10);
    for round in 1..=5 {
        wait_for(forked(|| write_lines(&queue, round, LINES)));
    }
    (11..=20).for_each(|n| write(&queue, 0, n));
    assert_eq!(rings(), 6, "the children are gone, their lines are there");
    process::exit(0);
}

#[test]
fn what_children_have_logged_waits_for_a_collector() {
    let place = Place::new();
    place.child("child_forks_without_a_collector").spawn().wait().assert_success();
    assert_eq!(place.collect_all().written, 20 + 5 * LINES);
    let expect = (1..=5).fold(Expect::new().bare_lines().worker(0, 20), |expect, w| expect.worker(w, LINES));
    place.assert_log(&expect, "all");
    assert!(place.rings().is_empty());
}

#[test]
fn child_can_not_have_a_ring() {
    if !role("child_can_not_have_a_ring") {
        return;
    }
    let (queue, path) = (connect(), queue_path());
    write(&queue, 0, 1);
    let aside = path.with_extension("moved");
    std::fs::rename(&path, &aside).expect("it is the test's own");
    std::fs::write(&path, "no directory").expect("the folder is the test's own");
    wait_for(forked(|| {
        let began = Stopwatch::start();
        write_lines(&queue, 1, LINES);
        let stats = queue.stats();
        assert_eq!((stats.accepted_lines, stats.dropped_lines, stats.queued_lines), (LINES, LINES, 0));
        assert!(began.elapsed() < Duration::from_secs(1), "nobody waits: {:?}", began.elapsed());
        std::fs::remove_file(&path)
            .and_then(|()| std::fs::rename(&aside, &path))
            .expect("it can be put back");
        // It is tried again, once a second.
        let mut tried = 0;
        wait_until("there is a ring at last", PATIENCE, || {
            tried += 1;
            write(&queue, 2, tried);
            queue.stats().dropped_lines < LINES + tried
        });
        write(&queue, 3, 1);
    }));
    write(&queue, 0, 2);
}

#[test]
fn a_child_that_can_not_have_a_ring_counts_its_lines_and_tries_again() {
    let place = Place::new();
    let output = place.child("child_can_not_have_a_ring").spawn().wait().assert_success();
    assert!(output.stderr.contains("tracing-tasklog: "), "it says so: {output}");
    place.collect_all();
    let expect = Expect::new().bare_lines().worker(0, 2).worker(3, 1).other_lines();
    let faults = place.verify(&expect.allowed(2, 1 << 20)).faults;
    assert!(faults.is_empty(), "{faults:?}");
}

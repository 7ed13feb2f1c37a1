//! The end of a worker.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    panic,
    process::{self, Command},
    sync::mpsc,
    thread,
    time::Duration,
};

use tracing::info;
use tracing_tasklog::{TaskLayer, TaskSpanExt as _, task_span, writer::SharedQueue};

use crate::{
    collector_kit::{LATEST, Place, connect, ledger, queue_path, set_global, told, write},
    support::{
        child::{Child, Output, hang, role, say},
        ledger::Ledger,
        verify::{Expect, numbered},
        wait_until,
    },
};

/// The threads of a worker that log until it ends.
const OTHERS: u32 = 2;

/// The lines of the thread that ends it.
const LINES: u64 = 300;

/// The most lines that each of the others logs: they have room, also while nobody collects.
const MOST: u64 = 20_000;

/// Logs on two threads nearly without end, and on this one for a while, with a note in the ledger around each call.
fn log_all(queue: &SharedQueue) {
    for worker in 1..=OTHERS {
        let queue = queue.clone();
        thread::spawn(move || {
            for n in 1..=MOST {
                ledger().around(worker, n, || write(&queue, worker, n));
            }
        });
    }
    (1..=LINES).for_each(|n| ledger().around(0, n, || write(queue, 0, n)));
    wait_until("the others log", LATEST, || ledger().read().iter().all(|(_, returned)| *returned >= 100));
}

#[test]
fn child_ends() {
    if !role("workers::child_ends") {
        return;
    }
    let queue = SharedQueue::connect(queue_path()).expect("the directory is the test's own");
    let end = told("END");
    if end == "abort in a panic hook" {
        panic::set_hook(Box::new(|_| process::abort())); // what `panic = "abort"` does when the hook returns
    }
    if end == "exit in a thread" {
        log_all(&queue);
        thread::spawn(|| process::exit(0)).join().expect("it never returns");
    }
    log_all(&queue);
    match end.as_str() {
        "return" => {}
        "panic" | "abort in a panic hook" => panic!("as told"),
        "exit" => process::exit(3),
        "abort" => process::abort(),
        "exec" => panic!("{}", Command::new("sh").args(["-c", "echo other program; exit 0"]).exec()),
        "exec and live" => panic!("{}", Command::new("sh").args(["-c", "echo other; sleep 30"]).exec()),
        _ => {
            say("ready");
            hang();
        }
    }
}

/// Runs a worker to its end.
fn ended(place: &Place, end: &str) -> Output {
    drop(place.ledger(OTHERS + 1));
    let child = Child::of_test_after("workers::child_ends", "ulimit -c 0").env("END", end);
    let mut child = place.told(child).spawn();
    if let Some(signal) = end.strip_prefix("SIG") {
        child.wait_for_stdout_line(|line| line == "ready");
        child.signal(signal);
    }
    child.wait()
}

/// With a collector that runs all the time, and with one that comes afterwards: every line whose call has returned.
fn assert_every_line(end: &str, is_right: impl Fn(&Output) -> bool) {
    for is_running in [true, false] {
        let place = Place::new();
        let guard = is_running.then(|| place.collect());
        let output = ended(&place, end);
        assert!(is_right(&output), "{end}: {output}");
        match guard {
            Some(guard) => {
                let report = guard.shutdown(LATEST);
                assert_eq!((report.dropped, report.pending), (0, 0), "{end}: {report:?}");
            }
            None => drop(place.collect_all()),
        }
        let expect = Expect::from_ledger(&Ledger::open(place.dir.path("ledger")));
        place.assert_log(&expect.bare_lines(), format_args!("{end}, collector running: {is_running}"));
        assert!(place.rings().is_empty(), "{end}: a drained ring goes: {:?}", place.names());
    }
}

#[test]
fn every_line_of_a_worker_that_returns_from_main() {
    assert_every_line("return", |output| output.status.success());
}

#[test]
fn every_line_of_a_worker_that_panics() {
    assert_every_line("panic", |output| output.status.code() == Some(101));
}

#[test]
fn every_line_of_a_worker_that_exits() {
    assert_every_line("exit", |output| output.status.code() == Some(3));
    assert_every_line("exit in a thread", |output| output.status.success());
}

#[test]
fn every_line_of_a_worker_that_aborts() {
    assert_every_line("abort", |output| output.status.signal() == Some(6));
    assert_every_line("abort in a panic hook", |output| output.status.signal() == Some(6));
}

#[test]
fn every_line_of_a_worker_that_is_killed() {
    assert_every_line("SIGKILL", |output| output.status.signal() == Some(9));
    assert_every_line("SIGTERM", |output| output.status.signal() == Some(15));
    assert_every_line("SIGALRM", |output| output.status.signal() == Some(14)); // SIGHUP may be ignored: nohup(1)
}

#[test]
fn every_line_of_a_worker_that_becomes_another_program() {
    assert_every_line("exec", |output| output.stdout.contains("other program"));
}

/// The other program has the same process id, and none of the queue's files.
#[test]
fn the_ring_of_a_worker_that_has_become_another_program_goes_while_that_runs() {
    let place = Place::new();
    drop(place.ledger(OTHERS + 1));
    let mut child = place.child("workers::child_ends").env("END", "exec and live").spawn();
    child.wait_for_stdout_line(|line| line == "other");
    let guard = place.collect();
    wait_until("its ring is drained and gone", LATEST, || place.rings().is_empty());
    assert!(child.is_running());
    drop(guard);
    let expect = Expect::from_ledger(&Ledger::open(place.dir.path("ledger")));
    place.assert_log(&expect.bare_lines(), "exec");
}

#[test]
fn child_panics_in_a_task() {
    if !role("workers::child_panics_in_a_task") {
        return;
    }
    set_global(TaskLayer::new(connect()).with_lifecycle(true));
    let _ = thread::spawn(|| task_span!("send_email", "abc").run_task(|| panic!("as told"))).join();
    task_span!("send_email", "def").run_task(|| {
        (1..=5).for_each(|n| info!("{}", numbered(0, n, 9)));
        process::exit(0) // with our writers an orderly end by itself
    })
}

#[test]
fn a_task_of_a_worker_that_panics_or_exits_is_closed() {
    let place = Place::new();
    place.child("workers::child_panics_in_a_task").spawn().wait().assert_success();
    place.collect_all();
    let text = place.text();
    let has = |tag: &str, body: &str| {
        text.lines().any(|line| line.starts_with(&format!("[{tag}] [send_email] ")) && line.ends_with(body))
    };
    assert!(has("abc", "-- RUNNING") && has("abc", "-- FAILED"), "{text}");
    assert!(has("def", "-- RUNNING") && has("def", "-- INTERRUPTED"), "{text}");
}

#[test]
fn child_logs_in_its_last_moments() {
    if !role("workers::child_logs_in_its_last_moments") {
        return;
    }
    /// Logs when its thread ends, after the thread's other values may be gone.
    struct Last(SharedQueue, u64);
    impl Drop for Last {
        fn drop(&mut self) {
            write(&self.0, 0, self.1);
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) };
    }
    let queue = connect();
    for n in 1..=3 {
        let last = Last(queue.clone(), n);
        thread::spawn(|| LAST.set(Some(last))).join().expect("it ends well");
    }
    let (tell, told) = mpsc::channel();
    let last = Last(queue.clone(), 4);
    thread::spawn(move || {
        LAST.set(Some(last));
        tell.send(()).expect("it is waited for");
    });
    told.recv().expect("it says so");
    wait_until("the last thread has ended", Duration::from_secs(20), || queue.stats().accepted_lines == 4);
    std::mem::forget(queue);
}

#[test]
fn what_a_thread_logs_at_its_very_end_is_there() {
    let place = Place::new();
    place.child("workers::child_logs_in_its_last_moments").spawn().wait().assert_success();
    assert_eq!(place.collect_all().written, 4);
    place.assert_log(&Expect::new().bare_lines().worker(0, 4), "thread-local destructors");
}

#[test]
fn a_worker_that_is_gone_is_drained_by_a_collector_that_was_idle_and_its_ring_goes() {
    let place = Place::new();
    let guard = place.collect();
    for worker in 0..3 {
        let child = place.child("child_leaves_lines").env("WORKER", worker.to_string()).env("LINES", "10");
        child.spawn().wait().assert_success();
    }
    wait_until("all are written, nobody has asked", LATEST, || place.text().lines().count() == 30);
    wait_until("the rings are gone", LATEST, || place.rings().is_empty());
    drop(guard);
    let expect = (0..3).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, 10));
    place.assert_log(&expect, "three workers");
}

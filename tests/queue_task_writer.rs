//! `queued+…` in a `TaskWriter` and in `try_init`: a writer behind a queue of its own.

#![cfg(feature = "queue")]

mod support;

use std::{io::Write as _, path::PathBuf, process, thread};

use support::{
    capture::unstamped,
    child::{Child, role},
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};
use tracing::info;
use tracing_tasklog::{
    TaskSpanExt, task_span, try_init,
    writer::{SharedQueue, TaskWriter},
};

fn log() -> PathBuf {
    std::env::var_os("LOG").expect("the parent says where").into()
}

/// What a child leaves in its log; it must end well and in time.
fn lines_left_by(name: &str) -> Vec<String> {
    let dir = Dir::new();
    Child::of_test(name).env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    dir.read("tasks.log").split_inclusive('\n').map(unstamped).collect()
}

fn task(id: u32, bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| format!("[{id}] [t] {body}")).collect()
}

/// Leaves a task open for ever.
fn leave_open(id: u32) {
    let span = task_span!("t", id);
    span.in_scope(|| info!("x"));
    std::mem::forget(span);
}

#[test]
fn child_ends_with_the_guard() {
    if !role("child_ends_with_the_guard") {
        return;
    }
    let guard = try_init(&format!("queued+instance:{}", log().display())).expect("nothing is there yet");
    task_span!("t", 1).run_task(|| info!("x"));
    leave_open(2);
    drop(guard);
    let text = std::fs::read_to_string(log()).expect("it is there");
    assert!(text.ends_with("-- INTERRUPTED\n"), "{text}");
    task_span!("t", 3).run_task(|| {
        info!("y");
        let text = std::fs::read_to_string(log()).expect("it is there");
        assert!(text.ends_with(" y\n"), "written before the log call returns\n{text}");
    });
}

#[test]
fn the_guard_of_try_init_ends_the_queue_after_the_tasks() {
    let expected = [
        task(1, &["-- RUNNING", "x", "-- SUCCESS"]),
        task(2, &["-- RUNNING", "x", "-- INTERRUPTED"]),
        task(3, &["-- RUNNING", "y", "-- SUCCESS"]),
    ];
    assert_eq!(lines_left_by("child_ends_with_the_guard"), expected.concat());
}

#[test]
fn child_exits_with_the_guard_at_hand() {
    if !role("child_exits_with_the_guard_at_hand") {
        return;
    }
    let _guard = try_init(&format!("queued+instance:{}", log().display())).expect("nothing is there yet");
    leave_open(1);
    for n in 0..1000 {
        info!(target: "app", n);
    }
    process::exit(0);
}

#[test]
fn process_exit_has_the_queue_written_and_open_tasks_closed() {
    let numbers = (0..1000).map(|n| format!("[-] [app] n={n}")).collect();
    let expected = [task(1, &["-- RUNNING", "x"]), numbers, task(1, &["-- INTERRUPTED"])];
    assert_eq!(lines_left_by("child_exits_with_the_guard_at_hand"), expected.concat());
}

#[test]
fn child_drops_the_guard_at_once() {
    if !role("child_drops_the_guard_at_once") {
        return;
    }
    let _ = try_init(&format!("queued+instance:{}", log().display())).expect("nothing is there yet");
    leave_open(1);
    process::exit(0);
}

#[test]
fn a_guard_dropped_at_once_costs_no_line() {
    let expected = task(1, &["-- RUNNING", "x", "-- INTERRUPTED"]);
    assert_eq!(lines_left_by("child_drops_the_guard_at_once"), expected);
}

/// Writes 4 times 1,000 numbered lines.
fn write_from_four_threads(writer: &TaskWriter) {
    thread::scope(|scope| {
        for worker in 0..4 {
            let mut writer = writer.clone();
            scope.spawn(move || {
                for n in 1..=1000 {
                    writer.write_all((numbered(worker, n, 30) + "\n").as_bytes()).expect("never fails");
                }
            });
        }
    });
}

fn expected() -> Expect {
    (0..4).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, 1000))
}

#[test]
fn the_account_is_of_both() {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let spec = format!("queued+instance:{}", path.display());
    let writer = TaskWriter::open(&spec).expect("nothing is there yet");
    write_from_four_threads(&writer);
    writer.sync().expect("a moment is enough");
    let stats = writer.stats();
    let bytes = std::fs::metadata(&path).expect("it is there").len();
    assert_eq!((stats.accepted_lines, stats.written_lines), (4000, 4000), "{stats:?}");
    assert_eq!((stats.dropped_lines, stats.queued_lines, stats.bytes), (0, 0, bytes), "{stats:?}");
    assert_eq!(writer.path().and_then(|path| path.file_name()), path.file_name());
    LogFamily::of(path).verify(&expected()).assert_clean();
}

#[test]
fn the_last_clone_ends_the_queue() {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let spec = format!("queued+instance:{}", path.display());
    write_from_four_threads(&TaskWriter::open(&spec).expect("nothing is there yet"));
    LogFamily::of(&path).verify(&expected()).assert_clean();
    // And with it the file: its lock is free again.
    TaskWriter::open(&spec).expect("nobody has it any more");
}

#[test]
fn a_queue_with_options_of_its_own_is_a_task_writer_too() {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let file = std::fs::File::create(&path).expect("the folder is the test's own");
    let (queue, guard) = SharedQueue::builder().capacity_bytes(1000).spawn(file).expect("there are threads");
    let writer = TaskWriter::from(queue);
    write_from_four_threads(&writer);
    writer.sync().expect("a moment is enough");
    assert_eq!(writer.stats().written_lines, 4000);
    assert_eq!(writer.path(), None);
    LogFamily::of(path).verify(&expected()).assert_clean();
    drop(guard);
}

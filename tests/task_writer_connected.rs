//! `queue:DIRECTORY` in a `TaskWriter` and in `try_init`: all that a worker has to be told is one text.

#![cfg(all(unix, feature = "multiprocess"))]

mod support;

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process, time::Duration};

use support::{
    capture::unstamped,
    child::{Child, hang, role, say},
    dir::Dir,
    must,
};
use tracing::info;
use tracing_subscriber::registry;
use tracing_tasklog::{
    InterruptGuard, TaskSpanExt, task_span, try_init,
    writer::{Collector, CollectorGuard, InstanceFile, TaskWriter},
};

const LIMIT: Duration = Duration::from_secs(30);

fn collect(dir: &Dir) -> CollectorGuard {
    let file = must(InstanceFile::builder(dir.path("tasks.log")).build(), "open the log");
    must(Collector::builder(dir.path("q")).spawn(file), "start the collector")
}

fn spec(dir: &Dir) -> String {
    format!("queue:{}", dir.path("q").display())
}

/// The lines of the log so far, without timestamps.
fn lines(dir: &Dir) -> Vec<String> {
    dir.read("tasks.log").split_inclusive('\n').map(unstamped).collect()
}

fn task(id: u32, bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| format!("[{id}] [t] {body}")).collect()
}

/// Names in the directory of the queue that end in this.
fn count(dir: &Dir, extension: &str) -> usize {
    let entries = must(fs::read_dir(dir.path("q")), "list the queue's directory");
    entries
        .filter(|entry| must(entry.as_ref(), "list it").path().extension() == Some(extension.as_ref()))
        .count()
}

#[test]
fn the_text_leads_to_the_collector_of_the_directory() {
    let dir = Dir::new();
    let collector = collect(&dir);
    let mut writer = must(TaskWriter::open(&spec(&dir)), "connect");
    writer.write_all(b"one\ntwo").expect("writing never fails");
    writer.write_all(b", and more\n").expect("writing never fails");
    writer.flush().expect("flushing never fails");
    collector.flush(LIMIT).expect("a moment is enough");
    assert_eq!(dir.lines("tasks.log"), ["one", "two, and more"]);

    let stats = writer.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (2, 2, 0), "{stats:?}");
    assert_eq!(writer.clone().stats(), stats);
    assert_eq!(writer.path(), None, "it is the collector that has a file");
    assert!(format!("{writer:?}").contains(&format!("{:?}", dir.path("q"))), "{writer:?}");
    assert_eq!(collector.shutdown(LIMIT).written, 2);
}

#[test]
fn sync_and_flush_wait_for_no_collector() {
    let dir = Dir::new();
    let mut writer = must(TaskWriter::open(&spec(&dir)), "connect");
    writer.write_all(b"early\n").expect("writing never fails");
    writer.flush().expect("the kernel has it");
    writer.sync().expect("the kernel has it");
    let stats = writer.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.queued_lines), (1, 0, 1), "{stats:?}");
    drop(writer);
    drop(collect(&dir));
    assert_eq!(dir.lines("tasks.log"), ["early"]);
    assert_eq!(count(&dir, "ring"), 0);
}

fn init() -> InterruptGuard {
    must(try_init(&must(std::env::var("TASKLOG_WRITER"), "find the one variable")), "connect")
}

/// Leaves a task open for ever.
fn leave_open(id: u32) {
    let span = task_span!("t", id);
    span.in_scope(|| info!("y"));
    std::mem::forget(span);
}

#[test]
fn child_works() {
    if !role("child_works") {
        return;
    }
    let _guard = init();
    task_span!("t", 1).run_task(|| info!("x"));
    leave_open(2);
    match must(std::env::var("END"), "find out how to end").as_str() {
        "exit" => process::exit(0),
        "kill" => {
            say("ready");
            hang();
        }
        _ => {}
    }
}

fn worker(dir: &Dir, end: &str) -> Child {
    Child::of_test("child_works").env("TASKLOG_WRITER", spec(dir)).env("END", end).spawn()
}

fn all_but_the_end() -> Vec<String> {
    [task(1, &["-- RUNNING", "x", "-- SUCCESS"]), task(2, &["-- RUNNING", "y"])].concat()
}

fn all() -> Vec<String> {
    [all_but_the_end(), task(2, &["-- INTERRUPTED"])].concat()
}

#[test]
fn a_worker_needs_one_variable_and_its_open_tasks_read_interrupted() {
    for end in ["return", "exit"] {
        let dir = Dir::new();
        let collector = collect(&dir);
        worker(&dir, end).wait().assert_success();
        collector.flush(LIMIT).expect("a moment is enough");
        assert_eq!(lines(&dir), all(), "{end}");
    }
}

#[test]
fn the_same_without_a_collector_is_there_for_the_next_one() {
    for end in ["return", "exit"] {
        let dir = Dir::new();
        worker(&dir, end).wait().assert_success();
        assert_eq!(count(&dir, "ring"), 1);
        assert_eq!(collect(&dir).shutdown(LIMIT).written, 6);
        assert_eq!(lines(&dir), all(), "{end}");
        assert_eq!(count(&dir, "ring"), 0);
    }
}

#[test]
fn a_worker_that_is_killed_leaves_every_line_and_a_task_without_end() {
    for has_collector in [true, false] {
        let dir = Dir::new();
        let before = has_collector.then(|| collect(&dir));
        let mut worker = worker(&dir, "kill");
        worker.wait_for_stdout_line(|line| line == "ready");
        worker.kill();
        assert!(!worker.wait().status.success());
        before.unwrap_or_else(|| collect(&dir)).shutdown(LIMIT);
        assert_eq!(lines(&dir), all_but_the_end());
    }
}

#[test]
fn child_is_the_parent_and_a_worker() {
    if !role("child_is_the_parent_and_a_worker") {
        return;
    }
    let path = |name| std::path::PathBuf::from(must(std::env::var(name), "find the paths"));
    let file = must(InstanceFile::builder(path("LOG")).build(), "open the log");
    let collector = must(Collector::builder(path("QUEUE")).spawn(file), "start the collector");
    let guard = init();
    task_span!("t", 1).run_task(|| info!("x"));
    leave_open(2);
    match must(std::env::var("END"), "find out how to end").as_str() {
        "exit" => process::exit(0),
        "forget" => std::mem::forget((collector, guard)),
        _ => {
            drop(guard); // as `main` does with what it has bound last
            drop(collector);
        }
    }
}

#[test]
fn a_parent_that_logs_through_its_own_collector_loses_nothing_at_its_end() {
    for end in ["return", "exit", "forget"] {
        let dir = Dir::new();
        let child = Child::of_test("child_is_the_parent_and_a_worker").env("TASKLOG_WRITER", spec(&dir));
        let child = child.env("LOG", dir.path("tasks.log")).env("QUEUE", dir.path("q")).env("END", end);
        child.spawn().wait().assert_success();
        assert_eq!(lines(&dir), all(), "{end}");
        // Its ring is there until its process has ended; then it is the next collector's, which finds nothing in it.
        assert_eq!(collect(&dir).shutdown(LIMIT).written, 0, "{end}");
        assert_eq!(count(&dir, "ring"), 0, "{end}");
    }
}

#[test]
fn child_is_refused() {
    if !role("child_is_refused") {
        return;
    }
    let error =
        try_init(&must(std::env::var("TASKLOG_WRITER"), "find the variable")).expect_err("it can't be");
    say(&format!("said {error}"));
    // It set nothing, so that the next can.
    tracing::subscriber::set_global_default(registry()).expect("there is none yet");
}

fn refused(directory: &Path) -> String {
    let spec = format!("queue:{}", directory.display());
    let output =
        Child::of_test("child_is_refused").env("TASKLOG_WRITER", spec).spawn().wait().assert_success();
    let said = output.stdout.lines().find_map(|line| line.strip_prefix("said "));
    said.expect("it says why").to_owned()
}

#[test]
fn a_directory_that_can_not_be_is_an_error_that_names_it_and_sets_nothing() {
    let dir = Dir::new();
    let open = dir.path("open");
    must(fs::create_dir(&open), "make a directory");
    must(fs::set_permissions(&open, fs::Permissions::from_mode(0o777)), "open it to all");
    let error = refused(&open);
    assert!(
        error.starts_with(&format!("others may write to the directory {open:?} (mode 777): ")),
        "{error}"
    );
    assert_eq!(must(fs::read_dir(&open), "list it").count(), 0);

    dir.write("file", "");
    let error = refused(&dir.path("file"));
    assert!(error.contains(&format!("{:?}", dir.path("file"))), "{error}");
}

#[test]
fn a_placeholder_in_the_directory_of_a_queue_is_refused() {
    let dir = Dir::new();
    let spec = format!("queue:{}/q-{{pid}}", dir.root().display());
    let error = TaskWriter::open(&spec).expect_err("all processes share one directory").to_string();
    assert!(error.starts_with(&format!("{spec:?} has a brace in its directory: ")), "{error}");
    assert!(dir.names().is_empty(), "nothing is made");
}

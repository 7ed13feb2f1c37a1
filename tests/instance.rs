//! `InstanceFile` on real files: what arrives, what it becomes, and how it is counted.

#[cfg(unix)]
#[path = "instance/descriptors.rs"]
mod descriptors;
#[path = "instance/family.rs"]
mod family;
#[path = "instance/foreign.rs"]
mod foreign;
#[cfg(unix)]
#[path = "instance/four.rs"]
mod four;
#[path = "instance/limits.rs"]
mod limits;
#[path = "instance/lock.rs"]
mod lock;
#[path = "instance/processes.rs"]
mod processes;
#[path = "instance/rotation.rs"]
mod rotation;
#[path = "instance/shapes.rs"]
mod shapes;
mod support;

use std::io::Write as _;

use support::dir::Dir;
use tracing::subscriber::with_default;
use tracing_subscriber::{fmt::MakeWriter as _, prelude::*};
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{InstanceFile, InstanceFileBuilder},
};

fn builder(dir: &Dir) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path("tasks.log"))
}

fn file(dir: &Dir) -> InstanceFile {
    builder(dir).build().expect("the file can be opened")
}

fn write(file: &InstanceFile, text: impl AsRef<[u8]>) {
    file.clone().write_all(text.as_ref()).expect("writing never fails");
}

/// Runs `log` under a `TaskLayer` without timestamps that writes to the file.
fn log_to(file: &InstanceFile, log: impl FnOnce()) {
    let layer = TaskLayer::new(file.clone()).with_timer(());
    with_default(tracing_subscriber::registry().with(layer), log);
}

#[test]
fn a_line_is_in_the_file_when_the_call_returns() {
    let dir = Dir::new();
    let file = file(&dir);
    log_to(&file, || {
        for n in 1..=3 {
            tracing::info!(target: "app", n, "line");
            assert_eq!(dir.lines("tasks.log").len(), n);
        }
    });
    assert_eq!(dir.lines("tasks.log")[2], "[-] [app] line n=3");
}

#[test]
fn parent_directories_are_made() {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("a/b/c/tasks.log")).build().expect("the folders are made");
    write(&file, "one\n");
    assert_eq!(dir.read("a/b/c/tasks.log"), "one\n");
    assert_eq!(file.path(), dir.path("a/b/c/tasks.log"));
}

#[test]
fn what_is_there_already_is_kept() {
    let dir = Dir::new();
    dir.write("tasks.log", "before\n");
    write(&file(&dir), "after\n");
    assert_eq!(dir.read("tasks.log"), "before\nafter\n");
}

#[test]
fn small_writes_are_gathered_until_lf() {
    let dir = Dir::new();
    let file = file(&dir);
    let mut line = file.make_writer();
    for piece in ["one ", "line", "\ntwo ", "lines\nthe ", "third"] {
        line.write_all(piece.as_bytes()).expect("writing never fails");
        let text = dir.read("tasks.log");
        assert!(text.is_empty() || text.ends_with('\n'), "half a line after {piece:?}: {text:?}");
    }
    assert_eq!(dir.read("tasks.log"), "one line\ntwo lines\n");
    assert_eq!(file.stats().accepted_lines, 2);
    drop(line);
    assert_eq!(dir.read("tasks.log"), "one line\ntwo lines\nthe third\n");
    assert_eq!(file.stats().accepted_lines, 3);
}

#[test]
fn pieces_of_two_writers_are_not_mixed() {
    let dir = Dir::new();
    let file = file(&dir);
    let (mut one, mut two) = (file.make_writer(), file.make_writer());
    for (a, b) in [("aa", "bb"), ("aa", "bb"), ("\n", "\n")] {
        one.write_all(a.as_bytes()).and_then(|()| two.write_all(b.as_bytes())).expect("writing never fails");
    }
    assert_eq!(dir.read("tasks.log"), "aaaa\nbbbb\n");
}

#[test]
fn a_clone_dropped_without_lf_gets_one() {
    let dir = Dir::new();
    let file = file(&dir);
    let mut clone = file.clone();
    clone.write_all(b"half").and_then(|()| clone.flush()).expect("writing never fails");
    assert_eq!(dir.read("tasks.log"), "", "a flush ends no line");
    drop(clone);
    assert_eq!(dir.read("tasks.log"), "half\n");
    assert_eq!((file.stats().accepted_lines, file.stats().written_lines), (1, 1));
}

#[test]
fn clones_share_file_and_stats() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(8).build().expect("the file can be opened");
    let clones = [file.clone(), file.clone(), file.clone()];
    for (n, clone) in clones.iter().enumerate() {
        write(clone, format!("line {n}\n"));
    }
    assert_eq!((file.stats().written_lines, file.stats().rotations), (3, 2));
    assert_eq!(file.stats(), clones[0].stats());
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
}

#[test]
fn nothing_written_is_no_line() {
    let dir = Dir::new();
    let file = file(&dir);
    write(&file, "");
    drop(file.make_writer());
    assert_eq!((dir.read("tasks.log").as_str(), file.stats().accepted_lines), ("", 0));
}

#[test]
fn the_account_adds_up() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(100).build().expect("the file can be opened");
    (0..20).for_each(|n| write(&file, format!("line number {n}\nand another\n")));
    let stats = file.stats();
    assert_eq!(stats.accepted_lines, 40);
    assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines + stats.queued_lines);
    assert_eq!((stats.dropped_lines, stats.queued_lines, stats.errors, stats.reopens), (0, 0, 0, 0));
    assert_eq!(
        stats.bytes,
        (0..20).map(|n| format!("line number {n}\nand another\n").len() as u64).sum::<u64>()
    );
}

#[test]
fn cut_lines_are_counted_where_they_were_cut() {
    let dir = Dir::new();
    let file = file(&dir);
    let layer = TaskLayer::new(file.clone()).with_timer(()).with_max_line(60);
    with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(target: "app", "short");
        tracing::info!(target: "app", "{}", "x".repeat(300));
        task_span!("send", 7).run_task(|| tracing::info!("{}", "y".repeat(100)));
    });
    let lines = dir.lines("tasks.log");
    assert_eq!(lines[1], format!("[-] [app] {} [cut 267 bytes]", "x".repeat(33)));
    assert!(lines.iter().all(|line| line.len() < 60), "{lines:?}");
    let stats = file.stats();
    assert_eq!((stats.cut_lines, stats.accepted_lines, stats.dropped_lines), (2, 3, 0));
}

//! What can be opened, and what a line becomes as long as nothing happens.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    process::Command,
    time::Duration,
};

use tracing::subscriber::with_default;
use tracing_subscriber::{fmt::MakeWriter as _, prelude::*};
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::WatchedFile};

use super::{Told, builder, file, write};
use crate::support::{dir::Dir, holds_within};

#[test]
fn a_line_is_in_the_file_when_the_call_returns() {
    let dir = Dir::new();
    let file = file(&dir);
    let layer = TaskLayer::new(file.clone()).with_timer(()).with_lifecycle(true);
    with_default(tracing_subscriber::registry().with(layer), || {
        task_span!("send", 7).run_task(|| {
            tracing::info!(n = 1, "line");
            assert_eq!(dir.lines("tasks.log"), ["[7] [send] -- RUNNING", "[7] [send] line n=1"]);
        });
    });
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.reopens), (3, 3, 0));
    assert_eq!(stats.bytes, dir.read("tasks.log").len() as u64);
    assert_eq!(dir.all_names(), ["tasks.log"], "nothing else is made beside it");
}

#[test]
fn parent_directories_are_made_and_what_is_there_is_kept() {
    let dir = Dir::new();
    dir.write("a/b/tasks.log", "before\n");
    let file = WatchedFile::open(dir.path("a/b/tasks.log")).expect("it is there");
    write(&file, "after\n");
    assert_eq!(dir.read("a/b/tasks.log"), "before\nafter\n");
    write(&WatchedFile::open(dir.path("c/d/tasks.log")).expect("the folders are made"), "one\n");
    assert_eq!(dir.read("c/d/tasks.log"), "one\n");
    assert_eq!(file.path(), dir.path("a/b/tasks.log"));
}

#[test]
fn a_fragment_at_the_end_is_closed_before_the_first_line() {
    let dir = Dir::new();
    dir.write("tasks.log", "whole\nhalf");
    write(&file(&dir), "after\n");
    assert_eq!(dir.read("tasks.log"), "whole\nhalf\u{18}\nafter\n");
}

#[test]
fn small_writes_are_gathered_until_lf_and_a_clone_dropped_without_gets_one() {
    let dir = Dir::new();
    let file = file(&dir);
    let mut line = file.make_writer();
    for piece in ["one ", "line", "\ntwo"] {
        line.write_all(piece.as_bytes()).expect("writing never fails");
        let text = dir.read("tasks.log");
        assert!(text.is_empty() || text.ends_with('\n'), "half a line after {piece:?}: {text:?}");
    }
    drop(line);
    let mut clone = file.clone();
    clone.write_all(b"three").and_then(|()| clone.flush()).expect("writing never fails");
    drop(clone);
    assert_eq!(dir.read("tasks.log"), "one line\ntwo\nthree\n");
    assert_eq!((file.stats().accepted_lines, file.stats().written_lines), (3, 3));
}

#[test]
fn it_is_shared_between_threads_and_its_debug_names_the_file() {
    fn shared<T: Send + Sync + 'static + Clone + std::fmt::Debug>() {}
    shared::<WatchedFile>();
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let (builder, file) = (builder(&dir), file(&dir));
    for shown in [format!("{builder:?}"), format!("{file:?}"), format!("{:?}", file.make_writer())] {
        assert!(shown.contains(&format!("{path:?}")), "{shown}");
    }
}

#[test]
fn the_mode_of_a_new_file_is_exact_and_one_that_is_there_keeps_its_own() {
    let mode = |path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    let dir = Dir::new();
    for wanted in [0o600, 0o666, 0o640] {
        let _file = WatchedFile::builder(dir.path(&format!("{wanted:o}.log"))).file_mode(wanted).build();
        assert_eq!(mode(dir.path(&format!("{wanted:o}.log"))), wanted);
    }
    let _file = WatchedFile::builder(dir.path("600.log")).file_mode(0o644).build().expect("it is there");
    assert_eq!(mode(dir.path("600.log")), 0o600);
    let error = builder(&dir).file_mode(0o10000).build().expect_err("no such mode");
    assert_eq!(
        error.to_string(),
        format!("file_mode of {:?} is 0o10000: expected at most 0o7777", dir.path("tasks.log"))
    );
    assert_eq!(dir.names(), ["600.log", "640.log", "666.log"]);
}

#[test]
fn what_is_no_regular_file_is_refused_at_once_and_named() {
    let dir = Dir::new();
    dir.write("folder/tasks.log", "");
    let fifo = Command::new("mkfifo").arg(dir.path("fifo")).status().expect("mkfifo runs");
    assert!(fifo.success());
    let _socket = std::os::unix::net::UnixListener::bind(dir.path("socket")).expect("a socket can be made");
    symlink(dir.path("loop"), dir.path("loop")).expect("a link can be made");
    symlink(dir.path("gone/tasks.log"), dir.path("dangling")).expect("a link can be made");
    for name in ["folder", "fifo", "socket", "loop", "dangling", "folder/tasks.log/no"] {
        let error = WatchedFile::open(dir.path(name)).expect_err("it is no regular file");
        assert!(
            error.to_string().contains(&format!("{:?}", dir.path(name))) || name.ends_with("/no"),
            "{error}"
        );
        assert!(std::error::Error::source(&error).is_some(), "{error}");
    }
    assert!(fs::metadata(dir.path("fifo")).expect("it is there").file_type().is_fifo());
    for (path, why) in
        [("", "is empty"), ("logs/", "directory's"), ("{nobody}.log", "{nobody}"), ("{env:}.log", "\"\"")]
    {
        let error = WatchedFile::open(path).expect_err("no path of a file").to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn placeholders_are_replaced() {
    let dir = Dir::new();
    let file = WatchedFile::open(dir.path("tasks-{pid}-{{.log")).expect("the file can be opened");
    assert_eq!(file.path(), dir.path(&format!("tasks-{}-{{.log", std::process::id())));
}

#[test]
fn a_link_to_a_file_that_is_not_there_yet_gets_it() {
    let dir = Dir::new();
    dir.write("data/other", "");
    symlink("data/tasks.log", dir.path("tasks.log")).expect("a link can be made");
    write(&file(&dir), "one\n");
    assert_eq!(dir.read("data/tasks.log"), "one\n");
    assert!(fs::symlink_metadata(dir.path("tasks.log")).expect("it is there").is_symlink());
}

#[test]
fn a_device_is_taken_as_it_is() {
    let file = WatchedFile::open("/dev/null").expect("it is there");
    write(&file, "one\n");
    assert_eq!((file.stats().written_lines, file.stats().errors), (1, 0));
    assert!(file.reopen().is_ok() && file.sync().is_err(), "a device has no disk");

    let told = Told::default();
    let full = WatchedFile::builder("/dev/full").on_error(told.hook()).build().expect("it is there");
    write(&full, "one\n");
    assert_eq!((full.stats().dropped_lines, full.stats().queued_lines), (1, 0));
    assert!(told.all()[0].starts_with("could not write a line to \"/dev/full\""), "{:?}", told.all());
    assert!(
        !holds_within(Duration::from_millis(300), || full.stats().reopens > 0),
        "a device is not watched"
    );
}

#[test]
fn sync_and_reopen_find_nothing_to_do() {
    let dir = Dir::new();
    let file = file(&dir);
    write(&file, "one\n");
    file.sync().expect("it is on the disk");
    file.reopen().expect("the path leads there");
    write(&file, "two\n");
    assert_eq!((dir.read("tasks.log").as_str(), file.stats().reopens), ("one\ntwo\n", 0));
}

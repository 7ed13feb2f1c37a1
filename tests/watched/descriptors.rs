//! Descriptors that other code of the process has closed, as libraries do that daemonize, and whose numbers are used again.

// `close` and `dup2` of the C library: there is no safe way to close what another owner has open.
#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    fs::{self, File},
    io::Write as _,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_tasklog::writer::WatchedFile;

use super::{LATEST, Told, assert_all_there, write};
use crate::support::{
    child::{Child, role},
    dir::Dir,
    holds_within,
    verify::numbered,
    wait_until, wait_within,
};

unsafe extern "C" {
    fn close(fd: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
}

/// The descriptors of this process that are open on a path.
fn numbers(path: &Path) -> Vec<c_int> {
    let path = path.canonicalize().expect("it is there");
    let open = fs::read_dir("/proc/self/fd").expect("/proc is mounted").filter_map(Result::ok);
    let is_it = |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|to| to == path);
    let number = |fd: fs::DirEntry| fd.file_name().to_str().and_then(|number| number.parse().ok());
    open.filter(is_it).filter_map(number).collect()
}

fn close_all_on(path: &Path) {
    for fd in numbers(path) {
        // SAFETY: it is a process of the test's own; what the log does about it is what is tested.
        unsafe { close(fd) };
    }
}

fn write_line(file: &WatchedFile, n: u64) {
    write(file, numbered(0, n, 9) + "\n");
}

fn log() -> PathBuf {
    PathBuf::from(std::env::var_os("LOG").expect("the parent says where"))
}

fn assert_nothing_lost(file: &WatchedFile, lines: u64) {
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines), (lines, lines), "{stats:?}");
    assert_eq!((stats.dropped_lines, stats.queued_lines, stats.at_risk_lines), (0, 0, 0), "{stats:?}");
}

/// Runs one of the children below, each of which logs 40 lines, and verifies all.
fn run(child: &str, files: &[&str]) {
    let dir = Dir::new();
    let child = Child::of_test(&format!("descriptors::{child}")).env("LOG", dir.path("tasks.log"));
    child.limit(Duration::from_secs(60)).spawn().wait().assert_success();
    let files: Vec<_> = files.iter().map(|name| dir.path(name)).collect();
    drop(assert_all_there(&files, 40));
}

#[test]
fn child_has_it_closed() {
    if !role("descriptors::child_has_it_closed") {
        return;
    }
    let told = Told::default();
    let file = WatchedFile::builder(log()).on_error(told.hook()).build().expect("it can be opened");
    (1..=10).for_each(|n| write_line(&file, n));
    close_all_on(&log());
    // The next line finds it, and is written.
    (11..=20).for_each(|n| write_line(&file, n));
    assert_nothing_lost(&file, 20);
    assert_eq!(file.stats().reopens, 1);
    assert_eq!(told.all().len(), 1, "{:?}", told.all());
    assert!(told.all()[0].contains("Bad file descriptor"), "{:?}", told.all());
    close_all_on(&log());
    file.reopen().expect("it opens the file");
    assert_eq!(numbers(&log()).len(), 1, "it is open");
    (21..=30).for_each(|n| write_line(&file, n));
    close_all_on(&log());
    fs::rename(log(), log().with_extension("1")).and_then(|()| File::create(log())).expect("it is rotated");
    wait_until("the new file is open", LATEST, || numbers(&log()).len() == 1);
    (31..=40).for_each(|n| write_line(&file, n));
    wait_until("all lines are there", LATEST, || file.stats().queued_lines == 0);
}

#[test]
fn a_descriptor_that_is_closed_costs_no_line_and_bars_no_way() {
    run("child_has_it_closed", &["tasks.1", "tasks.log"]);
}

#[test]
fn child_has_its_number_used_again() {
    if !role("descriptors::child_has_its_number_used_again") {
        return;
    }
    let file = WatchedFile::open(log()).expect("it can be opened");
    let other = log().with_file_name("other");
    (1..=10).for_each(|n| write_line(&file, n));
    let mut own = File::options().create(true).append(true).open(&other).expect("the folder is ours");
    let number = numbers(&log())[0];
    // SAFETY: as above.
    assert_eq!(unsafe { dup2(own.as_raw_fd(), number) }, number);
    // Lines that come before the next look go astray, and are written again.
    (11..=20).for_each(|n| write_line(&file, n));
    wait_within("it is found", Duration::from_secs(1), || file.stats().reopens == 1);
    let astray = fs::read(&other).expect("it is there").len();
    (21..=40).for_each(|n| write_line(&file, n));
    let next_looks = Duration::from_millis(400);
    assert!(
        !holds_within(next_looks, || file.stats().truncations > 0),
        "the lines that went astray cut nothing"
    );
    assert_nothing_lost(&file, 40);
    drop(file);
    assert_eq!(fs::read(&other).expect("it is there").len(), astray, "no line after that");
    assert_eq!(numbers(&other).len(), 2, "the other owner's descriptor is open");
    own.write_all(b"other\n").expect("it can be written to");
}

#[test]
fn a_number_that_is_used_again_is_left_to_its_owner() {
    run("child_has_its_number_used_again", &["tasks.log"]);
}

#[test]
fn child_has_all_descriptors_closed() {
    if !role("descriptors::child_has_all_descriptors_closed") {
        return;
    }
    let file = WatchedFile::open(log()).expect("it can be opened");
    (1..=10).for_each(|n| write_line(&file, n));
    for fd in 3..1024 {
        // SAFETY: as above.
        unsafe { close(fd) };
    }
    (11..=20).for_each(|n| write_line(&file, n));
    fs::rename(log(), log().with_extension("1")).and_then(|()| File::create(log())).expect("it is rotated");
    wait_within("the new file is open", Duration::from_secs(1), || file.stats().reopens == 2);
    (21..=40).for_each(|n| write_line(&file, n));
    assert_nothing_lost(&file, 40);
    drop(file);
}

#[test]
fn with_all_descriptors_closed_it_follows_its_path_and_nothing_panics() {
    let dir = Dir::new();
    let child =
        Child::of_test("descriptors::child_has_all_descriptors_closed").env("LOG", dir.path("tasks.log"));
    let output = child.limit(Duration::from_secs(60)).spawn().wait().assert_success();
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
    drop(assert_all_there(&[dir.path("tasks.1"), dir.path("tasks.log")], 40));
}

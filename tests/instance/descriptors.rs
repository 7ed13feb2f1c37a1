//! Descriptors that other code of the process has closed, as libraries do that daemonize, and whose numbers are used again.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_tasklog::writer::InstanceFile;

use crate::support::{
    child::{Child, role},
    dir::Dir,
    fork::close_all,
    verify::{Expect, LogFamily, numbered},
    wait_within,
};

fn write(file: &InstanceFile, n: u64) {
    super::write(file, numbered(0, n, 9) + "\n");
}

fn path() -> PathBuf {
    env::var_os("LOG").expect("the parent says where").into()
}

fn opened(max_bytes: u64) -> InstanceFile {
    InstanceFile::builder(path()).max_bytes(max_bytes).backups(100).build().expect("the file can be opened")
}

#[test]
fn child_closes_all() {
    if !role("descriptors::child_closes_all") {
        return;
    }
    let file = opened(400);
    write(&file, 1);
    close_all();
    (2..=50).for_each(|n| write(&file, n));
    let stats = file.stats();
    assert_eq!((stats.written_lines, stats.dropped_lines, stats.reopens), (50, 0, 1), "{stats:?}");
    assert!(stats.rotations >= 3, "{stats:?}");
    let second = InstanceFile::builder(path()).build();
    assert!(second.expect_err("the lock is held again").is_in_use());
}

#[test]
fn when_all_descriptors_are_closed_no_line_is_lost_and_the_log_rotates_on_under_its_lock() {
    let dir = Dir::new();
    let child = Child::of_test("descriptors::child_closes_all").env("LOG", dir.path("tasks.log"));
    child.spawn().wait().assert_success();
    let expect = Expect::new().worker(0, 50).bare_lines();
    LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
}

/// Files of somebody else, which have every low number.
fn take_numbers(path: &Path) -> Vec<File> {
    let open =
        || OpenOptions::new().append(true).create(true).open(path).expect("the folder is the test's own");
    (0..32).map(|_| open()).collect()
}

/// Lines enough for some rotations.
const MORE: u64 = 3000;

#[test]
fn child_has_its_numbers_used_again() {
    if !role("descriptors::child_has_its_numbers_used_again") {
        return;
    }
    let (file, victim) = (opened(30_000), path().with_file_name("victim"));
    write(&file, 1);
    close_all();
    let mut others = take_numbers(&victim);
    let mut n = 1;
    // Nothing tells before the next look: what is written until then goes astray.
    const TICK: Duration = Duration::from_millis(50); // a second begins a moment late
    wait_within("the lines come back", Duration::from_secs(1) + TICK, || {
        n += 1;
        write(&file, n);
        file.stats().reopens > 0
    });
    let astray = fs::read(&victim).expect("it is there");
    assert_eq!(
        file.stats().at_risk_lines,
        n - 1,
        "all before the look: which of them went astray nothing tells"
    );
    ((n + 1)..=(n + MORE)).for_each(|n| write(&file, n));
    assert!(file.stats().rotations >= 3, "{:?}", file.stats());
    drop(file);
    assert_eq!(fs::read(&victim).expect("it is there"), astray, "no list, and no line after the look");
    others.iter_mut().for_each(|file| file.write_all(b"alive\n").expect("nobody has closed it"));
    fs::write(path().with_file_name("expected"), format!("{n}")).expect("the folder is the test's own");
}

#[test]
fn numbers_that_are_used_again_get_no_line_after_a_second_and_are_not_closed() {
    let dir = Dir::new();
    let child = Child::of_test("descriptors::child_has_its_numbers_used_again");
    child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    let n: u64 = dir.read("expected").parse().expect("a number");
    let lines = LogFamily::of(dir.path("tasks.log")).lines();
    let told = format!("up to {} lines may be lost reason=\"file closed by other code\"", n - 1);
    assert!(lines.iter().any(|line| line.ends_with(&told)), "not announced: {told}");
    let last = lines.len() - 1 - MORE as usize;
    for (line, n) in lines[last..].iter().zip(n..=n + MORE) {
        assert_eq!(*line, numbered(0, n, 9));
    }
}

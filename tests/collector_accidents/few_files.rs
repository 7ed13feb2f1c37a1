//! More rings than a collector can have open, and rings that it can't open at all: no report says more than is true.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    process,
};

use tracing_tasklog::writer::{Collector, SharedQueue};

use crate::{
    support::{
        child::{Child, role, say},
        fork::{forked, wait_for},
        verify::{Expect, numbered},
    },
    workers_kit::{
        LATEST, Place,
        children::{number, place},
    },
};

/// What a collector has open for itself: the pipe, the directory, the lock.
const OWN: u32 = 3;

/// The lines of each ring.
const LINES: u64 = 5;

fn write_lines(queue: &SharedQueue, worker: u32) {
    let write = |n| queue.clone().write_all((numbered(worker, n, 9) + "\n").as_bytes());
    (1..=LINES).for_each(|n| write(n).expect("writing never fails"));
}

/// A process that leaves many rings behind.
#[test]
fn child_leaves_rings() {
    if !role("few_files::child_leaves_rings") {
        return;
    }
    for worker in 0..number("RINGS") {
        let queue = SharedQueue::builder().capacity_bytes(4096).connect(place("q")).expect("a ring");
        write_lines(&queue, worker);
        std::mem::forget(queue);
    }
    process::exit(0);
}

/// Rings of the dead, with lines in them.
fn place_with(rings: u32) -> (Place, Expect) {
    let place = Place::new();
    let child = place.child("few_files::child_leaves_rings").env("RINGS", rings.to_string());
    child.spawn().wait().assert_success();
    assert_eq!(place.rings().len(), rings as usize);
    let expect = (0..rings).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, LINES));
    (place, expect)
}

/// A collector whose process may have so many files open, of which it has all but `free` already.
fn assert_drains(rings: u32, files: u32, free: Option<u32>, flush: bool) {
    let what = format!("{rings} rings, {files} files, free {free:?}, flush {flush}");
    let (place, expect) = place_with(rings);
    let child = place.child_after("workers_kit::children::child_collects", &format!("ulimit -n {files}"));
    let child =
        child.env("LOG", "tasks.log").env("FREE", free.map_or(String::new(), |free| free.to_string()));
    let mut collector = if flush { child.env("FLUSH", "") } else { child }.spawn();
    collector.wait_for_stdout_line(|line| line == "collects");
    let all = u64::from(rings) * LINES;
    if flush {
        collector.wait_for_stdout_line(|line| line == "flushed");
        assert_eq!(place.dir.lines("tasks.log").len() as u64, all, "{what}: it said that all is written");
    }
    let report = place.end(collector);
    assert_eq!((report.written, report.dropped, report.pending), (all, 0, 0), "{what}: {report:?}");
    place.verify(&expect).assert_clean();
    assert!(place.rings().is_empty(), "{what}: {:?}", place.rings());
}

#[test]
fn a_flush_gets_through_all_rings_however_few_files_may_be_open() {
    for (rings, files) in [(150, 32), (200, 64)] {
        assert_drains(rings, files, None, true);
    }
}

#[test]
fn the_end_gets_through_all_rings_however_few_files_may_be_open() {
    for (rings, files) in [(150, 32), (200, 64)] {
        assert_drains(rings, files, None, false);
    }
}

/// The program has the others.
#[test]
fn a_drain_gets_through_all_rings_where_one_or_two_files_are_free() {
    assert_drains(40, 64, Some(OWN + 1), true);
    assert_drains(40, 64, Some(OWN + 2), false);
}

/// Nothing is free: a report says that there is something, and the next collector has it.
#[test]
fn where_no_file_can_be_opened_a_report_says_so() {
    let (place, expect) = place_with(3);
    let child = place.child_after("workers_kit::children::child_collects", "ulimit -n 64");
    let child =
        child.env("LOG", "first.log").env("FREE", OWN.to_string()).env("FLUSH", "").env("LATEST", "1");
    let mut collector = child.spawn();
    collector.wait_for_stdout_line(|line| line == "collects");
    let report = place.end_of("first.log", collector);
    assert!(!report.output.stdout.contains("flushed\n"), "{report:?}");
    assert!(report.written == 0 && report.pending > 0, "{report:?}");
    let collector = place.collector();
    place.wait_for_no_rings();
    let later = place.end(collector);
    assert_eq!(later.written, 3 * LINES);
    place.verify(&expect).assert_clean();
}

#[test]
fn child_can_not_open_a_ring() {
    if !role("few_files::child_can_not_open_a_ring") {
        return;
    }
    for worker in 0..2 {
        wait_for(forked(|| {
            let queue = SharedQueue::connect(place("q")).expect("a ring can be made");
            write_lines(&queue, worker);
            std::mem::forget(queue);
        }));
    }
    let rings = fs::read_dir(place("q")).expect("it is there").map(|entry| entry.expect("listed").path());
    let ring = rings.filter(|path| path.extension().is_some_and(|e| e == "ring")).min().expect("two rings");
    let set_mode = |mode| fs::set_permissions(&ring, Permissions::from_mode(mode)).expect("its own");
    set_mode(0o000);
    let log = || File::options().append(true).create(true).open(place("tasks.log")).expect("a log");
    let collect =
        || Collector::builder(place("q")).on_error(|error| say(&format!("told {error}"))).spawn(log());
    let guard = collect().expect("no other one");
    let error = guard.flush(LATEST).expect_err("one ring can't be read");
    say(&format!("flush {error}"));
    assert!(!error.is_timeout(), "it can be said at once");
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.pending), (LINES, 1), "{report:?}");
    let guard = collect().expect("no other one");
    guard.flush(LATEST).expect_err("as before");
    set_mode(0o600);
    guard.flush(LATEST).expect("now it can be read");
    assert_eq!((guard.shutdown(LATEST).pending, ring.exists()), (0, false));
}

#[test]
fn a_ring_that_can_not_be_opened_is_not_said_to_be_written() {
    let place = Place::new();
    if fs::metadata(place.dir.root()).expect("it is there").uid() == 0 {
        chown(place.dir.root(), Some(65534), Some(65534)).expect("root may");
    }
    let child = Child::of_test_as_nobody("few_files::child_can_not_open_a_ring", place.dir.root());
    let output = child.env("PLACE", place.dir.root()).spawn().wait().assert_success();
    let told = output.stdout.lines().filter(|line| line.starts_with("told ")).collect::<Vec<_>>();
    assert_eq!(told.len(), 2, "once by each collector: {output}");
    assert!(
        told[0].contains(".ring") && output.stdout.contains("flush could not read 1 of the rings"),
        "{output}"
    );
    let expect = (0..2).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, LINES));
    place.verify(&expect).assert_clean();
}

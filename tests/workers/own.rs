//! Processes that have more than one part: several rings, or a worker and a collector in one.

use std::{
    fs::{self, File},
    io, process, thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};
use tracing_tasklog::writer::{Collector, CollectorGuard, SharedQueue};

use crate::{
    support::{
        child::{role, say},
        holds_within,
        ledger::Ledger,
        verify::Expect,
        wait_until,
    },
    workers_kit::{
        LATEST, Place,
        children::{place, wait_for_sign, write_line},
        resume, stop,
    },
};

fn collect() -> CollectorGuard {
    let file =
        File::options().append(true).create(true).open(place("tasks.log")).expect("a file of the parent's");
    Collector::builder(place("q")).spawn(file).expect("no other collector runs")
}

fn connect() -> SharedQueue {
    SharedQueue::connect(place("q")).expect("a ring can be made")
}

/// Whether another process than this one has a file locked.
fn is_locked(path: &std::path::Path) -> bool {
    let file = File::options().read(true).write(true).open(path).expect("it is there");
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => false,
        Err(Errno::AGAIN | Errno::ACCESS) => true,
        Err(error) => panic!("lock {}: {error}", path.display()),
    }
}

#[test]
fn child_connects_twice() {
    if !role("own::child_connects_twice") {
        return;
    }
    let (first, second) = (connect(), connect());
    let ledger = Ledger::open(place("ledger"));
    thread::scope(|scope| {
        for (slot, queue) in [(0, &first), (1, &second), (2, &first), (3, &second)] {
            let ledger = &ledger;
            scope.spawn(move || (1..=500).for_each(|n| write_line(queue, ledger, slot, n)));
        }
    });
    say("has written");
    wait_for_sign("close-one");
    drop(first); // the second must stay as it is
    say("has closed one");
    wait_for_sign("go-on");
    (501..=600).for_each(|n| write_line(&second, &ledger, 1, n));
}

#[test]
fn a_process_that_connects_twice_has_two_rings() {
    let place = Place::new();
    let ledger = place.ledger(4);
    let mut worker = place.child("own::child_connects_twice").spawn();
    worker.wait_for_stdout_line(|line| line == "has written");
    let rings = place.rings();
    assert!(rings.len() == 2 && rings.iter().all(|ring| is_locked(&place.queue().join(ring))), "{rings:?}");
    let collector = place.collector();
    wait_until("all is written", LATEST, || place.dir.lines("tasks.log").len() == 2_000);
    place.give("close-one");
    worker.wait_for_stdout_line(|line| line == "has closed one");
    wait_until("the closed one is removed", LATEST, || place.rings().len() == 1);
    // The collector has scanned many times by now, and the other one is as it was.
    assert!(!holds_within(Duration::from_millis(700), || place.rings().len() != 1), "{:?}", place.rings());
    assert!(is_locked(&place.queue().join(&place.rings()[0])));
    place.give("go-on");
    drop(worker.wait().assert_success());
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 2_100);
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

/// A worker and a collector, one after the other and again.
#[test]
fn child_is_worker_and_collector() {
    if !role("own::child_is_worker_and_collector") {
        return;
    }
    let (ledger, queue) = (Ledger::open(place("ledger")), connect());
    (1..=10).for_each(|n| write_line(&queue, &ledger, 0, n));
    let first = collect();
    let closed_at_once = connect();
    write_line(&closed_at_once, &ledger, 1, 1);
    first.flush(LATEST).expect("the collector writes");
    drop(closed_at_once);
    let error = Collector::builder(place("q")).spawn(io::sink()).expect_err("one is enough");
    assert!(error.is_in_use() && error.to_string().contains(&process::id().to_string()), "{error}");
    say("collects");
    wait_for_sign("go-on");
    (11..=20).for_each(|n| write_line(&queue, &ledger, 0, n));
    assert_eq!(first.shutdown(LATEST).written, 21);
    say("has ended the first");
    wait_for_sign("again");
    let second = collect();
    (21..=30).for_each(|n| write_line(&queue, &ledger, 0, n));
    second.flush(LATEST).expect("the collector writes");
    say("collects again");
    wait_for_sign("end");
    (31..=40).for_each(|n| write_line(&queue, &ledger, 0, n));
    drop(queue);
    // Nobody is left: whatever is still there is written at the end of the collector, and the ring is removed.
    drop(second);
    let left =
        fs::read_dir(place("q")).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().ends_with(".ring")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_ring_of_a_collectors_own_process_keeps_its_lock() {
    let place = Place::new();
    let ledger = place.ledger(2);
    let mut child = place.child("own::child_is_worker_and_collector").spawn();
    let mut is_locked_after = |said: &str| {
        child.wait_for_stdout_line(|line| line == said);
        wait_until("one ring is left", LATEST, || place.rings().len() == 1);
        let ring = place.queue().join(&place.rings()[0]);
        // For several scans.
        assert!(!holds_within(Duration::from_millis(700), || !is_locked(&ring)), "after it {said}");
        ring
    };
    let first = is_locked_after("collects");
    // What was refused in the process itself has released nothing.
    let error = Collector::builder(place.queue()).spawn(io::sink()).expect_err("one is enough");
    assert!(error.is_in_use(), "{error}");
    place.give("go-on");
    assert_eq!(is_locked_after("has ended the first"), first);
    // Another process collects meanwhile, and must take it for what it is.
    let other = place.collector_of("other.log", |child| child);
    assert_eq!(place.end_of("other.log", other).written, 0);
    place.give("again");
    assert_eq!(is_locked_after("collects again"), first);
    place.give("end");
    drop(child.wait().assert_success());
    assert_eq!(place.rings(), [""; 0]);
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

/// A collector that is stopped for longer than a scan takes nobody for dead, and a worker that is stopped isn't dead.
#[test]
fn a_worker_that_is_stopped_keeps_its_ring() {
    let place = Place::new();
    let ledger = place.ledger(4);
    let mut worker = place.child("own::child_connects_twice").spawn();
    worker.wait_for_stdout_line(|line| line == "has written");
    assert!(stop(&mut worker));
    let collector = place.collector();
    wait_until("all is written", LATEST, || place.dir.lines("tasks.log").len() == 2_000);
    assert!(!holds_within(Duration::from_millis(700), || place.rings().len() != 2), "{:?}", place.rings());
    resume(&worker);
    ["close-one", "go-on"].iter().for_each(|sign| place.give(sign));
    drop(worker.wait().assert_success());
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 2_100);
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

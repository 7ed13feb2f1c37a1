//! Rings that are renamed, linked, and moved: one ring is one file, whatever its names.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_tasklog::writer::{Collector, SharedQueue};

use crate::{
    support::{
        child::Child,
        holds_within,
        ledger::Ledger,
        verify::{Expect, numbered},
        wait_until,
    },
    workers_kit::{LATEST, Place, Work},
};

/// How a ring gets another name.
const WAYS: [&str; 3] = ["rename", "link", "link and remove"];

fn rename(way: &str, from: &Path, to: &Path) {
    match way {
        "rename" => fs::rename(from, to),
        "link" => fs::hard_link(from, to),
        _ => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
    }
    .unwrap_or_else(|error| panic!("{way} {from:?}: {error}"));
}

fn rings(place: &Place) -> Vec<PathBuf> {
    place.rings().into_iter().map(|name| place.queue().join(name)).collect()
}

/// A worker that writes until it is told to stop, with a few lines behind it.
fn start_worker(place: &Place, ledger: &Ledger, slot: u32) -> Child {
    let worker = Work { rest_after: 20, capacity: 16 * 1024, ..Work::of(slot, 0) }.spawn(place);
    wait_for_lines(ledger, slot, 100);
    worker
}

fn wait_for_lines(ledger: &Ledger, slot: u32, more: u64) {
    let have = || ledger.read()[slot as usize].1;
    let before = have();
    wait_until("the worker goes on", LATEST, || have() >= before + more);
}

/// Ends the workers and the collector: every line is there once, and no name of a ring is left.
fn assert_ends_well(place: &Place, ledger: &Ledger, workers: Vec<Child>, collector: Child, what: &str) {
    place.give("stop");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    place.wait_for_no_rings();
    let report = place.end(collector);
    let returned: u64 = ledger.read().iter().map(|slot| slot.1).sum();
    assert_eq!((report.written, report.dropped, report.pending), (returned, 0, 0), "{what}: {report:?}");
    let verdict = place.verify(&Expect::from_ledger(ledger).bare_lines());
    assert!(verdict.faults.is_empty(), "{what}: {verdict}");
}

#[test]
fn a_ring_that_is_renamed_or_linked_while_it_is_read_goes_on() {
    for way in WAYS {
        let place = Place::new();
        let ledger = place.ledger(2);
        let collector = place.collector();
        let workers = vec![start_worker(&place, &ledger, 0), start_worker(&place, &ledger, 1)];
        for round in 0..3 {
            let ring = rings(&place).remove(0);
            // Before and behind the other one in the order of names.
            for begin in ["0", "z"] {
                let to = place.queue().join(format!("{begin}-{round}.ring"));
                if rings(&place).contains(&ring) {
                    rename(way, &ring, &to);
                }
            }
            (0..2).for_each(|slot| wait_for_lines(&ledger, slot, 200));
            // Longer than it takes until it is looked for rings again.
            holds_within(Duration::from_millis(250), || false);
        }
        assert_ends_well(&place, &ledger, workers, collector, way);
    }
}

#[test]
fn a_ring_that_was_renamed_or_linked_before_it_is_read_is_one() {
    for way in WAYS {
        for end in ["kill", "return"] {
            let place = Place::new();
            let ledger = place.ledger(1);
            drop(Work { end, ..Work::of(0, 300) }.spawn(&place).wait());
            rename(way, &rings(&place)[0], &place.queue().join("other.ring"));
            let collector = place.collector();
            assert_ends_well(&place, &ledger, Vec::new(), collector, &format!("{way}, {end}"));
        }
    }
}

/// The name of a ring that is not finished yet.
#[test]
fn a_ring_with_lines_that_has_the_name_of_an_unfinished_one_is_read() {
    let place = Place::new();
    let ledger = place.ledger(1);
    drop(Work { end: "kill", ..Work::of(0, 300) }.spawn(&place).wait());
    let ring = rings(&place).remove(0);
    fs::rename(&ring, ring.with_extension("new")).expect("it is there");
    let collector = place.collector();
    assert_ends_well(&place, &ledger, Vec::new(), collector, "new");
}

fn write(queue: &SharedQueue, worker: u32, n: u64) {
    queue.clone().write_all((numbered(worker, n, 9) + "\n").as_bytes()).expect("writing never fails");
}

fn connect(place: &Place) -> SharedQueue {
    SharedQueue::builder().on_error(|_| ()).connect(place.queue()).expect("a ring can be made")
}

/// What is in it is known to be left: once, not once for each name.
#[test]
fn a_ring_with_two_names_is_counted_once() {
    let place = Place::new();
    let queue = connect(&place);
    (1..=20).for_each(|n| write(&queue, 0, n));
    fs::hard_link(&rings(&place)[0], place.queue().join("other.ring")).expect("linked");
    struct Stuck;
    impl std::io::Write for Stuck {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let guard = Collector::builder(place.queue()).on_error(|_| ()).spawn(Stuck).expect("no other one");
    let report = guard.shutdown(Duration::from_millis(300));
    assert_eq!((report.written, report.dropped, report.pending), (0, 0, 20), "{report:?}");
}

/// Nobody finds it there: the worker makes another one, and what is put back later is not written again.
#[test]
fn a_ring_that_is_moved_out_of_the_directory_is_left() {
    for (way, to) in
        [("rename", "elsewhere.ring"), ("rename", "q/ring.bak"), ("link and remove", "elsewhere.ring")]
    {
        let place = Place::new();
        let queue = connect(&place);
        write(&queue, 0, 1);
        let (ring, aside) = (rings(&place).remove(0), place.dir.path(to));
        rename(way, &ring, &aside);
        let mut lines = 1;
        wait_until("there is another ring", LATEST, || {
            (0..500).for_each(|_| {
                lines += 1;
                write(&queue, 0, lines);
            });
            !rings(&place).is_empty()
        });
        let stats = queue.stats();
        assert_eq!(
            (stats.accepted_lines, stats.queued_lines, stats.dropped_lines),
            (lines, lines, 0),
            "{stats:?}"
        );
        fs::rename(&aside, &ring).expect("it is put back");
        let collector = place.collector();
        wait_until("what was put back goes", LATEST, || place.rings().len() == 1);
        drop(queue);
        place.wait_for_no_rings();
        let report = place.end(collector);
        assert_eq!((report.written, report.pending), (lines, 0), "{way} {to}: {report:?}");
        place.verify(&Expect::new().bare_lines().worker(0, lines)).assert_clean();
    }
}

/// As long as a collector has it open, it is read where it is; by the next one it can't be found.
#[test]
fn a_ring_that_is_moved_away_while_it_is_read_loses_nothing() {
    let place = Place::new();
    let ledger = place.ledger(1);
    let first = place.collector_of("first.log", |child| child);
    let worker = start_worker(&place, &ledger, 0);
    let taken = || place.dir.lines("first.log").len();
    wait_until("it is read", LATEST, || taken() > 0);
    fs::rename(&rings(&place)[0], place.dir.path("elsewhere.ring")).expect("moved");
    let before = taken();
    wait_until("it is read on", LATEST, || taken() > before + 200);
    let first = place.end_of("first.log", first);
    let collector = place.collector();
    wait_for_lines(&ledger, 0, 2_000);
    place.give("stop");
    drop(worker.wait().assert_success());
    place.wait_for_no_rings();
    let later = place.end(collector);
    assert_eq!(first.written + later.written, ledger.read()[0].1);
    let files = [place.dir.path("first.log"), place.log()];
    let expect = Expect::from_ledger(&ledger).bare_lines();
    crate::support::verify::LogFamily::files(files).verify(&expect).assert_clean();
}

/// A worker that ends removes its own ring, and none that has its name by now.
#[test]
fn a_worker_that_ends_leaves_the_ring_that_was_given_its_name() {
    let place = Place::new();
    let (ends, lives) = (connect(&place), connect(&place));
    write(&lives, 1, 1);
    let mut both = rings(&place);
    both.sort();
    fs::rename(&both[1], &both[0]).expect("renamed over the other one"); // by time: the second is the one that lives
    drop(ends);
    assert_eq!(place.rings().len(), 1, "that one has lines");
    let collector = place.collector();
    wait_until("its line is written", LATEST, || place.dir.lines("tasks.log").len() == 1);
    drop(lives);
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 1);
}

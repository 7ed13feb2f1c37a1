//! Many workers: at once, one after the other, and more than the collector can have files open.

use tracing_tasklog::writer::SharedQueue;

use crate::{
    support::{
        child::{Child, role, say},
        ledger::Ledger,
        verify::{Expect, Kind, LogFamily},
        wait_until,
    },
    workers_kit::{
        LATEST, Place, Random, Work,
        children::{number, place, write_line},
    },
};

/// Ends the collector, and panics unless the log has every line that the ledger has.
fn assert_all_lines(place: &Place, collector: Child, ledger: &Ledger) {
    let report = place.end(collector);
    let verdict = place.verify(&Expect::from_ledger(ledger).bare_lines());
    assert!(verdict.faults.is_empty(), "{verdict}\n{}", report.output);
    assert_eq!((report.written, report.dropped, report.pending), (verdict.found, 0, 0), "{report:?}");
}

#[test]
fn a_hundred_workers_at_once() {
    let place = Place::new();
    let ledger = place.ledger(100);
    let collector = place.collector();
    let work = |slot| Work { capacity: 8 * 1024, begin: "begin", ..Work::of(slot, 300) };
    let mut workers: Vec<Child> = (0..100).map(|slot| work(slot).spawn(&place)).collect();
    workers.iter_mut().for_each(|worker| drop(worker.wait_for_stdout_line(|line| line == "ready")));
    assert_eq!(place.rings().len(), 100);
    place.give("begin");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    assert!(ledger.read().iter().all(|slot| *slot == (300, 300)), "{:?}", ledger.read());
    place.wait_for_no_rings();
    assert_all_lines(&place, collector, &ledger);
}

/// A collector with so few files has the rings open in turns.
#[test]
fn more_workers_than_the_collector_can_have_files_open() {
    let place = Place::new();
    let ledger = place.ledger(40);
    let collector = place.collector_of("tasks.log", |child| child.env("NOFILE", "24"));
    // They are busy all the time, with rings that are full again and again, and the first ones before the last ones come.
    let work = |slot| Work { capacity: 4096, rest_after: 25, ..Work::of(slot, 0) };
    let workers: Vec<Child> = (0..40).map(|slot| work(slot).spawn(&place)).collect();
    // More than the ring has room for, so that nobody gets there without the collector.
    let have_all = || ledger.read().iter().all(|slot| slot.1 >= 400);
    wait_until("all of them come through", 2 * LATEST, have_all);
    place.give("stop");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    place.wait_for_no_rings();
    assert_all_lines(&place, collector, &ledger);
}

/// The same with workers that are idle after a few lines, and live on.
#[test]
fn more_idle_workers_than_the_collector_can_have_files_open() {
    let place = Place::new();
    let ledger = place.ledger(40);
    let collector = place.collector_of("tasks.log", |child| child.env("NOFILE", "24"));
    let mut workers: Vec<Child> =
        (0..40).map(|slot| Work { end: "hang", ..Work::of(slot, 5) }.spawn(&place)).collect();
    let have_ended =
        |worker: &mut Child| drop(worker.wait_for_stdout_line(|line| line.starts_with("account")));
    workers.iter_mut().for_each(have_ended);
    wait_until("all lines are written", LATEST, || place.dir.lines("tasks.log").len() == 200);
    workers.iter_mut().for_each(Child::kill);
    workers.into_iter().for_each(|worker| drop(worker.wait()));
    place.wait_for_no_rings();
    assert_all_lines(&place, collector, &ledger);
}

/// At its end it takes all along, or says what it leaves for the next one.
#[test]
fn the_end_of_a_collector_with_too_few_files_says_what_is_left() {
    let place = Place::new();
    let ledger = place.ledger(40);
    let mut workers: Vec<Child> =
        (0..40).map(|slot| Work { end: "hang", ..Work::of(slot, 5) }.spawn(&place)).collect();
    let have_ended =
        |worker: &mut Child| drop(worker.wait_for_stdout_line(|line| line.starts_with("account")));
    workers.iter_mut().for_each(have_ended);
    let first = place.collector_of("first.log", |child| child.env("NOFILE", "24").env("FLUSH", ""));
    let report = place.end_of("first.log", first);
    let is_flushed = report.output.stdout.contains("flushed\n");
    assert_eq!((report.written + report.pending, report.dropped), (200, 0), "{report:?}");
    assert!(!is_flushed || report.written == 200, "a flush that is done has written all: {report:?}");
    let second = place.collector();
    workers.iter_mut().for_each(Child::kill);
    workers.into_iter().for_each(|worker| drop(worker.wait()));
    place.wait_for_no_rings();
    assert_eq!(place.end(second).written, report.pending);
    let files = [place.dir.path("first.log"), place.log()];
    LogFamily::files(files).verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

/// How a short-lived worker ends.
const ENDS: [&str; 4] = ["return", "exit", "abort", "kill"];

/// Workers that live for three lines, eight at a time.
fn run_short_lives(count: u32) {
    let place = Place::with_limit(LATEST * (count / 100).max(3));
    let ledger = place.ledger(count);
    let collector = place.collector();
    let slots: Vec<u32> = (0..count).collect();
    for slots in slots.chunks(8) {
        let work = |slot: &u32| Work { end: ENDS[*slot as usize % ENDS.len()], ..Work::of(*slot, 3) };
        let workers: Vec<(&str, Child)> =
            slots.iter().map(work).map(|work| (work.end, work.spawn(&place))).collect();
        for (end, worker) in workers {
            let output = worker.wait();
            assert_eq!(output.status.success(), matches!(end, "return" | "exit"), "{end}: {output}");
        }
    }
    assert!(ledger.read().iter().all(|slot| *slot == (3, 3)), "each has written its lines");
    place.wait_for_no_rings();
    assert_all_lines(&place, collector, &ledger);
}

#[test]
fn short_lived_workers_leave_their_lines_and_nothing_else() {
    run_short_lives(100);
}

#[test]
#[ignore = "deep: ten thousand processes"]
fn deep_ten_thousand_short_lived_workers_leave_their_lines_and_nothing_else() {
    run_short_lives(10_000);
}

/// Makes a ring for each line, until it is killed.
#[test]
fn child_connects_for_each_line() {
    if !role("many::child_connects_for_each_line") {
        return;
    }
    let (ledger, slot) = (Ledger::open(place("ledger")), number("SLOT"));
    say("ready");
    for n in 1.. {
        let builder = SharedQueue::builder().capacity_bytes(4096);
        write_line(&builder.connect(place("q")).expect("a ring can be made"), &ledger, slot, n);
    }
}

#[test]
fn workers_that_are_killed_while_they_make_or_close_a_ring_leave_no_file() {
    let (place, mut random) = (Place::new(), Random::new(7));
    let ledger = place.ledger(40);
    let collector = place.collector();
    for slots in (0..40).collect::<Vec<u32>>().chunks(4) {
        let spawn = |slot: &u32| {
            place.child("many::child_connects_for_each_line").env("SLOT", slot.to_string()).spawn()
        };
        let mut workers: Vec<Child> = slots.iter().map(spawn).collect();
        let enough = 1 + random.below(40);
        let have_enough = || slots.iter().all(|slot| ledger.read()[*slot as usize].1 >= enough);
        wait_until("they make rings", LATEST, have_enough);
        workers.iter_mut().for_each(Child::kill);
        workers.into_iter().for_each(|worker| drop(worker.wait()));
    }
    place.wait_for_no_rings();
    let report = place.end(collector);
    let verdict = place.verify(&Expect::from_ledger(&ledger).bare_lines());
    // Each ring has an order of its own.
    let faults: Vec<_> = verdict.faults.iter().filter(|fault| fault.kind != Kind::Order).collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!((report.written, verdict.duplicates, verdict.missing), (verdict.found, 0, 0), "{report:?}");
    assert!(!report.output.stdout.contains("told "), "{}", report.output);
}

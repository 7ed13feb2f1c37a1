//! Collectors that come and go while the workers live.

use std::{collections::BTreeSet, fs};

use tracing_tasklog::writer::{Collector, Running};

use crate::{
    support::{
        child::Child,
        ledger::Ledger,
        verify::{Expect, LogFamily},
        wait_until,
    },
    workers_kit::{LATEST, Place, Random, Work},
};

/// How many lines of a batch can be in the log twice, if its collector was killed: none is shorter.
const LINES_OF_A_BATCH: u64 = 64 * 1024 / "w=0 n=1 pad= crc=00000000\n".len() as u64;

/// The lines whose calls have returned.
fn returned(ledger: &Ledger) -> u64 {
    ledger.read().iter().map(|slot| slot.1).sum()
}

/// Waits until each of the workers has written so many lines more.
fn wait_for_lines(ledger: &Ledger, more: u64) {
    let before = ledger.read();
    let have = || ledger.read().iter().zip(&before).all(|(now, before)| now.1 >= before.1 + more);
    wait_until("the workers go on", LATEST, have);
}

/// Four workers with two threads each, that write until they are stopped.
fn workers(place: &Place) -> Vec<Child> {
    let work = |slot| Work { threads: 2, rest_after: 20, capacity: 16 * 1024, ..Work::of(slot, 0) };
    let mut workers: Vec<Child> = [0, 2, 4, 6].map(|slot| work(slot).spawn(place)).into();
    workers.iter_mut().for_each(|worker| drop(worker.wait_for_stdout_line(|line| line == "ready")));
    workers
}

fn end_workers(place: &Place, workers: Vec<Child>) {
    place.give("stop");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
}

#[test]
fn workers_that_have_ended_before_any_collector_leave_their_lines_for_it() {
    let place = Place::new();
    let ledger = place.ledger(4);
    let ends = ["return", "exit", "abort", "kill"];
    let work = |(slot, end)| Work { end, ..Work::of(slot, 200) }.spawn(&place).wait();
    drop((0..).zip(ends).map(work).collect::<Vec<_>>());
    assert_eq!((place.rings().len(), returned(&ledger)), (4, 800), "each has ended as it likes");
    let collector = place.collector();
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 800);
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

/// Without any collector a queue is a ring to write to.
#[test]
fn workers_without_a_collector_end_well() {
    let place = Place::new();
    drop(place.ledger(1));
    drop(Work::of(0, 500).spawn(&place).wait().assert_success());
    assert_eq!(place.rings().len(), 1);
    let collector = place.collector();
    let report = place.end(collector);
    assert_eq!((report.written, report.pending), (500, 0), "a collector that ends at once takes all along");
    assert_eq!(place.rings(), [""; 0]);
}

#[test]
fn what_live_workers_log_after_a_shutdown_is_for_the_next_collector() {
    let place = Place::new();
    let ledger = place.ledger(8);
    let workers = workers(&place);
    let logs = ["first.log", "second.log", "tasks.log"];
    let mut written = 0;
    for log in logs {
        let collector = place.collector_of(log, |child| child);
        wait_for_lines(&ledger, 150);
        let before = returned(&ledger);
        if log == "tasks.log" {
            place.give("stop");
            wait_until("the workers have ended", LATEST, || place.rings().is_empty());
        }
        let report = place.end_of(log, collector);
        written += report.written;
        assert!(written >= before && report.pending == 0, "{log}: {report:?}, returned before: {before}");
        assert_eq!(report.written, place.dir.lines(log).len() as u64, "{log}");
    }
    end_workers(&place, workers);
    assert_eq!(place.rings(), [""; 0]);
    let verdict = LogFamily::files(logs.map(|log| place.dir.path(log)))
        .verify(&Expect::from_ledger(&ledger).bare_lines());
    assert_eq!(verdict.assert_clean().found, written);
}

#[test]
fn a_second_collector_is_refused_by_an_error_that_names_directory_and_process() {
    let place = Place::new();
    let first = place.collector();
    for _ in 0..3 {
        // A refusal that released a lock would let the next one in.
        let error = Collector::builder(place.queue()).spawn(std::io::sink()).expect_err("one is enough");
        assert!(error.is_in_use(), "{error:?}");
        let text = error.to_string();
        let names = |what: &str| text.contains(what);
        let directory = place.queue().to_string_lossy().into_owned();
        assert!(names(&directory) && names(&first.id().to_string()), "{text}");
    }
    let soon = Running::Wait(std::time::Duration::from_millis(100));
    let error =
        Collector::builder(place.queue()).if_running(soon).spawn(std::io::sink()).expect_err("it runs on");
    assert!(error.is_in_use(), "{error:?}");
    assert_eq!(place.end(first).written, 0);
}

#[test]
fn a_collector_that_waits_goes_on_where_the_other_one_has_ended() {
    let place = Place::new();
    let ledger = place.ledger(8);
    let first = place.collector();
    let workers = workers(&place);
    let mut second =
        place.child("workers_kit::children::child_collects").env("LOG", "second.log").env("WAIT", "").spawn();
    second.wait_for_stdout_line(|line| line == "begins");
    wait_for_lines(&ledger, 200);
    assert_eq!(place.dir.lines("second.log").len(), 0, "it waits");
    let report = place.end(first);
    assert_eq!(report.pending, 0, "{report:?}");
    second.wait_for_stdout_line(|line| line == "collects");
    wait_for_lines(&ledger, 200);
    end_workers(&place, workers);
    place.wait_for_no_rings();
    let later = place.end_of("second.log", second);
    let files = [place.log(), place.dir.path("second.log")];
    let verdict = LogFamily::files(files).verify(&Expect::from_ledger(&ledger).bare_lines());
    assert_eq!(verdict.assert_clean().found, report.written + later.written);
}

/// Kills collectors at random moments. What was on its way into the sink may be there twice.
fn assert_nothing_is_lost_with(kills: u64, seed: u64) {
    let mut random = Random::new(seed);
    let place = Place::with_limit(LATEST * (3 + kills as u32 / 5));
    let ledger = place.ledger(8);
    let workers = workers(&place);
    for _ in 0..kills {
        let mut collector = place.collector_of("tasks.log", |child| child.env("SINK", "instance"));
        wait_for_lines(&ledger, 1 + random.below(300));
        collector.kill();
        drop(collector.wait());
    }
    let collector = place.collector_of("tasks.log", |child| child.env("SINK", "instance"));
    end_workers(&place, workers);
    place.wait_for_no_rings();
    drop(place.end(collector));
    let verdict = place.verify(&Expect::from_ledger(&ledger).bare_lines());
    let faults = verdict.faults.len() as u64 + verdict.unlisted;
    assert_eq!((faults, verdict.missing), (verdict.duplicates, 0), "nothing else: {verdict}");
    assert!(verdict.duplicates <= kills * LINES_OF_A_BATCH, "{verdict}");
}

#[test]
fn a_collector_that_is_killed_takes_no_line_along() {
    assert_nothing_is_lost_with(5, 5);
}

#[test]
#[ignore = "deep: two hundred collectors killed"]
fn deep_collectors_that_are_killed_take_no_line_along() {
    (1..=4).for_each(|seed| assert_nothing_is_lost_with(50, seed));
}

#[test]
#[cfg(target_os = "linux")]
fn no_worker_has_the_log_file_open() {
    let place = Place::new();
    let ledger = place.ledger(8);
    let workers = workers(&place);
    let open_files = |child: &Child| -> BTreeSet<std::path::PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("it runs");
        entries.filter_map(|entry| fs::read_link(entry.expect("an entry").path()).ok()).collect()
    };
    let mut looks = 0;
    for round in 0..3 {
        let mut collector = place.collector_of("tasks.log", |child| child.env("SINK", "instance"));
        wait_until("lines are written", LATEST, || place.dir.lines("tasks.log").len() > 100);
        wait_for_lines(&ledger, 50);
        assert!(open_files(&collector).contains(&place.log()), "that is how it would be seen");
        for _ in 0..10 {
            for worker in &workers {
                let files = open_files(worker);
                assert!(!files.contains(&place.log()), "round {round}: {files:?}");
                assert!(files.iter().any(|file| file.starts_with(place.queue())), "{files:?}");
                looks += 1;
            }
        }
        collector.kill();
        drop(collector.wait()); // the workers are alone for a moment
        let alone: Vec<_> =
            workers.iter().filter(|worker| open_files(worker).contains(&place.log())).collect();
        assert!(alone.is_empty(), "{alone:?}");
    }
    assert_eq!(looks, 3 * 10 * 4);
    let collector = place.collector_of("tasks.log", |child| child.env("SINK", "instance"));
    end_workers(&place, workers);
    drop(place.end(collector));
}

//! A collector with nothing to do, and how soon it has a line in the file.
#![cfg(target_os = "linux")]

use std::{
    fs::{self, File},
    io::Write as _,
    time::{Duration, Instant},
};

use tracing::{error, info};
use tracing_tasklog::{
    TaskLayer,
    writer::{Collector, CollectorGuard, SharedQueue},
};

use crate::{
    support::{capture::under, child::Child, holds_within, verify::numbered, wait_until},
    workers_kit::{LATEST, Place, Work, alone},
};

fn collect(place: &Place) -> (SharedQueue, CollectorGuard) {
    let file =
        File::options().append(true).create(true).open(place.log()).expect("the folder is the test's own");
    let guard = Collector::builder(place.queue()).spawn(file).expect("no other collector runs");
    (SharedQueue::connect(place.queue()).expect("a ring can be made"), guard)
}

/// How often the thread of the collector was given the processor.
fn wakeups() -> u64 {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").expect("it is there") {
        let status = fs::read_to_string(task.expect("a task").path().join("status")).unwrap_or_default();
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        if value("Name:") == Some("tasklog-collect") {
            let count = |key| value(key).and_then(|count| count.parse::<u64>().ok()).expect("a number");
            found.push(count("voluntary_ctxt_switches:") + count("nonvoluntary_ctxt_switches:"));
        }
    }
    assert_eq!(found.len(), 1, "one thread has its name");
    found[0]
}

fn pass(millis: u64) {
    holds_within(Duration::from_millis(millis), || false);
}

fn wakeups_a_second() -> f64 {
    let (before, began) = (wakeups(), Instant::now());
    pass(3_000);
    (wakeups() - before) as f64 / began.elapsed().as_secs_f64()
}

#[test]
fn an_idle_collector_wakes_up_less_than_five_times_a_second() {
    alone("idle::an_idle_collector_wakes_up_less_than_five_times_a_second", || {
        let place = Place::new();
        drop(place.ledger(3));
        let (mut queue, guard) = collect(&place);
        // Workers that live, and have logged something.
        let mut workers: Vec<Child> =
            (0..3).map(|slot| Work { end: "hang", ..Work::of(slot, 20) }.spawn(&place)).collect();
        let has_worked =
            |worker: &mut Child| drop(worker.wait_for_stdout_line(|line| line.starts_with("account")));
        workers.iter_mut().for_each(has_worked);
        guard.flush(LATEST).expect("the collector writes");
        pass(1_500);
        // A busy machine interrupts it more often now and then, and never less.
        let least = (0..4).map(|_| wakeups_a_second()).find(|&a_second| a_second < 5.0);
        assert!(least.is_some(), "it is awake all the time");
        // It sleeps, it isn't dead.
        queue.write_all((numbered(0, 1, 9) + "\n").as_bytes()).expect("writing never fails");
        wait_until("the line is written", LATEST, || place.dir.lines("tasks.log").len() == 61);
    });
}

/// How long it takes until the file has grown after a call.
fn latency(place: &Place, log: impl FnOnce()) -> Duration {
    let len = || fs::metadata(place.log()).expect("it is there").len();
    let (before, began) = (len(), Instant::now());
    log();
    while len() == before {
        assert!(began.elapsed() < LATEST, "it is never written");
        std::thread::yield_now();
    }
    began.elapsed()
}

/// The shortest: a busy machine makes none shorter.
fn best(times: &[Duration]) -> Duration {
    *times.iter().min().expect("there are some")
}

#[test]
fn a_line_is_in_the_file_within_50_ms_when_the_collector_is_idle() {
    alone("idle::a_line_is_in_the_file_within_50_ms_when_the_collector_is_idle", || {
        let place = Place::new();
        let (queue, _guard) = collect(&place);
        // It sleeps, or is about to, each several times.
        for pause in [60, 80, 100, 120] {
            let times: Vec<_> = (1..=5)
                .map(|n| {
                    pass(pause);
                    let line = numbered(pause as u32, n, 9) + "\n";
                    latency(&place, || queue.clone().write_all(line.as_bytes()).expect("writing never fails"))
                })
                .collect();
            assert!(best(&times) <= Duration::from_millis(50), "after {pause} ms: {times:?}");
        }
    });
}

#[test]
fn an_error_is_in_the_file_at_once_even_while_the_collector_waits_for_company() {
    alone("idle::an_error_is_in_the_file_at_once_even_while_the_collector_waits_for_company", || {
        let place = Place::new();
        let (queue, _guard) = collect(&place);
        let (mut errors, mut others) = (Vec::new(), Vec::new());
        under(TaskLayer::new(queue), || {
            for n in 0..15 {
                latency(&place, || info!(n, "wakes it"));
                errors.push(latency(&place, || error!(n, "can't wait")));
                others.push(latency(&place, || info!(n, "can wait for others")));
            }
        });
        let (error, other) = (best(&errors), best(&others));
        assert!(error < Duration::from_millis(10), "errors {errors:?}, others {others:?}");
        // Where the machine stood still while it waited for company, a line finds its wait over: not where most of them do.
        let mut waits = others.clone();
        waits.sort();
        assert!(
            waits[waits.len() / 2] > 2 * error,
            "it didn't wait for company: errors {errors:?}, others {others:?}"
        );
        assert!(other <= Duration::from_millis(50), "errors {errors:?}, others {others:?}");
    });
}

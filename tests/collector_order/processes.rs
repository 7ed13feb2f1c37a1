//! The token goes from process to process.

use std::time::{Duration, Instant};

use super::{
    DEEP, LARGE, Place, SOON, TINY, flush,
    order_kit::check::assert_in_order,
    relay::{self, By, Relay},
};
use crate::support::{child::Child, wait_until};

fn relay(processes: usize, slots: usize, count: u64, by: By) -> Relay {
    Relay { processes, slots, count, by, noise: 0, capacity: LARGE }
}

/// Starts the processes, and gives the token to the first of them.
fn start(place: &Place, relay: Relay, limit: Duration) -> Vec<Child> {
    relay::prepare(place.0.root());
    let child = |process: usize| {
        let child = Child::of_test("relay::child_passes_the_token_on").env("PLACE", place.0.root());
        child.env("RELAY", relay.to_text()).env("PROCESS", process.to_string()).limit(limit).spawn()
    };
    let mut children: Vec<Child> = (0..relay.processes).map(child).collect();
    children.iter_mut().for_each(|child| drop(child.wait_for_stdout_line(|line| line == "ready")));
    relay::begin(relay, place.0.root());
    children
}

/// Has processes pass the token on while a collector writes, and looks at all rings all the time.
fn play(relay: Relay, limit: Duration) {
    let place = Place::new();
    let collector = place.collect();
    let mut children = start(&place, relay, limit);
    let began = Instant::now();
    while began.elapsed() < limit && children.iter_mut().all(Child::is_running) {
        flush(&collector);
    }
    children.into_iter().for_each(|child| drop(child.wait().assert_success()));
    place.end(collector, relay.count);
}

#[test]
fn a_token_between_eight_processes() {
    play(relay(8, 8, 20_000, By::Socket), SOON);
}

#[test]
fn a_token_between_the_threads_of_processes() {
    play(Relay { noise: 1, ..relay(4, 8, 10_000, By::Socket) }, SOON);
}

#[test]
fn a_token_that_two_processes_spin_for() {
    play(relay(2, 2, 20_000, By::File), SOON);
}

#[test]
fn a_token_between_rings_with_hardly_any_room() {
    play(Relay { noise: 1, capacity: TINY, ..relay(2, 4, 5_000, By::Socket) }, SOON);
}

/// What is in the rings before a collector comes, and what is left between two of them, has its order too.
#[test]
fn a_token_while_collectors_come_and_go() {
    let (place, count) = (Place::new(), 10_000);
    let mut children = start(&place, Relay { capacity: 64 * 1024, ..relay(4, 8, count, By::Socket) }, SOON);
    let length = || std::fs::metadata(place.log()).map_or(0, |log| log.len());
    let mut written = 0;
    while children.iter_mut().any(Child::is_running) {
        let (collector, before) = (place.collect(), length());
        wait_until("it has written something, or all is done", SOON, || {
            length() > before + 50_000 || !children.iter_mut().any(Child::is_running)
        });
        let report = collector.shutdown(SOON);
        assert_eq!(report.dropped, 0, "{report:?}");
        written += report.written;
    }
    children.into_iter().for_each(|child| drop(child.wait().assert_success()));
    written += place.collect().shutdown(SOON).written;
    assert_eq!(assert_in_order(&place.log(), count), 0);
    assert_eq!(written, count);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_between_eight_processes() {
    play(relay(8, 8, 1_000_000, By::Socket), DEEP);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_that_two_processes_spin_for() {
    play(Relay { noise: 1, ..relay(2, 2, 1_000_000, By::File) }, DEEP);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_between_the_threads_of_processes() {
    play(Relay { noise: 1, ..relay(4, 8, 1_000_000, By::Socket) }, DEEP);
}

//! A line that was logged after another one's log call had returned stands behind it, whatever threads of whatever processes have
//! logged the two.
#![cfg(all(unix, feature = "multiprocess"))]

#[path = "collector_order/newcomers.rs"]
mod newcomers;
mod order_kit;
#[path = "collector_order/processes.rs"]
mod processes;
#[path = "collector_order/relay.rs"]
mod relay;
mod support;

use std::{fs::File, path::PathBuf, time::Duration};

use order_kit::{
    HandOver::{Channel, Join, Spin},
    LATEST, Pen, Scene, alone,
    check::assert_in_order,
};
use support::dir::Dir;
use tracing_tasklog::writer::{Collector, CollectorGuard, SharedQueue};

const SOON: Duration = Duration::from_secs(60);
/// Of a million hand-overs.
const DEEP: Duration = Duration::from_secs(900);

/// The smallest ring: all threads wait for room again and again.
const TINY: usize = 4_096;
const LARGE: usize = 1024 * 1024;

/// A folder with a queue's directory and its log.
#[derive(Debug)]
struct Place(Dir);

impl Place {
    fn new() -> Self {
        Place(Dir::new())
    }

    fn queue(&self) -> PathBuf {
        self.0.path("q")
    }

    fn log(&self) -> PathBuf {
        self.0.path("tasks.log")
    }

    fn collect(&self) -> CollectorGuard {
        let file = File::options().append(true).create(true).open(self.log());
        let builder = Collector::builder(self.queue()).stall_timeout(LATEST);
        builder.spawn(file.expect("the folder is the test's own")).expect("no other collector runs")
    }

    fn connect(&self, capacity: usize) -> SharedQueue {
        connect(self.queue(), capacity)
    }

    /// Ends a collector that has written all lines of a token, and reads them.
    fn end(&self, collector: CollectorGuard, count: u64) {
        let report = collector.shutdown(LATEST);
        assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
        let noise = assert_in_order(&self.log(), count);
        assert_eq!(report.written, count + noise);
    }
}

fn connect(directory: PathBuf, capacity: usize) -> SharedQueue {
    let builder = SharedQueue::builder().capacity_bytes(capacity).stall_timeout(LATEST);
    builder.connect(directory).expect("a ring can be made")
}

fn flush(collector: &CollectorGuard) {
    collector.flush(LATEST).expect("the file takes everything");
}

/// Plays a scene in a worker that has so many rings, and reads the log of its collector.
fn play(name: &str, limit: Duration, rings: usize, capacity: usize, scene: Scene) {
    alone(name, limit, || {
        let place = Place::new();
        let queues: Vec<SharedQueue> = (0..rings).map(|_| place.connect(capacity)).collect();
        let collector = place.collect();
        let pens: Vec<Pen> = queues.iter().map(Pen::of).collect();
        scene.play(&pens, || flush(&collector));
        assert_eq!(queues.iter().map(|queue| queue.stats().dropped_lines).sum::<u64>(), 0);
        place.end(collector, scene.count);
    });
}

#[test]
fn a_token_that_the_threads_of_a_worker_spin_for() {
    let scene = Scene { noise: 1, ..Scene::of(Spin, 20_000) };
    play("a_token_that_the_threads_of_a_worker_spin_for", SOON, 1, LARGE, scene);
}

#[test]
fn a_token_in_a_ring_with_hardly_any_room() {
    let scene = Scene { noise: 1, ..Scene::of(Spin, 10_000) };
    play("a_token_in_a_ring_with_hardly_any_room", SOON, 1, TINY, scene);
}

#[test]
fn a_token_that_goes_by_channel_in_a_worker() {
    play("a_token_that_goes_by_channel_in_a_worker", SOON, 1, LARGE, Scene::of(Channel, 10_000));
}

#[test]
fn a_token_of_threads_that_end_in_a_worker() {
    let scene = Scene { turns: 10, noise: 1, ..Scene::of(Spin, 10_000) };
    play("a_token_of_threads_that_end_in_a_worker", SOON, 1, LARGE, scene);
}

#[test]
fn a_token_that_only_the_end_of_a_workers_thread_passes_on() {
    let scene = Scene::of(Join, 2_000);
    play("a_token_that_only_the_end_of_a_workers_thread_passes_on", SOON, 1, LARGE, scene);
}

#[test]
fn a_token_with_a_crowd_between_the_threads_of_a_worker() {
    let scene = Scene { threads: 4, flushed: true, crowd: 500, ..Scene::of(Spin, 20_000) };
    play("a_token_with_a_crowd_between_the_threads_of_a_worker", SOON, 1, LARGE, scene);
}

#[test]
fn a_token_between_the_rings_of_a_worker() {
    let scene = Scene { threads: 2, noise: 2, flushed: true, ..Scene::of(Spin, 20_000) };
    play("a_token_between_the_rings_of_a_worker", SOON, 2, LARGE, scene);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_in_a_worker() {
    let scene = Scene { noise: 1, turns: 1_000, flushed: true, ..Scene::of(Spin, 1_000_000) };
    play("deep_a_million_times_a_token_in_a_worker", DEEP, 1, LARGE, scene);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_with_a_crowd_between_the_threads_of_a_worker() {
    let name = "deep_a_million_times_a_token_with_a_crowd_between_the_threads_of_a_worker";
    let scene = Scene { threads: 4, flushed: true, crowd: 1_000, ..Scene::of(Spin, 1_000_000) };
    play(name, DEEP, 1, LARGE, scene);
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_that_goes_by_channel_in_a_worker() {
    let name = "deep_a_million_times_a_token_that_goes_by_channel_in_a_worker";
    play(name, DEEP, 1, LARGE, Scene::of(Channel, 1_000_000));
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_in_a_ring_with_hardly_any_room() {
    let name = "deep_a_million_times_a_token_in_a_ring_with_hardly_any_room";
    play(name, DEEP, 1, TINY, Scene::of(Spin, 1_000_000));
}

#[test]
#[ignore = "deep: a million hand-overs"]
fn deep_a_million_times_a_token_between_the_rings_of_a_worker() {
    let name = "deep_a_million_times_a_token_between_the_rings_of_a_worker";
    play(name, DEEP, 4, LARGE, Scene { flushed: true, ..Scene::of(Spin, 1_000_000) });
}

//! A ring that is larger than a file may be (RLIMIT_FSIZE): an error, and no signal that ends the process.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_tasklog::writer::SharedQueue;

use crate::{
    support::{
        child::{role, say},
        fork::{forked, wait_for},
        verify::{Expect, numbered},
    },
    workers_kit::{Place, children::place},
};

/// The lines of a child of fork.
const LINES: u64 = 20;

/// Takes the limit to so many bytes, or back to what it was.
fn limit_file_size(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit { current: bytes.or(maximum), maximum };
    setrlimit(Resource::Fsize, limit).expect("less is always allowed, and so much again");
}

fn write(queue: &SharedQueue, worker: u32, n: u64) {
    let line = numbered(worker, n, 9) + "\n";
    queue.clone().write_all(line.as_bytes()).expect("writing never fails");
}

#[test]
fn child_may_write_no_large_files() {
    if !role("limits::child_may_write_no_large_files") {
        return;
    }
    let builder = || SharedQueue::builder().capacity_bytes(1 << 20).on_error(|_| ());
    for bytes in [0, 1, 4096, 1 << 20] {
        limit_file_size(Some(bytes)); // the last one has room for the lines, but not for what is around them
        let error = builder().connect(place("q")).expect_err("a ring is larger");
        say(&format!("refused: {error}"));
    }
    limit_file_size(None);
    let queue = builder().connect(place("q")).expect("now it may be so large");
    write(&queue, 0, 1);
    limit_file_size(Some(4096));
    wait_for(forked(|| {
        (1..=LINES).for_each(|n| write(&queue, 1, n));
        let stats = queue.stats();
        assert_eq!((stats.accepted_lines, stats.dropped_lines), (LINES, LINES), "it counts them: {stats:?}");
    }));
    write(&queue, 0, 2);
    say("lives");
}

#[test]
fn a_ring_that_may_not_be_so_large_is_an_error_and_no_signal() {
    let place = Place::new();
    let output = place.child("limits::child_may_write_no_large_files").spawn().wait().assert_success();
    let refused: Vec<_> = output.stdout.lines().filter(|line| line.starts_with("refused: ")).collect();
    assert_eq!(refused.len(), 4, "{output}");
    let remedy = "set a smaller capacity_bytes, or raise the limit";
    assert!(
        refused.iter().all(|line| line.matches(remedy).count() == 1 && line.contains("RLIMIT_FSIZE")),
        "{output}"
    );
    assert!(output.stdout.contains("lives"), "{output}");
    assert_eq!(place.rings().len(), 1, "nothing is left of what failed: {:?}", place.rings());
    let collector = place.collector();
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 2);
    place.verify(&Expect::new().bare_lines().worker(0, 2)).assert_clean();
}

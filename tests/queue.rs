//! `SharedQueue` in one process: what everybody relies on.

#![cfg(feature = "queue")]

mod support;

use std::{io::Write, thread, time::Duration};

use support::dir::Dir;
use support::verify::{Expect, LogFamily, numbered};
use tracing_tasklog::writer::SharedQueue;

#[test]
fn every_line_once() {
    let dir = Dir::new();
    let file =
        std::fs::OpenOptions::new().append(true).create(true).open(dir.path("tasks.log")).expect("open");
    let (queue, guard) = SharedQueue::builder().capacity_bytes(20_000).spawn(file).expect("spawn");
    thread::scope(|scope| {
        for worker in 0..4 {
            let mut queue = queue.clone();
            scope.spawn(move || {
                for n in 1..=5000 {
                    queue.write_all((numbered(worker, n, 20) + "\n").as_bytes()).expect("never fails");
                }
            });
        }
    });
    let report = guard.shutdown(Duration::from_secs(20));
    assert_eq!((report.written, report.dropped, report.pending), (20_000, 0, 0));
    let expect = (0..4).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, 5000));
    LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
}

//! The directory of a queue for many processes is removed while it is in use, by a tool that cleans up, say.

#![cfg(all(unix, feature = "multiprocess"))]

mod queue_kit;
mod support;
#[path = "queue_removed/waiting.rs"]
mod waiting;

use std::{
    fs,
    io::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use support::wait_until;
use tracing_tasklog::writer::{Collector, CollectorGuard, Overflow, Running, SharedQueue};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the collector has written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

fn collector(directory: &std::path::Path) -> (Log, CollectorGuard) {
    let log = Log::default();
    (log.clone(), Collector::builder(directory).on_error(|_| {}).spawn(log).expect("no other one"))
}

/// Logs so many lines that it is noticed.
fn log_many(queue: &mut SharedQueue, lines: &mut u64) {
    for _ in 0..10_000 {
        *lines += 1;
        writeln!(queue, "line {lines}").expect("never fails");
    }
}

#[test]
fn workers_and_collectors_meet_again_in_a_directory_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("q");
    let (log, guard) = collector(&directory);
    let mut old = SharedQueue::builder().on_error(|_| {}).connect(&directory).expect("a ring");
    old.write_all(b"line 0\n").expect("never fails");
    wait_until("the collector has the ring", PATIENCE, || log.text() == "line 0\n");
    fs::remove_dir_all(&directory).expect("removed");

    let mut lines = 0;
    log_many(&mut old, &mut lines);
    guard.flush(PATIENCE).expect("it reads on in the ring that it has");
    let mut new = SharedQueue::connect(&directory).expect("a ring in a directory made anew");
    new.write_all(b"of the new one\n").expect("never fails");
    wait_until("the collector has moved in", PATIENCE, || log.text().ends_with("of the new one\n"));
    let second = Collector::builder(&directory).if_running(Running::Refuse).spawn(std::io::sink());
    assert!(second.expect_err("the first is there").is_in_use());
    assert_eq!(guard.shutdown(PATIENCE).written, lines + 2);

    let written = lines;
    log_many(&mut old, &mut lines); // nobody reads the old ring any more: it is left
    let (next, guard) = collector(&directory);
    assert_eq!(guard.shutdown(PATIENCE).written, lines - written);
    let expected: String = (0..=lines).map(|line| format!("line {line}\n")).collect();
    assert_eq!(log.text().replace("of the new one\n", "") + &next.text(), expected);
    let stats = old.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines), (lines + 1, lines + 1), "{stats:?}");
    assert_eq!((stats.queued_lines, stats.dropped_lines), (0, 0));
}

#[test]
fn a_full_ring_that_was_removed_is_taken_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("q");
    let builder =
        SharedQueue::builder().capacity_bytes(4096).overflow(Overflow::BlockFor(Duration::from_millis(50)));
    let mut queue = builder.on_error(|_| {}).connect(&directory).expect("a ring");
    let line = |number: usize| format!("{number} {}\n", "x".repeat(500));
    (0..8).for_each(|number| queue.write_all(line(number).as_bytes()).expect("never fails"));
    fs::remove_dir_all(&directory).expect("removed");
    queue.write_all(line(8).as_bytes()).expect("never fails");
    assert_eq!(queue.drops().queue_full, 1, "the new ring is as full as the old one");
    let (log, guard) = collector(&directory);
    guard.flush(PATIENCE).expect("in time");
    queue.write_all(line(9).as_bytes()).expect("never fails");
    assert_eq!(guard.shutdown(PATIENCE).written, 9);
    let text = log.text();
    let written: Vec<&str> = text.lines().filter(|line| !line.starts_with('[')).collect();
    let expected: Vec<String> = [0, 1, 2, 3, 4, 5, 6, 7, 9].map(line).to_vec();
    assert_eq!(written, expected.iter().map(|line| line.trim_end()).collect::<Vec<_>>());
    assert!(text.contains(" 1 lines dropped reason=\"queue full\" worker=\""), "{text}");
}

#[test]
fn the_last_clone_takes_along_what_was_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().join("q");
    let mut queue = SharedQueue::builder().on_error(|_| {}).connect(&directory).expect("a ring");
    queue.write_all(b"one\ntwo\n").expect("never fails");
    fs::remove_dir_all(&directory).expect("removed");
    drop(queue);
    let (log, guard) = collector(&directory);
    assert_eq!(guard.shutdown(PATIENCE).written, 2);
    assert_eq!(log.text(), "one\ntwo\n");
}

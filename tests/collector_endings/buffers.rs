//! Sinks that keep what they take until they are flushed: what such a sink has taken is written when its flush has returned, no
//! sooner, however the collector ends before.

use std::{
    collections::HashSet,
    io::{self, BufWriter, ErrorKind, Write},
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};
use tracing_tasklog::writer::{Collector, InstanceFile, Report, Running, SharedQueue};

use crate::{
    collector_kit::{LATEST, Place, log_path, queue_path, write_lines},
    queue_kit::appending,
    support::{
        child::{hang, role},
        holds_within,
        verify::{Expect, numbered},
    },
};

const LINES: u64 = 500;

/// Longer than the first collector is waited for.
const A_MOMENT: Duration = Duration::from_millis(300);

/// A disk that doesn't answer.
struct TimesOut;

impl Write for TimesOut {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        holds_within(A_MOMENT, || false);
        Err(ErrorKind::TimedOut.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes a part of each write, and passes it on in `flush` alone.
struct Keeps<F> {
    kept: Vec<u8>,
    writes: u64,
    /// What becomes of what was kept.
    pass: F,
}

impl<F: FnMut(u64, &[u8]) -> io::Result<()>> Keeps<F> {
    fn new(pass: F) -> Self {
        Keeps { kept: Vec::new(), writes: 0, pass }
    }
}

impl<F: FnMut(u64, &[u8]) -> io::Result<()>> Write for Keeps<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes == 20 {
            kill_process(getpid(), Signal::KILL).expect("it is this very process");
            hang();
        }
        let taken = bytes.len().min(1000);
        self.kept.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.pass)(self.writes, &self.kept)?;
        self.kept.clear();
        Ok(())
    }
}

/// Passes nothing on, and takes its time for that.
fn never_flushes() -> impl Write + Send + 'static {
    let times_out = |_, _: &[u8]| {
        holds_within(A_MOMENT, || false);
        Err(ErrorKind::TimedOut.into())
    };
    BufWriter::with_capacity(256 * 1024, Keeps::new(times_out))
}

/// A collector with this sink is given up while it flushes.
fn give_up(place: &Place, sink: impl Write + Send + 'static) -> Report {
    let guard = place.collector().on_error(|_| ()).spawn(sink).expect("nobody else collects");
    guard.shutdown(Duration::from_millis(100))
}

/// The same, and the next one writes every line.
fn give_up_and_go_on(sink: impl Write + Send + 'static, what: &str) {
    let place = Place::new();
    let queue = place.connect();
    write_lines(&queue, 0, LINES);
    let report = give_up(&place, sink);
    assert_eq!((report.dropped, report.pending), (0, LINES), "{what}: {report:?}");
    let next = place.collector().if_running(Running::Wait(LATEST)).spawn(place.file());
    let report = next.expect("the first one ends").shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (LINES, 0, 0), "{what}: {report:?}");
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES), what);
    assert_eq!((queue.stats().written_lines, queue.stats().dropped_lines), (LINES, 0), "{what}");
}

#[test]
fn what_a_buffer_could_not_pass_on_in_time_is_pending_and_written_by_the_next_collector() {
    give_up_and_go_on(BufWriter::with_capacity(256 * 1024, TimesOut), "a write that times out");
    give_up_and_go_on(never_flushes(), "a flush that times out");
}

#[test]
fn no_line_is_reported_as_written_and_as_pending() {
    let place = Place::new();
    write_lines(&place.connect(), 0, LINES);
    let report = give_up(&place, BufWriter::with_capacity(256 * 1024, TimesOut));
    assert_eq!(report.written + report.dropped + report.pending, LINES, "{report:?}");
}

#[test]
fn child_keeps_and_is_killed() {
    if !role("buffers::child_keeps_and_is_killed") {
        return;
    }
    let mut file = appending(log_path());
    let sink = Keeps::new(move |_, kept| file.write_all(kept));
    let _guard = Collector::builder(queue_path()).spawn(sink).expect("nobody else collects");
    hang();
}

#[test]
fn what_a_sink_kept_when_its_collector_was_killed_is_written_by_the_next_one() {
    let place = Place::new();
    let queue = SharedQueue::builder().capacity_bytes(256 * 1024).connect(place.queue()).expect("a ring");
    let lines = 3000;
    write_lines(&queue, 0, lines);
    let output = place.child("buffers::child_keeps_and_is_killed").spawn().wait();
    assert!(!output.status.success(), "it was killed: {output}");
    let before = place.text().lines().count() as u64;
    assert!(before < lines, "it was killed too late: {before}");
    // It closes the line in which the first one stopped.
    let sink = InstanceFile::builder(place.log()).unlimited().build().expect("nobody else writes it");
    let report = place.collector().spawn(sink).expect("the first one is gone").shutdown(LATEST);
    assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
    let text = place.text();
    let found: HashSet<&str> = text.lines().collect();
    let missing = (1..=lines).filter(|&n| !found.contains(numbered(0, n, 9).as_str())).count();
    assert_eq!(missing, 0, "{before} lines before, then {report:?}");
    assert_eq!((queue.stats().written_lines, queue.stats().dropped_lines), (lines, 0));
}

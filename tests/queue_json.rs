//! `tracing_subscriber::fmt` over a queue: its lines, as JSON or as text, come out whole.

#![cfg(feature = "queue")]

mod support;

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use support::{dir::Dir, holds_within, json::is_object, must};
use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};
use tracing_tasklog::{
    UtcSeconds,
    writer::{Announce, Overflow, SharedQueue},
};

const THREADS: u64 = 4;
const LINES: u64 = 1_000;
const LIMIT: Duration = Duration::from_secs(20);

/// A text that each format has to escape, in one way or another, so that a line stays a line.
const AWKWARD: &str = "a \"quoted\" \\ tab\there, Größe {}[]:,";

fn file(dir: &Dir) -> fs::File {
    let file = fs::OpenOptions::new().append(true).create(true).open(dir.path("tasks.log"));
    must(file, "make the log")
}

/// Logs from several threads at once.
fn log_from_threads(layer: impl Layer<Registry> + Send + Sync) {
    let subscriber = Dispatch::new(Registry::default().with(layer));
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let subscriber = subscriber.clone();
            scope.spawn(move || {
                dispatcher::with_default(&subscriber, || {
                    for n in 1..=LINES {
                        info!(worker, n, text = AWKWARD, ratio = 0.5, is_last = n == LINES, "line");
                    }
                });
            });
        }
    });
}

/// What stands between two marks of a line.
fn between<'a>(line: &'a str, before: &str, after: &str) -> &'a str {
    let found = line.split_once(before).and_then(|(_, rest)| Some(rest.split_once(after)?.0));
    found.unwrap_or_else(|| panic!("{before}…{after} is not in {line}"))
}

/// Each thread's lines are there, each once and in order; `number` finds the number behind a name in a line.
fn assert_complete(lines: &[String], number: impl Fn(&str, &str) -> u64) {
    assert_eq!(lines.len() as u64, THREADS * LINES);
    for worker in 0..THREADS {
        let of_worker = lines.iter().filter(|line| number(line, "worker") == worker);
        assert!(of_worker.map(|line| number(line, "n")).eq(1..=LINES), "the lines of thread {worker}");
    }
}

fn to_number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

#[test]
fn json_of_several_threads_comes_out_in_whole_objects() {
    let dir = Dir::new();
    // Room for few of them: they go through many small batches.
    let builder = SharedQueue::builder().capacity_bytes(20_000).announce(Announce::Json);
    let (queue, guard) = builder.spawn(file(&dir)).expect("a thread can be made");
    log_from_threads(tracing_subscriber::fmt::layer().json().with_writer(queue));
    let report = guard.shutdown(LIMIT);
    assert_eq!((report.written, report.dropped, report.pending), (THREADS * LINES, 0, 0));
    let lines = dir.lines("tasks.log");
    assert_eq!(lines.iter().find(|line| !is_object(line)), None);
    assert_complete(&lines, |line, name| to_number(between(line, &format!("\"{name}\":"), ",")));
}

#[test]
fn text_of_several_threads_comes_out_in_whole_lines() {
    let dir = Dir::new();
    let builder = SharedQueue::builder().capacity_bytes(20_000);
    let (queue, guard) = builder.spawn(file(&dir)).expect("a thread can be made");
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    log_from_threads(layer.with_writer(queue));
    let report = guard.shutdown(LIMIT);
    assert_eq!((report.written, report.dropped, report.pending), (THREADS * LINES, 0, 0));
    let lines = dir.lines("tasks.log");
    let is_whole = |line: &&String| {
        let number = |name| to_number(between(line, &format!(" {name}="), " "));
        let (worker, n) = (number("worker"), number("n"));
        let is_last = n == LINES;
        line[19..]
            == format!("  INFO line worker={worker} n={n} text={AWKWARD:?} ratio=0.5 is_last={is_last}")
    };
    assert_eq!(lines.iter().find(|line| !is_whole(line)), None);
    assert_complete(&lines, |line, name| to_number(between(line, &format!(" {name}="), " ")));
}

/// A sink that takes nothing until it is let.
struct Gate {
    file: fs::File,
    is_open: Arc<AtomicBool>,
}

impl io::Write for Gate {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if !holds_within(LIMIT, || self.is_open.load(Ordering::Relaxed)) {
            return Err(io::Error::other("the gate stayed closed"));
        }
        self.file.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[test]
fn lost_lines_are_announced_as_an_object_among_objects() {
    let dir = Dir::new();
    let is_open = Arc::new(AtomicBool::new(false));
    let builder = SharedQueue::builder().capacity_bytes(20_000).overflow(Overflow::DropNewest);
    let builder = builder.announce(Announce::Json).on_error(|_| ());
    let (queue, guard) =
        builder.spawn(Gate { file: file(&dir), is_open: Arc::clone(&is_open) }).expect("spawn");
    log_from_threads(tracing_subscriber::fmt::layer().json().with_writer(queue.clone()));
    let lost = queue.drops().queue_full;
    assert!(0 < lost && lost < THREADS * LINES, "{lost} lost");
    is_open.store(true, Ordering::Relaxed);
    let report = guard.shutdown(LIMIT);
    assert_eq!((report.written, report.dropped, report.pending), (THREADS * LINES - lost, lost, 0));

    let lines = dir.lines("tasks.log");
    assert_eq!(lines.iter().find(|line| !is_object(line)), None);
    let (own, logged): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.contains("\"tracing_tasklog\""));
    assert_eq!(logged.len() as u64, THREADS * LINES - lost);
    let announced = own.iter().map(|line| to_number(between(line, "\"lines\":", ",")));
    assert_eq!(announced.sum::<u64>(), lost);
    let said = r#""level":"WARN","fields":{"message":"#;
    assert!(own.iter().all(|line| line.contains(said) && line.contains("queue full")), "{own:?}");
}

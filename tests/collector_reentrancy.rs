//! A process that logs through its own collector: on the collector's thread, and inside of other log calls, with a full ring, under a
//! global default subscriber (with a scoped one tracing-core drops nested events). Each in a process of its own, which must
//! end in time.

#![cfg(all(unix, feature = "multiprocess"))]

mod collector_kit;
#[path = "collector_reentrancy/echoes.rs"]
mod echoes;
#[path = "collector_reentrancy/hooks.rs"]
mod hooks;
mod queue_kit;
#[path = "collector_reentrancy/signals.rs"]
mod signals;
#[path = "collector_reentrancy/sinks.rs"]
mod sinks;
mod support;
#[path = "collector_reentrancy/values.rs"]
mod values;

use std::{
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use collector_kit::{LATEST, Place, log_file, queue_path, said, set_global};
use support::{
    child::{Output, Spawn, say},
    verify::{Expect, LogFamily, numbered},
};
use tracing::info;
use tracing_tasklog::{
    TaskLayer,
    writer::{Collector, CollectorBuilder, CollectorGuard, SharedQueue},
};

/// How long a child may live.
const LIMIT: Duration = Duration::from_secs(40);

/// How many lines each of the two producers logs: many times what the ring has room for.
const LINES: u64 = 3_000;

/// The smallest ring.
const TINY: usize = 4096;

/// How many lines were logged where nobody may wait.
static INNER: AtomicU64 = AtomicU64::new(0);

/// Logs one of them. They bear their numbers; one thread at a time logs them.
fn log_inner() {
    let n = INNER.fetch_add(1, Ordering::SeqCst) + 1;
    info!("inner {n}");
}

/// Logs a producer's line.
fn log_line(worker: u32, n: u64) {
    info!("{}", numbered(worker, n, 9));
}

/// A file that runs something at each write and each flush, with the number of the call from 1.
struct Loud<W, F> {
    file: File,
    write: W,
    flush: F,
    writes: u64,
    flushes: u64,
}

impl<W: FnMut(u64, &[u8]) -> io::Result<()>, F: FnMut(u64)> Loud<W, F> {
    fn new(write: W, flush: F) -> Self {
        Loud { file: log_file(), write, flush, writes: 0, flushes: 0 }
    }
}

impl<W: FnMut(u64, &[u8]) -> io::Result<()>, F: FnMut(u64)> Write for Loud<W, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        (self.write)(self.writes, bytes)?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flushes += 1;
        (self.flush)(self.flushes);
        self.file.flush()
    }
}

fn collector() -> CollectorBuilder {
    Collector::builder(queue_path())
}

/// The child: a collector, and a queue that leads to it under a global default.
struct Story {
    queue: SharedQueue,
    guard: CollectorGuard,
}

impl Story {
    fn begin(builder: CollectorBuilder, sink: impl Write + Send + 'static) -> Story {
        let queue = SharedQueue::builder().capacity_bytes(TINY).connect(queue_path());
        let queue = queue.expect("the directory is the test's own");
        set_global(TaskLayer::new(queue.clone()));
        Story { queue, guard: builder.spawn(sink).expect("nobody else collects") }
    }

    /// Two producers log their lines by `log`, and meanwhile this thread flushes again and again.
    fn produce(&self, log: impl Fn(u32, u64) + Sync) {
        let running = AtomicU64::new(2);
        thread::scope(|scope| {
            for worker in 0..2 {
                let (running, log) = (&running, &log);
                scope.spawn(move || {
                    (1..=LINES).for_each(|n| log(worker, n));
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while running.load(Ordering::SeqCst) > 0 {
                self.guard.flush(LATEST).expect("the sink takes everything");
            }
        });
    }

    /// Ends the collector of a queue to which `lines` lines were logged besides the inner ones, and says what became of all.
    fn end(self, lines: u64) {
        let report = self.guard.shutdown(LATEST);
        assert_eq!(report.pending, 0, "{report:?}");
        // What the first one's sink has logged at its very end is in the ring, for the next one.
        let next = collector().spawn(log_file()).expect("the first one has ended").shutdown(LATEST);
        assert_eq!((next.pending, next.dropped), (0, 0), "{next:?}");
        let (stats, drops) = (self.queue.stats(), self.queue.drops());
        let inner = INNER.load(Ordering::SeqCst);
        assert_eq!(stats.accepted_lines, lines + inner, "{stats:?}");
        assert_eq!(stats.queued_lines, 0, "{stats:?}");
        assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{stats:?}");
        assert_eq!(stats.dropped_lines, drops.nested, "nothing else is lost: {drops:?}");
        assert_eq!(report.written + next.written, stats.written_lines, "{report:?} {next:?} {stats:?}");
        assert_eq!(report.dropped, 0, "{report:?}");
        say(&format!("inner={inner}"));
        say(&format!("nested={}", drops.nested));
    }
}

/// What a child that told its [`Story`] left.
struct Left {
    output: Output,
    inner: u64,
    nested: u64,
}

fn assert_story(name: &str, case: &str) -> Left {
    let place = Place::new();
    let child = place.child(name).env("CASE", case).limit(LIMIT);
    assert_story_of(&place, child)
}

/// Runs a child to its end, and checks that both producers' lines are in the log exactly once, and that each inner line is
/// there, in order, or was counted and announced.
fn assert_story_of(place: &Place, child: Spawn) -> Left {
    let output = child.spawn().wait().assert_success();
    let expect = Expect::new().worker(0, LINES).worker(1, LINES).other_lines();
    let verdict = place.verify(&expect).assert_clean();
    let (inner, nested) = (said(&output, "inner"), said(&output, "nested"));
    let numbers: Vec<u64> =
        messages(place).filter_map(|text| text.strip_prefix("inner ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "the inner lines are in order, each once");
    assert_eq!(numbers.len() as u64 + nested, inner, "inner lines in the log and counted: {output}");
    assert_eq!(verdict.announced_dropped, nested, "all that are lost are announced: {output}");
    Left { output, inner, nested }
}

/// The text behind tag and timestamp of each line.
fn messages(place: &Place) -> impl Iterator<Item = String> {
    let lines = LogFamily::of(place.log()).lines();
    lines.into_iter().filter_map(|line| Some(line.splitn(4, ' ').nth(3)?.to_owned()))
}

//! Log calls on the queue's own thread, and inside of other log calls, with a full queue, under a global default subscriber
//! (with a scoped one tracing-core drops nested events). Each in a process of its own, which must end in time.
#![cfg(feature = "queue")]

#[path = "queue_reentrancy/echoes.rs"]
mod echoes;
#[path = "queue_reentrancy/hooks.rs"]
mod hooks;
mod queue_kit;
#[cfg(unix)]
#[path = "queue_reentrancy/signals.rs"]
mod signals;
#[path = "queue_reentrancy/sinks.rs"]
mod sinks;
mod support;
#[path = "queue_reentrancy/values.rs"]
mod values;

use std::{
    env,
    fs::File,
    io::{self, Write},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use queue_kit::{LATEST, Log, appending, set_global};
use support::{
    child::{Child, Output, Spawn, say},
    verify::{Expect, LogFamily, numbered},
};
use tracing::info;
use tracing_tasklog::{
    TaskLayer,
    writer::{QueueGuard, SharedQueue, SharedQueueBuilder},
};

/// How long a child may live.
const LIMIT: Duration = Duration::from_secs(20);

/// How many lines each of the two producers logs, and how many where there is room for one: each of them is waited for.
const LINES: u64 = 10_000;
const LINES_SINGLY: u64 = 2_000;

/// Room for a few lines.
const TINY: usize = 400;

/// How many lines were logged where nobody may wait.
static INNER: AtomicU64 = AtomicU64::new(0);

/// Logs one of them. They bear their numbers; one thread at a time logs them.
fn log_inner() {
    let n = INNER.fetch_add(1, Ordering::SeqCst) + 1;
    info!("inner {n}");
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

fn log_file() -> File {
    appending(env::var_os("LOG").expect("the parent says where"))
}

/// The child: a queue under a global default.
struct Story {
    queue: SharedQueue,
    guard: QueueGuard,
}

impl Story {
    fn begin(builder: SharedQueueBuilder, sink: impl Write + Send + 'static) -> Story {
        let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
        set_global(TaskLayer::new(queue.clone()));
        Story { queue, guard }
    }

    /// Two producers log their `lines` by `log`, and meanwhile this thread flushes the queue again and again.
    fn produce(&self, lines: u64, log: impl Fn(u32, u64) + Sync) {
        let running = AtomicU64::new(2);
        thread::scope(|scope| {
            for worker in 0..2 {
                let (running, log) = (&running, &log);
                scope.spawn(move || {
                    (1..=lines).for_each(|n| log(worker, n));
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            while running.load(Ordering::SeqCst) > 0 {
                self.guard.flush(LATEST).expect("the sink takes everything");
            }
        });
    }

    /// Ends the queue to which `lines` lines were logged besides the inner ones, and says what became of all.
    fn end(self, lines: u64) {
        let report = self.guard.shutdown(LATEST);
        let (stats, drops) = (self.queue.stats(), self.queue.drops());
        let inner = INNER.load(Ordering::SeqCst);
        assert_eq!((report.pending, stats.queued_lines), (0, 0), "{report:?}");
        assert_eq!(stats.accepted_lines, lines + inner, "{stats:?}");
        assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{stats:?}");
        assert_eq!(stats.dropped_lines, drops.nested, "nothing else is lost: {drops:?}");
        say(&format!("inner={inner}"));
        say(&format!("nested={}", drops.nested));
        say(&format!("written={}", stats.written_lines));
    }
}

fn tiny() -> SharedQueueBuilder {
    SharedQueue::builder().capacity_bytes(TINY)
}

/// Logs a producer's line.
fn log_line(worker: u32, n: u64) {
    info!("{}", numbered(worker, n, 9));
}

/// What a child that told its [`Story`] left.
struct Left {
    output: Output,
    inner: u64,
    nested: u64,
}

/// Runs a child to its end, and checks that both producers' lines are in the log exactly once, and that each inner line is
/// there or was counted, in order.
fn assert_story(name: &str) -> Left {
    assert_story_of(Child::of_test(name).limit(LIMIT), LINES)
}

fn assert_story_of(child: Spawn, lines: u64) -> Left {
    let log = Log::new();
    let output = child.env("LOG", log.path()).spawn().wait().assert_success();
    let expect = Expect::new().worker(0, lines).worker(1, lines).other_lines();
    let verdict = log.verify(&expect).assert_clean();
    let (inner, nested) = (said(&output, "inner"), said(&output, "nested"));
    let numbers: Vec<u64> =
        messages(&log).filter_map(|text| text.strip_prefix("inner ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "the inner lines are in order, each once");
    assert_eq!(numbers.len() as u64 + nested, inner, "inner lines in the log and counted: {output}");
    assert!(said(&output, "written") >= verdict.found + numbers.len() as u64);
    assert!(verdict.announced_dropped <= nested, "{} of {nested} announced", verdict.announced_dropped);
    assert_eq!(verdict.announced_dropped > 0, nested > 0, "{nested} lost");
    Left { output, inner, nested }
}

/// The text behind tag and timestamp of each line.
fn messages(log: &Log) -> impl Iterator<Item = String> {
    let lines = LogFamily::of(log.path()).lines();
    lines.into_iter().filter_map(|line| Some(line.splitn(4, ' ').nth(3)?.to_owned()))
}

fn said(output: &Output, key: &str) -> u64 {
    let value = output.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}\n{output}"))
}

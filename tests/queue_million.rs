//! A queue that is far smaller than what goes through it: nothing is lost, and it stays small.

#![cfg(all(feature = "queue", target_os = "linux"))] // the peak of a process's memory is in /proc

mod support;

use std::{env, fs, hint, io, mem, thread, time::Duration};

use support::{
    child::{Child, Output, role, say},
    dir::Dir,
    fork::said,
    holds_within, must,
    verify::{Expect, LogFamily, numbered},
};
use tracing::{dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{QueueGuard, SharedQueue},
};

const THREADS: u32 = 8;

/// Room for 100 lines of `[w0] [count] 2026-01-01T12:00:00 w=0 n=100000 pad=abcdefghijklmnopqrst crc=01234567`.
const CAPACITY: usize = 100 * 84;

/// What the queue may take of memory beside its capacity, in KiB: batches, the side buffer, the stack of its thread.
const BESIDE: u64 = 4 * 1024;

/// The most memory that this process ever had, in KiB.
fn peak() -> u64 {
    let status = must(fs::read_to_string("/proc/self/status"), "read the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has a peak");
    let number = line.trim().strip_suffix(" kB").and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("a number of KiB: {line}"))
}

/// A file that begins late: meanwhile as many lines come as find room, and all threads wait.
struct Late {
    file: fs::File,
    has_begun: bool,
}

impl io::Write for Late {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if !mem::replace(&mut self.has_begun, true) {
            holds_within(Duration::from_secs(1), || false);
        }
        self.file.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Has all events go through a queue of that capacity into the file that the parent named, if it named one.
fn start_to_log() -> Option<(SharedQueue, QueueGuard)> {
    let file = fs::OpenOptions::new().append(true).create_new(true).open(env::var_os("LOG")?);
    let sink = Late { file: must(file, "make the log"), has_begun: false };
    let (queue, guard) =
        SharedQueue::builder().capacity_bytes(CAPACITY).spawn(sink).expect("a thread can be made");
    let subscriber = Registry::default().with(TaskLayer::new(queue.clone()));
    dispatcher::set_global_default(subscriber.into()).expect("this process has none yet");
    Some((queue, guard))
}

#[test]
fn child_logs() {
    if !role("child_logs") {
        return;
    }
    let lines: u64 = env::var("LINES").expect("the parent says how many").parse().expect("a number");
    let queue = start_to_log();
    thread::scope(|scope| {
        for worker in 0..THREADS {
            scope.spawn(move || {
                task_span!("count", format!("w{worker}")).run_task(|| {
                    for n in 1..=lines {
                        // Made by those who don't log too, who else would have less to do than the queue spares them.
                        let text = hint::black_box(numbered(worker, n, 20));
                        info!("{text}");
                    }
                });
            });
        }
    });
    if let Some((queue, guard)) = queue {
        let (report, all) = (guard.shutdown(Duration::from_secs(60)), u64::from(THREADS) * lines);
        assert_eq!((report.written, report.dropped, report.pending), (all, 0, 0));
        assert_eq!(queue.stats().accepted_lines, all);
    }
    say(&format!("peak={}", peak()));
}

fn child(lines: u64) -> support::child::Spawn {
    Child::of_test("child_logs").env("LINES", lines.to_string()).limit(Duration::from_secs(300))
}

/// Each of the threads logs so many lines.
fn log_in_small_room(lines: u64) {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let peak = |output: Output| said(&output.assert_success(), "peak");
    let silent = peak(child(lines).spawn().wait());
    let logging = peak(child(lines).env("LOG", &path).spawn().wait());
    say(&format!("peak: {logging} KiB, of which {silent} KiB without logging"));
    let tag = |worker, _| (format!("w{worker}"), "count".to_owned());
    let expect = (0..THREADS).fold(Expect::new().tag(tag), |expect, worker| expect.worker(worker, lines));
    LogFamily::of(path).verify(&expect).assert_clean();
    let most = silent + CAPACITY as u64 / 1024 + BESIDE;
    assert!(logging <= most, "{logging} KiB at its peak, {silent} KiB without logging");
}

#[test]
fn lines_that_have_no_room_wait_for_it_and_take_no_memory() {
    log_in_small_room(12_500);
}

#[test]
#[ignore = "deep: a million lines"]
fn deep_a_million_lines_pass_through_room_for_a_hundred() {
    log_in_small_room(125_000);
}

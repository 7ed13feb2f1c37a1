//! A ring that is removed while its worker is busy: while threads wait for room in it, and while no collector runs.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter as _;
use tracing_tasklog::writer::{Collector, Overflow, SharedQueue};

use super::{Log, PATIENCE};
use crate::{
    queue_kit::{LATEST, alone},
    support::{
        dir::Dir,
        holds_within,
        verify::{Expect, LogFamily, numbered},
        wait_until,
    },
};

const THREADS: u32 = 4;

/// The lines of each thread.
const LINES: u64 = 10;

/// The sink that logs.
const ECHO: u32 = THREADS + 2;

/// So long that a few of them fill the ring.
const PADDING: usize = 200;

/// What the hook of the waiting threads' queue logs into.
static QUEUE: OnceLock<SharedQueue> = OnceLock::new();

fn write(queue: &SharedQueue, worker: u32, n: u64) {
    crate::queue_kit::write_text(queue, &numbered(worker, n, PADDING));
}

fn has_rings(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.extension().is_some_and(|ending| ending == "ring"))
}

/// A sink that logs, so that a line goes aside.
struct Echoes {
    file: File,
    has_echoed: bool,
}

impl std::io::Write for Echoes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.has_echoed {
            self.has_echoed = true;
            let mut writer = QUEUE.get().expect("it is made").make_writer();
            writer.write_all((numbered(ECHO, 1, PADDING) + "\n").as_bytes())?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Has a line of each lane written, so that both have been in use.
fn log_a_line_of_each_lane(directory: &Path, file: File) {
    let queue = QUEUE.get().expect("it is made");
    let sink = Echoes { file, has_echoed: false };
    let guard = Collector::builder(directory).spawn(sink).expect("no other one");
    write(queue, THREADS + 1, 1);
    wait_until("both are written", LATEST, || queue.stats().written_lines == 2);
    assert_eq!(guard.shutdown(LATEST).written, 2);
}

/// Threads wait for room in a full ring, the directory is removed, and a collector comes when the worker has another ring. The log
/// must have every line once. Returns how often the hook was called.
fn remove_while_threads_wait(hook: fn()) -> u64 {
    let (folder, told) = (Dir::new(), Arc::new(AtomicU64::new(0)));
    let (directory, told_by_hook) = (folder.path("q"), Arc::clone(&told));
    let on_error = move |_: &_| {
        told_by_hook.fetch_add(1, Ordering::SeqCst);
        hook();
    };
    let builder = SharedQueue::builder().capacity_bytes(4096).stall_timeout(3 * LATEST);
    let queue = QUEUE.get_or_init(|| builder.on_error(on_error).connect(&directory).expect("a ring"));
    let appending = || crate::queue_kit::appending(folder.path("tasks.log"));
    log_a_line_of_each_lane(&directory, appending());
    let written = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|worker| {
            let written = Arc::clone(&written);
            thread::spawn(move || {
                for n in 1..=LINES {
                    write(queue, worker, n);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    wait_until("all threads wait", LATEST, || {
        let before = written.load(Ordering::SeqCst);
        let goes_on = || written.load(Ordering::SeqCst) > before;
        before > 5 && !holds_within(Duration::from_millis(200), goes_on)
    });
    // By another name: else the worker could make a file in it before it is gone.
    let old = folder.path("old");
    fs::rename(&directory, &old).and_then(|()| fs::remove_dir_all(&old)).expect("removed");
    wait_until("there is another ring", LATEST, || {
        assert_eq!((queue.stats().dropped_lines, queue.drops().nested), (0, 0));
        has_rings(&directory)
    });
    let guard = Collector::builder(&directory).on_error(|_| {}).spawn(appending()).expect("no other one");
    threads.into_iter().for_each(|thread| thread.join().expect("no thread panics"));
    let report = guard.shutdown(LATEST);
    assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
    let stats = queue.stats();
    assert_eq!((stats.dropped_lines, stats.queued_lines, queue.drops().nested), (0, 0, 0), "{stats:?}");
    assert_eq!(stats.accepted_lines, 2 + report.written, "{stats:?}");
    let text = folder.read("tasks.log");
    assert!(!text.contains("lines dropped"), "nothing is, so nothing is announced: {text}");
    let expect = (0..THREADS).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, LINES));
    let expect = expect.allowed(THREADS, 100).worker(THREADS + 1, 1).worker(ECHO, 1);
    let verdict = LogFamily::of(folder.path("tasks.log")).verify(&expect);
    assert!(verdict.faults.is_empty(), "{verdict}");
    told.load(Ordering::SeqCst)
}

#[test]
fn lines_of_threads_that_wait_are_not_taken_for_lost_when_their_ring_is_removed() {
    alone("waiting::lines_of_threads_that_wait_are_not_taken_for_lost_when_their_ring_is_removed", || {
        assert!(remove_while_threads_wait(|| ()) > 0, "it is told");
    });
}

/// The hook logs, by a thread that it waits for.
fn log_on_another_thread() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let n = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    let log = move || write(QUEUE.get().expect("it is made"), THREADS, n);
    thread::spawn(log).join().expect("no thread panics");
}

#[test]
fn a_hook_that_is_told_of_a_removed_ring_may_wait_for_a_thread_that_logs() {
    alone("waiting::a_hook_that_is_told_of_a_removed_ring_may_wait_for_a_thread_that_logs", || {
        assert!(remove_while_threads_wait(log_on_another_thread) > 0, "it is told");
    });
}

/// Logs line after line, far fewer than fill a ring, until what is logged arrives.
fn meet_again(overflow: Overflow) {
    let folder = Dir::new();
    let directory = folder.path("q");
    let builder = SharedQueue::builder().overflow(overflow).on_error(|_| {});
    let queue = builder.connect(&directory).expect("a ring");
    write(&queue, 0, 1);
    fs::remove_dir_all(&directory).expect("removed");
    let log = Log::default();
    let guard = Collector::builder(&directory).on_error(|_| {}).spawn(log.clone()).expect("no other one");
    let mut lines = 1;
    wait_until("the worker has moved in", PATIENCE, || {
        lines += 1;
        write(&queue, 0, lines);
        !log.text().is_empty()
    });
    assert_eq!(guard.shutdown(PATIENCE).written, lines, "{overflow:?}");
    let expected: String = (1..=lines).map(|n| numbered(0, n, PADDING) + "\n").collect();
    assert_eq!(log.text(), expected, "{overflow:?}");
    let stats = queue.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (lines, lines, 0));
}

#[test]
fn a_worker_that_waits_for_nothing_finds_the_directory_made_anew() {
    for overflow in [Overflow::Block, Overflow::BlockFor(Duration::from_millis(10)), Overflow::DropNewest] {
        meet_again(overflow);
    }
}

#[test]
fn a_worker_that_drops_lines_finds_the_directory_made_anew() {
    let folder = Dir::new();
    let directory = folder.path("q");
    let builder = SharedQueue::builder().capacity_bytes(4096).overflow(Overflow::DropNewest);
    let queue = builder.on_error(|_| {}).connect(&directory).expect("a ring");
    let mut lines = 0;
    let mut log_one = || {
        lines += 1;
        write(&queue, 0, lines);
    };
    while queue.stats().dropped_lines == 0 {
        log_one();
    }
    fs::remove_dir_all(&directory).expect("removed");
    let log = Log::default();
    let guard = Collector::builder(&directory).on_error(|_| {}).spawn(log.clone()).expect("no other one");
    wait_until("later lines arrive", PATIENCE, || {
        log_one();
        !log.text().is_empty()
    });
    log_one();
    let report = guard.shutdown(PATIENCE);
    let last = numbered(0, lines, PADDING);
    assert!(log.text().lines().any(|line| line == last), "the last line is there: {}", log.text());
    let stats = queue.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines), (lines, report.written), "{stats:?}");
    assert_eq!((stats.written_lines + stats.dropped_lines, stats.queued_lines), (lines, 0), "{stats:?}");
    let text = log.text();
    let announced = text
        .lines()
        .filter_map(|line| line.split_once(" lines dropped reason=\"queue full\"")?.0.rsplit_once(' '));
    let announced: u64 = announced.map(|(_, number)| number.parse::<u64>().expect("a number")).sum();
    assert_eq!(announced, stats.dropped_lines, "{text}");
}

//! When lines come to the file, and how often the queue's thread wakes up for nothing.

use std::{
    fs::File,
    io::{self, Write},
    sync::mpsc::{self, Receiver, Sender},
    time::{Duration, Instant},
};

use tracing::{error, info};

use super::{LATEST, Log};
use crate::support::{capture::under, holds_within};
use tracing_tasklog::{TaskLayer, writer::SharedQueue};

/// A file that tells when it is written to.
struct Clocked {
    file: File,
    tell: Sender<Instant>,
}

impl Write for Clocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.tell.send(Instant::now()).map_err(io::Error::other)?;
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long after its log call each of twenty lines was in the file; before each `pause` passes.
fn delays(pause: Duration, log_one: fn()) -> Vec<Duration> {
    let log = Log::new();
    let (tell, told): (_, Receiver<Instant>) = mpsc::channel();
    let sink = Clocked { file: log.file(), tell };
    let (queue, guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
    let mut delays = under(TaskLayer::new(queue), || {
        let delay = |_| {
            holds_within(pause, || false);
            let began = Instant::now();
            log_one();
            told.recv_timeout(LATEST).expect("the line is written").saturating_duration_since(began)
        };
        (0..20).map(delay).collect::<Vec<_>>()
    });
    assert_eq!(guard.shutdown(LATEST).written, 20);
    delays.sort_unstable();
    delays
}

/// Longer than it takes until the queue's thread sleeps; and shorter.
const PAUSES: [Duration; 2] = [Duration::from_millis(60), Duration::from_millis(3)];

#[test]
fn an_error_is_in_the_file_at_once() {
    for pause in PAUSES {
        let delays = delays(pause, || error!("look at this"));
        // Some of them: the machine may be busy with other tests. Lines that wait for company take longer, all of them.
        assert!(delays[5] < Duration::from_millis(8), "after {pause:?}: {delays:?}");
    }
}

/// A sink that is held up in its first call, and then tells when it has a line of level ERROR.
struct HeldUp {
    go_on: Receiver<()>,
    went_on: Option<Instant>,
    tell: Sender<Duration>,
}

impl Write for HeldUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let went_on = *self.went_on.get_or_insert_with(|| {
            self.go_on.recv().expect("it is told");
            Instant::now()
        });
        if bytes.windows(12).any(|part| part == b"look at this") {
            self.tell.send(went_on.elapsed()).map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_behind_more_than_one_write_is_written_at_once() {
    let delay = |_| {
        let (go, go_on) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let sink = HeldUp { go_on, went_on: None, tell };
        let (queue, _guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
        under(TaskLayer::new(queue), || {
            error!("the first");
            (0..90).for_each(|_| info!("{}", "x".repeat(1000)));
            error!("look at this");
        });
        go.send(()).expect("it waits");
        told.recv_timeout(LATEST).expect("the line is written")
    };
    let mut delays: Vec<Duration> = (0..10).map(delay).collect();
    delays.sort_unstable();
    // Those that wait for company take 20 ms, all of them.
    assert!(delays[0] < Duration::from_millis(12), "{delays:?}");
}

#[test]
fn any_line_is_in_the_file_within_50_ms() {
    for pause in PAUSES {
        let delays = delays(pause, || info!("nothing special"));
        assert!(delays[5] < Duration::from_millis(50), "after {pause:?}: {delays:?}");
    }
}

#[cfg(target_os = "linux")]
mod wake_ups {
    use std::{env, fs};

    use super::*;
    use crate::{
        queue_kit::write,
        support::child::{Child, role, say},
    };

    /// How often the queue's thread went to sleep so far, and how long it has worked, in hundredths of a second (proc_pid_stat(5)).
    fn sleeps() -> (u64, u64) {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux");
        let read = |task: &fs::DirEntry, name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let mut queues = tasks.flatten().filter(|task| read(task, "comm").trim_end() == "tasklog-queue");
        let queue = queues.next().expect("a thread of that name");
        assert!(queues.next().is_none(), "one only");
        let status = read(&queue, "status");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let sleeps = count.and_then(|count| count.trim().parse().ok()).expect("a number");
        let stat = read(&queue, "stat");
        let times = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
        (sleeps, times.map(|time| time.parse::<u64>().expect("a number")).sum())
    }

    #[test]
    fn child_is_idle() {
        if !role("pace::wake_ups::child_is_idle") {
            return;
        }
        let number = |name| env::var(name).expect("the parent says it").parse().expect("a number");
        let (capacity, lines) = (number("CAPACITY"), number("LINES"));
        let log = Log::new();
        let builder = SharedQueue::builder().capacity_bytes(capacity);
        let (queue, guard) = builder.spawn(log.file()).expect("a thread can be made");
        write(&queue, 1, lines as u64);
        guard.flush(LATEST).expect("the file takes everything");
        holds_within(Duration::from_millis(200), || false);
        let before = sleeps();
        let began = Instant::now();
        holds_within(Duration::from_secs(2), || false);
        let (after, seconds) = (sleeps(), began.elapsed().as_secs_f64());
        let (slept, worked) = (after.0 - before.0, after.1 - before.1);
        say(&format!("slept {slept} times in {seconds} s, and has worked {worked} hundredths of a second"));
        assert!(slept as f64 <= 5.0 * seconds && worked < 20, "{slept} times in {seconds} s, {worked}");
        assert_eq!(log.settle(&queue, guard, lines as u64).lost, 0);
    }

    #[test]
    fn an_idle_queue_sleeps() {
        // The last ones: so many lines that what threads are lent would pile up, were it not given back.
        for (capacity, lines) in [(8 << 20, 1000), (1, 10), (64 * 1024, 20_000), (8 << 20, 300_000)] {
            let child = Child::of_test("pace::wake_ups::child_is_idle").env("CAPACITY", capacity.to_string());
            child.env("LINES", lines.to_string()).spawn().wait().assert_success();
        }
    }
}

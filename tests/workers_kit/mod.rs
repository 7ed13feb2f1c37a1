//! A queue of processes: a folder with its directory and its log, workers and collectors in processes of their own.

// Each test binary uses a part of it. And `pub` says "for the tests".
#![allow(dead_code, unreachable_pub)]

pub mod children;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::support::{
    child::{Child, Output, Spawn, role},
    dir::Dir,
    ledger::Ledger,
    verify::{Expect, LogFamily, Verdict},
    wait_until,
};

/// How late something may be on a machine that is busy with other tests.
pub const LATEST: Duration = Duration::from_secs(20);

/// How long a process of these tests may live.
const LIMIT: Duration = Duration::from_secs(60);

/// The smallest ring, for those who want it full: room for about a hundred lines.
pub const SMALL: usize = 4096;

/// A folder with a queue's directory `q`, its log, and what the tests note.
#[derive(Debug)]
pub struct Place {
    pub dir: Dir,
    limit: Duration,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: Dir::new(), limit: LIMIT }
    }

    /// The same, for processes that take longer.
    pub fn with_limit(limit: Duration) -> Self {
        Place { limit, ..Place::new() }
    }

    /// The directory of the queue.
    pub fn queue(&self) -> PathBuf {
        self.dir.path("q")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path("tasks.log")
    }

    /// Makes the notes of so many threads of workers.
    pub fn ledger(&self, slots: u32) -> Ledger {
        Ledger::create(self.dir.path("ledger"), slots)
    }

    /// Makes a file that processes wait for: `stop`, `go1`.
    pub fn give(&self, sign: &str) {
        self.dir.write(sign, "");
    }

    /// Starts a collector, which writes to `tasks.log`, and returns when it runs. It ends when `stop-tasks.log` is given.
    pub fn collector(&self) -> Child {
        self.collector_of("tasks.log", |child| child)
    }

    /// The same with another log, and with more in its environment.
    pub fn collector_of(&self, log: &str, with: impl FnOnce(Spawn) -> Spawn) -> Child {
        let mut child = with(self.child("workers_kit::children::child_collects").env("LOG", log)).spawn();
        child.wait_for_stdout_line(|line| line == "collects");
        child
    }

    /// Ends a collector of `tasks.log`. Returns what it has reported.
    pub fn end(&self, collector: Child) -> Reported {
        self.end_of("tasks.log", collector)
    }

    /// Ends a collector of a log.
    pub fn end_of(&self, log: &str, collector: Child) -> Reported {
        self.give(&format!("stop-{log}"));
        let output = collector.wait().assert_success();
        Reported::of(&line_of(&output, "report "), output)
    }

    /// An entry point of this binary that knows this place.
    pub fn child(&self, name: &str) -> Spawn {
        let child = Child::of_test(name).env("PLACE", self.dir.root()).limit(self.limit);
        child.env("LIMIT", self.limit.as_secs().to_string())
    }

    /// The same behind a shell command such as `ulimit -n 64`.
    pub fn child_after(&self, name: &str, shell: &str) -> Spawn {
        let child = Child::of_test_after(name, shell).env("PLACE", self.dir.root()).limit(self.limit);
        child.env("LIMIT", self.limit.as_secs().to_string())
    }

    /// The names of the rings in the directory, also of those that are being made.
    pub fn rings(&self) -> Vec<String> {
        rings_in(&self.queue())
    }

    /// Waits until no ring is left.
    pub fn wait_for_no_rings(&self) {
        wait_until("the rings of the dead are removed", LATEST, || self.rings().is_empty());
    }

    pub fn verify(&self, expect: &Expect) -> Verdict {
        LogFamily::of(self.log()).verify(expect)
    }

    /// What the collector itself wrote: `2 lines dropped reason="queue full" worker="7"`.
    pub fn announcements(&self) -> Vec<String> {
        let text = |line: &String| {
            let rest = line.strip_prefix("[-] [tracing_tasklog] ")?;
            Some(rest.split_once(' ').expect("a timestamp and a text").1.to_owned())
        };
        self.dir.lines("tasks.log").iter().filter_map(text).collect()
    }
}

/// Runs the body of the test `name` in a process of its own, which must end in time. To be called by that very test.
pub fn alone(name: &str, body: impl FnOnce()) {
    if role(name) {
        return body();
    }
    Child::of_test(name).limit(LIMIT).spawn().wait().assert_success();
}

fn rings_in(queue: &Path) -> Vec<String> {
    let names = fs::read_dir(queue).expect("the directory is there");
    let names =
        names.map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".ring") || name.ends_with(".new")).collect()
}

/// What a collector has reported at its end.
#[derive(Debug)]
pub struct Reported {
    pub written: u64,
    pub dropped: u64,
    pub pending: u64,
    pub output: Output,
}

impl Reported {
    fn of(line: &str, output: Output) -> Self {
        let [written, dropped, pending] = ["written", "dropped", "pending"].map(|key| number_in(line, key));
        Reported { written, dropped, pending, output }
    }
}

/// The line that a child has said, which begins so.
pub fn line_of(output: &Output, begin: &str) -> String {
    let line = output.stdout.lines().find(|line| line.starts_with(begin));
    line.unwrap_or_else(|| panic!("no {begin:?}\n{output}")).to_owned()
}

/// What stands behind `key=` in a line that a child said.
pub fn number_in(line: &str, key: &str) -> u64 {
    let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key} in {line:?}"))
}

/// A worker that is about to be started: a process with some threads, each with a slot in the ledger.
#[derive(Clone, Debug)]
pub struct Work {
    /// The slot of its first thread.
    pub first: u32,
    pub threads: u32,
    /// How many lines each thread writes; 0: until `stop` is given.
    pub lines: u64,
    pub capacity: usize,
    /// It rests for a moment after so many lines; 0: never.
    pub rest_after: u64,
    /// It kills itself, from another thread, when so many lines of it were written; 0: it doesn't.
    pub fate: u64,
    /// How it ends: `return`, `exit`, `abort`, `kill`, `hang`.
    pub end: &'static str,
    /// It begins when this is given.
    pub begin: &'static str,
}

impl Work {
    /// One thread, with nothing special.
    pub fn of(first: u32, lines: u64) -> Self {
        let (end, begin) = ("return", "");
        Work { first, threads: 1, lines, capacity: 64 * 1024, rest_after: 0, fate: 0, end, begin }
    }

    pub fn spawn(&self, place: &Place) -> Child {
        let child = place.child("workers_kit::children::child_works").env("FIRST", self.first.to_string());
        let child = child.env("THREADS", self.threads.to_string()).env("LINES", self.lines.to_string());
        let child = child.env("CAPACITY", self.capacity.to_string()).env("FATE", self.fate.to_string());
        let child = child.env("REST_AFTER", self.rest_after.to_string()).env("END", self.end);
        child.env("BEGIN", self.begin).spawn()
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not 0")
}

/// Stops a child and all of its threads, and returns when they stand still. Returns false if it has ended.
pub fn stop(child: &mut Child) -> bool {
    if !child.is_running() {
        return false;
    }
    kill_process(pid_of(child), Signal::STOP).expect("nobody has waited for it");
    let mut has_stopped = false;
    wait_until("the child stands still", LATEST, || {
        // The end of a child is left for `Child::is_running` to find: only what stops is waited for.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let state = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return !child.is_running();
        }
        let status = waitid(WaitId::Pid(pid_of(child)), options);
        has_stopped = matches!(status, Ok(Some(status)) if status.stopped());
        has_stopped
    });
    has_stopped
}

/// Has a child that was stopped go on.
pub fn resume(child: &Child) {
    kill_process(pid_of(child), Signal::CONT).expect("it was stopped, so it lives");
}

/// Numbers that are random enough, and the same again for the same seed. The seed is told if the test fails.
#[derive(Debug)]
pub struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// `$TASKLOG_TEST_SEED` counts instead of the seed given.
    pub fn new(seed: u64) -> Self {
        let said = std::env::var("TASKLOG_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let seed = said.unwrap_or(seed);
        Random { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15); // splitmix64
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let told = format!("again with TASKLOG_TEST_SEED={}\n", self.seed);
            let _ = std::io::stderr().write_all(told.as_bytes());
        }
    }
}

//! A queue for many processes, with its directory and its log, as tests see it.

// Each test binary uses a part of it. And `pub` says "for the tests".
#![allow(dead_code, unreachable_pub)]

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process,
    time::Duration,
};

use tracing::{Dispatch, dispatcher};
use tracing_subscriber::{
    Registry,
    layer::{Layer, SubscriberExt},
};
use tracing_tasklog::writer::{Collector, CollectorBuilder, CollectorGuard, Report, SharedQueue};

use crate::support::{
    child::{Child, Output, Spawn, hang, say},
    dir::Dir,
    ledger::Ledger,
    verify::{Expect, LogFamily, Verdict, numbered},
};

/// How late something may be on a machine that is busy with other tests.
pub const LATEST: Duration = Duration::from_secs(30);

/// Room for a few thousand lines: little enough for a test that makes many rings.
pub const CAPACITY: usize = 64 * 1024;

/// The folder of one test: the queue's directory `q`, the log `tasks.log`.
#[derive(Debug)]
pub struct Place {
    pub dir: Dir,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: Dir::new() }
    }

    pub fn queue(&self) -> PathBuf {
        self.dir.path("q")
    }

    pub fn log(&self) -> PathBuf {
        self.dir.path("tasks.log")
    }

    pub fn file(&self) -> File {
        appending(self.log())
    }

    /// A queue of this very process.
    pub fn connect(&self) -> SharedQueue {
        connect_to(self.queue())
    }

    pub fn collector(&self) -> CollectorBuilder {
        Collector::builder(self.queue())
    }

    /// A collector that writes the log.
    pub fn collect(&self) -> CollectorGuard {
        self.collector().spawn(self.file()).expect("nobody else collects")
    }

    /// Has a new collector write what is there.
    pub fn collect_all(&self) -> Report {
        let report = self.collect().shutdown(LATEST);
        assert_eq!((report.pending, report.dropped), (0, 0), "{report:?}");
        report
    }

    /// The entry point `name` of this test binary, as a process of this queue.
    pub fn child(&self, name: &str) -> Spawn {
        self.told(Child::of_test(name))
    }

    /// Says to a child where queue and log are.
    pub fn told(&self, child: Spawn) -> Spawn {
        child.env("QUEUE", self.queue()).env("LOG", self.log()).env("LEDGER", self.dir.path("ledger"))
    }

    pub fn ledger(&self, workers: u32) -> Ledger {
        Ledger::create(self.dir.path("ledger"), workers)
    }

    /// The names of all that is in the queue's directory, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.queue()).expect("the directory is there");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).expect("UTF-8")).collect();
        names.sort();
        names
    }

    /// The paths of the rings.
    pub fn rings(&self) -> Vec<PathBuf> {
        let names = self.names().into_iter().filter(|name| name.ends_with(".ring"));
        names.map(|name| self.queue().join(name)).collect()
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    pub fn verify(&self, expect: &Expect) -> Verdict {
        LogFamily::of(self.log()).verify(expect)
    }

    /// Every line is there once.
    pub fn assert_log(&self, expect: &Expect, what: impl std::fmt::Display) {
        let verdict = self.verify(expect);
        assert!(verdict.faults.is_empty(), "{what}: {verdict}");
    }
}

/// The queue that the parent has named to this child.
pub fn connect() -> SharedQueue {
    connect_to(queue_path())
}

fn connect_to(path: PathBuf) -> SharedQueue {
    SharedQueue::builder().capacity_bytes(CAPACITY).connect(path).expect("the directory is the test's own")
}

pub fn queue_path() -> PathBuf {
    env::var_os("QUEUE").expect("the parent says where").into()
}

pub fn log_path() -> PathBuf {
    env::var_os("LOG").expect("the parent says where").into()
}

pub fn log_file() -> File {
    appending(log_path())
}

pub fn ledger() -> Ledger {
    Ledger::open(env::var_os("LEDGER").expect("the parent says where"))
}

fn appending(path: PathBuf) -> File {
    File::options().append(true).create(true).open(path).expect("the folder is the test's own")
}

/// What the parent has said in the environment.
pub fn told(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

pub fn told_number(name: &str) -> u64 {
    told(name).parse().unwrap_or_else(|_| panic!("the parent says {name}"))
}

/// A worker's line, by a call of its own.
pub fn write(queue: &SharedQueue, worker: u32, n: u64) {
    let line = numbered(worker, n, 9) + "\n";
    queue.clone().write_all(line.as_bytes()).expect("writing never fails");
}

/// A worker's lines 1 to `lines`.
pub fn write_lines(queue: &SharedQueue, worker: u32, lines: u64) {
    (1..=lines).for_each(|n| write(queue, worker, n));
}

/// What a child does that is to leave a ring behind: it writes the lines 1 to `LINES` of worker `WORKER`, and is gone without
/// having closed anything.
pub fn leave_lines() -> ! {
    write_lines(&connect(), told_number("WORKER") as u32, told_number("LINES"));
    process::exit(0);
}

/// What a child does that lives: it writes its lines, says so, and lives on until it is killed.
pub fn write_and_live() -> ! {
    let queue = connect();
    write_lines(&queue, told_number("WORKER") as u32, told_number("LINES"));
    say("written");
    hang();
}

/// Makes a layer the global default subscriber of this process: under a scoped one tracing-core drops nested events.
pub fn set_global(layer: impl Layer<Registry> + Send + Sync) {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

/// What follows `key=` in a line that the child said.
pub fn said(output: &Output, key: &str) -> u64 {
    let value = output.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}\n{output}"))
}

//! The document's worker processes: each logs when a request is for it, and rotates when it finds that a rotation is due.
//!
//! Parent and workers talk by two small files. In `requests`, each worker has two counters: the last line that it was asked
//! for, and the last one that it has logged. In `rotations`: how often it was to rotate, and how often it has.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{Stats, WatchedFile},
};

use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    holds_within,
    ledger::Ledger,
    verify::{Expect, numbered},
    wait_until, wait_within,
};

/// How many workers there are.
pub(crate) const WORKERS: u32 = 4;

/// How long anything that has to come is waited for.
const LIMIT: Duration = Duration::from_secs(20);

/// How many lines a worker logs before it rests a moment.
const BURST: u64 = 20;

/// Long enough for everything that a worker does by itself without being asked.
pub(crate) fn a_while() {
    holds_within(Duration::from_millis(500), || false);
}

/// A backup of `foo.log`.
pub(crate) fn backup(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("foo.log.{number}"))
}

/// What the document's handler does, which keeps so many backups: "renaming each backup to increase its backup number
/// (e.g. foo.log.1 → foo.log.2) and finally renaming the original log file (foo.log → foo.log.1)".
pub(crate) fn rename_chain(folder: &Path, backups: u32) -> io::Result<()> {
    for number in (1..backups).rev() {
        match fs::rename(backup(folder, number), backup(folder, number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(folder.join("foo.log"), backup(folder, 1))
}

/// "The process that performs this rotation then creates a new file named foo.log".
pub(crate) fn create_new(folder: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(folder.join("foo.log"))
}

/// The text of a worker's line.
pub(crate) fn line(worker: u32, n: u64) -> String {
    numbered(worker, n, (n % 60) as usize)
}

/// Serves what is asked of this worker until there is a file `stop`.
fn serve(folder: &Path, worker: u32, backups: u32) {
    let (requests, rotations) =
        (Ledger::open(folder.join("requests")), Ledger::open(folder.join("rotations")));
    let of = |ledger: &Ledger| ledger.read()[worker as usize];
    let stop = folder.join("stop");
    loop {
        let is_due = |(asked, done)| asked > done;
        let mut is_over = false;
        wait_until("there is something to do", 5 * LIMIT, || {
            is_over = stop.exists();
            is_over || is_due(of(&requests)) || is_due(of(&rotations))
        });
        if is_over {
            return;
        }
        let (asked, logged) = of(&requests);
        for n in logged + 1..=asked.min(logged + BURST) {
            tracing::info!("{}", line(worker, n));
            requests.returned(worker, n);
        }
        let (asked, done) = of(&rotations);
        if asked > done {
            rename_chain(folder, backups).and_then(|()| create_new(folder)).expect("nobody else rotates now");
            rotations.returned(worker, asked);
        }
    }
}

#[test]
fn child_is_a_worker() {
    if !role("workers::child_is_a_worker") {
        return;
    }
    let variable = |name| env::var(name).expect("the parent says so");
    let folder = PathBuf::from(variable("FOLDER"));
    let number = |name| variable(name).parse().expect("a number");
    let (worker, backups) = (number("WORKER"), number("BACKUPS"));
    let file = WatchedFile::open(folder.join("foo.log")).expect("the file can be opened");
    tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();
    say("ready");
    task_span!("request", format!("worker{worker}")).run_task(|| serve(&folder, worker, backups));
    let Stats { dropped_lines, at_risk_lines, rotations, reopens, truncations, .. } = file.stats();
    assert_eq!((dropped_lines, rotations), (0, 0), "{:?}", file.stats());
    say(&format!("end {reopens} {truncations} {at_risk_lines}"));
}

/// What a worker counted until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reopens: u64,
    pub(crate) truncations: u64,
    pub(crate) at_risk: u64,
}

/// Several workers that log to the same foo.log.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) dir: Dir,
    children: Vec<Child>,
    requests: Ledger,
    rotations: Ledger,
}

impl Pack {
    /// Starts them. They keep so many backups.
    pub(crate) fn start(backups: u32) -> Self {
        let dir = Dir::new();
        let ledger = |name| Ledger::create(dir.path(name), WORKERS);
        let (requests, rotations) = (ledger("requests"), ledger("rotations"));
        let spawn = |worker: u32| {
            let child = Child::of_test("workers::child_is_a_worker").limit(5 * LIMIT);
            let child = child.env("FOLDER", dir.root()).env("WORKER", worker.to_string());
            child.env("BACKUPS", backups.to_string()).spawn()
        };
        let mut children: Vec<_> = (0..WORKERS).map(spawn).collect();
        children.iter_mut().for_each(|child| drop(child.wait_for_stdout_line(|line| line == "ready")));
        Pack { dir, children, requests, rotations }
    }

    /// Asks a worker for so many lines more.
    pub(crate) fn request(&self, worker: u32, lines: u64) {
        let (asked, _) = self.requests.read()[worker as usize];
        self.requests.started(worker, asked + lines);
    }

    /// Whether everything is logged that was asked for.
    pub(crate) fn is_served(&self) -> bool {
        self.requests.read().iter().all(|(asked, logged)| asked == logged)
    }

    /// Has a worker log a line, and waits until it has.
    pub(crate) fn log(&self, worker: u32) {
        self.request(worker, 1);
        wait_until("the request is served", LIMIT, || self.is_served());
    }

    /// Has each worker log so many lines, all at once, and waits until they have.
    pub(crate) fn all_log(&self, lines: u64) {
        (0..WORKERS).for_each(|worker| self.request(worker, lines));
        wait_until("all requests are served", LIMIT, || self.is_served());
    }

    /// Sees to it that every worker has something to do for a while.
    pub(crate) fn keep_busy(&self) {
        for (worker, (asked, logged)) in (0..).zip(self.requests.read()) {
            if asked - logged < 5 * BURST {
                self.request(worker, 10 * BURST);
            }
        }
    }

    /// Has one worker rotate.
    pub(crate) fn rotate_by(&self, worker: u32) {
        let (asked, _) = self.rotations.read()[worker as usize];
        self.rotations.started(worker, asked + 1);
        let is_done = || self.rotations.read().iter().all(|(asked, done)| asked == done);
        wait_until("the rotation is done", LIMIT, is_done);
    }

    /// The file that each worker writes to, found out by having each log one line more.
    pub(crate) fn files_written_to(&self) -> Vec<String> {
        self.all_log(1);
        let last: Vec<_> = (0..).zip(self.requests.read()).map(|(worker, (_, n))| line(worker, n)).collect();
        let names: Vec<_> = self
            .dir
            .names()
            .into_iter()
            .filter(|name| name.starts_with("foo.log") && !name.ends_with(".gz"))
            .collect();
        let texts: Vec<_> = names.iter().map(|name| (name, self.dir.read(name))).collect();
        let file_of = |line: &String| texts.iter().find(|(_, text)| text.contains(line));
        last.iter()
            .map(|line| file_of(line).map_or("nowhere".to_owned(), |(name, _)| (*name).clone()))
            .collect()
    }

    /// Waits until every worker writes to foo.log.
    pub(crate) fn wait_until_all_write_to_foo_log(&self, limit: Duration) {
        wait_within("every worker writes to foo.log", limit, || {
            self.files_written_to().iter().all(|name| name == "foo.log")
        });
    }

    /// Whether every worker has a line in foo.log as it is now.
    pub(crate) fn are_all_in_foo_log(&self) -> bool {
        let text = self.dir.read("foo.log");
        (0..WORKERS).all(|worker| text.contains(&format!("[worker{worker}] ")))
    }

    /// Stops a worker that has had nothing to do for a while, and lets it go on after a while. A request waits for it then.
    /// Returns how many lines it has logged right before it stood still.
    pub(crate) fn stopped(&mut self, worker: u32, meanwhile: impl FnOnce(&Self)) -> u64 {
        a_while();
        let (_, before) = self.requests.read()[worker as usize];
        self.children[worker as usize].signal("STOP");
        wait_until("it stands still", LIMIT, || {
            self.request(worker, 1);
            !holds_within(Duration::from_millis(50), || self.is_served())
        });
        let last_words = self.requests.read()[worker as usize].1 - before;
        meanwhile(self);
        a_while();
        self.children[worker as usize].signal("CONT");
        last_words
    }

    /// Stops them all. Returns what each has counted, and what must be in the logs.
    pub(crate) fn stop(self) -> (Vec<End>, Expect, Dir) {
        wait_until("all requests are served", LIMIT, || self.is_served());
        self.dir.write("stop", "");
        let end = |mut child: Child| {
            let line = child.wait_for_stdout_line(|line| line.starts_with("end "));
            child.wait().assert_success();
            let numbers: Vec<u64> =
                line.split(' ').skip(1).filter_map(|number| number.parse().ok()).collect();
            End { reopens: numbers[0], truncations: numbers[1], at_risk: numbers[2] }
        };
        let ends = self.children.into_iter().map(end).collect();
        let expect = Expect::from_ledger(&self.requests);
        (ends, expect.tag(|worker, _| (format!("worker{worker}"), "request".to_owned())), self.dir)
    }
}

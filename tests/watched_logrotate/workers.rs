//! Four processes that log to one path, each at a steady pace, until they are told to stop.

use std::{
    collections::HashSet,
    env,
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::WatchedFile};

use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    ledger::Ledger,
    verify::{Expect, numbered},
    wait_until,
};

/// How many processes there are.
pub(crate) const PROCESSES: u32 = 4;

/// How many lines each of them writes in a second.
pub(crate) const PACE: u64 = 5_000;

/// The log, in the test's folder.
pub(crate) const LOG: &str = "logs/tasks.log";

/// How long anything that has to come is waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a process may live: the longest test, and a machine that is busy elsewhere.
const LIFE: Duration = Duration::from_secs(300);

/// How many lines a process writes at most before it asks again what to do.
const BURST: u64 = 100;

/// What the parent has its workers do: it makes files beside their log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Write,
    Rest,
    Stop,
}

impl Order {
    fn read(root: &Path) -> Self {
        match (root.join("stop").exists(), root.join("rest").exists()) {
            (true, _) => Order::Stop,
            (false, true) => Order::Rest,
            (false, false) => Order::Write,
        }
    }
}

/// Logs at its pace, and rests and stops when it is told to.
fn log_as_told(root: &Path, worker: u32, ledger: &Ledger) {
    let (mut n, mut start, mut before) = (0, Instant::now(), 0);
    loop {
        let (mut order, mut due) = (Order::Write, n);
        wait_until("there is something to do", LIFE, || {
            order = Order::read(root);
            due = before + PACE * u64::try_from(start.elapsed().as_millis()).expect("not for ever") / 1_000;
            order != Order::Write || due > n
        });
        match order {
            Order::Stop => return,
            Order::Rest => {
                say(&format!("rests after {n}"));
                wait_until("the rest is over", LIFE, || Order::read(root) != Order::Rest);
                (start, before) = (Instant::now(), n);
            }
            Order::Write => {
                let last = due.min(n + BURST);
                while n < last {
                    n += 1;
                    ledger.around(worker, n, || tracing::info!("{}", numbered(worker, n, (n % 60) as usize)));
                }
            }
        }
    }
}

#[test]
fn child_logs_as_told() {
    if !role("workers::child_logs_as_told") {
        return;
    }
    let variable = |name| env::var(name).expect("the parent says so");
    let root = PathBuf::from(variable("ROOT"));
    let worker = variable("WORKER").parse().expect("a number");
    let ledger = Ledger::open(root.join("ledger"));
    let file = WatchedFile::open(root.join(LOG)).expect("the file can be opened");
    tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();
    say("ready");
    task_span!("send", format!("job{worker}")).run_task(|| log_as_told(&root, worker, &ledger));
    let stats = file.stats();
    assert_eq!(stats.accepted_lines, stats.written_lines, "{stats:?}");
    assert_eq!((stats.dropped_lines, stats.queued_lines), (0, 0), "{stats:?}");
    say(&format!(
        "end {} {} {} {}",
        stats.reopens, stats.truncations, stats.at_risk_lines, stats.rewritten_lines
    ));
}

/// What a process counted until its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) reopens: u64,
    pub(crate) truncations: u64,
    pub(crate) at_risk: u64,
    pub(crate) rewritten: u64,
}

impl End {
    fn read(line: &str) -> Self {
        let numbers: Vec<_> =
            line.split(' ').skip(1).map(|number| number.parse().expect("a number")).collect();
        let [reopens, truncations, at_risk, rewritten] = numbers[..] else { panic!("not an end: {line}") };
        End { reopens, truncations, at_risk, rewritten }
    }
}

/// Which file it is, whatever its name. Inodes are used again.
pub(crate) type FileId = (u64, Option<SystemTime>);

fn id_of(meta: &Metadata) -> FileId {
    (meta.ino(), meta.created().ok())
}

/// The processes at work.
#[derive(Debug)]
pub(crate) struct Workers {
    root: PathBuf,
    children: Vec<Child>,
    ledger: Ledger,
}

impl Workers {
    /// Starts them, in this folder. They begin at once.
    pub(crate) fn start(dir: &Dir) -> Self {
        fs::create_dir(dir.path("logs")).expect("the folder is new");
        let ledger = Ledger::create(dir.path("ledger"), PROCESSES);
        let spawn = |worker: u32| {
            let child = Child::of_test("workers::child_logs_as_told").limit(LIFE);
            child.env("ROOT", dir.root()).env("WORKER", worker.to_string()).spawn()
        };
        let mut children: Vec<_> = (0..PROCESSES).map(spawn).collect();
        children.iter_mut().for_each(|child| drop(child.wait_for_stdout_line(|line| line == "ready")));
        let workers = Workers { root: dir.root().to_owned(), children, ledger };
        workers.wait_for_lines();
        workers
    }

    /// The path of their log.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join(LOG)
    }

    /// How many lines they have logged together.
    pub(crate) fn lines(&self) -> u64 {
        self.ledger.read().iter().map(|(_, returned)| returned).sum()
    }

    /// Waits until each of them has logged on, and the file has grown by that.
    pub(crate) fn wait_for_lines(&self) {
        let before = self.ledger.read();
        let size = || fs::metadata(self.log()).map_or(0, |meta| meta.len());
        wait_until("every process logs", LIMIT, || {
            let now = self.ledger.read();
            now.iter().zip(&before).all(|((_, now), (begun, _))| now > begun)
        });
        let start = size();
        wait_until("the file grows", LIMIT, || size() > start);
    }

    /// Has them rest, and returns when all of them do.
    pub(crate) fn rest(&mut self) {
        fs::write(self.root.join("rest"), "").expect("the disk has room");
        let say_so = |child: &mut Child| drop(child.wait_for_stdout_line(|line| line.starts_with("rests ")));
        self.children.iter_mut().for_each(say_so);
    }

    /// Ends the rest.
    pub(crate) fn go_on(&self) {
        fs::remove_file(self.root.join("rest")).expect("they rest");
    }

    /// The log files that each of them has open.
    pub(crate) fn held(&self) -> Vec<HashSet<FileId>> {
        let folder = fs::canonicalize(self.root.join("logs")).expect("it is there");
        let held = |child: &Child| {
            let open = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("/proc is mounted");
            let logs = open
                .filter_map(Result::ok)
                .filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&folder)));
            logs.filter_map(|fd| fs::metadata(fd.path()).ok()).map(|meta| id_of(&meta)).collect()
        };
        self.children.iter().map(held).collect()
    }

    /// The file that the path leads to.
    pub(crate) fn live(&self) -> Option<FileId> {
        fs::metadata(self.log()).ok().map(|meta| id_of(&meta))
    }

    /// Stops them. Returns what they counted, and what must be in their log.
    pub(crate) fn stop(self) -> (Vec<End>, Expect) {
        fs::write(self.root.join("stop"), "").expect("the disk has room");
        let end = |mut child: Child| {
            let line = child.wait_for_stdout_line(|line| line.starts_with("end "));
            child.wait().assert_success();
            End::read(&line)
        };
        let ends = self.children.into_iter().map(end).collect();
        assert!(
            self.ledger.read().iter().all(|(begun, returned)| begun == returned),
            "they end between lines"
        );
        let expect = Expect::from_ledger(&self.ledger);
        (ends, expect.tag(|worker, _| (format!("job{worker}"), "send".to_owned())))
    }
}

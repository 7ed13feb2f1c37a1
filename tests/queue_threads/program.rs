//! A program that logs from many threads: a process with one global subscriber and one queue.

use std::{
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    sync::OnceLock,
    time::Duration,
};

use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
#[cfg(feature = "multiprocess")]
use tracing_tasklog::writer::Collector;
use tracing_tasklog::{
    TaskLayer,
    writer::{Report, SharedQueue},
};

use crate::{
    order_kit,
    support::{
        dir::Dir,
        verify::{Expect, LogFamily, Verdict, numbered},
    },
};

/// How late something may be on a machine that is busy with other tests.
pub(crate) const LATEST: Duration = Duration::from_secs(40);

/// Runs the body of the test `name` in a process of its own, as it sets the global subscriber.
pub(crate) fn alone(name: &str, body: impl FnOnce()) {
    order_kit::alone(name, 3 * LATEST, body);
}

static QUEUE: OnceLock<SharedQueue> = OnceLock::new();

/// Logs the line of a thread through the layer.
pub(crate) fn log(n: u32, counter: u64) {
    info!("{}", numbered(n, counter, 9));
}

/// Writes the line of a thread directly.
pub(crate) fn write(n: u32, counter: u64) {
    let line = numbered(n, counter, 9) + "\n";
    let queue = QUEUE.get().expect("it was started");
    queue.clone().write_all(line.as_bytes()).expect("writing never fails");
}

#[derive(Debug)]
pub(crate) struct Log(Dir);

impl Log {
    pub(crate) fn new() -> Self {
        Log(Dir::new())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path("tasks.log")
    }

    fn file(&self) -> File {
        let file = File::options().append(true).create(true).open(self.path());
        file.expect("the folder is the test's own")
    }

    /// How many lines it has.
    pub(crate) fn lines(&self) -> u64 {
        self.0.lines("tasks.log").len() as u64
    }

    pub(crate) fn verify(&self, expect: &Expect) -> Verdict {
        LogFamily::of(self.path()).verify(expect)
    }
}

/// What is behind the layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Engine {
    /// A queue of this process.
    Queue,
    /// A queue of many processes, of which this one is the only worker, and the collector.
    #[cfg(feature = "multiprocess")]
    Worker,
}

impl Engine {
    /// Starts it for the whole process. What is returned ends it, and panics unless it has written so many lines.
    pub(crate) fn start(self, log: &Log, capacity: usize) -> impl FnOnce(u64) + use<> {
        let builder = SharedQueue::builder().capacity_bytes(capacity).stall_timeout(LATEST);
        let (queue, end): (_, Box<dyn FnOnce() -> Report>) = match self {
            Engine::Queue => {
                let (queue, guard) = builder.spawn(log.file()).expect("a thread can be made");
                (queue, Box::new(|| guard.shutdown(LATEST)))
            }
            #[cfg(feature = "multiprocess")]
            Engine::Worker => {
                let directory = log.0.path("q");
                let collector = Collector::builder(&directory).spawn(log.file()).expect("the only one");
                let queue = builder.connect(directory).expect("a ring can be made");
                (queue, Box::new(|| collector.shutdown(LATEST)))
            }
        };
        let dispatch = Dispatch::new(Registry::default().with(TaskLayer::new(queue.clone())));
        dispatcher::set_global_default(dispatch).expect("this process has none yet");
        QUEUE.set(queue).expect("it is started once");
        move |lines| {
            let report = end();
            assert_eq!((report.written, report.dropped, report.pending), (lines, 0, 0), "{report:?}");
            let stats = QUEUE.get().expect("it was started").stats();
            assert_eq!((stats.accepted_lines, stats.dropped_lines, stats.queued_lines), (lines, 0, 0));
        }
    }

    /// How its thread is called, as the kernel cuts it.
    fn thread(self) -> &'static str {
        match self {
            Engine::Queue => "tasklog-queue",
            #[cfg(feature = "multiprocess")]
            Engine::Worker => "tasklog-collect",
        }
    }
}

fn in_status(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// KiB of memory in use.
pub(crate) fn resident() -> i64 {
    let status = fs::read_to_string("/proc/self/status").expect("the kernel says so");
    in_status(&status, "VmRSS:").expect("it has some") as i64
}

/// How often the thread that writes went to sleep so far.
pub(crate) fn sleeps(engine: Engine) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("the kernel says so");
    let read = |task: &fs::DirEntry, name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
    let mut found = tasks.flatten().filter(|task| read(task, "comm").trim_end() == engine.thread());
    let thread = found.next().expect("a thread of that name");
    assert!(found.next().is_none(), "one only");
    in_status(&read(&thread, "status"), "voluntary_ctxt_switches:").expect("a number")
}

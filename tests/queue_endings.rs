//! The end of a program whose log goes through a `SharedQueue`: what was logged before is in the file, however it ends.
//!
//! Each case is a process of its own, whose file its parent reads when it is over. Most keep their sink shut until the
//! very end, so that nothing has been written by chance.
#![cfg(feature = "queue")]

#[cfg(unix)]
#[path = "queue_endings/aborts.rs"]
mod aborts;
#[path = "queue_endings/guards.rs"]
mod guards;
#[cfg(unix)]
#[path = "queue_endings/kills.rs"]
mod kills;
#[path = "queue_endings/late.rs"]
mod late;
#[path = "queue_endings/own_thread.rs"]
mod own_thread;
#[path = "queue_endings/several.rs"]
mod several;
#[path = "queue_endings/slow.rs"]
mod slow;
mod support;

use std::{
    env,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use support::{
    child::{Child, Output},
    dir::Dir,
    must,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracing_tasklog::{
    TaskLayer,
    writer::{InstanceFile, SharedQueue},
};

/// The lines of most cases: a megabyte, in many writes.
const LINES: u64 = 10_000;

/// More lines than any case logs: those that may be there or not.
const ANY: u64 = 1 << 32;

/// What most cases write to, one after the other.
const SINKS: [&str; 3] = ["file", "buffered", "instance"];

/// How long a child may live. Those whose sink hangs for ever say so themselves.
const LIMIT: Duration = Duration::from_secs(30);

type BoxedSink = Box<dyn Write + Send>;

/// Where the log of this child is.
fn log_path() -> PathBuf {
    env::var_os("LOG").expect("the parent says where").into()
}

/// A file as most programs open one.
fn append_to(path: impl AsRef<Path>) -> File {
    must(File::options().append(true).create(true).open(path), "open the log")
}

/// The sink that the parent has named.
fn sink() -> BoxedSink {
    match env::var("SINK").as_deref() {
        Ok("buffered") => Box::new(BufWriter::new(append_to(log_path()))),
        Ok("instance") => {
            let file = InstanceFile::builder(log_path()).max_bytes(300_000).backups(100);
            Box::new(file.build().expect("the folder is the test's own"))
        }
        _ => Box::new(append_to(log_path())),
    }
}

/// Takes its time, as a slow disk does: nothing ever comes on this channel.
fn take_time(time: Duration) {
    let (_sender, receiver) = mpsc::channel::<()>();
    assert!(receiver.recv_timeout(time).is_err());
}

/// Lets the sinks go that take nothing until then.
static LET_GO: AtomicBool = AtomicBool::new(false);

fn wait_to_be_let_go() {
    wait_until("the sink is let go", LIMIT, || LET_GO.load(Ordering::Relaxed));
}

/// A sink that takes nothing until it is let go, and is slow afterwards, so that the queue is full when the end comes.
struct Held<W>(W);

impl<W: Write> Write for Held<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait_to_be_let_go();
        take_time(Duration::from_millis(5));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Has everything that this process logs go to the queue.
fn set_global(queue: &SharedQueue) {
    let dispatch = Dispatch::new(Registry::default().with(TaskLayer::new(queue.clone())));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

/// The message of line `n`.
fn message(worker: u32, n: u64) -> String {
    numbered(worker, n, (n % 60) as usize)
}

fn log(worker: u32, n: u64) {
    info!("{}", message(worker, n));
}

/// Whether line `n` is in the file: for lines that are written before the log call returns.
fn is_in_file(worker: u32, n: u64) -> bool {
    let message = message(worker, n);
    must(fs::read_to_string(log_path()), "read the log").lines().any(|line| line.ends_with(&message))
}

/// Runs an entry point of this binary on a log of its own.
fn run(name: &str, sink: &str) -> (Dir, Output) {
    run_with(name, sink, "")
}

/// The same, for an entry point that knows several cases.
fn run_with(name: &str, sink: &str, case: &str) -> (Dir, Output) {
    let dir = Dir::new();
    let child = Child::of_test(name).env("LOG", dir.path("tasks.log")).env("SINK", sink).env("CASE", case);
    let output = child.limit(LIMIT).spawn().wait();
    (dir, output)
}

/// The case that the parent has asked for.
fn case() -> String {
    env::var("CASE").expect("the parent says which")
}

/// Panics unless just the expected lines are in the log, each once.
fn assert_log(dir: &Dir, expect: &Expect, what: impl std::fmt::Display) {
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(expect);
    assert!(verdict.faults.is_empty(), "{what}: {verdict}");
}

/// Runs an entry point, which must end well, on each sink: worker 0's lines must be in the log, each once.
fn assert_all_lines(name: &str, lines: u64) {
    for sink in SINKS {
        let (dir, output) = run(name, sink);
        let output = output.assert_success();
        assert_log(&dir, &Expect::new().worker(0, lines), format_args!("{sink}: {output}"));
    }
}

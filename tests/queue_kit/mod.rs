//! Sinks that do as they are told, and what every test of `SharedQueue` asks at the end.

// Each test binary uses a part of it. And `pub` says "for the tests".
#![allow(dead_code, unreachable_pub)]

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    panic,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tracing::{Dispatch, dispatcher};
use tracing_subscriber::{
    Registry,
    layer::{Layer, SubscriberExt},
};
use tracing_tasklog::writer::{QueueGuard, SharedQueue};

use crate::support::{
    child::{Child, role},
    dir::Dir,
    verify::{Expect, LogFamily, Verdict, numbered},
};

/// How late something may be on a machine that is busy with other tests.
pub const LATEST: Duration = Duration::from_secs(20);

/// What a sink does with one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    Take,
    /// Takes so many bytes at most.
    TakeOnly(usize),
    /// Takes half of what it is given.
    TakeHalf,
    Fail(ErrorKind),
    /// What `write(2)` calls EIO: nothing suggests that it will heal.
    Break,
    Panic,
    /// `Ok(0)`.
    Refuse,
}

impl Step {
    fn play(self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        let most = match self {
            Step::Take => bytes.len(),
            Step::TakeOnly(most) => most.min(bytes.len()),
            Step::TakeHalf => bytes.len().div_ceil(2),
            Step::Fail(kind) => return Err(kind.into()),
            Step::Break => return Err(io::Error::other("input/output error")),
            Step::Panic => panic::resume_unwind(Box::new("as told")),
            Step::Refuse => 0,
        };
        file.write_all(&bytes[..most])?;
        Ok(most)
    }
}

type Director = Box<dyn FnMut(u64, &[u8]) -> Step + Send>;

/// A file that takes what it is given as it is told to, by the number of the call from 1, and by the bytes.
pub struct Scripted {
    file: File,
    write: Director,
    flush: Director,
    calls: Calls,
}

/// How often a sink was called.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    writes: Arc<AtomicU64>,
    flushes: Arc<AtomicU64>,
}

impl Calls {
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::SeqCst)
    }
}

impl Scripted {
    pub fn on_flush(mut self, flush: impl FnMut(u64) -> Step + Send + 'static) -> Self {
        let mut flush = flush;
        self.flush = Box::new(move |call, _| flush(call));
        self
    }

    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let call = self.calls.writes.fetch_add(1, Ordering::SeqCst) + 1;
        (self.write)(call, bytes).play(&mut self.file, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let call = self.calls.flushes.fetch_add(1, Ordering::SeqCst) + 1;
        (self.flush)(call, &[]).play(&mut self.file, &[]).map(drop)
    }
}

/// Something that is shut until it is opened, and knows who stands before it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    is_shut: bool,
    waiting: u32,
}

impl Gate {
    pub fn shut() -> Self {
        let gate = Gate::default();
        gate.set(true);
        gate
    }

    /// Shuts it, or opens it.
    pub fn set(&self, is_shut: bool) {
        locked(&self.0.0).is_shut = is_shut;
        self.0.1.notify_all();
    }

    pub fn open(&self) {
        self.set(false);
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let mut state = locked(&self.0.0);
        state.waiting += 1;
        while state.is_shut {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
    }

    /// Whether somebody stands before it.
    pub fn has_visitors(&self) -> bool {
        locked(&self.0.0).waiting > 0
    }
}

/// A hook's memory: each error with its cause.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub fn hook(&self) -> impl Fn(&tracing_tasklog::Error) + Send + Sync + 'static {
        let told = self.clone();
        move |error| locked(&told.0).push(format!("{error:?}"))
    }

    pub fn all(&self) -> Vec<String> {
        locked(&self.0).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log of one queue.
#[derive(Debug)]
pub struct Log {
    pub dir: Dir,
    /// What messages call it.
    name: String,
}

impl Log {
    pub fn new() -> Self {
        Log::named("the log")
    }

    pub fn named(name: impl Into<String>) -> Self {
        Log { dir: Dir::new(), name: name.into() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path("tasks.log")
    }

    pub fn file(&self) -> File {
        appending(self.path())
    }

    /// A sink that does with each write as `write` says.
    pub fn sink(&self, write: impl FnMut(u64, &[u8]) -> Step + Send + 'static) -> Scripted {
        scripted(self.path(), write)
    }

    /// A sink that goes through these steps from its call `first` on.
    pub fn sink_with(&self, first: u64, steps: &[Step]) -> Scripted {
        let steps = steps.to_vec();
        self.sink(move |call, _| {
            let at = call.checked_sub(first).and_then(|at| steps.get(at as usize));
            at.copied().unwrap_or(Step::Take)
        })
    }

    pub fn text(&self) -> String {
        self.dir.read("tasks.log")
    }

    pub fn verify(&self, expect: &Expect) -> Verdict {
        LogFamily::of(self.path()).verify(expect)
    }

    /// The texts that the queue itself wrote: `2 lines dropped reason="queue full"`.
    pub fn announcements(&self) -> Vec<String> {
        let text = |line: &String| {
            let rest = line.strip_prefix("[-] [tracing_tasklog] ")?;
            Some(rest.split_once(' ').expect("a timestamp and a text").1.to_owned())
        };
        self.dir.lines("tasks.log").iter().filter_map(text).collect()
    }

    /// Ends a queue to which worker 0 has written `lines` lines, and checks the account: every line is in the log or was
    /// announced there, and the counters say the same.
    pub fn settle(&self, queue: &SharedQueue, guard: QueueGuard, lines: u64) -> Settled {
        let name = &self.name;
        let report = guard.shutdown(LATEST);
        assert_eq!(report.pending, 0, "{name}: {report:?}");
        let stats = queue.stats();
        assert_eq!((stats.accepted_lines, stats.queued_lines), (lines, 0), "{name}: {stats:?}");
        assert_eq!(stats.written_lines + stats.dropped_lines, lines, "{name}: {stats:?}");
        assert_eq!((report.written, report.dropped), (stats.written_lines, stats.dropped_lines));
        let expect = Expect::new().worker(0, lines).bare_lines().announced_losses();
        let verdict = self.verify(&expect);
        assert!(verdict.faults.is_empty(), "{name}: {verdict}\n{:?}", self.announcements());
        assert_eq!((verdict.found, verdict.announced_dropped), (report.written, report.dropped));
        Settled { lost: report.dropped, errors: stats.errors, fragments: verdict.closed_fragments }
    }
}

/// What became of a queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled {
    pub lost: u64,
    pub errors: u64,
    /// Fragments that were closed by CAN LF.
    pub fragments: u64,
}

/// A sink that does with each write into a file as `write` says.
pub fn scripted(
    path: impl AsRef<std::path::Path>,
    write: impl FnMut(u64, &[u8]) -> Step + Send + 'static,
) -> Scripted {
    let (write, flush): (Director, Director) = (Box::new(write), Box::new(|_, _| Step::Take));
    Scripted { file: appending(path), write, flush, calls: Calls::default() }
}

/// A file that is appended to.
pub fn appending(path: impl AsRef<std::path::Path>) -> File {
    File::options().append(true).create(true).open(path).expect("the folder is the test's own")
}

/// Worker 0's lines `from..=to`, each in a call of its own.
pub fn write(queue: &SharedQueue, from: u64, to: u64) {
    crate::support::verify::write_numbered(queue, from, to);
}

/// One line of some text.
pub fn write_text(queue: &SharedQueue, text: &str) {
    queue.clone().write_all(format!("{text}\n").as_bytes()).expect("writing never fails");
}

/// How long [`numbered`] lines of worker 0 are that [`write`] writes, from line `n` on until its number has a digit more.
pub fn line_length(n: u64) -> usize {
    numbered(0, n, 9).len() + 1
}

/// Makes a layer the global default subscriber of this process: under a scoped one tracing-core drops nested events.
pub fn set_global(layer: impl Layer<Registry> + Send + Sync) {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

/// Runs the body of the test `name` in a process of its own, which must end in time: a queue that is broken may wait for
/// ever. To be called by that very test.
pub fn alone(name: &str, body: impl FnOnce()) {
    if role(name) {
        return body();
    }
    Child::of_test(name).spawn().wait().assert_success();
}

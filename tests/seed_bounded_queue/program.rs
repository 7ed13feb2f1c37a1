//! The program of the document, in Rust: what runs in the child.

use std::{
    env,
    fs::File,
    io::{self, Write},
    mem,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};
use tracing_tasklog::{
    TaskLayer,
    writer::{QueueGuard, SharedQueue},
};

use super::LATEST;
use crate::support::child::role;

/// How often the write thread says hello. All its garbage together has room in the side buffer, so that "every line is in
/// the file" can be asked for.
pub(crate) const ROUNDS: u64 = 100;

/// `trash = [HLD() for _ in range(10)]`
const TRASH: u64 = 10;

/// On which thread the garbage collector kicks in, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Collector {
    /// On the write thread only.
    WriteThread,
    /// On both; on the read thread at each message of the write thread.
    Both,
    /// On both; on the read thread at whatever it dequeues: what was logged by the read thread too.
    BothAlways,
}

impl Collector {
    pub(crate) const ALL: [Collector; 3] = [Collector::WriteThread, Collector::Both, Collector::BothAlways];

    fn of_this_child() -> Collector {
        let name = env::var("COLLECTOR").expect("the parent says which");
        Collector::ALL.into_iter().find(|one| format!("{one:?}") == name).expect("one of them")
    }
}

/// What nobody can reach any more, and no count of references frees: cycles.
static GARBAGE: Mutex<Vec<Hld>> = Mutex::new(Vec::new());

/// What `os.write(1, message)` tells in the document: who destroyed what, in this order.
static DESTROYED: Mutex<String> = Mutex::new(String::new());

/// `class HLD`: logs in its finaliser.
struct Hld(u64);

impl Hld {
    fn new() -> Hld {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Hld(NEXT.fetch_add(1, Ordering::SeqCst))
    }
}

impl Drop for Hld {
    fn drop(&mut self) {
        let thread = thread::current();
        let name = match thread.name() {
            Some("tasklog-queue") => "read_thread",
            Some("write_thread") => "write_thread",
            _ => "main_thread",
        };
        let message = format!("'{name}' destroyed HLD({})", self.0);
        DESTROYED.lock().unwrap_or_else(PoisonError::into_inner).push_str(&format!("{message}\n"));
        info!("{message}");
    }
}

/// `gc.collect()`: the finalisers run on whatever thread does it.
fn collect() {
    let garbage = mem::take(&mut *GARBAGE.lock().unwrap_or_else(PoisonError::into_inner));
    drop(garbage);
}

/// `def in_read_thread()`: the sink, which is called on the queue's own thread.
struct Reader {
    log: File,
    collector: Collector,
}

impl Write for Reader {
    fn write(&mut self, messages: &[u8]) -> io::Result<usize> {
        let saved = self.log.write(messages)?;
        let is_from_write_thread = messages.windows(5).any(|word| word == b"Hello");
        match self.collector {
            Collector::WriteThread => {}
            Collector::Both if !is_from_write_thread => {}
            Collector::Both | Collector::BothAlways => collect(),
        }
        Ok(saved)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush()
    }
}

/// `def in_write_thread()`.
fn write() {
    for round in 1..=ROUNDS {
        let trash = (0..TRASH).map(|_| Hld::new());
        GARBAGE.lock().unwrap_or_else(PoisonError::into_inner).extend(trash);
        // While this waits for room the read thread may come by the garbage.
        info!("Hello from write thread! {round}");
        if round % 2 == 0 {
            collect();
        }
    }
}

fn queue(log: File, collector: Collector) -> (SharedQueue, QueueGuard) {
    let capacity = env::var("CAPACITY").expect("the parent says it").parse().expect("a number");
    let builder = SharedQueue::builder().capacity_bytes(capacity);
    builder.spawn(Reader { log, collector }).expect("a thread can be made")
}

/// Runs the write thread to its end, and collects what is left.
fn run() {
    let write_thread = thread::Builder::new().name("write_thread".to_owned()).spawn(write);
    write_thread.expect("a thread can be made").join().expect("it doesn't panic");
    collect();
}

/// Where the child writes its files.
fn file(name: &str) -> File {
    let dir = env::var_os("DIR").expect("the parent says where");
    File::create(Path::new(&dir).join(name)).expect("the folder is there")
}

fn tell_what_was_destroyed() {
    let destroyed = DESTROYED.lock().unwrap_or_else(PoisonError::into_inner);
    file("destroyed").write_all(destroyed.as_bytes()).expect("the disk has room");
}

/// Ends a queue, and says how many lines had to be counted instead of written.
fn end(queue: &SharedQueue, guard: QueueGuard) -> u64 {
    let report = guard.shutdown(LATEST);
    let (stats, drops) = (queue.stats(), queue.drops());
    assert_eq!((report.pending, report.dropped), (0, drops.nested), "{report:?} {drops:?}");
    assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{stats:?}");
    drops.nested
}

#[test]
fn child_of_the_document() {
    if !role("program::child_of_the_document") {
        return;
    }
    let (queue, guard) = queue(file("tasks.log"), Collector::of_this_child());
    let dispatch = Dispatch::new(Registry::default().with(TaskLayer::new(queue.clone())));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
    run();
    let nested = end(&queue, guard);
    tell_what_was_destroyed();
    crate::support::child::say(&format!("nested={nested}"));
}

/// More than one logging thread: each line goes to two queues, and each read thread logs to both.
#[test]
fn child_with_two_read_threads() {
    if !role("program::child_with_two_read_threads") {
        return;
    }
    let (one, one_guard) = queue(file("one.log"), Collector::of_this_child());
    let (two, two_guard) = queue(file("two.log"), Collector::of_this_child());
    let layers = Registry::default().with(TaskLayer::new(one.clone())).with(TaskLayer::new(two.clone()));
    dispatcher::set_global_default(Dispatch::new(layers)).expect("this process has none yet");
    run();
    // The garbage is gone: from now on the read threads log nothing more. Which of them ends first doesn't matter.
    one_guard.flush(LATEST).expect("the file takes everything");
    two_guard.flush(LATEST).expect("the file takes everything");
    let nested = [end(&one, one_guard), end(&two, two_guard)];
    tell_what_was_destroyed();
    crate::support::child::say(&format!("one={}", nested[0]));
    crate::support::child::say(&format!("two={}", nested[1]));
}

//! What queues hold of the process: threads, descriptors, memory, and signals.
#![cfg(all(target_os = "linux", feature = "queue"))]
#![allow(unsafe_code)] // an allocator can't be written without

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashSet,
    fs,
    io::Write,
    sync::atomic::{AtomicI64, Ordering},
    thread,
    time::Duration,
};

use support::{
    child::{Child, role, say},
    dir::Dir,
    must,
    verify::numbered,
    wait_until,
};
use tracing_tasklog::writer::SharedQueue;

const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that are allocated and not freed.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, which counts.
struct Counting;

// SAFETY: every call goes to the system's allocator as it is. `realloc` is `alloc` and `dealloc` as long as it isn't written.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the kernel says of a thread (proc_pid_status(5)): the rest of the line that begins so.
fn status(thread: &str, key: &str) -> String {
    let text = must(fs::read_to_string(format!("/proc/self/task/{thread}/status")), "read a thread's status");
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}

/// The threads of this process.
fn threads() -> HashSet<String> {
    let entries = must(fs::read_dir("/proc/self/task"), "list the threads");
    entries.map(|entry| must(entry, "list the threads").file_name().to_string_lossy().into_owned()).collect()
}

/// The descriptors of this process, without the one that lists them.
fn descriptors() -> usize {
    must(fs::read_dir("/proc/self/fd"), "list the descriptors").count() - 1
}

/// Kilobytes of memory in use.
fn resident() -> i64 {
    let text = must(fs::read_to_string("/proc/self/status"), "read the status");
    let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    value.and_then(|value| value.parse().ok()).expect("the kernel says how much")
}

/// Runs an entry point in a process of its own, where nobody else makes threads.
fn run(name: &str) -> String {
    let dir = Dir::new();
    let child = Child::of_test(name).env("LOG", dir.path("tasks.log")).limit(Duration::from_secs(60));
    child.spawn().wait().assert_success().stdout
}

/// Makes a queue on a file, logs, and ends it in one of the ways that there are.
fn use_a_queue(n: u64) {
    let path = std::env::var_os("LOG").expect("the parent says where");
    let file = must(fs::File::options().append(true).create(true).open(path), "open the log");
    let builder = SharedQueue::builder().capacity_bytes([4096, 8 * 1024 * 1024][(n % 2) as usize]);
    let (mut queue, guard) = builder.spawn(file).expect("a thread can be made");
    for line in 0..20 {
        must(writeln!(queue, "{}", numbered(0, line, 50)), "write");
    }
    match n % 4 {
        0 => drop((queue, guard)),
        1 => drop((guard, queue)),
        2 => drop((queue, guard.shutdown(PATIENCE))),
        _ => {
            drop(guard);
            must(writeln!(queue, "{}", numbered(0, 20, 50)), "write"); // directly
        }
    }
}

#[test]
fn child_makes_a_thousand_queues() {
    if !role("child_makes_a_thousand_queues") {
        return;
    }
    let at_rest = || (threads().len(), descriptors());
    let before = at_rest();
    (0..100).for_each(use_a_queue);
    wait_until("the threads are gone", PATIENCE, || at_rest() == before);
    let (live, warm) = (LIVE.load(Ordering::Relaxed), resident());
    (0..1000).for_each(use_a_queue);
    wait_until("the threads are gone", PATIENCE, || at_rest() == before);
    say(&format!("live={}", LIVE.load(Ordering::Relaxed) - live));
    say(&format!("resident={}", resident() - warm));
}

#[test]
fn a_thousand_queues_leak_no_thread_no_descriptor_and_no_memory() {
    let output = run("child_makes_a_thousand_queues");
    let said = |key: &str| -> i64 {
        let value = output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok());
        value.unwrap_or_else(|| panic!("no {key}\n{output}"))
    };
    assert!(said("live") < 1000, "{} bytes more after a thousand queues", said("live"));
    // What the allocator keeps in reserve is 1 or 2 MiB; the touched stacks of a thousand threads would be 8 or more.
    assert!(said("resident") < 6 * 1024, "{} KiB more after a thousand queues", said("resident"));
}

#[test]
fn child_forgets_queues() {
    if !role("child_forgets_queues") {
        return;
    }
    let before = threads().len();
    for n in 0..50 {
        let path = std::env::var_os("LOG").expect("the parent says where");
        let file = must(fs::File::options().append(true).create(true).open(path), "open the log");
        let (mut queue, guard) = SharedQueue::builder().spawn(file).expect("a thread can be made");
        must(writeln!(queue, "{}", numbered(0, n, 50)), "write");
        std::mem::forget(guard);
    }
    // A forgotten guard costs its memory and its sink. But the thread ends with the last that could log.
    wait_until("the threads are gone", PATIENCE, || threads().len() == before);
}

#[test]
fn a_forgotten_guard_keeps_no_thread() {
    run("child_forgets_queues");
}

#[test]
fn child_starts_a_queue() {
    if !role("child_starts_a_queue") {
        return;
    }
    let spawning = must(fs::read_link("/proc/thread-self"), "find this thread");
    let spawning = spawning.file_name().expect("it ends in its number").to_string_lossy().into_owned();
    let (before, mask) = (threads(), status(&spawning, "SigBlk"));
    let (mut queue, guard) = SharedQueue::builder().spawn(std::io::sink()).expect("a thread can be made");
    must(writeln!(queue, "one"), "write");
    guard.flush(PATIENCE).expect("the thread runs, and bears its name by now");
    let new: Vec<_> = threads().difference(&before).cloned().collect();
    assert_eq!(new.len(), 1, "a queue has one thread: {new:?}");
    assert_eq!(status(&new[0], "Name"), "tasklog-queue");
    let blocked = u64::from_str_radix(&status(&new[0], "SigBlk"), 16).expect("it is in hexadecimal");
    // All that can be blocked (signal(7)), without the two that the C library keeps for itself, 32 and 33, and without those
    // for a fault of the thread's own.
    let never = [libc::SIGKILL, libc::SIGSTOP, 32, 33];
    let faults =
        [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];
    let set = |signals: &[i32]| signals.iter().fold(0_u64, |set, signal| set | 1 << (signal - 1));
    assert_eq!(blocked | set(&never) | set(&faults), u64::MAX, "{blocked:x}");
    assert_eq!(blocked & set(&faults), 0, "{blocked:x}");
    assert_eq!(status(&spawning, "SigBlk"), mask, "the thread that started it blocks what it did before");
    let after = thread::spawn(|| {
        let own = must(fs::read_link("/proc/thread-self"), "find this thread");
        status(&own.file_name().expect("a number").to_string_lossy(), "SigBlk")
    });
    assert_eq!(after.join().expect("no thread panics"), mask, "and so do the threads that it starts");
    drop((queue, guard));
}

#[test]
fn the_thread_of_a_queue_has_a_name_and_blocks_every_signal_but_of_faults_of_its_own() {
    run("child_starts_a_queue");
}

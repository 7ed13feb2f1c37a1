//! A signal handler that logs, while its thread is in a log call of a file writer: it must not wait for its own thread.

// Handlers of signals, and signals to one thread.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    env,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{consts::SIGUSR1, low_level};
use tracing::info;
use tracing_tasklog::{TaskLayer, writer::TaskWriter};

use super::set_global;
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    verify::LogFamily,
};

/// How many signals are sent; on a slow machine as many as are sent in `AT_MOST`, but never fewer than `AT_LEAST`.
const SIGNALS: u64 = 5_000;
const AT_LEAST: u64 = 400;
const AT_MOST: Duration = Duration::from_secs(3);

static INNER: AtomicU64 = AtomicU64::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_ALLOCATING: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which says when a thread is in it: a handler that interrupts that must not allocate, and a log call
/// does. That is nothing that a log can help.
struct Allocator;

// SAFETY: it is the system's.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IS_ALLOCATING.set(true);
        // SAFETY: the caller's duty.
        let memory = unsafe { System.alloc(layout) };
        IS_ALLOCATING.set(false);
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IS_ALLOCATING.set(true);
        // SAFETY: the caller's duty.
        unsafe { System.dealloc(memory, layout) };
        IS_ALLOCATING.set(false);
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn log_inner() {
    if !IS_ALLOCATING.get() {
        info!("inner");
        INNER.fetch_add(1, Ordering::SeqCst);
    }
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Sends a signal to a thread, again and again, each when the one before was handled.
fn interrupt(thread: libc::pthread_t) {
    let began = Instant::now();
    for sent in 0..SIGNALS {
        if sent >= AT_LEAST && began.elapsed() > AT_MOST {
            break;
        }
        let before = HANDLED.load(Ordering::SeqCst);
        // SAFETY: the thread lives until it is told that all was sent.
        assert_eq!(unsafe { libc::pthread_kill(thread, SIGUSR1) }, 0);
        while HANDLED.load(Ordering::SeqCst) == before {
            thread::yield_now();
        }
    }
}

#[test]
fn child_handles_signals() {
    if !role("signals::child_handles_signals") {
        return;
    }
    let writer = TaskWriter::open(&env::var("SPEC").expect("the parent says it")).expect("it can be opened");
    set_global(TaskLayer::new(writer.clone()).with_timer(()));
    log_inner(); // what tracing makes once for each place in the source is made here
    // SAFETY: what the handler does is what is tested.
    unsafe { low_level::register(SIGUSR1, log_inner) }.expect("SIGUSR1 can be handled");
    let (is_over, outer) = (AtomicBool::new(false), AtomicU64::new(0));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..20).for_each(|_| info!("outer")); // makes what the thread keeps: its buffer, above all
            // SAFETY: it always succeeds.
            tell.send(unsafe { libc::pthread_self() }).expect("it is waited for");
            while !is_over.load(Ordering::SeqCst) {
                info!("outer");
                outer.fetch_add(1, Ordering::SeqCst);
            }
        });
        interrupt(told.recv().expect("the thread begins"));
        is_over.store(true, Ordering::SeqCst);
    });
    info!("end");
    let (stats, logged) = (writer.stats(), 20 + outer.into_inner() + INNER.load(Ordering::SeqCst) + 1);
    assert_eq!(stats.accepted_lines, logged, "{stats:?}");
    assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{stats:?}");
    say(&format!("written {} dropped {}", stats.written_lines, stats.dropped_lines));
}

/// What was written must be there, and what was not is counted and announced.
fn assert_handled(kind: &str) {
    let dir = Dir::new();
    let log = dir.path("tasks.log");
    let spec = if kind == "stdout" { kind.to_owned() } else { format!("{kind}:{}", log.display()) };
    let child = Child::of_test("signals::child_handles_signals").env("SPEC", spec);
    let output = child.limit(Duration::from_secs(60)).spawn().wait().assert_success();
    let numbers = output.stdout.lines().find_map(|line| line.strip_prefix("written ")).expect("it says so");
    let (written, dropped) = numbers.split_once(" dropped ").expect("two numbers");
    let text = if kind == "stdout" { output.stdout.clone() } else { LogFamily::of(log).lines().join("\n") };
    let lines = text.lines().filter(|line| line.starts_with("[-] [reentrancy")).count();
    assert_eq!(lines.to_string(), written, "{kind}");
    let announced = |line: &str| line.split_once(" lines dropped")?.0.rsplit(' ').next()?.parse::<u64>().ok();
    assert_eq!(text.lines().filter_map(announced).sum::<u64>().to_string(), dropped, "{kind}");
}

#[test]
fn a_signal_handler_that_logs_into_a_file_never_hangs() {
    ["instance", "watched"].into_iter().for_each(assert_handled);
}

#[test]
fn a_signal_handler_that_logs_to_stdout_never_hangs() {
    assert_handled("stdout");
}

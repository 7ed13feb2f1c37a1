//! In steady state an event costs no allocation: counted by the allocator itself.
#![allow(unsafe_code)] // an allocator can't be written without

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io,
    sync::{Mutex, PoisonError},
};

use support::dir::Dir;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, task_span, writer::InstanceFile};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts for each thread.
struct Counting;

// SAFETY: every call goes to the system's allocator as it is; the counter is a thread-local without destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The allocations of this thread while `f` runs.
fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

/// Longer than the room that every thread has for a line from the start.
const LONG: &str = match str::from_utf8(&[b'x'; 3000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// One of each kind of event: in a task, in a child span of it, outside, with numbers, texts, Unicode, Debug values, and a long line.
fn log_some(task: &tracing::Span, child: &tracing::Span) {
    let entered = task.enter();
    tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    tracing::warn!(ratio = 0.5, text = "Größe – 日本", list = ?[1, 2, 3], "{} of {}", 3, 4);
    tracing::info!(text = LONG, "long");
    child.in_scope(|| tracing::info!("in the child"));
    drop(entered);
    tracing::error!(code = -7_i64, "outside");
}

/// A new `Dispatch` has all threads forget what they remember of their tasks: that is no steady state. So there is one at a time.
static ONE: Mutex<()> = Mutex::new(());

fn in_steady_state(subscriber: impl Subscriber + Send + Sync + 'static) -> u64 {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let subscriber = &Dispatch::new(subscriber);
    tracing::dispatcher::with_default(subscriber, || {
        let task = task_span!("send_email", "abc12345", to = "user@example.com");
        let child = tracing::info_span!(parent: &task, "child");
        (0..10).for_each(|_| log_some(&task, &child));
        allocations(|| (0..1000).for_each(|_| log_some(&task, &child)))
    })
}

#[test]
fn an_event_into_a_null_writer_allocates_nothing() {
    let layer =
        TaskLayer::new(io::sink).with_lifecycle(true).with_level(true).with_target(true).with_process(true);
    assert_eq!(in_steady_state(tracing_subscriber::registry().with(layer)), 0);
}

#[test]
fn nor_does_one_that_shows_the_fields_of_its_span() {
    let layer = TaskLayer::new(io::sink).with_span_fields(true);
    assert_eq!(in_steady_state(tracing_subscriber::registry().with(layer)), 0);
}

#[test]
fn nor_does_one_into_a_file() {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).build().expect("a writable folder");
    let layer = TaskLayer::new(file.clone());
    assert_eq!(in_steady_state(tracing_subscriber::registry().with(layer)), 0);
    assert_eq!(file.stats().written_lines, 5 * 1010);
}

/// Its batches are made when it starts, so that no log call has to.
#[cfg(feature = "queue")]
#[test]
fn nor_does_one_into_a_queue() {
    let dir = Dir::new();
    let file = std::fs::File::create(dir.path("tasks.log")).expect("a writable folder");
    // Smaller than what goes through it, so that every batch is used again and again.
    let queue = tracing_tasklog::writer::SharedQueue::builder().capacity_bytes(64 * 1024).spawn(file);
    let (queue, guard) = queue.expect("a thread can be made");
    let layer = TaskLayer::new(queue);
    assert_eq!(in_steady_state(tracing_subscriber::registry().with(layer)), 0);
    assert_eq!(guard.shutdown(std::time::Duration::from_secs(20)).written, 5 * 1010);
}

#[test]
fn the_counter_counts() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1_u8]))) > 0);
}

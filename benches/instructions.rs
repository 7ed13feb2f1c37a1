//! Prints nothing: logs a number of events through one of several pipelines, for callgrind to count
//! (`.ci/gate.sh`), or, called by `cargo bench`, prints how long an event takes beside `tracing_subscriber::fmt`.
//!
//! ```text
//! instructions list            the cases, one a line
//! instructions CASE EVENTS     does the case's work with EVENTS events on the main thread
//! ```
#![allow(clippy::print_stdout)] // it is what a bench is for

use std::{any::Any, env, io, time::Instant};

use tracing::{Dispatch, Span, dispatcher};
use tracing_subscriber::{Layer, Registry, fmt::time::ChronoUtc, prelude::*};
use tracing_tasklog::{TaskLayer, UtcSeconds, task_span};

/// A way of an event.
struct Case {
    name: &'static str,
    /// What takes the events.
    pipeline: fn() -> Pipeline,
    /// Logs so many of them.
    log: fn(u64),
}

const CASES: &[Case] = &[
    Case { name: "null", pipeline: null, log: in_a_task },
    Case {
        name: "level_target",
        pipeline: || pipeline(TaskLayer::new(io::sink).with_level(true).with_target(true), ()),
        log: in_a_task,
    },
    Case { name: "entered", pipeline: null, log: each_in_a_stay },
    Case { name: "child", pipeline: null, log: each_in_a_stay_in_a_child },
    Case { name: "untagged", pipeline: null, log: outside_any_task },
    Case { name: "below", pipeline: null, log: below_the_level },
    #[cfg(feature = "queue")]
    Case { name: "queue", pipeline: queue, log: in_a_task },
    #[cfg(all(feature = "multiprocess", unix))]
    Case { name: "ring", pipeline: ring, log: in_a_task },
    Case { name: "p1", pipeline: fmt_non_blocking, log: in_a_task },
];

/// A subscriber, and what ends with it.
struct Pipeline {
    subscriber: Dispatch,
    guard: Box<dyn Any>,
}

fn pipeline(layer: impl Layer<Registry> + Send + Sync, guard: impl Any) -> Pipeline {
    Pipeline { subscriber: Dispatch::new(Registry::default().with(layer)), guard: Box::new(guard) }
}

fn null() -> Pipeline {
    pipeline(TaskLayer::new(io::sink), ())
}

#[cfg(feature = "queue")]
fn queue() -> Pipeline {
    let queue = tracing_tasklog::writer::SharedQueue::builder().spawn(io::sink());
    let (queue, guard) = queue.expect("a thread can be made");
    pipeline(TaskLayer::new(queue), guard)
}

#[cfg(all(feature = "multiprocess", unix))]
fn ring() -> Pipeline {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
    let queue = tracing_tasklog::writer::SharedQueue::builder()
        .capacity_bytes(128 * 1024 * 1024) // nobody takes anything out
        .connect(folder.path());
    pipeline(TaskLayer::new(queue.expect("a ring can be made")), folder)
}

/// What a program has without this crate: the `fmt` layer, with its own timer and the same timestamp, over a channel that loses
/// nothing.
fn fmt_non_blocking() -> Pipeline {
    let builder = tracing_appender::non_blocking::NonBlockingBuilder::default();
    let (writer, guard) = builder.lossy(false).finish(io::sink());
    let timer = ChronoUtc::new("%Y-%m-%dT%H:%M:%S".to_owned());
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(timer);
    pipeline(layer.with_writer(writer), guard)
}

/// The peer that the cases are compared with when time is measured, with the same timer, so that the layers are compared.
fn fmt_layer() -> Pipeline {
    let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    pipeline(fmt.with_writer(io::sink), ())
}

/// The event that every case is measured by.
fn event() {
    tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
}

fn task() -> Span {
    task_span!("send_email", "abc12345")
}

fn in_a_task(events: u64) {
    let _entered = task().entered();
    (0..events).for_each(|_| event());
}

/// The span is entered and left around each event, as by a future that logs once in each poll.
fn each_in_a_stay(events: u64) {
    let span = task();
    (0..events).for_each(|_| span.in_scope(event));
}

/// The same with a span inside the task's, as by a future within a future.
fn each_in_a_stay_in_a_child(events: u64) {
    let span = task();
    let child = span.in_scope(|| tracing::info_span!("step"));
    (0..events).for_each(|_| span.in_scope(|| child.in_scope(event)));
}

fn outside_any_task(events: u64) {
    (0..events).for_each(|_| event());
}

fn below_the_level(events: u64) {
    let _entered = task().entered();
    (0..events).for_each(|_| {
        tracing::debug!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    });
}

/// The fastest of several rounds, in nanoseconds per event.
fn nanoseconds(cases: &[&Case]) -> Vec<f64> {
    const EVENTS: u64 = 100_000;
    let pipelines: Vec<Pipeline> = cases.iter().map(|case| (case.pipeline)()).collect();
    let mut best = vec![f64::INFINITY; cases.len()];
    for _ in 0..10 {
        for ((case, pipeline), best) in cases.iter().zip(&pipelines).zip(&mut best) {
            let start = Instant::now();
            dispatcher::with_default(&pipeline.subscriber, || (case.log)(EVENTS));
            *best = best.min(start.elapsed().as_nanos() as f64 / EVENTS as f64);
        }
    }
    best
}

fn compare() {
    let peer = Case { name: "fmt layer", pipeline: fmt_layer, log: in_a_task };
    let cases: Vec<&Case> = CASES.iter().chain([&peer]).collect();
    let best = nanoseconds(&cases);
    println!("fastest of 10 interleaved rounds:");
    for (case, ns) in cases.iter().zip(&best) {
        let ratio = ns / best[best.len() - 1];
        println!("{:12} {ns:6.0} ns an event, {ratio:.2} of the fmt layer into a null writer", case.name);
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["list"] => CASES.iter().for_each(|case| println!("{}", case.name)),
        [name, events] => {
            let case = CASES.iter().find(|case| case.name == name).expect("a name that `list` prints");
            // As in a program: one subscriber for all, which is cheaper to find than a scoped one.
            let Pipeline { subscriber, guard } = (case.pipeline)();
            dispatcher::set_global_default(subscriber).expect("the first");
            (case.log)(events.parse().expect("a number of events"));
            drop(guard);
        }
        _ => panic!("expected nothing, `list`, or a case and a number of events"),
    }
}

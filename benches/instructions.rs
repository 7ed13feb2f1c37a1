//! Prints nothing: logs a number of events through one of several pipelines, for callgrind to count
//! (`.ci/gate.sh`), or, called by `cargo bench`, prints how long an event takes beside `tracing_subscriber::fmt`.
//!
//! ```text
//! instructions list            the cases, one a line
//! instructions CASE EVENTS     logs EVENTS events on the main thread
//! ```
#![allow(clippy::print_stdout)] // it is what a bench is for

use std::{any::Any, env, io, time::Instant};

use tracing::{Dispatch, dispatcher};
use tracing_subscriber::{Layer, Registry, prelude::*};
use tracing_tasklog::{TaskLayer, UtcSeconds, task_span};

/// A case: its name, and the pipeline that takes its events.
type Case = (&'static str, fn() -> Pipeline);

const CASES: &[Case] = &[
    ("null", || pipeline(TaskLayer::new(io::sink), ())),
    ("level_target", || pipeline(TaskLayer::new(io::sink).with_level(true).with_target(true), ())),
    #[cfg(feature = "queue")]
    ("queue", || {
        let queue = tracing_tasklog::writer::SharedQueue::builder().spawn(io::sink());
        let (queue, guard) = queue.expect("a thread can be made");
        pipeline(TaskLayer::new(queue), guard)
    }),
    #[cfg(all(feature = "multiprocess", unix))]
    ("ring", || {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        let queue = tracing_tasklog::writer::SharedQueue::builder()
            .capacity_bytes(128 * 1024 * 1024) // nobody takes anything out
            .connect(folder.path());
        pipeline(TaskLayer::new(queue.expect("a ring can be made")), folder)
    }),
];

/// A subscriber, and what ends with it.
struct Pipeline {
    subscriber: Dispatch,
    guard: Box<dyn Any>,
}

fn pipeline(layer: impl Layer<Registry> + Send + Sync, guard: impl Any) -> Pipeline {
    Pipeline { subscriber: Dispatch::new(Registry::default().with(layer)), guard: Box::new(guard) }
}

/// The peer that the cases are compared with, with the same timestamp, so that the layers are compared.
fn fmt_layer() -> Pipeline {
    let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    pipeline(fmt.with_writer(io::sink), ())
}

/// Logs `events` events in one task: the work that every case is measured by.
fn log(events: u64) {
    let _entered = task_span!("send_email", "abc12345").entered();
    for _ in 0..events {
        tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    }
}

/// The fastest of several rounds, in nanoseconds per event.
fn nanoseconds(pipelines: &[Pipeline]) -> Vec<f64> {
    const EVENTS: u64 = 100_000;
    let mut best = vec![f64::INFINITY; pipelines.len()];
    for _ in 0..10 {
        for (pipeline, best) in pipelines.iter().zip(&mut best) {
            let start = Instant::now();
            dispatcher::with_default(&pipeline.subscriber, || log(EVENTS));
            *best = best.min(start.elapsed().as_nanos() as f64 / EVENTS as f64);
        }
    }
    best
}

fn compare() {
    let names = CASES.iter().map(|case| case.0).chain(["fmt layer"]);
    let pipelines: Vec<Pipeline> = CASES.iter().map(|case| case.1()).chain([fmt_layer()]).collect();
    let best = nanoseconds(&pipelines);
    println!("into a null writer, fastest of 10 interleaved rounds:");
    for (name, ns) in names.zip(&best) {
        println!("{name:10} {ns:6.0} ns an event, {:.2} of the fmt layer", ns / best[best.len() - 1]);
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["list"] => CASES.iter().for_each(|case| println!("{}", case.0)),
        [name, events] => {
            let case = CASES.iter().find(|case| case.0 == name).expect("a name that `list` prints");
            // As in a program: one subscriber for all, which is cheaper to find than a scoped one.
            let Pipeline { subscriber, guard } = case.1();
            dispatcher::set_global_default(subscriber).expect("the first");
            log(events.parse().expect("a number of events"));
            drop(guard);
        }
        _ => panic!("expected nothing, `list`, or a case and a number of events"),
    }
}

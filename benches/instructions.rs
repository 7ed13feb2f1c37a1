//! Prints nothing: logs a number of events through one of several pipelines, for callgrind to count
//! (`.ci/gate.sh`), or, called by `cargo bench`, prints how long an event takes beside `tracing_subscriber::fmt`.
//!
//! ```text
//! instructions list            the cases, one a line
//! instructions CASE EVENTS     logs EVENTS events on the main thread
//! ```
#![allow(clippy::print_stdout)] // it is what a bench is for

use std::{env, io, time::Instant};

use tracing::{Dispatch, dispatcher};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, UtcSeconds, task_span};

/// A case: its name, and the subscriber that takes its events.
type Case = (&'static str, fn() -> Dispatch);

const CASES: [Case; 2] = [
    ("null", || Dispatch::new(tracing_subscriber::registry().with(TaskLayer::new(io::sink)))),
    ("level_target", || {
        let layer = TaskLayer::new(io::sink).with_level(true).with_target(true);
        Dispatch::new(tracing_subscriber::registry().with(layer))
    }),
];

/// The peer that the cases are compared with, with the same timestamp, so that the layers are compared.
fn fmt_layer() -> Dispatch {
    let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    Dispatch::new(tracing_subscriber::registry().with(fmt.with_writer(io::sink)))
}

/// Logs `events` events in one task: the work that every case is measured by.
fn log(events: u64) {
    let _entered = task_span!("send_email", "abc12345").entered();
    for _ in 0..events {
        tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    }
}

/// The fastest of several rounds, in nanoseconds per event.
fn nanoseconds(subscribers: &[Dispatch]) -> Vec<f64> {
    const EVENTS: u64 = 100_000;
    let mut best = vec![f64::INFINITY; subscribers.len()];
    for _ in 0..10 {
        for (subscriber, best) in subscribers.iter().zip(&mut best) {
            let start = Instant::now();
            dispatcher::with_default(subscriber, || log(EVENTS));
            *best = best.min(start.elapsed().as_nanos() as f64 / EVENTS as f64);
        }
    }
    best
}

fn compare() {
    let names = CASES.iter().map(|case| case.0).chain(["fmt layer"]);
    let subscribers: Vec<Dispatch> = CASES.iter().map(|case| case.1()).chain([fmt_layer()]).collect();
    let best = nanoseconds(&subscribers);
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
            dispatcher::set_global_default(case.1()).expect("the first");
            log(events.parse().expect("a number of events"));
        }
        _ => panic!("expected nothing, `list`, or a case and a number of events"),
    }
}

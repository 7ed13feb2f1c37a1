//! Measures the parts of an event's way one by one, with criterion and its plots: what an event costs into a null writer, and
//! one that is left out; a task's beginning and end; handing a line over; reading one.
//!
//! ```text
//! cargo bench --manifest-path benches/peers/Cargo.toml --bench parts [-- NAME]
//! ```
//!
//! The plots are in `criterion/report/index.html` below the target folder. Each part has its subscriber for the thread, as
//! several of them share the process: one for the whole process is cheaper to find, by the same for all of them.
#![allow(missing_docs)] // of the functions that criterion's macros make

use std::{hint::black_box, io, time::Duration};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use floor::{Floor, Sink as _};
use tracing::{Span, level_filters::LevelFilter, subscriber::with_default};
use tracing_subscriber::{Layer, Registry, fmt::MakeWriter, prelude::*};
use tracing_tasklog::{
    TaskLayer, UtcSeconds,
    line::parse,
    task_span,
    writer::{SharedQueue, TaskWriter},
};

const LINE: &str = "[abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server host=\"smtp.example.com\" port=25\n";

fn layer() -> TaskLayer<fn() -> io::Sink> {
    TaskLayer::new(io::sink)
}

fn fmt() -> impl Layer<Registry> + Send + Sync {
    let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    fmt.with_writer(io::sink)
}

/// The event that is measured everywhere.
fn event() {
    tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
}

fn task() -> Span {
    task_span!("send_email", "abc12345")
}

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Measures `work` under a subscriber, in the span that `enter` makes.
fn part(
    group: &mut Group<'_>,
    name: &str,
    layer: impl Layer<Registry> + Send + Sync,
    enter: fn() -> Span,
    mut work: impl FnMut(),
) {
    with_default(Registry::default().with(layer), || {
        let _entered = enter().entered();
        group.bench_function(name, |bencher| bencher.iter(&mut work));
    });
}

/// Measures an event in a task whose span is entered for it alone, as that of a future is.
fn polled(group: &mut Group<'_>, name: &str, layer: impl Layer<Registry> + Send + Sync) {
    with_default(Registry::default().with(layer), || {
        let span = task();
        group.bench_function(name, |bencher| bencher.iter(|| span.in_scope(event)));
    });
}

/// Events that are written to a null writer.
fn written(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("event");
    part(group, "in a task", layer(), task, event);
    part(group, "the same, by the fmt layer", fmt(), task, event);
    part(group, "the same, by the floor", Floor::new(io::sink()), task, event);
    part(group, "with level and target", layer().with_level(true).with_target(true), task, event);
    part(group, "outside any task", layer(), Span::none, event);
    part(group, "outside any task, not written", layer().with_untagged(false), Span::none, event);
    let debug = || tracing::info!(reply = ?Some(250), "Connecting to SMTP server");
    part(group, "with a value's Debug", layer(), task, debug);
    let long = "Connecting ".repeat(100);
    part(group, "with a text of 1,100 bytes", layer(), task, || tracing::info!("{long}"));
    let escapes = || tracing::info!(host = "smtp.example.com", port = 25, "Connecting\nto SMTP server");
    part(group, "with a text that needs an escape", layer(), task, escapes);
}

/// The same where spans are entered.
fn in_spans(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("event and spans");
    let nested = || task().in_scope(|| tracing::info_span!("connect"));
    part(group, "in a span inside of the task's", layer(), nested, event);
    polled(group, "span entered and left around it", layer());
    polled(group, "the same, by the fmt layer", fmt());
    polled(group, "the same, by the floor", Floor::new(io::sink()));
}

/// Events that are not written.
fn left_out(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("event left out");
    let below = || tracing::debug!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    part(group, "below min_level", layer(), task, below);
    part(group, "under a LevelFilter", layer().and_then(LevelFilter::INFO), task, below);
}

/// A task from its beginning to its end, without an event.
fn tasks(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("task");
    let whole = || task().in_scope(|| ());
    part(group, "with its lifecycle", layer().with_lifecycle(true), Span::none, whole);
    part(group, "without", layer(), Span::none, whole);
    part(group, "its span under the fmt layer", fmt(), Span::none, whole);
}

/// Handing over a line that is ready. The file forgets what is written.
fn hand_over(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("hand over a line");
    let (queue, guard) = SharedQueue::builder().spawn(io::sink()).expect("a thread can be made");
    let write = |writer: &mut dyn io::Write| writer.write_all(LINE.as_bytes()).expect("it takes everything");
    group.bench_function("SharedQueue", |bencher| bencher.iter(|| write(&mut queue.make_writer())));
    let writer = TaskWriter::from(queue);
    group.bench_function("TaskWriter of it", |bencher| bencher.iter(|| write(&mut writer.make_writer())));
    drop(guard);
    let (queue, guard) = floor::spawn(io::sink());
    group.bench_function("the floor's", |bencher| bencher.iter(|| queue.take(LINE.as_bytes())));
    drop(guard);
}

fn read(criterion: &mut Criterion) {
    let group = &mut criterion.benchmark_group("line::parse");
    for (name, line) in [
        ("a log line", LINE.trim_end()),
        (
            "a lifecycle line",
            "[abc12345] [send_email] 2026-01-01T12:00:09 -- FAILED elapsed=9.104s error=\"no route\"",
        ),
        ("a separator", "[abc12345] [send_email] --- Retry 2 ---"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| parse(black_box(line)).expect("a line")));
    }
}

/// So that all of them end within two minutes: they are many, and each repeats well.
fn briefly() -> Criterion {
    let criterion = Criterion::default().sample_size(40);
    criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_millis(1500))
}

criterion_group! {
    name = parts;
    config = briefly();
    targets = written, in_spans, left_out, tasks, hand_over, read
}
criterion_main!(parts);

//! Writers and timers that log, panic or wait for each other, under a global default subscriber (with a
//! scoped one tracing-core drops nested events). Each in a process of its own, which must end.

mod support;

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use support::capture::{Capture, Pen, layer};
use support::child::{Child, Output, role};
use support::stopwatch::Stopwatch;
use tracing::{Dispatch, Span, dispatcher, error, info};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span};

/// Runs a child, which checks by itself what it writes, and must end in time.
fn assert_child(name: &str) -> Output {
    Child::of_test(name).spawn().wait().assert_success()
}

fn set_global(layer: impl Layer<Registry> + Send + Sync) {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` unless this thread is running it already.
fn once_at_a_time(f: impl FnOnce()) {
    if !BUSY.replace(true) {
        f();
        BUSY.set(false);
    }
}

/// A writer that logs before it writes.
#[derive(Clone)]
struct LoudWriter(Capture);

struct LoudPen(Pen);

impl<'a> MakeWriter<'a> for LoudWriter {
    type Writer = LoudPen;

    fn make_writer(&'a self) -> LoudPen {
        once_at_a_time(|| info!("writer made"));
        LoudPen(self.0.make_writer())
    }
}

impl Write for LoudPen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        once_at_a_time(|| info!("writing"));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn child_sink_logs() {
    if !role("child_sink_logs") {
        return;
    }
    let capture = Capture::default();
    set_global(TaskLayer::new(LoudWriter(capture.clone())).with_lifecycle(true));
    task_span!("t", 1).run_task(|| info!("x"));
    let twice = |tag: &str, text: &str| ["writer made", "writing", text].map(|said| format!("{tag} {said}"));
    let tag = "[1] [t]";
    let mut expected = [twice(tag, "-- RUNNING"), twice(tag, "x")].concat();
    let outside = twice("[-] [loud_writers]", "");
    expected.extend(outside.into_iter().take(2).chain(["[1] [t] -- SUCCESS".to_owned()]));
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_sink_that_logs() {
    assert_child("child_sink_logs");
}

/// A timer that logs.
struct LoudTimer;

impl FormatTime for LoudTimer {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        once_at_a_time(|| info!("what time is it"));
        w.write_str("2026-01-01T12:00:00")
    }
}

#[test]
fn child_timer_logs() {
    if !role("child_timer_logs") {
        return;
    }
    let capture = Capture::default();
    set_global(layer(&capture).with_timer(LoudTimer));
    task_span!("t", 1).run_task(|| error!("x"));
    let expected = [
        "[1] [t] what time is it",
        "[1] [t] -- RUNNING",
        "[1] [t] what time is it",
        "[1] [t] x",
        "[-] [loud_writers] what time is it",
        "[1] [t] -- SUCCESS",
    ];
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_timer_that_logs() {
    assert_child("child_timer_logs");
}

/// A writer that panics at its first line, once the other threads stand in line.
#[derive(Clone)]
struct Falls {
    capture: Capture,
    fallen: Arc<AtomicBool>,
    barrier: Arc<Barrier>,
}

impl Write for Falls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.fallen.swap(true, Ordering::SeqCst) {
            self.barrier.wait();
            std::panic::resume_unwind(Box::new("as told"));
        }
        self.capture.make_writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn child_sink_panics() {
    if !role("child_sink_panics") {
        return;
    }
    let (capture, barrier) = (Capture::default(), Arc::new(Barrier::new(4)));
    let falls = Falls { capture: capture.clone(), fallen: Arc::default(), barrier: Arc::clone(&barrier) };
    set_global(TaskLayer::new(move || falls.clone()).with_lifecycle(true));
    let span = task_span!("t", 1);
    std::thread::scope(|scope| {
        scope.spawn(|| span.in_scope(|| info!("x")));
        for _ in 0..3 {
            scope.spawn(|| {
                barrier.wait();
                span.in_scope(|| info!("x"));
            });
        }
    });
    drop(span);
    let expected = ["x", "x", "x", "x", "-- SUCCESS"].map(|body| format!("[1] [t] {body}"));
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_sink_that_panics_loses_one_line_and_releases_who_waits() {
    let output = assert_child("child_sink_panics");
    assert!(output.stderr.contains("the writer panicked"), "{output}");
}

/// A writer that logs when it goes.
#[derive(Default)]
struct LastWords(Capture);

impl Drop for LastWords {
    fn drop(&mut self) {
        info!("the writer goes");
    }
}

impl<'a> MakeWriter<'a> for LastWords {
    type Writer = Pen;

    fn make_writer(&'a self) -> Pen {
        self.0.make_writer()
    }
}

#[test]
fn child_sink_logs_when_it_goes() {
    if !role("child_sink_logs_when_it_goes") {
        return;
    }
    let capture = Capture::default();
    let (reloaded, handle) = reload::Layer::new(TaskLayer::new(LastWords::default()).boxed());
    set_global(reloaded);
    task_span!("t", 1).run_task(|| {
        info!("old");
        handle.reload(layer(&capture).boxed()).expect("the subscriber lives");
        info!("new"); // takes the task over: the last that held the old writer goes
    });
    let mut lines = capture.lines();
    lines.sort();
    assert_eq!(lines, ["-- SUCCESS", "new", "the writer goes"].map(|body| format!("[1] [t] {body}")));
}

#[test]
fn a_sink_that_logs_when_it_is_released() {
    assert_child("child_sink_logs_when_it_goes");
}

/// A writer that logs into another task while it writes a task's RUNNING, at the same moment as its twin.
struct Crossed {
    capture: Capture,
    spans: Arc<Mutex<Vec<Span>>>,
    barrier: Barrier,
}

impl<'a> MakeWriter<'a> for Crossed {
    type Writer = Pen;

    fn make_writer(&'a self) -> Pen {
        once_at_a_time(|| {
            self.barrier.wait();
            let spans = self.spans.lock().expect("nobody panics with it").clone();
            spans.iter().for_each(|span| info!(parent: span, "crossed"));
        });
        self.capture.make_writer()
    }
}

#[test]
fn child_tasks_cross() {
    if !role("child_tasks_cross") {
        return;
    }
    let (capture, spans) = (Capture::default(), Arc::new(Mutex::new(Vec::new())));
    let writer = Crossed { capture: capture.clone(), spans: Arc::clone(&spans), barrier: Barrier::new(2) };
    set_global(TaskLayer::new(writer).with_lifecycle(true));
    let tasks = [task_span!("t", 1), task_span!("t", 2)];
    spans.lock().expect("nobody panics with it").extend(tasks.iter().cloned());
    std::thread::scope(|scope| {
        tasks.iter().for_each(|span| drop(scope.spawn(|| span.in_scope(|| BUSY.set(true)))));
    });
    let lines = capture.lines();
    let count = |end: &str| lines.iter().filter(|line| line.ends_with(end)).count();
    assert_eq!((count("-- RUNNING"), count("crossed")), (2, 4), "{lines:?}");
}

#[test]
fn two_sinks_that_log_into_each_others_beginning_tasks_do_not_deadlock() {
    // Well before the patience of a thread that waits for another one's RUNNING is at its end.
    let watch = Stopwatch::start();
    Child::of_test("child_tasks_cross").spawn().wait().assert_success();
    assert!(watch.elapsed() < Duration::from_secs(4), "{:?}", watch.elapsed());
}

//! Nothing is kept: when a task is done, neither threads nor tables hold on to it or to its writer.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use support::capture::{Capture, here, layer};
use support::futures::{pause, poll_and_drop};
use support::{ignore, wait_until};
use tracing::dispatcher::with_default;
use tracing::{Dispatch, info, info_span};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};
use tracing_tasklog::{TaskFutureExt, TaskLayer, TaskSpanExt, task_span};

const LIMIT: Duration = Duration::from_secs(20);

/// Waits until only the test itself has the writer. Not at once, perhaps: while another test makes a new callsite known
/// to all subscribers, tracing holds on to ours for a moment.
fn assert_released(writer: &Capture) {
    wait_until("the writer is released", LIMIT, || writer.handles() == 1);
}

fn work() {
    let span = task_span!("t", 1, own = "field");
    span.in_scope(|| info!("x"));
    span.record_retry(1);
    poll_and_drop(pause().in_task(span.clone()));
    ignore(span.try_run_task(|| Err::<(), _>("no route")));
    info!("outside");
}

#[test]
fn the_writer_is_released_with_the_subscriber_and_its_spans() {
    let capture = Capture::default();
    let layer = layer(&capture).with_span_fields(true).with_outcome(true);
    let dispatch = Dispatch::new(Registry::default().with(layer));
    let (done, go_on) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        let (for_thread, done, go_on) = (dispatch.clone(), &done, &go_on);
        scope.spawn(move || {
            with_default(&for_thread, work);
            drop(for_thread);
            done.wait();
            go_on.wait(); // the thread that logged lives on while the writer is counted
        });
        with_default(&dispatch, work);
        done.wait();
        assert!(capture.handles() > 1);
        drop(dispatch);
        assert_released(&capture);
        go_on.wait();
    });
}

#[test]
fn an_open_span_keeps_the_writer_and_no_longer() {
    let capture = Capture::default();
    let span = with_default(&Dispatch::new(Registry::default().with(layer(&capture))), || {
        let span = task_span!("t", 1);
        span.in_scope(|| info!("x"));
        span
    });
    assert!(capture.handles() > 1);
    drop(span);
    assert_released(&capture);
    assert_eq!(capture.lines().last().map(String::as_str), Some("[1] [t] -- SUCCESS"));
}

#[test]
fn a_guard_keeps_neither_the_layer_nor_its_tasks() {
    let capture = Capture::default();
    let layer = layer(&capture);
    let guard = layer.interrupt_on_drop();
    with_default(&Dispatch::new(Registry::default().with(layer)), work);
    assert_released(&capture);
    drop(guard);
}

#[test]
fn a_layer_reloaded_away_lets_go_of_its_writer_once_its_tasks_are_done() {
    let (old, new) = (Capture::default(), Capture::default());
    let (reloaded, handle) = reload::Layer::new(layer(&old).boxed());
    with_default(&Dispatch::new(Registry::default().with(reloaded)), || {
        let span = task_span!("t", 1);
        span.in_scope(|| info!("x"));
        handle.reload(layer(&new).boxed()).expect("the subscriber lives");
        drop(span);
        assert_released(&old);
        assert!(new.handles() > 1);
    });
    assert_released(&new);
}

/// A timer that is counted while it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FormatTime for Counted {
    fn format_time(&self, w: &mut Writer<'_>) -> std::fmt::Result {
        w.write_str("2026-01-01T12:00:00")
    }
}

#[test]
fn a_timer_is_released_too() {
    let alive = Arc::new(AtomicUsize::new(0));
    let capture = Capture::default();
    let layer = TaskLayer::new(capture.clone()).with_timer(Counted::new(&alive)).with_lifecycle(true);
    with_default(&Dispatch::new(Registry::default().with(layer)), work);
    wait_until("the timer is released", LIMIT, || alive.load(Ordering::SeqCst) == 0);
    assert_released(&capture);
}

#[test]
fn after_many_tasks_on_many_threads_none_is_open() {
    let capture = Capture::default();
    let layer = layer(&capture);
    let guard = layer.interrupt_on_drop();
    with_default(&Dispatch::new(Registry::default().with(layer)), || {
        let dispatch = here();
        let (spans, inbox) = mpsc::channel();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (dispatch, spans) = (&dispatch, spans.clone());
                let begin = move |n: u32| {
                    let span = info_span!("t", task.id = thread * 1_000 + n);
                    span.in_scope(|| info!("x"));
                    spans.send(span).expect("somebody listens");
                };
                scope.spawn(move || with_default(dispatch, || (0..250).for_each(begin)));
            }
            drop(spans);
            inbox.iter().for_each(drop); // every task ends on another thread than it began
        });
    });
    let written = capture.lines().len();
    assert_eq!(written, 1_000 * 3);
    drop(guard);
    assert_eq!(capture.lines().len(), written, "the guard found an open task");
}

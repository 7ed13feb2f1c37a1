//! `InterruptGuard`: the orderly end of a program with open tasks.

mod support;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::capture::{Capture, layer, on_another_thread, under};
use support::futures::{pause, poll_once};
use support::ignore;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Span, info, info_span};
use tracing_subscriber::fmt::MakeWriter;
use tracing_tasklog::{InterruptGuard, TaskFutureExt, TaskLayer, TaskSpanExt};

fn task(id: u32) -> Span {
    info_span!("t", task.id = id, task.status = Empty)
}

/// What is written while `f` runs under a layer that `options` has changed after its guard was made.
fn lines_of(
    options: impl FnOnce(TaskLayer<Capture>) -> TaskLayer<Capture>,
    f: impl FnOnce(InterruptGuard),
) -> Vec<String> {
    let capture = Capture::default();
    let layer = layer(&capture);
    let guard = layer.interrupt_on_drop();
    under(options(layer), || f(guard));
    capture.lines()
}

#[test]
fn open_tasks_are_interrupted_in_the_order_of_their_begin() {
    let lines = lines_of(
        |layer| layer,
        |guard| {
            let (third, first, second) = (task(3), task(1), task(2));
            let _entered = (first.enter(), second.enter(), third.enter());
            let (unentered, done) = (task(4), task(5));
            done.run_task(|| ());
            drop(guard);
            info!("after");
            drop(unentered);
        },
    );
    let expected = [
        "[1] [t] -- RUNNING",
        "[2] [t] -- RUNNING",
        "[3] [t] -- RUNNING",
        "[5] [t] -- RUNNING",
        "[5] [t] -- SUCCESS",
        "[1] [t] -- INTERRUPTED",
        "[2] [t] -- INTERRUPTED",
        "[3] [t] -- INTERRUPTED",
        "[3] [t] after",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn the_guard_writes_interrupted_whatever_was_said() {
    let lines = lines_of(
        |layer| layer.with_outcome(true),
        |guard| {
            let (success, failed, panicked) = (task(1), task(2), task(3));
            success.record("task.status", "success").in_scope(|| ());
            ignore(failed.clone().try_run_task(|| Err::<(), _>("no route")));
            let fall = || panicked.in_scope(|| std::panic::resume_unwind(Box::new("as told")));
            ignore(std::panic::catch_unwind(std::panic::AssertUnwindSafe(fall)));
            drop(guard);
        },
    );
    let closing: Vec<_> = lines.iter().filter_map(|line| line.split_once(" elapsed=")).collect();
    assert_eq!(closing.iter().map(|(line, _)| line.len()).sum::<usize>(), 3 * "[1] [t] -- INTERRUPTED".len());
    assert!(closing.iter().all(|(line, rest)| line.ends_with("-- INTERRUPTED") && !rest.contains("error")));
    assert_eq!(lines.len(), 6, "{lines:?}");
}

#[test]
fn after_the_guard_the_tag_stays_and_there_is_no_second_closing_line() {
    let lines = lines_of(
        |layer| layer,
        |guard| {
            let span = task(1);
            let mut future = Box::pin(pause().in_task(span.clone()));
            assert!(poll_once(&mut future).is_pending());
            drop(guard);
            span.in_scope(|| info!("later"));
            span.record_retry(1);
            on_another_thread(|| span.in_scope(|| info!("elsewhere")));
            span.record("task.status", "failed");
            drop(future);
            ignore(span.try_run_task(|| Err::<(), _>("no route")));
        },
    );
    let expected = [
        "[1] [t] -- RUNNING",
        "[1] [t] -- INTERRUPTED",
        "[1] [t] later",
        "[1] [t] --- Retry 1 ---",
        "[1] [t] elsewhere",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn tasks_begun_after_the_guard_run_normally() {
    let lines = lines_of(
        |layer| layer,
        |guard| {
            let made_before = task(1);
            drop(guard);
            made_before.run_task(|| info!("x"));
            ignore(task(2).try_run_task(|| Err::<(), _>("no route")));
        },
    );
    let expected =
        ["[1] [t] -- RUNNING", "[1] [t] x", "[1] [t] -- SUCCESS", "[2] [t] -- RUNNING", "[2] [t] -- FAILED"];
    assert_eq!(lines, expected);
}

#[test]
fn setters_called_after_the_guard_was_made_count() {
    let run = |guard| {
        let _entered = task(1).entered();
        drop(guard);
    };
    let shown = |options: fn(TaskLayer<Capture>) -> TaskLayer<Capture>| lines_of(options, run).len();
    assert_eq!(shown(|layer| layer.with_min_level(LevelFilter::WARN)), 1, "INTERRUPTED alone");
    assert_eq!(shown(|layer| layer.with_min_level(LevelFilter::ERROR)), 0);
    assert_eq!(shown(|layer| layer.with_lifecycle(false)), 0);
    let capture = Capture::default();
    let layer = layer(&capture);
    let guard = layer.with_lifecycle(false).interrupt_on_drop();
    drop(guard);
    let layer = TaskLayer::new(capture.clone());
    let guard = layer.interrupt_on_drop();
    under(layer.with_timer(()).with_lifecycle(true), || run(guard));
    let texts: Vec<_> = capture.writes().into_iter().map(|write| write.text).collect();
    assert_eq!(texts, ["[1] [t] -- RUNNING\n", "[1] [t] -- INTERRUPTED\n"]);
}

#[test]
fn a_guard_dropped_after_its_layer_writes_nothing() {
    let capture = Capture::default();
    let layer = layer(&capture);
    let guards = (layer.interrupt_on_drop(), layer.interrupt_on_drop());
    under(layer, || task(1).run_task(|| ()));
    drop(guards);
    assert_eq!(capture.lines(), ["[1] [t] -- RUNNING", "[1] [t] -- SUCCESS"]);
}

#[test]
fn a_guard_goes_from_thread_to_thread() {
    let lines = lines_of(
        |layer| layer,
        |guard| {
            let span = task(1).entered();
            on_another_thread(move || drop(guard));
            drop(span);
        },
    );
    assert_eq!(lines, ["[1] [t] -- RUNNING", "[1] [t] -- INTERRUPTED"]);
}

/// A writer that says when it is asked for its first line, and then waits to be let through.
#[derive(Clone)]
struct Held {
    capture: Capture,
    door: Arc<Mutex<Option<Door>>>,
}

/// Where the writer says that it has come, and hears that it may go on.
type Door = (SyncSender<()>, Receiver<()>);

impl io::Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let door = self.door.lock().expect("nobody panics with it").take();
        if let Some((arrived, go)) = door {
            arrived.send(()).expect("the test listens");
            go.recv_timeout(Duration::from_secs(20)).expect("the test lets it through");
        }
        self.capture.make_writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn running_still_comes_first_when_the_guard_is_dropped_while_it_is_written() {
    let (arrived, has_arrived) = sync_channel(1);
    let (let_go, go) = channel();
    let held = Held { capture: Capture::default(), door: Arc::new(Mutex::new(Some((arrived, go)))) };
    let writer = held.clone();
    let layer = TaskLayer::new(move || writer.clone()).with_lifecycle(true);
    let guard = layer.interrupt_on_drop();
    under(layer, || {
        let dispatch = support::capture::here();
        std::thread::scope(|scope| {
            scope.spawn(|| tracing::dispatcher::with_default(&dispatch, || task(1).run_task(|| info!("x"))));
            has_arrived.recv().expect("RUNNING is on its way");
            let dropped = scope.spawn(move || drop(guard));
            assert!(!support::holds_within(Duration::from_millis(50), || dropped.is_finished()));
            let_go.send(()).expect("the writer waits");
        });
    });
    let mut lines = held.capture.lines();
    assert_eq!(lines.remove(0), "[1] [t] -- RUNNING");
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0] == "[1] [t] -- INTERRUPTED" || lines[0] == "[1] [t] -- SUCCESS", "{lines:?}");
    assert_eq!(lines[1], "[1] [t] x");
}

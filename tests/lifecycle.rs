//! When a task begins, and how it ends by what is said of it.

mod support;

use std::{
    io::{self, Write},
    sync::{
        Arc, Barrier, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use support::capture::{Capture, bodies_of, here, layer, lines_of, lines_with, plain_lines_of, task, under};
use support::futures::{finish, pause};
use support::ignore;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, dispatcher, error, info, info_span, instrument};
use tracing_subscriber::fmt::MakeWriter;
use tracing_tasklog::{TaskFutureExt, TaskLayer, TaskSpanExt};

/// The closing line of task `a` alone; everything else in the log must be a log line or RUNNING.
fn closing_of(f: impl FnOnce()) -> String {
    let mut lines = bodies_of(f);
    assert_eq!(lines[0], "-- RUNNING");
    let closing = lines.pop().expect("there is a last line");
    assert_eq!(lines.iter().filter(|line| line.starts_with("-- ")).count(), 1, "{lines:?}");
    closing
}

#[test]
fn running_comes_with_the_first_enter() {
    let lines = bodies_of(|| {
        let span = task();
        info!("made");
        span.in_scope(|| ());
        info!("left");
        span.in_scope(|| info!("x"));
        drop(span);
        info!("gone");
    });
    let expected = [
        "[-] [lifecycle] made",
        "-- RUNNING",
        "[-] [lifecycle] left",
        "x",
        "-- SUCCESS",
        "[-] [lifecycle] gone",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn running_comes_with_the_first_line_if_that_is_first() {
    let lines = bodies_of(|| {
        let span = task();
        info!(parent: &span, "x");
        span.in_scope(|| info!("y"));
    });
    assert_eq!(lines, ["-- RUNNING", "x", "y", "-- SUCCESS"]);
    let by_child = bodies_of(|| info_span!(parent: &task(), "child").in_scope(|| info!("x")));
    assert_eq!(by_child, ["-- RUNNING", "x", "-- SUCCESS"]);
    let by_retry = bodies_of(|| task().record_retry(1));
    assert_eq!(by_retry, ["-- RUNNING", "--- Retry 1 ---", "-- SUCCESS"]);
}

#[test]
fn retries_before_the_first_enter_are_all_written_after_running() {
    let lines = bodies_of(|| {
        let span = info_span!("t", task.id = "a", task.retry = 1);
        span.record("task.retry", 2);
        span.record_retry(3);
        span.in_scope(|| info!("x"));
    });
    let retries = [1, 2, 3].map(|n| format!("--- Retry {n} ---"));
    assert_eq!(
        lines,
        [&["-- RUNNING".to_owned()][..], &retries, &["x", "-- SUCCESS"].map(str::to_owned)].concat()
    );
}

#[test]
fn a_span_never_entered_and_never_named_leaves_nothing() {
    let lines = lines_of(|| {
        drop(task());
        drop(info_span!("t", task.id = "b", task.status = "failed", task.retry = 1));
        task().record("task.status", "failed");
        info_span!(parent: &task(), "child").in_scope(|| ());
        debug!(parent: &task(), "below the level");
    });
    assert_eq!(lines, [""; 0]);
}

#[test]
fn the_closing_line_comes_when_the_last_handle_is_gone() {
    let lines = bodies_of(|| {
        let span = task();
        let clone = span.clone();
        let child = span.in_scope(|| info_span!("child"));
        drop(span);
        info!("span dropped");
        drop(clone);
        info!("clone dropped");
        child.in_scope(|| info!("in the child"));
        drop(child);
        info!("child dropped");
    });
    let expected = [
        "-- RUNNING",
        "[-] [lifecycle] span dropped",
        "[-] [lifecycle] clone dropped",
        "in the child",
        "-- SUCCESS",
        "[-] [lifecycle] child dropped",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn nested_tasks_have_lives_of_their_own() {
    let lines = lines_of(|| {
        info_span!("outer", task.id = 1).in_scope(|| {
            info_span!("inner", task.id = 2, task.status = "failed").in_scope(|| info!("x"));
            info!("y");
        });
    });
    let expected = [
        "[1] [outer] -- RUNNING",
        "[2] [inner] -- RUNNING",
        "[2] [inner] x",
        "[2] [inner] -- FAILED",
        "[1] [outer] y",
        "[1] [outer] -- SUCCESS",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn without_lifecycle_only_lines_and_separators() {
    let lines = plain_lines_of(|| {
        let span = task();
        span.in_scope(|| info!("x"));
        span.record_retry(1);
        span.record("task.status", "failed");
    });
    assert_eq!(lines, ["[a] [t] x", "[a] [t] --- Retry 1 ---"]);
}

#[test]
fn an_error_event_alone_fails_no_task() {
    let closing = closing_of(|| {
        task().in_scope(|| {
            error!("it looks bad");
            error!(error = "it looks like err", "but has a message");
            error!(error = "it looks like err, but from elsewhere");
        });
    });
    assert_eq!(closing, "-- SUCCESS");
}

/// `err` of every kind on the task's own span.
mod own {
    use super::*;

    #[instrument(name = "t", fields(task.id = "a"), err)]
    pub(super) fn display(result: Result<(), &'static str>) -> Result<(), &'static str> {
        result
    }

    #[instrument(name = "t", fields(task.id = "a"), err(Debug))]
    pub(super) fn debug(result: Result<(), &'static str>) -> Result<(), &'static str> {
        result
    }

    #[instrument(name = "t", fields(task.id = "a"), err(level = "info"))]
    pub(super) fn info(result: Result<(), &'static str>) -> Result<(), &'static str> {
        result
    }

    #[instrument(name = "t", fields(task.id = "a"), err(level = "trace"))]
    pub(super) fn hidden(result: Result<(), &'static str>) -> Result<(), &'static str> {
        result
    }

    #[instrument(name = "t", fields(task.id = "a"), err(level = "warn", Debug), ret, target = "elsewhere")]
    pub(super) async fn asynchronous(result: Result<(), &'static str>) -> Result<(), &'static str> {
        pause().await;
        result
    }
}

#[test]
fn err_on_the_tasks_own_span_fails_it() {
    let call = |f: fn(Result<(), &'static str>) -> Result<(), &'static str>, result| ignore(f(result));
    let all = [own::display, own::debug, own::info, own::hidden, |result| finish(own::asynchronous(result))];
    for f in all {
        assert_eq!(closing_of(|| call(f, Err("no route"))), "-- FAILED");
        assert_eq!(closing_of(|| call(f, Ok(()))), "-- SUCCESS");
        for level in [LevelFilter::OFF, LevelFilter::ERROR] {
            let failed = lines_with(|layer| layer.with_min_level(level), || call(f, Err("no route")));
            let expected = if level == LevelFilter::OFF { None } else { Some("[a] [t] -- FAILED") };
            assert_eq!(failed.last().map(String::as_str), expected, "{level}");
        }
    }
    let lines = bodies_of(|| call(own::display, Err("no route")));
    assert_eq!(lines, ["-- RUNNING", "error=no route", "-- FAILED"]);
}

#[test]
fn a_failure_inside_an_inner_function_does_not_fail_the_task() {
    #[instrument(err)]
    fn inner() -> Result<(), &'static str> {
        Err("inner")
    }
    #[instrument(name = "t", fields(task.id = "a"), err)]
    fn outer() -> Result<(), &'static str> {
        inner().or(Ok(()))
    }
    assert_eq!(closing_of(|| outer().expect("the failure is dealt with")), "-- SUCCESS");
    let closing = closing_of(|| task().run_task(|| ignore(inner())));
    assert_eq!(closing, "-- SUCCESS");
}

#[test]
fn try_helpers_fail_the_task_on_err_and_say_nothing_on_ok() {
    let bad = || Err::<(), _>("no route");
    assert_eq!(closing_of(|| ignore(task().try_run_task(bad))), "-- FAILED");
    assert_eq!(closing_of(|| ignore(finish(async move { bad() }.try_in_task(task())))), "-- FAILED");
    assert_eq!(closing_of(|| ignore(task().run_task(bad))), "-- SUCCESS");
    assert_eq!(closing_of(|| ignore(finish(async move { bad() }.in_task(task())))), "-- SUCCESS");
    let said = || {
        Span::current().record("task.status", "interrupted");
        Ok::<_, String>(())
    };
    assert_eq!(closing_of(|| ignore(task().try_run_task(said))), "-- INTERRUPTED");
    assert_eq!(closing_of(|| ignore(finish(async move { said() }.try_in_task(task())))), "-- INTERRUPTED");
}

#[test]
fn the_last_that_was_said_counts() {
    let say = |statuses: &[&str], result: Result<(), &str>| {
        let run = || {
            statuses.iter().for_each(|&status| ignore(Span::current().record("task.status", status)));
            result
        };
        closing_of(|| ignore(task().try_run_task(run)))
    };
    assert_eq!(say(&["failed", "success"], Ok(())), "-- SUCCESS");
    assert_eq!(say(&["success", "failed", "interrupted"], Ok(())), "-- INTERRUPTED");
    assert_eq!(say(&["interrupted", "failed"], Ok(())), "-- FAILED");
    assert_eq!(say(&["failed", "success"], Err("at last")), "-- FAILED");
    let after_err = closing_of(|| {
        let span = task();
        assert!(span.clone().try_run_task(|| Err::<(), _>("no route")).is_err());
        span.record("task.status", "success");
    });
    assert_eq!(after_err, "-- SUCCESS");
}

#[test]
fn a_retry_forgets_the_failure_of_the_attempt_before() {
    let attempts = |last: &'static str| {
        move || {
            let span = task();
            for attempt in 0..3 {
                if attempt > 0 {
                    span.record_retry(attempt);
                }
                let error = if attempt < 2 { "no route" } else { last };
                ignore(span.clone().try_run_task(|| if error.is_empty() { Ok(()) } else { Err(error) }));
            }
        }
    };
    let expected = ["-- RUNNING", "--- Retry 1 ---", "--- Retry 2 ---", "-- SUCCESS"];
    assert_eq!(bodies_of(attempts("")), expected);
    assert_eq!(bodies_of(attempts("still no route")).last().map(String::as_str), Some("-- FAILED"));
    let by_field = || {
        let span = info_span!("t", task.id = "a", task.status = "failed", task.retry = tracing::field::Empty);
        span.in_scope(|| ());
        span.record("task.retry", 1);
    };
    assert_eq!(closing_of(by_field), "-- SUCCESS");
}

#[test]
fn four_threads_at_once_see_running_first_and_once() {
    for round in 0..200 {
        let (capture, barrier) = (Capture::default(), Barrier::new(4));
        under(layer(&capture), || {
            let (dispatch, span) = (here(), task());
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    let (dispatch, span, barrier) = (&dispatch, &span, &barrier);
                    let run = move || {
                        barrier.wait();
                        if thread == 0 { info!(parent: span, "x") } else { span.in_scope(|| info!("x")) }
                    };
                    scope.spawn(move || dispatcher::with_default(dispatch, run));
                }
            });
        });
        let lines = capture.lines();
        let expected = ["-- RUNNING", "x", "x", "x", "x", "-- SUCCESS"].map(|body| format!("[a] [t] {body}"));
        assert_eq!(lines, expected, "round {round}");
    }
}

/// A writer that has a line written by another thread while it is writing RUNNING, if that doesn't wait.
#[derive(Clone)]
struct Hesitating {
    capture: Capture,
    begun: Sender<()>,
    done: Arc<Mutex<Receiver<()>>>,
}

impl Write for Hesitating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.ends_with(b"-- RUNNING\n") {
            self.begun.send(()).expect("it is waited for");
            // It is not done before this has returned: then there is nothing to wait for but time.
            let _ = self.done.lock().expect("nobody panics with it").recv_timeout(Duration::from_millis(200));
        }
        self.capture.make_writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_enters_the_span_while_running_is_being_written_waits_for_it() {
    let ((begun, has_begun), (done, is_done)) = (channel(), channel());
    let capture = Capture::default();
    let writer = Hesitating { capture: capture.clone(), begun, done: Arc::new(Mutex::new(is_done)) };
    under(TaskLayer::new(move || writer.clone()).with_lifecycle(true), || {
        let (dispatch, span) = (here(), task());
        std::thread::scope(|scope| {
            let (dispatch, span) = (&dispatch, &span);
            let other = move || {
                has_begun.recv().expect("RUNNING is written");
                span.in_scope(|| info!("x"));
                let _ = done.send(()); // nobody waits any more
            };
            scope.spawn(move || dispatcher::with_default(dispatch, other));
            span.in_scope(|| ());
        });
    });
    assert_eq!(capture.lines(), ["[a] [t] -- RUNNING", "[a] [t] x", "[a] [t] -- SUCCESS"]);
}

//! How a task ends when it panics, when its future is dropped, and which of several endings wins.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use support::capture::{bodies_of, here, task};
use support::futures::{finish, pause, poll_and_drop, poll_once};
use support::ignore;
use tracing::instrument::WithSubscriber;
use tracing::{Instrument, Span, info, info_span};
use tracing_tasklog::{TaskFutureExt, TaskSpanExt};

/// The last line of task `a`, whose first must be RUNNING.
fn closing_of(f: impl FnOnce()) -> String {
    let mut lines = bodies_of(f);
    assert_eq!(lines[0], "-- RUNNING");
    lines.pop().expect("there is a last line")
}

/// Runs `f`, which must panic.
fn caught(f: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(f)).is_err(), "it should panic");
}

/// Panics past the hook, which would print it.
fn fall() {
    std::panic::resume_unwind(Box::new("as told"));
}

/// Runs a closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn on_drop(what: &'static str) -> OnDrop<impl FnMut()> {
    OnDrop(move || info!("{what}"))
}

#[test]
fn a_panic_that_leaves_the_span_fails_the_task() {
    assert_eq!(closing_of(|| caught(|| task().run_task(fall))), "-- FAILED");
    assert_eq!(closing_of(|| caught(|| task().in_scope(fall))), "-- FAILED");
    let entered = || {
        let _entered = task().entered();
        fall();
    };
    assert_eq!(closing_of(|| caught(entered)), "-- FAILED");
    let in_child = || task().run_task(|| info_span!("child").in_scope(fall));
    assert_eq!(closing_of(|| caught(in_child)), "-- FAILED");
    let in_instrumented = || finish(async { fall() }.instrument(task()));
    assert_eq!(closing_of(|| caught(in_instrumented)), "-- FAILED");
}

#[test]
fn a_panic_in_a_future_fails_its_task_and_runs_its_destructors_inside() {
    let work = || async {
        let _dropped = on_drop("dropped");
        pause().await;
        fall();
    };
    let lines = bodies_of(|| caught(|| finish(work().in_task(task()))));
    assert_eq!(lines, ["-- RUNNING", "dropped", "-- FAILED"]);
    let held = bodies_of(|| {
        let mut future = Box::pin(async { pause().await }.in_task(task()));
        assert!(poll_once(&mut future).is_pending());
        let mut panicking = Box::pin(work().in_task(task()));
        assert!(poll_once(&mut panicking).is_pending());
        caught(|| ignore(poll_once(&mut panicking)));
        info!("caught");
        drop(panicking);
    });
    let expected =
        ["-- RUNNING", "-- RUNNING", "dropped", "[-] [endings] caught", "-- FAILED", "-- INTERRUPTED"];
    assert_eq!(held, expected);
}

#[test]
fn a_panic_inside_an_inner_span_that_is_caught_there_fails_nothing() {
    let lines = bodies_of(|| {
        task().run_task(|| {
            caught(|| info_span!("child").in_scope(fall));
            caught(|| info_span!("inner", task.id = "b").run_task(fall));
            caught(fall);
        });
    });
    let expected = ["-- RUNNING", "[b] [inner] -- RUNNING", "[b] [inner] -- FAILED", "-- SUCCESS"];
    assert_eq!(lines, expected);
}

#[test]
fn a_task_run_by_a_destructor_during_a_panic_has_not_failed() {
    let cleanup =
        |id: &'static str| OnDrop(move || info_span!("cleanup", task.id = id).run_task(|| info!("tidy up")));
    let lines = bodies_of(|| {
        caught(|| {
            task().run_task(|| {
                let _inside = cleanup("b");
                fall();
            });
        });
        caught(|| {
            let _outside = cleanup("c");
            fall();
        });
    });
    let tidy =
        |id: &str| ["RUNNING", "SUCCESS"].map(|status| format!("[{id}] [cleanup] -- {status}")).join(" … ");
    let shown: Vec<_> = lines.iter().filter(|line| !line.ends_with("tidy up")).collect();
    assert_eq!(format!("{} … {}", shown[1], shown[2]), tidy("b"));
    assert_eq!(format!("{} … {}", shown[4], shown[5]), tidy("c"));
    assert_eq!((shown[0].as_str(), shown[3].as_str(), shown.len()), ("-- RUNNING", "-- FAILED", 6));
}

#[test]
fn a_span_entered_again_by_a_destructor_still_counts_the_outer_exit() {
    let closing = closing_of(|| {
        let span = task();
        let again = span.clone();
        caught(|| {
            span.run_task(|| {
                let _enters = OnDrop(move || again.in_scope(|| info!("again")));
                fall();
            });
        });
    });
    assert_eq!(closing, "-- FAILED");
    let only_again = closing_of(|| {
        let span = task();
        let again = span.clone();
        caught(|| {
            let _enters = OnDrop(move || again.in_scope(|| info!("again")));
            fall();
        });
    });
    assert_eq!(only_again, "-- SUCCESS");
}

#[test]
fn a_spawned_task_that_panics_is_failed() {
    let lines = bodies_of(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
        let work = async {
            tokio::task::yield_now().await;
            fall();
        };
        let result = runtime
            .expect("a runtime")
            .block_on(async { tokio::spawn(work.in_task(task()).with_subscriber(here())).await });
        assert!(result.expect_err("it panics").is_panic());
    });
    assert_eq!(lines, ["-- RUNNING", "-- FAILED"]);
}

#[test]
fn an_aborted_task_is_interrupted() {
    let lines = bodies_of(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (said, heard) = tokio::sync::oneshot::channel();
            let work = async move {
                let _dropped = on_drop("dropped");
                let _ = said.send(());
                std::future::pending::<()>().await;
            };
            let running = tokio::spawn(work.in_task(task()));
            heard.await.expect("it runs");
            running.abort();
            assert!(running.await.expect_err("it was aborted").is_cancelled());
        });
    });
    assert_eq!(lines, ["-- RUNNING", "dropped", "-- INTERRUPTED"]);
}

#[test]
fn a_dropped_future_interrupts_its_task_if_it_was_polled() {
    let work = || async {
        let _dropped = on_drop("dropped");
        pause().await;
        Ok::<_, String>(())
    };
    let lines = ["-- RUNNING", "dropped", "-- INTERRUPTED"];
    assert_eq!(bodies_of(|| poll_and_drop(work().in_task(task()))), lines);
    assert_eq!(bodies_of(|| poll_and_drop(work().try_in_task(task()))), lines);
    assert_eq!(bodies_of(|| drop(work().in_task(task()))), [""; 0]);
    assert_eq!(bodies_of(|| drop(work().try_in_task(task()))), [""; 0]);
}

#[test]
fn a_finished_future_is_dropped_inside_and_its_task_ends_at_once() {
    let lines = bodies_of(|| {
        let work = async {
            let _dropped = on_drop("dropped");
            pause().await;
            info!("done");
        };
        let mut future = Box::pin(work.in_task(task()));
        while poll_once(&mut future).is_pending() {}
        info!("ready");
        drop(future);
    });
    assert_eq!(lines, ["-- RUNNING", "done", "dropped", "-- SUCCESS", "[-] [endings] ready"]);
}

#[test]
fn an_unpolled_future_is_dropped_without_entering_its_span() {
    let lines = bodies_of(|| {
        let dropped = on_drop("dropped");
        let work = async move {
            pause().await;
            drop(dropped);
        };
        drop(work.in_task(task()));
    });
    assert_eq!(lines, ["[-] [endings] dropped"]);
}

/// The documented limitation: tracing enters the span to drop the future.
#[test]
fn a_dropped_future_under_plain_instrument_reads_success() {
    let success = ["-- RUNNING", "-- SUCCESS"];
    assert_eq!(bodies_of(|| poll_and_drop(pause().instrument(task()))), success);
    assert_eq!(bodies_of(|| drop(pause().instrument(task()))), success);
}

#[test]
fn a_panic_wins_over_whatever_was_said() {
    for status in ["success", "interrupted"] {
        let closing = closing_of(|| {
            let span = task();
            span.record("task.status", status);
            caught(|| span.clone().run_task(fall));
            span.record("task.status", status);
        });
        assert_eq!(closing, "-- FAILED", "{status}");
    }
    let dropped_too = closing_of(|| {
        let span = task();
        let mut future = Box::pin(pause().in_task(span.clone()));
        assert!(poll_once(&mut future).is_pending());
        caught(|| span.in_scope(fall));
        drop(future);
    });
    assert_eq!(dropped_too, "-- FAILED");
}

#[test]
fn a_retry_forgets_a_caught_panic() {
    let attempts = |last: fn()| {
        let span = task();
        caught(|| span.in_scope(fall));
        span.record_retry(1);
        caught(|| span.in_scope(fall));
        span.record_retry(2);
        let _ = catch_unwind(AssertUnwindSafe(|| span.in_scope(last)));
    };
    let lines = bodies_of(|| attempts(|| info!("done")));
    assert_eq!(lines, ["-- RUNNING", "--- Retry 1 ---", "--- Retry 2 ---", "done", "-- SUCCESS"]);
    assert_eq!(closing_of(|| attempts(fall)), "-- FAILED");
}

#[test]
fn what_was_said_wins_over_a_dropped_future() {
    for (status, shown) in
        [("success", "-- SUCCESS"), ("failed", "-- FAILED"), ("interrupted", "-- INTERRUPTED")]
    {
        let closing = closing_of(|| {
            let work = async {
                Span::current().record("task.status", status);
                pause().await;
            };
            poll_and_drop(work.in_task(task()));
        });
        assert_eq!(closing, shown);
    }
}

#[test]
fn a_retry_does_not_forget_a_dropped_future() {
    let closing = closing_of(|| {
        let span = task();
        poll_and_drop(pause().in_task(span.clone()));
        span.record_retry(1);
    });
    assert_eq!(closing, "-- INTERRUPTED");
}

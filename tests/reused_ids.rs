//! The registry uses span ids again, and a span that a filter hides may be entered in one task and then in another: no
//! thread may take the one for the other.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use support::capture::{Capture, layer, lines_of, plain_lines_of};
use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, debug_span, info, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_tasklog::{TaskSpanExt, task_span};

/// More spans than tracing-subscriber's registry has generations of an id.
const MANY: u32 = 20_000;

/// A new subscriber has all threads forget what they remember: only one test at a time, or none would test anything.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_one_of_many_silent_tasks_has_its_lifecycle() {
    let _alone = alone();
    let lines = lines_of(|| {
        task_span!("job", 0).run_task(|| info!("warming up"));
        (1..=MANY).for_each(|n| task_span!("job", n).run_task(|| ()));
    });
    let count = |status| lines.iter().filter(|line| line.ends_with(status)).count();
    assert_eq!((count("-- RUNNING"), count("-- SUCCESS")), (MANY as usize + 1, MANY as usize + 1));
}

#[test]
fn a_task_never_gets_the_tag_of_one_that_had_its_span_id_before() {
    let _alone = alone();
    for silent in 8_185..8_195 {
        let lines = plain_lines_of(|| {
            let first = task_span!("first", "FIRST");
            (0..2).for_each(|_| first.in_scope(|| info!("said in FIRST")));
            drop(first);
            (0..silent).for_each(|_| info_span!("silent").in_scope(|| ()));
            task_span!("second", "SECOND").in_scope(|| info!("said in SECOND"));
        });
        assert!(lines.iter().any(|line| line == "[SECOND] [second] said in SECOND"), "{lines:?}");
    }
}

#[test]
fn a_child_is_in_its_task_though_it_has_the_span_id_of_one_that_is_gone() {
    let _alone = alone();
    for silent in 8_185..8_195 {
        let lines = plain_lines_of(|| {
            let (task, gone) = (task_span!("task", "TASK"), task_span!("gone", "GONE"));
            (0..2).for_each(|_| gone.in_scope(|| info!("said in GONE")));
            drop(gone);
            let _entered = task.enter();
            info!("said in TASK");
            (0..silent).for_each(|_| drop(info_span!("silent")));
            info_span!("child").in_scope(|| info!("said in a child"));
        });
        assert!(lines.iter().any(|line| line == "[TASK] [task] said in a child"), "{lines:?}");
    }
}

#[test]
fn a_hidden_span_has_the_tag_of_what_surrounds_it_now() {
    let _alone = alone();
    let capture = Capture::default();
    let tasks = layer(&capture).with_filter(LevelFilter::INFO);
    let other = tracing_subscriber::fmt::layer().with_writer(std::io::sink); // keeps the debug span alive
    with_default(&Dispatch::new(Registry::default().with(tasks).with(other)), || {
        let connection = debug_span!("connection");
        task_span!("a", "A").in_scope(|| connection.in_scope(|| info!("said in A")));
        task_span!("b", "B").in_scope(|| connection.in_scope(|| info!("said in B")));
        connection.in_scope(|| info!("outside"));
        task_span!("c", "C").in_scope(|| connection.in_scope(|| info!("said in C")));
    });
    let said: Vec<_> = capture.lines().into_iter().filter(|line| line.contains(" said in ")).collect();
    assert_eq!(said, ["[A] [a] said in A", "[B] [b] said in B", "[C] [c] said in C"]);
}

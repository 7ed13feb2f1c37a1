//! Who inherits a task's tag: child spans, explicit children, other threads, futures.

mod support;

use std::sync::Barrier;

use support::capture::{here, on_another_thread, plain_lines_of};
use support::futures::{pause, poll_once};
use tracing::{Instrument, debug_span, dispatcher, error_span, info, info_span, trace_span, warn};

#[test]
fn child_spans_inherit_the_innermost_tasks_tag() {
    let lines = plain_lines_of(|| {
        let _outer = info_span!("outer", task.id = 1).entered();
        info!("in the task");
        let child = debug_span!("child", k = 1).entered();
        let grandchild = trace_span!("grandchild").entered();
        info!("in a grandchild");
        let inner = error_span!("inner", task.id = 2).entered();
        info!("in a nested task");
        let inner_child = info_span!("child").entered();
        info!("in its child");
        drop((inner_child, inner));
        info!("in the grandchild again");
        drop((grandchild, child));
        info!("in the task again");
    });
    let expected = [
        "[1] [outer] in the task",
        "[1] [outer] in a grandchild",
        "[2] [inner] in a nested task",
        "[2] [inner] in its child",
        "[1] [outer] in the grandchild again",
        "[1] [outer] in the task again",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn explicit_parents_count_and_not_the_current_span() {
    let lines = plain_lines_of(|| {
        let one = info_span!("t", task.id = 1);
        let _two = info_span!("t", task.id = 2).entered();
        info!("current");
        info!(parent: &one, "event of one");
        info!(parent: one.id(), "event of one's id");
        info!("current again");
        info!(parent: None, "event of none");
        info_span!(parent: &one, "child").in_scope(|| info!("child of one"));
        let child = info_span!(parent: &one, "child");
        info!(parent: &child, "event of one's child");
        info_span!(parent: None, "child").in_scope(|| info!("child of none"));
        info!("current at last");
    });
    let expected = [
        "[2] [t] current",
        "[1] [t] event of one",
        "[1] [t] event of one's id",
        "[2] [t] current again",
        "[-] [inheritance] event of none",
        "[1] [t] child of one",
        "[1] [t] event of one's child",
        "[-] [inheritance] child of none",
        "[2] [t] current at last",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn one_span_entered_on_several_threads_at_once() {
    let (barrier, span_of) = (Barrier::new(4), |id: usize| info_span!("t", task.id = id));
    let lines = plain_lines_of(|| {
        let (dispatch, shared) = (here(), span_of(9));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (dispatch, shared, barrier) = (&dispatch, &shared, &barrier);
                let run = move || {
                    let own = span_of(thread).entered();
                    let shared = shared.enter();
                    barrier.wait(); // all four are inside now
                    warn!(thread, "shared");
                    drop(shared);
                    warn!(thread, "own");
                    drop(own);
                    warn!(thread, "none");
                };
                scope.spawn(move || dispatcher::with_default(dispatch, run));
            }
        });
    });
    for thread in 0..4 {
        let of_thread: Vec<_> =
            lines.iter().filter(|line| line.ends_with(&format!("thread={thread}"))).collect();
        let tags = ["[9] [t] shared", &format!("[{thread}] [t] own"), "[-] [inheritance] none"];
        assert_eq!(of_thread, tags.map(|tag| format!("{tag} thread={thread}")).iter().collect::<Vec<_>>());
    }
}

#[test]
fn instrumented_futures_keep_their_tag_on_whatever_thread_polls_them() {
    let lines = plain_lines_of(|| {
        let work = |n: u32| async move {
            for step in 0..3 {
                info!(step, "work {n}");
                pause().instrument(info_span!("inner")).await;
            }
        };
        let mut one = Box::pin(work(1).instrument(info_span!("t", task.id = 1)));
        let mut two = Box::pin(work(2).instrument(info_span!("t", task.id = 2)));
        for _ in 0..3 {
            on_another_thread(|| assert!(poll_once(&mut one).is_pending()));
            assert!(poll_once(&mut two).is_pending());
        }
        assert!(on_another_thread(|| poll_once(&mut one)).is_ready() && poll_once(&mut two).is_ready());
        info!("outside");
    });
    let step = |n| [1, 2].map(|id| format!("[{id}] [t] work {id} step={n}"));
    let expected: Vec<_> = (0..3).flat_map(step).chain(["[-] [inheritance] outside".to_owned()]).collect();
    assert_eq!(lines, expected);
}

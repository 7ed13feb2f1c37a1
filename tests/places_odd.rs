//! Programs that enter spans where nobody expects it: an event is in the task that the registry says.

mod support;

use std::{
    cell::RefCell,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use support::capture::{Capture, here, layer, under};
use tracing::{
    Dispatch, Span, Subscriber, dispatcher, info, info_span,
    span::{EnteredSpan, Id},
};
use tracing_subscriber::{
    Layer, Registry,
    fmt::MakeWriter,
    layer::{Context, SubscriberExt},
    reload,
};
use tracing_tasklog::TaskLayer;

thread_local! {
    /// What was entered and is not left yet.
    static KEPT: RefCell<Vec<EnteredSpan>> = const { RefCell::new(Vec::new()) };
}

fn keep(span: Span) {
    let entered = span.entered();
    KEPT.with_borrow_mut(|kept| kept.push(entered));
}

fn leave_all() {
    drop(KEPT.take());
}

fn a() -> Span {
    info_span!(parent: None, "t", task.id = "a")
}

fn b() -> Span {
    info_span!(parent: None, "t", task.id = "b")
}

/// Logs, and checks in which task the line is.
fn assert_in(id: &str, capture: &Capture) {
    info!("here");
    let lines = capture.lines();
    assert_eq!(lines.last(), Some(&format!("[{id}] [t] here")), "{lines:?}");
}

fn assert_in_b(capture: &Capture) {
    assert_in("b", capture);
}

/// tracing-subscriber has the spans of a thread by a number of the thread, which the next thread gets.
#[test]
fn a_thread_that_has_inherited_spans_from_one_that_ended_in_them() {
    let capture = Capture::default();
    under(layer(&capture), || {
        let (a, b, dispatch) = (a(), b(), here());
        let forget = || dispatcher::with_default(&dispatch, || std::mem::forget(a.clone().entered()));
        thread::scope(|scope| drop(scope.spawn(forget).join()));
        let go_on = || {
            dispatcher::with_default(&dispatch, || {
                let (_b, _a) = (b.enter(), a.enter());
                // It is in `b` if it has inherited that it is in `a` already.
                assert_in(if Span::current().id() == b.id() { "b" } else { "a" }, &capture);
            });
        };
        thread::scope(|scope| scope.spawn(go_on).join()).expect("what it asserts is above");
    });
}

/// Enters another task whenever a span that is no task is entered.
struct Companion;

impl<S: Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>> Layer<S> for Companion {
    fn on_enter(&self, id: &Id, ctx: Context<'_, S>) {
        if ctx.span(id).is_some_and(|span| span.name() == "x") {
            keep(b());
        }
    }
}

#[test]
fn a_layer_that_enters_a_task_when_another_one_is_entered() {
    let capture = Capture::default();
    let subscriber = Registry::default().with(Companion).with(layer(&capture));
    dispatcher::with_default(&Dispatch::new(subscriber), || {
        let x = info_span!("x", task.id = "x");
        let _x = x.enter();
        assert_in_b(&capture);
        leave_all();
    });
}

/// Panics once when a span is entered.
struct Bomb(AtomicBool);

impl<S: Subscriber> Layer<S> for Bomb {
    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "the bomb of a test");
    }
}

#[test]
fn a_layer_that_panics_when_a_span_is_entered() {
    let capture = Capture::default();
    let subscriber = Registry::default().with(Bomb(AtomicBool::new(true))).with(layer(&capture));
    dispatcher::with_default(&Dispatch::new(subscriber), || {
        let (a, b) = (a(), b());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(a.enter()))).is_err());
        let (_b, _a) = (b.enter(), a.enter());
        assert_in_b(&capture);
    });
}

/// A writer that enters spans at its first line, and stays in them.
#[derive(Clone)]
struct Entering {
    capture: Capture,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Write for Entering {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let spans = std::mem::take(&mut *self.spans.lock().expect("nobody panics with it"));
        spans.into_iter().for_each(keep);
        self.capture.make_writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_enters_spans_while_running_is_written() {
    let capture = Capture::default();
    let writer = Entering { capture: capture.clone(), spans: Arc::default() };
    let spans = Arc::clone(&writer.spans);
    under(TaskLayer::new(move || writer.clone()).with_lifecycle(true), || {
        let (a, b) = (a(), b());
        *spans.lock().expect("nobody panics with it") = vec![b, a.clone()];
        let _a = a.enter();
        assert_in_b(&capture);
        leave_all();
    });
}

#[test]
fn a_layer_that_was_away_while_spans_were_entered() {
    let capture = Capture::default();
    let (layer, handle) = reload::Layer::new(Some(layer(&capture)));
    dispatcher::with_default(&Dispatch::new(Registry::default().with(layer)), || {
        let (a, b) = (a(), b());
        let mut away = None;
        handle.modify(|layer| away = layer.take()).expect("the subscriber is there");
        let (_a, _b) = (a.enter(), b.enter());
        handle.modify(|layer| *layer = away.take()).expect("the subscriber is there");
        let _again = a.enter();
        assert_in_b(&capture);
    });
}

/// A layer that may be taken away and put somewhere.
type Place = reload::Handle<Option<TaskLayer<Capture>>, Registry>;

fn place(layer: Option<TaskLayer<Capture>>) -> (Dispatch, Place) {
    let (layer, place) = reload::Layer::new(layer);
    (Dispatch::new(Registry::default().with(layer)), place)
}

fn take(place: &Place) -> Option<TaskLayer<Capture>> {
    let mut taken = None;
    place.modify(|layer| taken = layer.take()).expect("the subscriber is there");
    taken
}

fn put(place: &Place, layer: Option<TaskLayer<Capture>>) {
    place.modify(|at| *at = layer).expect("the subscriber is there");
}

#[test]
fn a_layer_that_was_away_while_the_thread_moved() {
    let capture = Capture::default();
    let (dispatch, place) = place(Some(layer(&capture)));
    dispatcher::with_default(&dispatch, || {
        let (a, b) = (a(), b());
        let _a = a.enter();
        assert_in("a", &capture);
        let away = take(&place);
        let _b = b.enter();
        put(&place, away);
        assert_in_b(&capture);
    });
}

#[test]
fn a_layer_that_moves_to_another_registry_where_another_task_has_the_same_id() {
    let capture = Capture::default();
    let ((first, from), (second, to)) = (place(Some(layer(&capture))), place(None));
    let span = |id| info_span!(parent: None, "t", task.id = id);
    let a = dispatcher::with_default(&first, || span("a"));
    dispatcher::with_default(&first, || a.in_scope(|| assert_in("a", &capture)));
    put(&to, take(&from));
    dispatcher::with_default(&second, || {
        let b = span("b");
        assert_eq!(a.id(), b.id());
        b.in_scope(|| assert_in_b(&capture));
    });
}

#[test]
fn more_tasks_in_turn_than_a_thread_remembers() {
    let (capture, mut expected) = (Capture::default(), Vec::new());
    under(layer(&capture), || {
        let task = |id: usize| info_span!(parent: None, "t", task.id = id);
        let mut tasks: Vec<Span> = (0..200).map(task).collect();
        for round in 1..=4 {
            for n in 0..200 {
                // Each round goes another way. Those of a neighbourhood are remembered in the same place.
                let at = n * (2 * round + 1) % 200;
                for at in [at, (at + 64) % 200, at, (at + 128) % 200, (at + 1) % 200] {
                    tasks[at].in_scope(|| info!("here"));
                    expected.push(format!("[{at}] [t] here"));
                }
            }
            // The registry has their places for other spans.
            tasks.truncate(100);
            tasks.extend((100..200).map(task));
        }
    });
    let written = capture.lines().into_iter().filter(|line| line.ends_with("] here"));
    assert!(written.eq(expected));
}

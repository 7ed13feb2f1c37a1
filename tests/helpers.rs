//! The helpers: on any task span, under any wrapping of the layer, and across processes.

mod support;

use support::capture::{Capture, layer, lines_of, plain_lines_of};
use support::child::{Child, role, say};
use support::futures::{finish, pause, poll_and_drop};
use support::ignore;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level, Span, dispatcher, info, info_span};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt, reload};
use tracing_tasklog::{TaskContext, TaskFutureExt, TaskSpanExt, continue_span, task_span};

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

#[test]
fn task_span_in_all_its_forms() {
    let lines = plain_lines_of(|| {
        let (id, parent) = (41, info_span!("parent", task.id = "p"));
        let x = || info!("x");
        task_span!("plain", id).run_task(x);
        task_span!("text", "a b").run_task(x);
        task_span!("expression", id + 1).run_task(x);
        task_span!("owned", format!("{id}!")).run_task(x);
        task_span!("display", %id).run_task(x);
        task_span!("debug", ?Some(id)).run_task(x);
        task_span!("trailing comma", id,).run_task(x);
        task_span!("fields", id, k = 1, %id, s = "s", empty = Empty).run_task(x);
        task_span!(target: "elsewhere", "target", id).run_task(x);
        task_span!(parent: &parent, "parent", id).run_task(x);
        task_span!(parent: None, "no parent", id, k = 1).run_task(x);
        task_span!(target: "elsewhere", parent: &parent, "both", id).run_task(x);
        task_span!(parent: &parent, target: "elsewhere", "both, turned", id, k = 1).run_task(x);
        const NAME: &str = "constant";
        task_span!(NAME, id).run_task(x);
    });
    let tags = [
        "[41] [plain]",
        "[a b] [text]",
        "[42] [expression]",
        "[41!] [owned]",
        "[41] [display]",
        "[Some(41)] [debug]",
        "[41] [trailing comma]",
        "[41] [fields]",
        "[41] [target]",
        "[41] [parent]",
        "[41] [no parent]",
        "[41] [both]",
        "[41] [both, turned]",
        "[41] [constant]",
    ];
    assert_eq!(lines, tags.map(|tag| format!("{tag} x")));
}

#[test]
fn task_span_has_the_callers_target_and_level_error() {
    let _default = tracing::subscriber::set_default(Registry::default());
    let meta = |span: &Span| span.metadata().map(|meta| (meta.target().to_owned(), *meta.level()));
    let own = Some(("helpers".to_owned(), Level::ERROR));
    assert_eq!(meta(&task_span!("t", 1)), own);
    let context: TaskContext = "a:t:0".parse().expect("a context");
    assert_eq!(meta(&continue_span!(context)), own);
    assert_eq!(meta(&continue_span!(target: "x", &context, k = 1)), Some(("x".to_owned(), Level::ERROR)));
}

#[test]
fn fields_of_task_span_can_be_said_later() {
    let lines = lines_of(|| {
        let span = task_span!("t", 1, task.name = "named");
        span.record("task.retry", 1);
        span.record("task.status", "failed");
        drop(span);
        let late = task_span!("t", 2);
        late.record("task.name", "late");
        late.run_task(|| ());
    });
    let expected = [
        "[1] [named] -- RUNNING",
        "[1] [named] --- Retry 1 ---",
        "[1] [named] -- FAILED",
        "[2] [late] -- RUNNING",
        "[2] [late] -- SUCCESS",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn helpers_return_what_the_code_returns() {
    let under_a_layer = || {
        assert_eq!(task_span!("t", 1).run_task(|| 7), 7);
        assert_eq!(task_span!("t", 1).try_run_task(|| Ok::<_, String>(7)), Ok(7));
        assert_eq!(task_span!("t", 1).try_run_task(|| Err::<(), _>("no")), Err("no"));
        assert_eq!(finish(async { 7 }.in_task(task_span!("t", 1))), 7);
        assert_eq!(finish(async { Err::<(), _>("no") }.try_in_task(task_span!("t", 1))), Err("no"));
    };
    under_a_layer(); // and without any subscriber
    ignore(plain_lines_of(under_a_layer));
}

#[test]
fn helpers_on_a_span_that_is_no_task_just_run() {
    let lines = lines_of(|| {
        for span in [Span::none(), info_span!("no task"), info_span!("no id yet", task.id = Empty)] {
            span.record_retry(1);
            assert_eq!(span.clone().try_run_task(|| Err::<(), _>("no")), Err("no"));
            assert_eq!(finish(async { 7 }.in_task(span.clone())), 7);
            poll_and_drop(pause().in_task(span));
        }
    });
    assert_eq!(lines, [""; 0]);
}

/// Everything that the helpers can do, on spans that declare the reserved fields and on others.
fn use_all_helpers() {
    let spans: [fn(&str) -> Span; 2] = [|id| info_span!("t", task.id = id), |id| task_span!("t", id)];
    for span in spans {
        span("run").run_task(|| info!("x"));
        ignore(span("try").try_run_task(|| Err::<(), _>("no route")));
        finish(async { info!("x") }.in_task(span("in")));
        ignore(finish(async { Err::<(), _>("no route") }.try_in_task(span("try in"))));
        poll_and_drop(pause().in_task(span("drop")));
        let retried = span("retry");
        ignore(retried.clone().try_run_task(|| Err::<(), _>("no route")));
        retried.record_retry(0);
        retried.record_retry(1);
        let context = retried.in_scope(TaskContext::current).expect("it is a task");
        assert_eq!((context.id(), context.name(), context.retry()), ("retry", "t", 1));
    }
    assert_eq!(TaskContext::current(), None);
}

/// What [`use_all_helpers`] writes.
fn all_helpers_lines() -> Vec<String> {
    let lines = [
        "[run] [t] -- RUNNING",
        "[run] [t] x",
        "[run] [t] -- SUCCESS",
        "[try] [t] -- RUNNING",
        "[try] [t] -- FAILED",
        "[in] [t] -- RUNNING",
        "[in] [t] x",
        "[in] [t] -- SUCCESS",
        "[try in] [t] -- RUNNING",
        "[try in] [t] -- FAILED",
        "[drop] [t] -- RUNNING",
        "[drop] [t] -- INTERRUPTED",
        "[retry] [t] -- RUNNING",
        "[retry] [t] --- Retry 1 ---",
        "[retry] [t] -- SUCCESS",
    ];
    [lines, lines].concat().into_iter().map(str::to_owned).collect()
}

/// Checks what a subscriber that ends in `capture` writes for all helpers.
#[track_caller]
fn assert_all_helpers(capture: &Capture, subscriber: impl Into<Dispatch>) {
    dispatcher::with_default(&subscriber.into(), use_all_helpers);
    assert_eq!(capture.lines(), all_helpers_lines());
}

#[test]
fn helpers_work_whatever_the_layer_is_wrapped_in() {
    type Wrap = fn(&Capture) -> Dispatch;
    let wraps: [Wrap; 10] = [
        |c| Registry::default().with(layer(c)).into(),
        |c| Registry::default().with(layer(c).boxed()).into(),
        |c| Registry::default().with(Some(layer(c))).into(),
        |c| Registry::default().with(vec![layer(c).boxed() as Boxed]).into(),
        |c| {
            Registry::default()
                .with(vec![fmt::layer().with_writer(std::io::sink).boxed(), layer(c).boxed()])
                .into()
        },
        |c| Registry::default().with(reload::Layer::new(layer(c)).0).into(),
        |c| Registry::default().with(reload::Layer::new(layer(c).boxed() as Boxed).0.boxed()).into(),
        |c| Registry::default().with(layer(c).with_filter(LevelFilter::INFO)).into(),
        |c| fmt().with_writer(std::io::sink).finish().with(layer(c)).into(),
        |c| {
            let layered =
                layer(c).and_then(LevelFilter::INFO).and_then(fmt::layer().with_writer(std::io::sink));
            Registry::default().with(EnvFilter::new("info")).with(layered).into()
        },
    ];
    for wrap in wraps {
        let capture = Capture::default();
        assert_all_helpers(&capture, wrap(&capture));
    }
}

#[test]
fn helpers_need_the_span_to_be_seen_by_one_layer_only() {
    let (sees, blind) = (Capture::default(), Capture::default());
    let hides_spans = filter_fn(|meta| meta.is_event());
    let both = Registry::default().with(layer(&blind).with_filter(hides_spans)).with(layer(&sees));
    assert_all_helpers(&sees, both);
    assert_eq!(blind.lines(), ["[-] [helpers] x"; 4]);
}

#[test]
fn a_layer_replaced_while_a_task_is_open_goes_on_with_it() {
    let (old, new) = (Capture::default(), Capture::default());
    let (reloaded, handle) = reload::Layer::new(layer(&old).boxed() as Boxed);
    dispatcher::with_default(&Registry::default().with(reloaded).into(), || {
        let (first, second, silent) = (task_span!("t", 1), task_span!("t", 2), task_span!("t", 3));
        let _child = first.in_scope(|| info_span!("child"));
        first.in_scope(|| info!("old"));
        silent.in_scope(|| ());
        handle.reload(layer(&new).boxed() as Boxed).expect("the subscriber lives");
        first.in_scope(|| info!("new"));
        second.run_task(|| info!("new"));
        ignore(first.clone().try_run_task(|| Err::<(), _>("no route")));
        ignore(silent.try_run_task(|| Err::<(), _>("no route")));
        drop(first);
    });
    let tagged =
        |id: u32, bodies: &[&str]| bodies.iter().map(|body| format!("[{id}] [t] {body}")).collect::<Vec<_>>();
    assert_eq!(old.lines(), [tagged(1, &["-- RUNNING", "old"]), tagged(3, &["-- RUNNING"])].concat());
    let expected =
        [tagged(1, &["new"]), tagged(2, &["-- RUNNING", "new", "-- SUCCESS"]), tagged(3, &["-- FAILED"])];
    let lines = new.lines();
    assert_eq!(lines, [expected.concat(), tagged(1, &["-- FAILED"])].concat());
}

#[test]
fn a_retry_after_a_reload_belongs_to_the_new_layer() {
    let (old, new) = (Capture::default(), Capture::default());
    let (reloaded, handle) = reload::Layer::new(layer(&old));
    dispatcher::with_default(&Registry::default().with(reloaded).into(), || {
        let (begun, named, failed) =
            (task_span!("t", 1), info_span!("t", task.id = 2, task.retry = 1), task_span!("t", 3));
        begun.in_scope(|| ());
        ignore(failed.clone().try_run_task(|| Err::<(), _>("no route")));
        handle.reload(layer(&new)).expect("the subscriber lives");
        [&begun, &named, &failed].into_iter().for_each(|span| span.record_retry(2));
        begun.in_scope(|| info!("x"));
        drop((named, failed));
    });
    assert_eq!(old.lines(), ["[1] [t] -- RUNNING", "[3] [t] -- RUNNING"]);
    let expected = [
        "[1] [t] --- Retry 2 ---",
        "[1] [t] x",
        "[2] [t] -- RUNNING",
        "[2] [t] --- Retry 1 ---",
        "[2] [t] --- Retry 2 ---",
        "[2] [t] -- SUCCESS",
        "[3] [t] --- Retry 2 ---",
        "[3] [t] -- SUCCESS",
        "[1] [t] -- SUCCESS",
    ];
    assert_eq!(new.lines(), expected);
}

#[test]
fn a_task_of_a_layer_reloaded_away_is_still_interrupted_once() {
    let (old, new) = (Capture::default(), Capture::default());
    let replacement = layer(&new);
    let guard = replacement.interrupt_on_drop();
    let (reloaded, handle) = reload::Layer::new(layer(&old));
    dispatcher::with_default(&Registry::default().with(reloaded).into(), || {
        let entered = task_span!("t", 1).entered();
        handle.reload(replacement).expect("the subscriber lives");
        info!("new");
        drop(guard);
        drop(entered);
    });
    assert_eq!(old.lines(), ["[1] [t] -- RUNNING"]);
    assert_eq!(new.lines(), ["[1] [t] new", "[1] [t] -- INTERRUPTED"]);
}

#[test]
fn a_context_is_the_innermost_task_and_survives_its_text() {
    let _default = tracing::subscriber::set_default(Registry::default().with(layer(&Capture::default())));
    assert_eq!(TaskContext::current(), None);
    let _outer = task_span!("outer", 1).entered();
    let nasty = "a:b%20 [c]\n\u{202e}é\0";
    let inner = info_span!("inner", task.id = nasty, task.name = "", task.retry = 3);
    let _child = inner.in_scope(|| info_span!("child")).entered();
    let context = TaskContext::current().expect("in a task");
    assert_eq!((context.id(), context.name(), context.retry()), (nasty, "", 3));
    let text = context.to_string();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert_eq!(text.parse::<TaskContext>().expect("its own text"), context);
    for bad in ["", "a", "a:b:c", "a:b:1:2", "%zz:b:0"] {
        let error = bad.parse::<TaskContext>().expect_err("no context").to_string();
        assert!(error.contains(&format!("{bad:?}")), "{error}");
    }
}

/// Where the child's lines go: back to the parent, one marked line each.
const MARK: &str = "child: ";

#[test]
fn child_continues_a_task() {
    if !role("child_continues_a_task") {
        return;
    }
    let context: TaskContext = std::env::var("TASK").expect("the parent says").parse().expect("a context");
    let lines = lines_of(|| {
        let span = continue_span!(&context, worker = 3);
        span.in_scope(|| info!("in the child"));
        span.record_retry(3);
        assert_eq!(span.in_scope(TaskContext::current).map(|context| context.retry()), Some(3));
        ignore(span.try_run_task(|| Err::<(), _>("no route")));
        continue_span!(context).in_scope(|| info!("again"));
    });
    lines.iter().for_each(|line| say(&format!("{MARK}{line}")));
}

#[test]
fn a_task_goes_on_in_a_child_process_and_its_lifecycle_stays() {
    let mut childs = Vec::new();
    let lines = lines_of(|| {
        let id = "0192f0c1-2345-4789-8abc-def012345678";
        task_span!("send email", id).run_task(|| {
            Span::current().record_retry(2);
            let context = TaskContext::current().expect("in a task");
            let output =
                Child::of_test("child_continues_a_task").env("TASK", context.to_string()).spawn().wait();
            let output = output.assert_success().stdout;
            childs = output.lines().filter_map(|line| line.strip_prefix(MARK)).map(str::to_owned).collect();
        });
    });
    assert_eq!(childs, ["[0192f0c1] [send email] in the child", "[0192f0c1] [send email] again"]);
    let expected = ["-- RUNNING", "--- Retry 2 ---", "-- SUCCESS"];
    assert_eq!(lines, expected.map(|body| format!("[0192f0c1] [send email] {body}")));
}

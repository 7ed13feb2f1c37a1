//! Several layers side by side, filters, other layers, the `log` crate, several subscribers on a thread.

mod support;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use support::capture::{Capture, layer, under};
use support::ignore;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::with_default;
use tracing::{Event, Level, Subscriber, debug, dispatcher, error, info, info_span, warn};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, fmt};
use tracing_tasklog::{IdFormat, TaskLayer, TaskSpanExt, task_span};

/// A task of every transition.
fn work() {
    let span = info_span!("t", task.id = "a", task.retry = 1);
    span.in_scope(|| info!("x"));
    span.record_retry(2);
    span.record("task.retry", 3);
    ignore(span.try_run_task(|| Err::<(), _>("no route")));
}

/// What one layer writes of [`work`].
const WORK: [&str; 6] = [
    "[a] [t] -- RUNNING",
    "[a] [t] --- Retry 1 ---",
    "[a] [t] x",
    "[a] [t] --- Retry 2 ---",
    "[a] [t] --- Retry 3 ---",
    "[a] [t] -- FAILED",
];

#[test]
fn each_of_several_layers_writes_everything_once() {
    let captures: Vec<_> = (0..6).map(|_| Capture::default()).collect();
    let boxed = captures[3..].iter().map(|capture| layer(capture).boxed()).collect::<Vec<_>>();
    let subscriber = Registry::default()
        .with(layer(&captures[0]).and_then(layer(&captures[1])))
        .with(boxed)
        .with(Some(layer(&captures[2])));
    with_default(subscriber, work);
    for capture in &captures {
        assert_eq!(capture.lines(), WORK);
    }
}

#[test]
fn two_layers_on_one_writer_write_each_line_twice_and_no_more() {
    let capture = Capture::default();
    with_default(Registry::default().with(layer(&capture)).with(layer(&capture)), work);
    let mut counts = HashMap::new();
    capture.lines().into_iter().for_each(|line| *counts.entry(line).or_insert(0) += 1);
    assert!(counts.len() == WORK.len() && WORK.iter().all(|line| counts[*line] == 2), "{counts:?}");
}

#[test]
fn layers_differ_in_options_and_not_in_transitions() {
    let (short, full, quiet) = (Capture::default(), Capture::default(), Capture::default());
    let subscriber = Registry::default()
        .with(layer(&short))
        .with(layer(&full).with_id_format(IdFormat::Full).with_level(true).with_outcome(false))
        .with(layer(&quiet).with_lifecycle(false).with_min_level(Level::WARN));
    with_default(subscriber, || {
        let span = info_span!("t", task.id = "f47ac10b-58cc-4372-a567-0e02b2c3d479", task.retry = 1);
        span.in_scope(|| info!("x"));
        span.in_scope(|| warn!("y"));
    });
    let tagged =
        |id: &str, bodies: &[&str]| bodies.iter().map(|b| format!("[{id}] [t] {b}")).collect::<Vec<_>>();
    let shown = ["-- RUNNING", "--- Retry 1 ---", "x", "y", "-- SUCCESS"];
    assert_eq!(short.lines(), tagged("f47ac10b", &shown));
    let leveled = ["-- RUNNING", "--- Retry 1 ---", "INFO x", "WARN y", "-- SUCCESS"];
    assert_eq!(full.lines(), tagged("f47ac10b-58cc-4372-a567-0e02b2c3d479", &leveled));
    assert_eq!(quiet.lines(), tagged("f47ac10b", &["--- Retry 1 ---", "y"]));
}

#[test]
fn a_layer_whose_filter_hides_the_task_writes_its_lines_untagged_and_no_transition() {
    let (all, blind, inner_only) = (Capture::default(), Capture::default(), Capture::default());
    let subscriber = Registry::default()
        .with(layer(&blind).with_filter(filter_fn(|meta| meta.is_event())))
        .with(layer(&all))
        .with(layer(&inner_only).with_filter(filter_fn(|meta| meta.is_event() || meta.name() == "inner")));
    with_default(subscriber, || {
        let _outer = info_span!("outer", task.id = 1).entered();
        info!("in outer");
        info_span!("inner", task.id = 2).in_scope(|| info!("in inner"));
        info!("in outer again");
    });
    let untagged = ["in outer", "in inner", "in outer again"].map(|text| format!("[-] [layers] {text}"));
    assert_eq!(blind.lines(), untagged);
    let inner = ["[2] [inner] -- RUNNING", "[2] [inner] in inner", "[2] [inner] -- SUCCESS"];
    let own = [&[untagged[0].as_str()][..], &inner, &[untagged[2].as_str()]].concat();
    assert_eq!(inner_only.lines(), own);
    let outer =
        ["-- RUNNING", "in outer", "in outer again", "-- SUCCESS"].map(|b| format!("[1] [outer] {b}"));
    let [running, first, again, success] = outer.each_ref().map(String::as_str);
    assert_eq!(all.lines(), [&[running, first][..], &inner, &[again, success]].concat());
}

#[test]
fn a_layer_whose_filter_hides_events_still_has_the_lifecycle() {
    let capture = Capture::default();
    let spans_only = layer(&capture).with_filter(filter_fn(|meta| meta.is_span()));
    with_default(Registry::default().with(spans_only), work);
    let expected: Vec<_> = WORK.into_iter().filter(|line| !line.ends_with(" x")).collect();
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_filter_at_warn_keeps_the_tag_of_task_span() {
    let run = || {
        task_span!("t", 1).run_task(|| {
            warn!("x");
            info!("hidden");
        });
        info_span!("gone", task.id = 2).in_scope(|| warn!("y"));
    };
    let expected = ["[1] [t] -- RUNNING", "[1] [t] x", "[1] [t] -- SUCCESS", "[-] [layers] y"];
    let capture = Capture::default();
    with_default(Registry::default().with(layer(&capture)).with(EnvFilter::new("warn")), run);
    assert_eq!(capture.lines(), expected);
    let capture = Capture::default();
    with_default(Registry::default().with(layer(&capture).with_filter(EnvFilter::new("warn"))), run);
    assert_eq!(capture.lines(), expected);
}

/// A layer that counts what reaches it: spans, and events by their level.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Seen {
    fn on_new_span(&self, attrs: &tracing::span::Attributes<'_>, _: &tracing::span::Id, _: Context<'_, S>) {
        self.0.lock().expect("nobody panics with it").push(attrs.metadata().name().to_owned());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.lock().expect("nobody panics with it").push(event.metadata().level().to_string());
    }
}

#[test]
fn other_layers_see_what_they_saw_without_this_one() {
    let seen = Seen::default();
    let capture = Capture::default();
    let quiet = layer(&capture).with_min_level(LevelFilter::OFF).with_untagged(false);
    with_default(Registry::default().with(quiet).with(seen.clone()), || {
        let _span = tracing::trace_span!("t", task.id = 1).entered();
        tracing::trace!("x");
        debug!("x");
        error!("x");
    });
    assert_eq!(*seen.0.lock().expect("nobody panics with it"), ["t", "TRACE", "DEBUG", "ERROR"]);
    assert_eq!(capture.lines(), [""; 0]);
}

#[test]
fn the_layer_gives_no_hint() {
    let is_silent = |layer: TaskLayer<Capture>| {
        let layer: Box<dyn Layer<Registry> + Send + Sync> = layer.boxed();
        layer.max_level_hint().is_none()
    };
    let capture = Capture::default();
    assert!(is_silent(layer(&capture)) && is_silent(layer(&capture).with_min_level(LevelFilter::OFF)));
}

#[test]
fn a_fmt_layer_beside_it_writes_the_same_as_alone() {
    let write = |beside: Option<TaskLayer<Capture>>| {
        let capture = Capture::default();
        let plain = fmt::layer().with_ansi(false).without_time().with_writer(capture.clone());
        with_default(Registry::default().with(beside).with(plain), || {
            task_span!("t", 1, k = "v").run_task(|| {
                debug!("x");
                error!(error = "y");
            });
        });
        capture.writes().into_iter().map(|write| write.text).collect::<String>()
    };
    let alone = write(None);
    assert!(alone.contains("DEBUG") && alone.lines().count() == 2, "{alone}");
    assert_eq!(write(Some(layer(&Capture::default()))), alone);
}

#[test]
fn several_subscribers_on_one_thread_never_mix_up_their_tags() {
    let captures = [Capture::default(), Capture::default()];
    let [outer, inner] = captures
        .each_ref()
        .map(|capture| tracing::Dispatch::new(Registry::default().with(TaskLayer::new(capture.clone()))));
    // Both registries count their spans from the same number, so all their span ids are equal.
    dispatcher::with_default(&outer, || {
        let _one = info_span!("t", task.id = "outer 1").entered();
        info!("x");
        dispatcher::with_default(&inner, || {
            info!("none");
            let _two = info_span!("t", task.id = "inner 1").entered();
            info!("x");
            dispatcher::with_default(&outer, || info!("y"));
            info!("y");
        });
        info!("z");
        dispatcher::with_default(&inner, || info!("none again"));
    });
    let texts = |of: usize| captures[of].lines();
    assert_eq!(texts(0), ["[outer 1] [t] x", "[outer 1] [t] y", "[outer 1] [t] z"]);
    let expected = ["[-] [layers] none", "[inner 1] [t] x", "[inner 1] [t] y", "[-] [layers] none again"];
    assert_eq!(texts(1), expected);
}

#[test]
fn many_layers_one_after_the_other_never_remember_each_others_spans() {
    for round in 0..50 {
        let capture = Capture::default();
        under(TaskLayer::new(capture.clone()), || {
            info!("none");
            let _entered = info_span!("t", task.id = round).entered();
            info!("x");
        });
        assert_eq!(capture.lines(), ["[-] [layers] none".to_owned(), format!("[{round}] [t] x")]);
    }
}

#[test]
fn span_ids_used_again_do_not_bring_an_old_tag_back() {
    let capture = Capture::default();
    under(TaskLayer::new(capture.clone()), || {
        for round in 0..2_000 {
            let span = if round % 2 == 0 { info_span!("t", task.id = round) } else { info_span!("no task") };
            span.in_scope(|| info!("x"));
        }
    });
    for (round, line) in capture.lines().iter().enumerate() {
        let tag = if round % 2 == 0 { format!("[{round}] [t]") } else { "[-] [layers]".to_owned() };
        assert_eq!(*line, format!("{tag} x"));
    }
}

#[cfg(feature = "tracing-log")]
mod log_records {
    use super::*;

    /// Passes a record of the `log` crate to the current subscriber, as `LogTracer` does.
    fn log(level: log::Level, text: &str) {
        let mut record = log::Record::builder();
        record.level(level).target("lib::of_log").file(Some("lib.rs")).line(Some(7)).module_path(Some("lib"));
        tracing_log::format_trace(&record.args(format_args!("{text}")).build())
            .expect("a subscriber is there");
    }

    #[test]
    fn they_have_their_own_target_and_level_and_no_extra_fields() {
        let capture = Capture::default();
        under(TaskLayer::new(capture.clone()).with_target(true).with_level(true), || {
            log(log::Level::Info, "outside");
            task_span!("t", 1).run_task(|| log(log::Level::Error, "inside"));
            log(log::Level::Debug, "below the level");
        });
        let expected = ["[-] [lib::of_log] INFO outside", "[1] [t] ERROR lib::of_log: inside"];
        assert_eq!(capture.lines(), expected);
        let asked: Vec<_> = capture.writes().into_iter().map(|w| (w.level, w.target)).collect();
        let own = |level| (Some(level), "lib::of_log".to_owned());
        assert_eq!(asked, [own(Level::INFO), own(Level::ERROR)]);
    }
}

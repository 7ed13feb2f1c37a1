//! Levels of lifecycle lines, and what the outcome adds.

mod support;

use std::time::{Duration, Instant};

use support::capture::{Capture, layer, lines_with, under};
use support::futures::{finish, pause, poll_and_drop};
use support::ignore;
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, error, info, info_span, instrument, warn};
use tracing_tasklog::{TaskFutureExt, TaskSpanExt};

/// A task of each ending, with a retry and an event of every level.
fn four_tasks() {
    let task = |id: &'static str| info_span!(target: "jobs", "t", task.id = id, task.retry = 1);
    task("s").run_task(|| {
        debug!("d");
        info!("i");
        warn!("w");
        error!("e");
    });
    assert!(task("f").try_run_task(|| Err::<(), _>("no route")).is_err());
    poll_and_drop(pause().in_task(task("i")));
}

#[test]
fn min_level_leaves_out_events_and_lifecycle_lines_by_their_natural_level() {
    let all = [
        (LevelFilter::INFO, "[s] [t] -- RUNNING"),
        (LevelFilter::OFF, "[s] [t] --- Retry 1 ---"),
        (LevelFilter::DEBUG, "[s] [t] d"),
        (LevelFilter::INFO, "[s] [t] i"),
        (LevelFilter::WARN, "[s] [t] w"),
        (LevelFilter::ERROR, "[s] [t] e"),
        (LevelFilter::INFO, "[s] [t] -- SUCCESS"),
        (LevelFilter::INFO, "[f] [t] -- RUNNING"),
        (LevelFilter::OFF, "[f] [t] --- Retry 1 ---"),
        (LevelFilter::ERROR, "[f] [t] -- FAILED"),
        (LevelFilter::INFO, "[i] [t] -- RUNNING"),
        (LevelFilter::OFF, "[i] [t] --- Retry 1 ---"),
        (LevelFilter::WARN, "[i] [t] -- INTERRUPTED"),
    ];
    for min in ["off", "error", "warn", "info", "debug", "trace"] {
        let min: LevelFilter = min.parse().expect("a level");
        let lines = lines_with(|layer| layer.with_min_level(min), four_tasks);
        let expected: Vec<_> = all.iter().filter(|(level, _)| *level <= min).map(|(_, line)| *line).collect();
        assert_eq!(lines, expected, "{min}");
    }
    let default = lines_with(|layer| layer, four_tasks);
    assert_eq!(default, lines_with(|layer| layer.with_min_level(tracing::Level::INFO), four_tasks));
}

#[test]
fn writers_are_asked_with_the_natural_level_in_the_spans_metadata() {
    let capture = Capture::default();
    under(layer(&capture), four_tasks);
    let expected = [
        "INFO [s] [t] -- RUNNING",
        "INFO [s] [t] --- Retry 1 ---",
        "INFO [s] [t] i",
        "WARN [s] [t] w",
        "ERROR [s] [t] e",
        "INFO [s] [t] -- SUCCESS",
        "INFO [f] [t] -- RUNNING",
        "INFO [f] [t] --- Retry 1 ---",
        "ERROR [f] [t] -- FAILED",
        "INFO [i] [t] -- RUNNING",
        "INFO [i] [t] --- Retry 1 ---",
        "WARN [i] [t] -- INTERRUPTED",
    ];
    assert_eq!(capture.leveled_lines(), expected);
    for write in capture.writes() {
        let is_event = [" i\n", " w\n", " e\n"].iter().any(|end| write.text.ends_with(end));
        let target = if is_event { "levels" } else { "jobs" };
        assert_eq!(write.target, target, "{write:?}");
        assert!(is_event || write.name == "t", "{write:?}");
    }
}

#[test]
fn a_hidden_event_names_no_task() {
    let lines = lines_with(
        |layer| layer.with_min_level(LevelFilter::WARN),
        || {
            let span = info_span!("t", task.id = "a", task.status = "interrupted");
            info!(parent: &span, "hidden");
            drop(span);
            let span = info_span!("t", task.id = "b", task.status = "interrupted");
            warn!(parent: &span, "shown");
        },
    );
    assert_eq!(lines, ["[b] [t] shown", "[b] [t] -- INTERRUPTED"]);
}

/// Splits `[a] [t] -- FAILED elapsed=1.204s error="x"` into what precedes the time, the time, and the rest.
fn outcome(line: &str) -> (&str, Duration, &str) {
    let (before, rest) = line.split_once(" elapsed=").unwrap_or_else(|| panic!("no elapsed: {line}"));
    let (seconds, rest) = rest.split_once('s').unwrap_or_else(|| panic!("no seconds: {line}"));
    let (whole, fraction) = seconds.split_once('.').unwrap_or_else(|| panic!("no fraction: {line}"));
    assert!(fraction.len() == 3 && !whole.is_empty(), "not 1.204s: {line}");
    let millis = format!("{whole}{fraction}").parse().unwrap_or_else(|_| panic!("no number: {line}"));
    (before, Duration::from_millis(millis), rest)
}

fn with_outcome(f: impl FnOnce()) -> Vec<String> {
    lines_with(|layer| layer.with_outcome(true), f)
}

#[test]
fn the_outcome_is_on_closing_lines_and_the_error_on_failed_only() {
    let lines = with_outcome(four_tasks);
    let closing: Vec<_> =
        lines.iter().filter(|line| line.contains("elapsed")).map(|line| outcome(line)).collect();
    let shown: Vec<_> = closing.iter().map(|(before, _, rest)| (*before, *rest)).collect();
    let expected = [
        ("[s] [t] -- SUCCESS", ""),
        ("[f] [t] -- FAILED", " error=\"no route\""),
        ("[i] [t] -- INTERRUPTED", ""),
    ];
    assert_eq!(shown, expected);
    assert!(lines.iter().any(|line| line == "[s] [t] -- RUNNING"));
    let without = lines_with(|layer| layer.with_outcome(true).with_outcome(false), four_tasks);
    assert!(without.iter().all(|line| !line.contains("elapsed")));
}

/// Waits until the clock has moved on.
fn pass(time: Duration) {
    let start = Instant::now();
    support::wait_until("time passes", Duration::from_secs(10), || start.elapsed() >= time);
}

#[test]
fn the_time_counts_from_running() {
    let mut most = Duration::ZERO;
    let lines = with_outcome(|| {
        let span = info_span!("t", task.id = "a");
        pass(Duration::from_millis(100));
        let begun = Instant::now();
        span.in_scope(|| pass(Duration::from_millis(20)));
        drop(span);
        most = begun.elapsed() + Duration::from_millis(1);
    });
    let (_, elapsed, _) = outcome(&lines[1]);
    assert!(elapsed >= Duration::from_millis(20) && elapsed <= most, "{lines:?}, at most {most:?}");
}

/// What the closing line of the one task in `f` says after its time.
fn error_of(f: impl FnOnce()) -> String {
    let lines = with_outcome(f);
    let (before, _, rest) = outcome(lines.last().expect("a closing line"));
    assert!(before.ends_with("-- FAILED"), "{lines:?}");
    rest.to_owned()
}

#[test]
fn the_error_is_in_debug_quotes_and_can_not_forge_a_line() {
    let task = || info_span!("t", task.id = "a", task.status = tracing::field::Empty);
    let error = |text: &'static str| error_of(|| ignore(task().try_run_task(|| Err::<(), _>(text))));
    assert_eq!(error("timed out"), " error=\"timed out\"");
    assert_eq!(error("say \"no\" \\ é"), " error=\"say \\\"no\\\" \\\\ é\"");
    assert_eq!(error("a\nb\u{1b}"), " error=\"a\\nb\\u{1b}\"");
    assert_eq!(error(""), " error=\"\"");
    assert_eq!(error_of(|| task().record("task.status", "failed").in_scope(|| ())), "");
    let in_future = error_of(|| ignore(finish(async { Err::<(), _>("late") }.try_in_task(task()))));
    assert_eq!(in_future, " error=\"late\"");
    let panicked = || task().in_scope(|| std::panic::resume_unwind(Box::new("as told")));
    assert_eq!(error_of(|| ignore(std::panic::catch_unwind(panicked))), "");
}

#[test]
fn the_error_of_err_is_its_text() {
    #[instrument(name = "t", fields(task.id = "a"), err)]
    fn display() -> Result<(), String> {
        Err("no \"route\"".to_owned())
    }
    #[instrument(name = "t", fields(task.id = "a"), err(level = "trace"))]
    fn hidden() -> Result<(), std::num::ParseIntError> {
        "many".parse::<u8>().map(drop)
    }
    assert_eq!(error_of(|| ignore(display())), " error=\"no \\\"route\\\"\"");
    assert_eq!(error_of(|| ignore(hidden())), " error=\"invalid digit found in string\"");
}

#[test]
fn the_error_is_forgotten_with_the_failure() {
    let lines = with_outcome(|| {
        let span = info_span!("t", task.id = "a", task.status = tracing::field::Empty);
        let fail = |span: &Span, text: &'static str| ignore(span.clone().try_run_task(|| Err::<(), _>(text)));
        fail(&span, "first");
        span.record_retry(1);
        span.record("task.status", "failed");
    });
    assert_eq!(outcome(lines.last().expect("a closing line")).2, "");
}

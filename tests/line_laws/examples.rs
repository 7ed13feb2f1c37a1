//! The contract's own lines, and fields next to tracing-subscriber's.

use std::{error::Error, fmt};

use proptest::prelude::*;
use tracing_subscriber::{filter::LevelFilter, prelude::*};
use tracing_tasklog::{
    IdFormat, TaskLayer, TaskSpanExt,
    line::{Body, parse},
    task_span,
};

use crate::{
    capture::{Capture, Says},
    written::assert_regex_agrees,
};

pub(crate) const NOON: &str = "2026-01-01T12:00:00";

pub(crate) type Layer = TaskLayer<Capture, Says>;

/// The lines that `log` leaves with a layer that says it is noon.
pub(crate) fn lines(form: impl FnOnce(Layer) -> Layer, log: impl FnOnce()) -> Vec<String> {
    let capture = Capture::default();
    let layer = form(TaskLayer::new(capture.clone()).with_timer(Says(NOON.to_owned())));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    capture.lines()
}

/// The texts of what `log` says in a task.
fn texts(log: impl FnOnce()) -> Vec<String> {
    let lines = lines(|layer| layer, || task_span!("send_email", "abc12345").run_task(log));
    let head = format!("[abc12345] [send_email] {NOON} ");
    lines.iter().map(|line| line.strip_prefix(&head).expect("the head").to_owned()).collect()
}

#[test]
fn the_lines_of_the_contract_come_as_they_stand_there() {
    let connect = || tracing::info!(host = "mx1", port = 25, "Connecting to SMTP server");
    let lines = lines(
        |layer| layer.with_lifecycle(true),
        || {
            let span = task_span!("send_email", "abc12345");
            span.in_scope(connect);
            span.record_retry(1);
            span.run_task(connect);
        },
    );
    let connecting = format!("[abc12345] [send_email] {NOON} Connecting to SMTP server host=\"mx1\" port=25");
    assert_eq!(
        lines,
        [
            &format!("[abc12345] [send_email] {NOON} -- RUNNING"),
            &connecting,
            "[abc12345] [send_email] --- Retry 1 ---",
            &connecting,
            &format!("[abc12345] [send_email] {NOON} -- SUCCESS"),
        ]
    );
}

#[test]
fn the_lines_of_the_documentation_parse_and_match() {
    let documented = include_str!("../../src/line.rs").lines();
    let lines: Vec<_> = documented.filter_map(|line| line.strip_prefix("//! [abc12345] ")).collect();
    assert_eq!(lines.len(), 5);
    for line in lines {
        let line = format!("[abc12345] {line}");
        let parsed = parse(&line).expect("a documented line");
        assert!((parsed.id, parsed.name) == ("abc12345", "send_email"));
        assert_regex_agrees(&line, &parsed);
    }
}

#[test]
fn the_table_of_the_documentation_parses_and_matches() {
    for line in [
        "[a1] [mail] 2026-01-01T12:00:00 -- RUNNING",
        "[a1] [mail] 2026-01-01T12:00:00 Sending size=3",
        "[a1] [mail] 2026-01-01T12:00:00.25+02:00 Sending",
        r"[a1] [mail] 2026-01-01T12:00:00 one\ntwo",
        r"[a1] [mail] 2026-01-01T12:00:00 \u{2d}- SUCCESS",
        "[a1] [mail] --- Retry 2 ---",
        "[a1] [mail] 2026-01-01T12:00:09 -- FAILED elapsed=9.104s error=\"no route\"",
        "[-] [my_app::main] 2026-01-01T12:00:09 outside any task",
        "[a1] [mail] 2026-01-01T12:00:0\u{18}",
    ] {
        assert_regex_agrees(line, &parse(line).expect("a documented line"));
    }
}

#[test]
fn every_option_has_its_place_in_the_line() {
    let options = |layer: Layer| {
        let layer = layer.with_level(true).with_target(true).with_process(true).with_span_fields(true);
        layer.with_id_format(IdFormat::Full)
    };
    let id = "5b0f3c1e-9a54-4c8e-8a43-1f2e3d4c5b6a";
    let lines = lines(options, || {
        task_span!("mail", id, to = "a@b").run_task(|| tracing::warn!(target: "app::smtp", n = 1, "slow"));
        tracing::error!(target: "app::smtp", "down");
    });
    let pid = std::process::id();
    assert_eq!(
        lines,
        [
            format!("[{id}] [mail] {NOON} WARN app::smtp: slow n=1 to=\"a@b\" pid={pid}"),
            format!("[-] [app::smtp] {NOON} ERROR down pid={pid}"),
        ]
    );
}

#[test]
fn an_empty_id_or_name_shows_as_a_dash() {
    let lines = lines(
        |layer| layer.with_target(true),
        || task_span!("", "").run_task(|| tracing::info!(target: "app", "x")),
    );
    assert_eq!(lines, [format!("[-] [-] {NOON} x")]);
}

#[test]
fn events_outside_any_task_can_be_left_out() {
    assert!(lines(|layer| layer.with_untagged(false), || tracing::error!("lost")).is_empty());
}

#[test]
fn the_message_comes_first_whatever_the_order_of_the_fields() {
    let texts = texts(|| {
        tracing::info!(a = 1, b = "two", message = %"said last");
        tracing::info!(a = 1, message = "", b = 2);
        tracing::info!(a = 1, b = true);
        tracing::info!(r#type = "raw", "raw name");
        tracing::info!("");
    });
    assert_eq!(texts, ["said last a=1 b=\"two\"", "a=1 b=2", "a=1 b=true", "raw name type=\"raw\"", ""]);
}

#[test]
fn a_message_that_panics_after_fields_leaves_its_fields_and_says_so() {
    struct Panics;
    impl fmt::Display for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("é日本")?;
            std::panic::resume_unwind(Box::new("in a Display"));
        }
    }
    let texts = texts(|| tracing::info!(a = 1, message = %Panics));
    assert_eq!(texts, ["a=1 [a value panicked while it was formatted]"]);
}

#[derive(Debug)]
struct Failure(&'static str, Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_deref().map(|source| source as _)
    }
}

#[test]
fn an_error_shows_its_sources() {
    let inner = Failure("refused\n[a] [b]", None);
    let outer = Failure("no mail", Some(Box::new(Failure("no route", Some(Box::new(inner))))));
    let texts = texts(|| tracing::info!(err = &outer as &dyn Error, "giving up"));
    assert_eq!(texts, [r"giving up err=no mail err.sources=[no route, refused\n[a] [b]]"]);
}

#[test]
fn an_error_among_the_span_fields_shows_its_sources_too() {
    let error = Failure("no mail", Some(Box::new(Failure("no route", None))));
    let lines = lines(
        |layer| layer.with_span_fields(true),
        || task_span!("mail", 7, err = &error as &dyn Error).run_task(|| tracing::info!("giving up")),
    );
    assert_eq!(lines, [format!("[7] [mail] {NOON} giving up err=no mail err.sources=[no route]")]);
}

/// What tracing-subscriber's default format makes of `log`, outside any span.
fn as_subscriber_prints(log: impl FnOnce()) -> Vec<String> {
    let capture = Capture::default();
    let layer = tracing_subscriber::fmt::layer().without_time().with_level(false).with_target(false);
    let layer = layer.with_ansi(false).with_writer(capture.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    capture.lines()
}

proptest! {
    #[test]
    fn fields_are_printed_as_tracing_subscriber_prints_them(
        message in "[ -~°日]{1,12}",
        text in "[ -~\\n\\t\"°日\u{202e}]{0,12}",
        number: i64,
        huge: u128,
        float: f64,
        flag: bool,
        bytes: Option<Vec<u8>>,
    ) {
        prop_assume!(!message.starts_with("--"));
        let error = Failure("no mail", Some(Box::new(Failure("no route", None))));
        let log = || {
            tracing::info!(text, number, huge, float, flag, ?bytes, r#type = %number, err = &error as &dyn Error, "{message}");
            tracing::info!(target: "other", number, "dotted.name" = text, empty = tracing::field::Empty, last = ?message);
        };
        let head = format!("[abc12345] [send_email] {NOON} ");
        let ours = lines(|layer| layer.with_min_level(LevelFilter::TRACE), || task_span!("send_email", "abc12345").run_task(log));
        let theirs: Vec<_> = as_subscriber_prints(log).iter().map(|text| format!("{head}{text}")).collect();
        prop_assert_eq!(&ours, &theirs);
        for line in &ours {
            let is_message = matches!(parse(line).expect("it parses").body, Body::Message(_));
            prop_assert!(is_message);
        }
    }
}

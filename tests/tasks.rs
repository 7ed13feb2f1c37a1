//! Tasks are plain spans: what the reserved fields mean.

mod support;

use std::fmt;

use support::capture::{lines_of, lines_with, on_another_thread, plain_lines_of};
use support::child::{Child, role};
use tracing::field::{Empty, display};
use tracing::{Span, info, info_span};

/// Shows itself differently by `Display` and `Debug`.
struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("displayed")
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("debugged")
    }
}

/// Logs `x` in the span.
fn log_in(span: Span) {
    span.in_scope(|| info!("x"));
}

#[test]
fn an_id_is_any_value() {
    let lines = plain_lines_of(|| {
        log_in(info_span!("t", task.id = "str"));
        log_in(info_span!("t", task.id = String::from("string")));
        log_in(info_span!("t", task.id = %Shown));
        log_in(info_span!("t", task.id = ?Shown));
        log_in(info_span!("t", task.id = display(Shown)));
        log_in(info_span!("t", task.id = 42));
        log_in(info_span!("t", task.id = -7_i8));
        log_in(info_span!("t", task.id = u64::MAX));
        log_in(info_span!("t", task.id = i128::MIN));
        log_in(info_span!("t", task.id = true));
        log_in(info_span!("t", task.id = 2.5));
        log_in(info_span!("t", task.id = Some("some")));
    });
    let ids = [
        "str",
        "string",
        "displayed",
        "debugged",
        "displayed",
        "42",
        "-7",
        "18446744073709551615",
        "-170141183460469231731687303715884105728",
        "true",
        "2.5",
        "some",
    ];
    assert_eq!(lines, ids.map(|id| format!("[{id}] [t] x")));
}

#[test]
fn no_id_is_no_task() {
    let lines = lines_of(|| {
        log_in(info_span!("t", task.id = None::<&str>));
        log_in(info_span!("t", task.id = Empty, task.name = "n", task.retry = 3));
        log_in(info_span!("t", task.name = "n", task.retry = 3, task.status = "failed"));
        log_in(info_span!("t", id = "a", task_id = "b"));
        info!("in no span");
    });
    assert_eq!(lines, ["[-] [tasks] x"; 4].into_iter().chain(["[-] [tasks] in no span"]).collect::<Vec<_>>());
}

#[test]
fn an_empty_id_or_name_shows_as_a_dash() {
    let lines = plain_lines_of(|| {
        log_in(info_span!("t", task.id = "a", task.name = ""));
        log_in(info_span!("t", task.id = "", task.name = "n"));
    });
    assert_eq!(lines, ["[a] [-] x", "[-] [n] x"]);
}

#[test]
fn untagged_lines_can_be_left_out() {
    let lines = lines_with(
        |layer| layer.with_untagged(false),
        || {
            info!("in no span");
            log_in(info_span!("no task"));
            log_in(info_span!("t", task.id = "a"));
        },
    );
    assert_eq!(lines, ["[a] [t] -- RUNNING", "[a] [t] x", "[a] [t] -- SUCCESS"]);
}

#[test]
fn an_id_recorded_later_counts_from_then_on() {
    let lines = lines_of(|| {
        let span = info_span!("t", task.id = Empty);
        let entered = span.enter();
        let child = info_span!("child").entered();
        info!("before");
        span.record("task.id", "a");
        info!("in the open child");
        drop(child);
        info!("after");
        span.record("task.id", "b");
        info!("a second id is ignored");
        drop(entered);
    });
    let tagged = [
        "[-] [tasks] before",
        "[a] [t] -- RUNNING",
        "[a] [t] in the open child",
        "[a] [t] after",
        "[a] [t] a second id is ignored",
        "[a] [t] -- SUCCESS",
    ];
    assert_eq!(lines, tagged);
}

#[test]
fn running_is_written_when_the_id_of_an_entered_span_is_recorded() {
    let lines = lines_of(|| {
        let span = info_span!("t", task.id = Empty);
        span.in_scope(|| ());
        span.record("task.id", 7);
        info!("outside");
        let unentered = info_span!("t", task.id = Empty);
        unentered.record("task.id", 8);
        info!("still outside");
        log_in(unentered);
    });
    let expected = [
        "[7] [t] -- RUNNING",
        "[-] [tasks] outside",
        "[-] [tasks] still outside",
        "[8] [t] -- RUNNING",
        "[8] [t] x",
        "[8] [t] -- SUCCESS",
        "[7] [t] -- SUCCESS",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_id_recorded_on_another_thread_is_seen_by_open_children() {
    let lines = plain_lines_of(|| {
        let span = info_span!("t", task.id = Empty);
        let _entered = span.enter();
        let _child = info_span!("child").entered();
        info!("before");
        on_another_thread(|| span.record("task.id", "a").in_scope(|| info!("there")));
        info!("here");
    });
    assert_eq!(lines, ["[-] [tasks] before", "[a] [t] there", "[a] [t] here"]);
}

#[test]
fn an_id_of_an_inner_span_recorded_later_wins_over_the_outer_task() {
    let lines = plain_lines_of(|| {
        let _outer = info_span!("outer", task.id = "o").entered();
        let inner = info_span!("inner", task.id = Empty);
        let _entered = inner.enter();
        info!("outer's");
        inner.record("task.id", "i");
        info!("inner's");
    });
    assert_eq!(lines, ["[o] [outer] outer's", "[i] [inner] inner's"]);
}

#[test]
fn the_name_is_the_spans_unless_said_otherwise() {
    let lines = plain_lines_of(|| {
        log_in(info_span!("span name", task.id = 1));
        log_in(info_span!("t", task.id = 2, task.name = "said"));
        log_in(info_span!("t", task.id = 3, task.name = %Shown));
        log_in(info_span!("t", task.id = 4, task.name = None::<&str>));
        let span = info_span!("t", task.id = 5, task.name = Empty);
        span.record("task.name", "before its first line");
        log_in(span);
    });
    let names = ["span name", "said", "displayed", "t", "before its first line"];
    let expected: Vec<_> = (1..).zip(names).map(|(id, name)| format!("[{id}] [{name}] x")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn the_tag_does_not_change_once_it_is_written() {
    let lines = plain_lines_of(|| {
        let span = info_span!("t", task.id = 1, task.name = Empty);
        span.in_scope(|| info!("x"));
        span.record("task.name", "late");
        span.in_scope(|| info!("y"));
        on_another_thread(|| span.in_scope(|| info!("z")));
    });
    assert_eq!(lines, ["[1] [t] x", "[1] [t] y", "[1] [t] z"]);
}

#[test]
fn retries_of_every_integer_type_and_nothing_else() {
    let lines = lines_of(|| {
        let span = info_span!("t", task.id = "a", task.retry = Empty);
        let _entered = span.enter();
        span.record("task.retry", 1_u8);
        span.record("task.retry", 2_i64).record("task.retry", 3_u128).record("task.retry", 4_i128);
        span.record("task.retry", u32::MAX);
        span.record("task.retry", 0).record("task.retry", -1).record("task.retry", u64::MAX);
        span.record("task.retry", "5").record("task.retry", 6.0).record("task.retry", true);
        span.record("task.retry", display(7)).record("task.retry", None::<u32>);
    });
    let expected = [1, 2, 3, 4, u32::MAX].map(|n| format!("[a] [t] --- Retry {n} ---"));
    assert_eq!(lines[1..lines.len() - 1], expected);
    assert_eq!((lines[0].as_str(), lines[6].as_str()), ("[a] [t] -- RUNNING", "[a] [t] -- SUCCESS"));
}

#[test]
fn a_retry_given_at_creation_is_written_right_after_running() {
    let tagged = ["[a] [t] -- RUNNING", "[a] [t] --- Retry 2 ---", "[a] [t] x", "[a] [t] -- SUCCESS"];
    assert_eq!(lines_of(|| log_in(info_span!("t", task.id = "a", task.retry = 2))), tagged);
    let by_event = || {
        let span = info_span!("t", task.id = "a", task.retry = 2);
        info!(parent: &span, "x");
    };
    assert_eq!(lines_of(by_event), tagged);
    let plain = plain_lines_of(|| log_in(info_span!("t", task.id = "a", task.retry = 2)));
    assert_eq!(plain, ["[a] [t] --- Retry 2 ---", "[a] [t] x"]);
    for ignored in [0, -1, i64::from(u32::MAX) + 1] {
        let lines = plain_lines_of(|| log_in(info_span!("t", task.id = "a", task.retry = ignored)));
        assert_eq!(lines, ["[a] [t] x"], "{ignored}");
    }
}

#[test]
fn the_three_statuses() {
    for (said, shown) in [("success", "SUCCESS"), ("failed", "FAILED"), ("interrupted", "INTERRUPTED")] {
        let closing = format!("[a] [t] -- {shown}");
        let lines = lines_of(|| log_in(info_span!("t", task.id = "a", task.status = said)));
        assert_eq!(lines.last(), Some(&closing), "at creation");
        let record = |value: &dyn tracing::Value| {
            let span = info_span!("t", task.id = "a", task.status = Empty);
            span.in_scope(|| ());
            span.record("task.status", value);
        };
        assert_eq!(lines_of(|| record(&said)).last(), Some(&closing), "recorded");
        assert_eq!(lines_of(|| record(&display(said))).last(), Some(&closing), "recorded as Display");
    }
}

#[test]
fn child_says_unknown_statuses() {
    if !role("child_says_unknown_statuses") {
        return;
    }
    let lines = lines_of(|| {
        for status in ["bananas", "Failed", "", "also bananas"] {
            log_in(info_span!("t", task.id = "a", task.status = status));
        }
        let span = info_span!("t", task.id = "b", task.status = "failed");
        span.in_scope(|| ());
        span.record("task.status", "bananas").record("task.status", 1);
    });
    let closing: Vec<_> =
        lines.iter().filter(|line| line.contains(" -- ") && !line.ends_with("RUNNING")).collect();
    assert_eq!(closing[..4], ["[a] [t] -- SUCCESS"; 4]);
    assert_eq!(closing[4..], ["[b] [t] -- FAILED"]);
}

#[test]
fn an_unknown_status_is_told_once_per_process() {
    let output = Child::of_test("child_says_unknown_statuses").spawn().wait().assert_success();
    let told: Vec<_> = output.stderr.lines().filter(|line| line.contains("task.status")).collect();
    assert_eq!(told.len(), 1, "{output}");
    assert!(told[0].contains("bananas"), "{output}");
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
}

#[test]
fn a_continued_task_shows_only_its_tag() {
    let lines = lines_of(|| {
        let span =
            info_span!("t", task.id = "a", task.continued = true, task.retry = 2, task.status = "failed");
        span.in_scope(|| info!("x"));
        span.record("task.retry", 3);
    });
    assert_eq!(lines, ["[a] [t] x"]);
    let lines = lines_of(|| log_in(info_span!("t", task.id = "a", task.continued = false)));
    assert_eq!(lines, ["[a] [t] -- RUNNING", "[a] [t] x", "[a] [t] -- SUCCESS"]);
}

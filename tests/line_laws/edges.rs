//! The places where chance seldom goes: texts that pose, cuts at every byte, and what is no line.

use tracing_tasklog::{
    TaskSpanExt,
    line::{Body, Parser, parse},
    task_span,
};

use crate::{
    examples::{NOON, lines},
    reference,
};

/// What a message shows as, after `[a] [b] 2026-01-01T12:00:00 `.
fn shown(message: &str, max_line: usize) -> String {
    let lines = lines(
        |layer| layer.with_max_line(max_line),
        || task_span!("b", "a").run_task(|| tracing::info!("{message}")),
    );
    let head = format!("[a] [b] {NOON} ");
    lines.concat().strip_prefix(&head).expect("the head").to_owned()
}

#[test]
fn a_text_that_poses_loses_its_first_dash_and_its_likes_stay() {
    for posing in ["--", "---", "-- ", "--- ", "-- x", "--- Retry 1 ---", "-- FAILED"] {
        assert_eq!(shown(posing, 1000), format!("\\u{{2d}}{}", &posing[1..]));
    }
    for plain in
        ["-", "- -", "----", "---- ", "--x", "---x", "--\tx", " --", " -- SUCCESS", "–– x", "\\u{2d}-"]
    {
        assert_eq!(shown(plain, 1000), plain);
    }
}

#[test]
fn a_message_is_cut_at_every_limit_as_it_should_be() {
    for message in
        ["--verbose is an option", "---verbose is an option", "日本語のメッセージ、とても長い", "é", "-- x"]
    {
        let whole = reference::text(message);
        let head_len = format!("[a] [b] {NOON} ").len();
        let line_len = head_len + whole.len() + 1;
        for max_line in 0..=line_len + 1 {
            let shown = shown(message, max_line);
            let line = format!("[a] [b] {NOON} {shown}");
            assert_eq!(parse(&line).expect("a cut line parses").body, Body::Message(&shown), "{max_line}");
            assert_eq!(shown == whole, max_line >= line_len, "{max_line}: {shown}");
            crate::written::assert_fits(&shown, &whole, head_len, max_line);
        }
    }
}

#[test]
fn what_is_no_line_is_told_where() {
    for (text, offset) in [
        ("", 0),
        ("[", 1),
        ("[a", 2),
        ("[a[b] [c] ", 2),
        ("[a] [b]", 7),
        ("[a] [b] ", 8),
        ("[a] [] 2026-01-01T12:00:00 x", 5),
        ("[a] [b] 2026-01-01T12:00:00", 27),
        ("[a] [b] 2026-01-01T24:00:00 x", 8),
        ("[a] [b] 2026-01-01T12:00:00.x", 8),
        ("[a] [b] 2026-01-01T12:00:00\tx", 27),
        ("[a] [b] 2026-01-01T12:00:00 --", 28),
        ("[a] [b] 2026-01-01T12:00:00 --- Retry 1 ---", 28),
        ("[a] [b] 2026-01-01T12:00:00 -- success", 31),
        ("[a] [b] 2026-01-01T12:00:00 -- SUCCESS ", 38),
        ("[a] [b] 2026-01-01T12:00:00 -- SUCCESS!", 31),
        ("[a] [b] 2026-01-01T12:00:00 -- FAILED why", 37),
        ("[a] [b] 2026-01-01T12:00:00 -- FAILED a=1 b", 41),
        ("[a] [b] 2026-01-01T12:00:00 -- FAILED error=\"x\"y", 47),
        ("[a] [b] -- SUCCESS", 8),
        ("[a] [b] --- Retry 01 ---", 18),
        ("[a] [b] --- Retry 4294967296 ---", 18),
        ("[a] [b] --- Retry 1 --- ", 23),
        ("[a] [b] --- Retry +1 ---", 18),
        ("[a] [b] 2026-01-01T12:00:00 é\u{7f}", 30),
        ("[a] [b] 2026-01-01T12:00:00 \u{18} ", 28),
    ] {
        assert_eq!(parse(text).map_err(|error| error.offset()), Err(offset), "{text:?}");
    }
}

#[test]
fn what_a_parser_was_told_to_find_must_be_there() {
    let line = |text: &str| format!("[a] [b] {NOON} {text}");
    let parser = Parser::new().with_level(true).with_target(true);
    for (text, offset) in
        [("info x: y", 28), ("INFO", 28), ("INFO x:y", 33), ("INFO ---: y", 33), ("INFO x: -- y", 36)]
    {
        assert_eq!(parser.parse(&line(text)).map_err(|error| error.offset()), Err(offset), "{text:?}");
    }
    let line = line("INFO x:: y: z");
    let parsed = parser.parse(&line).expect("level, target, text");
    assert_eq!((parsed.target, parsed.body), (Some("x:"), Body::Message("y: z")));
}

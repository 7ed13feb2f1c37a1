//! The laws of what a layer writes: 1, 2, 3, 5 and 6.

use std::sync::LazyLock;

use proptest::prelude::*;
use regex::Regex;
use tracing_tasklog::{
    UtcSeconds,
    line::{Body, Line, Parser, REGEX, parse},
};

use crate::{
    capture::Says,
    reference,
    story::{Expected, Form, Kind, any_form, any_story},
    texts::{stamp, timer},
};

static SHIPPER: LazyLock<Regex> = LazyLock::new(|| Regex::new(REGEX).expect("the documented expression"));

proptest! {
    #[test]
    fn what_was_written_parses_to_what_went_in_and_writes_the_same_bytes(
        story in any_story(),
        form in any_form(),
        stamp in stamp(),
    ) {
        let lines = story.tell(&form, Says(stamp.clone()));
        let expected = story.expected(&form, &stamp);
        prop_assert_eq!(lines.len(), expected.len(), "{:#?}", lines);
        for (line, expected) in lines.iter().zip(&expected) {
            let line = with_fixed_elapsed(line);
            let text = text_of(&line, expected, form.max_line);
            let parsed = form.parser().parse(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(parsed.to_string(), line);
            assert_parts(&parsed, expected, &stamp, text);
            if !form.level && !form.target {
                assert_regex_agrees(&line, &parsed);
            }
        }
    }

    #[test]
    fn no_text_and_no_timer_makes_a_line_of_another_kind_or_tag(
        story in any_story(),
        form in any_form(),
        stamp in timer(),
    ) {
        let lines = story.tell(&form, Says(stamp.clone()));
        assert_kinds_and_tags(&lines, &story.expected(&form, &stamp));
    }

    #[test]
    fn without_a_timer_no_text_makes_a_line_of_another_kind_or_tag(story in any_story(), form in any_form()) {
        let lines = story.tell(&form, ());
        let expected = story.expected(&form, "");
        assert_kinds_and_tags(&lines, &expected);
    }

    #[test]
    fn the_default_form_parses_with_the_default_timer(story in any_story()) {
        let form = Form {
            lifecycle: true,
            outcome: true,
            level: false,
            target: false,
            process: false,
            span_fields: false,
            full_id: false,
            max_line: 1024 * 1024,
        };
        for line in story.tell(&form, UtcSeconds) {
            let parsed = parse(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            prop_assert!(parsed.timestamp.is_none_or(|stamp| stamp.len() == "2026-01-01T12:00:00".len()));
            prop_assert_eq!(parsed.to_string(), line.as_str());
            assert_regex_agrees(&line, &parsed);
        }
    }
}

/// Law 6: the head is never cut; the text is whole where it fits, else cut. Returns the text as it is in the line.
fn text_of<'l>(line: &'l str, expected: &Expected, max_line: usize) -> &'l str {
    let Expected { head, text, .. } = expected;
    let shown = line.strip_prefix(head.as_str());
    let shown = shown.unwrap_or_else(|| panic!("the line begins with {head:?}: {line:?}"));
    assert_fits(shown, text, head.len(), max_line);
    shown
}

/// Law 6 for a text behind a head of `head_len` bytes.
pub(crate) fn assert_fits(shown: &str, text: &str, head_len: usize, max_line: usize) {
    if text.is_empty() || head_len + text.len() < max_line {
        assert_eq!(shown, text, "whole, because it fits in {max_line}");
    } else {
        assert_cut(shown, text, head_len, max_line);
    }
}

fn assert_cut(shown: &str, text: &str, head_len: usize, max_line: usize) {
    let cut = shown.strip_suffix(" bytes]").and_then(|shown| shown.rsplit_once(" [cut "));
    let (kept, number) = cut.unwrap_or_else(|| panic!("cut to {max_line}: {shown:?}"));
    let rest = text.strip_prefix(kept).unwrap_or_else(|| panic!("{kept:?} begins {text:?}"));
    assert!(!rest.is_empty(), "something is missing");
    assert_eq!(number, rest.len().to_string(), "the number is what is missing");
    let line_len = head_len + shown.len() + 1;
    assert!(line_len <= max_line || kept.is_empty(), "{line_len} > {max_line}");
    let next_len = rest.chars().next().map_or(0, char::len_utf8);
    let digit_that_went_away = 1;
    let poses = kept == "-" && text.starts_with("--");
    assert!(poses || line_len + next_len + digit_that_went_away > max_line, "one more fits: {shown:?}");
}

/// Law 2: id, name, timestamp, level, target and body are what went in, after the escapes.
fn assert_parts(parsed: &Line<'_>, expected: &Expected, stamp: &str, text: &str) {
    assert_eq!(format!("[{}] [{}] ", parsed.id, parsed.name), expected.prefix);
    match &expected.kind {
        Kind::Log { level, target } => {
            assert_eq!(parsed.body, Body::Message(text));
            assert_eq!((parsed.level, parsed.target), (*level, target.as_deref()));
            assert_eq!(parsed.timestamp, Some(stamp));
        }
        Kind::Lifecycle(status) => {
            assert_eq!(parsed.body, Body::Lifecycle(*status));
            assert_eq!((parsed.level, parsed.target, parsed.timestamp), (None, None, Some(stamp)));
            assert_outcome(parsed, expected, text);
        }
        Kind::Retry(number) => {
            assert_eq!(parsed.body, Body::Retry(*number));
            assert_eq!((parsed.level, parsed.target, parsed.timestamp), (None, None, None));
        }
    }
}

fn assert_outcome(parsed: &Line<'_>, expected: &Expected, text: &str) {
    let has_elapsed = expected.head[expected.prefix.len()..].contains(" elapsed=");
    assert_eq!(parsed.elapsed().is_some(), has_elapsed);
    let error = expected.head.ends_with(" error=\"").then(|| text.strip_suffix('"').unwrap_or(text));
    assert_eq!(parsed.error(), error);
}

/// Law 5: the groups of the expression are the parts that the parser finds.
pub(crate) fn assert_regex_agrees(line: &str, parsed: &Line<'_>) {
    if let Body::Torn(_) = parsed.body {
        assert!(!SHIPPER.is_match(line), "a torn line matches nothing: {line:?}");
        return;
    }
    let found = SHIPPER.captures(line).unwrap_or_else(|| panic!("matches: {line:?}"));
    let group = |name: &str| found.name(name).map(|found| found.as_str());
    assert_eq!((group("id"), group("name")), (Some(parsed.id), Some(parsed.name)));
    assert_eq!(group("timestamp"), parsed.timestamp);
    let retry = group("retry").map(|number| number.parse::<u32>().expect("a number that the parser took"));
    let status = group("status");
    let (text, outcome) = (group("text"), group("outcome"));
    match parsed.body {
        Body::Message(message) => assert_eq!((retry, status, text), (None, None, Some(message))),
        Body::Lifecycle(shown) => {
            assert_eq!((retry, status, text), (None, Some(shown.as_str()), None));
            assert!(line.ends_with(&format!("-- {shown}{}", outcome.expect("at least empty"))));
        }
        Body::Retry(number) => assert_eq!((retry, status, text), (Some(number), None, None)),
        other => panic!("a body that this test doesn't know: {other:?}"),
    }
}

/// Law 3, for timers whose text no parser has to understand.
fn assert_kinds_and_tags(lines: &[String], expected: &[Expected]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        let prefix = &expected.prefix;
        assert!(line.starts_with(prefix.as_str()), "the tag is {prefix:?}: {line:?}");
        match &expected.kind {
            Kind::Log { .. } => assert_seen_as_message(line, prefix),
            Kind::Lifecycle(status) => assert!(line.contains(&format!("-- {status}")), "{status}: {line:?}"),
            Kind::Retry(number) => assert_eq!(line, &format!("{prefix}--- Retry {number} ---")),
        }
    }
}

/// Whatever is told to the parser: it sees a message with the right tag, or no line at all.
fn assert_seen_as_message(line: &str, prefix: &str) {
    for (level, target) in [(false, false), (false, true), (true, false), (true, true)] {
        if let Ok(parsed) = Parser::new().with_level(level).with_target(target).parse(line) {
            assert!(matches!(parsed.body, Body::Message(_)), "level {level}, target {target}: {line:?}");
            assert_eq!(format!("[{}] [{}] ", parsed.id, parsed.name), prefix);
        }
    }
    assert!(!reference::poses(&line[prefix.len()..]), "for people: {line:?}");
    if let Some(found) = SHIPPER.captures(line) {
        assert!(found.name("status").is_none() && found.name("retry").is_none(), "for shippers: {line:?}");
    }
}

/// The line with the time that the task took as `0.000s`.
fn with_fixed_elapsed(line: &str) -> String {
    static ELAPSED: LazyLock<Regex> = LazyLock::new(|| {
        let line = r"^(\[[^\[\]]+\] \[[^\[\]]+\] [^ ]+ -- [A-Z]+ elapsed=)[0-9]\.[0-9]{3}s";
        Regex::new(line).expect("a pattern of this file")
    });
    ELAPSED.replace(line, "${1}0.000s").into_owned()
}

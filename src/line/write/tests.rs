//! Escapes, cuts and forged lines, at the level of a draft.

use super::*;

fn draft() -> Draft {
    let mut draft = Draft::new();
    draft.prefix().push(b"[a] [b] ");
    draft.end_prefix();
    draft
}

fn log_line(text: &str, max_line: usize) -> (String, usize) {
    let mut draft = self::draft();
    draft.stamp().push(b"2026-01-01T12:00:00");
    draft.end_stamp();
    draft.text().0.push(text.as_bytes());
    let cut = draft.finish(max_line);
    (String::from_utf8(draft.bytes().to_vec()).expect("UTF-8"), cut)
}

#[test]
fn a_line_of_exactly_max_line_bytes_is_whole_and_one_more_is_cut() {
    let whole = log_line(&"x".repeat(71), 100);
    assert_eq!((whole.0.len(), whole.1), (100, 0));
    let (line, cut) = log_line(&"x".repeat(72), 100);
    assert_eq!(line.len(), 100);
    assert_eq!(line, format!("[a] [b] 2026-01-01T12:00:00 {} [cut {cut} bytes]\n", "x".repeat(72 - cut)));
}

#[test]
fn a_cut_never_splits_a_character_nor_makes_a_lifecycle_line() {
    let (line, cut) = log_line(&"日".repeat(72), 100);
    assert_eq!(cut % 3, 0);
    assert!(line.len() <= 100 && line.ends_with(&format!(" [cut {cut} bytes]\n")));
    for room in 0..8 {
        for text in ["--aaaaaaaaaaaaaaaaaaaa", "---aaaaaaaaaaaaaaaaaaa"] {
            let (line, _) = log_line(text, 28 + 16 + room);
            let body = &line["[a] [b] 2026-01-01T12:00:00 ".len()..line.len() - 1];
            assert!(!poses_as_lifecycle(body.as_bytes()), "{line}");
        }
    }
}

#[test]
fn nor_behind_a_timestamp_in_the_data() {
    for max_line in 40..54 {
        let mut draft = self::draft();
        draft.end_stamp();
        draft.text().0.push(b"2026-01-01T12:00:00 --aaaaaaaaaaaaaaaaaaaaaaaaaa");
        draft.finish(max_line);
        let line = String::from_utf8_lossy(draft.bytes());
        assert!(line.contains(" [cut ") && !line.contains(" -- "), "{line}");
    }
}

#[test]
fn tag_timestamp_and_status_are_never_cut() {
    let (line, cut) = log_line("hello", 1);
    assert_eq!((line.as_str(), cut), ("[a] [b] 2026-01-01T12:00:00  [cut 5 bytes]\n", 5));
    assert_eq!(log_line("", 1).0, "[a] [b] 2026-01-01T12:00:00 \n");

    let mut draft = self::draft();
    let outcome =
        Outcome { elapsed: Some(std::time::Duration::from_millis(1204)), error: Some("no \"route\"") };
    draft.finish_lifecycle(Status::Failed, &outcome, 1);
    assert_eq!(
        String::from_utf8_lossy(draft.bytes()),
        "[a] [b] -- FAILED elapsed=1.204s error=\" [cut 13 bytes]\n"
    );
}

#[test]
fn a_timestamp_in_the_data_makes_no_lifecycle_line() {
    for (stamp, text, shown) in [
        ("", "2026-01-01T12:00:00 -- SUCCESS", "2026-01-01T12:00:00 \\u{2d}- SUCCESS"),
        ("", "9999-99-99T99:99:99Z --- x", "9999-99-99T99:99:99Z \\u{2d}-- x"),
        ("2026-01-01T12:00:00.5 --", "SUCCESS", "2026-01-01T12:00:00.5 \\u{2d}- SUCCESS"),
        ("", "2026-01-01T12:00:00 --verbose", "2026-01-01T12:00:00 --verbose"),
    ] {
        let mut draft = self::draft();
        draft.stamp().push(stamp.as_bytes());
        draft.end_stamp();
        draft.text().0.push(text.as_bytes());
        assert_eq!(draft.finish(1000), 0);
        assert_eq!(draft.bytes(), format!("[a] [b] {shown}\n").as_bytes());
        let text = if stamp.is_empty() { shown } else { text };
        assert_eq!(
            draft.bytes()[draft.text..],
            *format!(
                "{text}
"
            )
            .as_bytes(),
            "what may be cut"
        );
    }
}

#[test]
fn with_our_own_timestamp_a_target_is_escaped_too() {
    let mut draft = draft();
    draft.our_stamp();
    draft.target("a: b\n");
    draft.text().0.push(b"text");
    draft.finish(1000);
    assert!(draft.bytes().ends_with(b" a\\u{3a} b\\n: text\n"));
}

#[test]
fn a_buffer_forgets_whose_timestamp_it_had() {
    let mut draft = draft();
    draft.our_stamp();
    draft.finish(1000);
    draft.clear();
    draft.prefix().push(b"[a] [b] ");
    draft.end_prefix();
    draft.stamp().push(b"-- \n");
    draft.end_stamp();
    draft.finish(1000);
    assert_eq!(draft.bytes(), b"[a] [b] \\u{2d}- \\n \n");
}

#[test]
fn a_timer_that_prints_nothing_leaves_no_space_and_one_that_prints_anything_forges_nothing() {
    let mut draft = self::draft();
    draft.end_stamp();
    draft.text().0.push(b"-- SUCCESS");
    assert_eq!(draft.finish(1000), 0);
    assert_eq!(draft.bytes(), b"[a] [b] \\u{2d}- SUCCESS\n");

    let mut draft = self::draft();
    draft.stamp().push(b"-- \n");
    draft.end_stamp();
    draft.level(tracing::Level::WARN);
    draft.target("x: \ny");
    draft.text().0.push("t\u{1b}".as_bytes());
    assert_eq!(draft.finish(1000), 0);
    assert_eq!(draft.bytes(), b"[a] [b] \\u{2d}- \\n WARN x\\u{3a} \\ny: t\\u{1b}\n");
}

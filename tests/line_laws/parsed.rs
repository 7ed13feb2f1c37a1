//! The laws of the parser: 4 and 5.

use proptest::{collection::vec, prelude::*, sample::select};
use tracing_tasklog::line::{Body, Parser, parse};

use crate::{
    texts::{stamp, text},
    written::assert_regex_agrees,
};

/// The words of the grammar and their likes.
const WORDS: [&str; 30] = [
    "[",
    "]",
    " ",
    "[a] [b] ",
    "[-] [app::main] ",
    "[] [b] ",
    "2026-01-01T12:00:00 ",
    "2026-01-01T12:00:00",
    "2026-02-31T23:59:60.123456789+23:59 ",
    "2026-13-01T12:00:00 ",
    "Z",
    ".",
    ".5",
    "+01:0",
    "-- ",
    "--- Retry ",
    " ---",
    "0",
    "1",
    "4294967295",
    "4294967296",
    "SUCCESS",
    "FAILED",
    "RUNNING",
    " elapsed=1.204s",
    " error=\"no \\\"route\\\"",
    "\"",
    "WARN ",
    "é: ",
    "\u{18}",
];

fn candidate() -> impl Strategy<Value = String> {
    let word = || prop_oneof![9 => select(&WORDS[..]).prop_map(str::to_owned), 1 => text(), 1 => stamp()];
    let body = prop_oneof![
        (stamp(), vec(word(), 0..6)).prop_map(|(stamp, words)| stamp + " " + &words.concat()),
        (stamp(), select(&["RUNNING", "SUCCESS", "FAILED", "INTERRUPTED", "DONE"][..]), vec(word(), 0..4))
            .prop_map(|(stamp, status, words)| format!("{stamp} -- {status}{}", words.concat())),
        (any::<u32>(), vec(word(), 0..2))
            .prop_map(|(n, words)| format!("--- Retry {n} ---{}", words.concat())),
    ];
    prop_oneof![
        1 => text(),
        2 => vec(word(), 0..8).prop_map(|words| words.concat()),
        4 => body.prop_map(|body| format!("[a1] [mail] {body}")),
    ]
}

proptest! {
    #[test]
    fn any_text_parses_to_itself_or_fails_at_one_of_its_characters(
        line in candidate(),
        level: bool,
        target: bool,
    ) {
        match Parser::new().with_level(level).with_target(target).parse(&line) {
            Err(error) => {
                prop_assert!(line.is_char_boundary(error.offset()), "byte {}", error.offset());
                let told = format!("at byte {}", error.offset());
                prop_assert!(error.to_string().ends_with(&told), "{error}");
            }
            Ok(parsed) => {
                prop_assert_eq!(parsed.to_string(), line.as_str());
                let shown = [parsed.error(), parsed.outcome("error"), parsed.outcome("elapsed")];
                let is_lifecycle = matches!(parsed.body, Body::Lifecycle(_));
                prop_assert!(is_lifecycle || (shown == [None; 3] && parsed.elapsed().is_none()));
            }
        }
    }

    #[test]
    fn the_expression_for_shippers_finds_what_the_parser_finds(line in candidate()) {
        if let Ok(parsed) = parse(&line) {
            assert_regex_agrees(&line, &parsed);
        }
    }

    #[test]
    fn a_fragment_that_was_closed_is_torn_whatever_it_is(fragment in candidate(), level: bool, target: bool) {
        let line = format!("{fragment}\u{18}");
        let parser = Parser::new().with_level(level).with_target(target);
        let torn = parser.parse(&line).expect("torn");
        prop_assert_eq!(torn.body, Body::Torn(&fragment));
        prop_assert_eq!((torn.id, torn.name, torn.timestamp), ("", "", None));
        prop_assert_eq!((torn.level, torn.target), (None, None));
        prop_assert_eq!(torn.to_string(), line.as_str());
        assert_regex_agrees(&line, &torn);
    }
}

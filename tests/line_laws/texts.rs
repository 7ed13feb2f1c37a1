//! Texts that mean harm.

use proptest::{char::range, collection::vec, prelude::*, sample::select};

/// What a forger would write.
const FORGERIES: [&str; 32] = [
    "--",
    "---",
    "-- ",
    "--- ",
    "-",
    " ",
    "-- SUCCESS",
    "-- FAILED elapsed=1.000s error=\"x\"",
    "--- Retry 1 ---",
    "[",
    "]",
    "] [",
    "] ",
    "[abc12345] [send_email] ",
    ": ",
    ":",
    "a=b",
    "\"",
    "\\",
    "\\n",
    "\\u{2d}",
    "2026-01-01T12:00:00",
    "2026-01-01T12:00:00 -- SUCCESS",
    "2026-01-01T12:00:00.5+01:00 --- Retry 1 ---",
    "\n[abc12345] [send_email] 2026-01-01T12:00:00 -- SUCCESS",
    "\n",
    "\r\n",
    "\u{18}",
    "\u{1b}[31m",
    "\t",
    " [cut 7 bytes]",
    "INFO ",
];

/// A timestamp of the grammar.
pub(crate) fn stamp() -> impl Strategy<Value = String> {
    "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
}

/// Any text, and above all those that could pass for something else.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let piece = || {
        prop_oneof![
            6 => select(&FORGERIES[..]).prop_map(str::to_owned),
            2 => any::<char>().prop_map(String::from),
            2 => range('\0', '\u{9f}').prop_map(String::from),
            1 => range('\u{2028}', '\u{2069}').prop_map(String::from),
            3 => "[a-z° –日]{1,9}",
            1 => (select(&["x", "é", "日", "\n", "--"][..]), 0..90_usize).prop_map(|(unit, n)| unit.repeat(n)),
        ]
    };
    prop_oneof![2 => piece(), 3 => vec(piece(), 0..5).prop_map(|pieces| pieces.concat())]
}

/// Ids of every kind that is shortened, nearly shortened, or not at all.
pub(crate) fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text(),
        2 => "[0-9a-f]{8}-[0-9a-f]{4}-[0-9][0-9a-f]{3}-[7-9a-c][0-9a-f]{3}-[0-9a-f]{12}",
        1 => "[0-9A-F]{12}[0-9][0-9A-F]{3}[89AB][0-9A-F]{15}",
        1 => "[0-9]{12}[1-8][0-9]{3}[89][0-9]{15}",
        2 => "[0-8][0-9A-HJKMNP-TV-Z]{25}",
        1 => "[0-7][0-9A-Za-z]{25}",
        1 => "[0-7][0-9]{25}",
        1 => "[a-zé日\n\\[]{62,66}",
        1 => any::<u64>().prop_map(|id| id.to_string()),
    ]
}

/// What a timer may print.
pub(crate) fn timer() -> impl Strategy<Value = String> {
    let stamped =
        (stamp(), select(&["", " ", " --", " -- SUCCESS", " --- Retry 1 ---", " x", "\n", " ---"][..]));
    prop_oneof![2 => Just(String::new()), 3 => text(), 4 => stamped.prop_map(|(stamp, more)| stamp + more)]
}

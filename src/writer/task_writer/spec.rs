//! What a text from configuration asks for, and what can't be meant by one.

use crate::{Error, line::is_control_or_tab};

/// What can be written before the colon, or alone.
pub(super) const EXPECTED: &str = "expected instance:PATH, a bare PATH, which means the same, watched:PATH, queue:DIRECTORY, stdout, \
                                   or, behind a queue, queued+instance:PATH, queued+watched:PATH, queued+stdout";

/// Words that are refused as the bare name of a file: other programs have writers of these names, or a path is missing.
const NO_FILES: [&str; 13] = [
    "-", "console", "instance", "journald", "none", "null", "off", "queue", "queued", "stderr", "stdin",
    "syslog", "watched",
];

/// Returns a spec without the white space around it.
///
/// # Errors
///
/// Nothing is left, or it holds what no spec has: a control character, a quote that a shell or a file of settings has left.
pub(super) fn trimmed(spec: &str) -> Result<&str, Error> {
    let trimmed = spec.trim();
    if trimmed.is_empty() {
        return Err(Error::invalid(format!("the writer {spec:?} is empty: {EXPECTED}")));
    }
    if trimmed.contains(is_control_or_tab) {
        let what = "has a control character in it, leave it out";
        return Err(Error::invalid(format!("the writer {trimmed:?} {what}: {EXPECTED}")));
    }
    if trimmed.contains('"') {
        return Err(quoted(trimmed));
    }
    usable(trimmed, trimmed)
}

/// Returns the path of a spec, if it begins and ends as one.
///
/// # Errors
///
/// It has white space before it, or quotes around it.
pub(super) fn usable<'a>(path: &'a str, spec: &str) -> Result<&'a str, Error> {
    const QUOTES: [char; 6] = ['\'', '`', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
    if path.starts_with(QUOTES) || path.ends_with(QUOTES) {
        return Err(quoted(spec));
    }
    if path.starts_with(char::is_whitespace) {
        return Err(Error::invalid(format!(
            "{spec:?} has white space before its path, leave it out: {EXPECTED}"
        )));
    }
    Ok(path)
}

fn quoted(spec: &str) -> Error {
    Error::invalid(format!("the writer {spec:?} has quotes in it, leave them out: {EXPECTED}"))
}

/// Splits off what looks like a kind of writer.
pub(super) fn split(spec: &str) -> (Option<&str>, &str) {
    let may_be_in_a_kind = |c: char| c.is_ascii_alphanumeric() || "+-_".contains(c) || c.is_whitespace();
    let is_kind = |text: &str| {
        text.chars().all(may_be_in_a_kind) && text.bytes().filter(u8::is_ascii_alphabetic).count() >= 2
    };
    match spec.split_once(':') {
        Some((kind, rest)) if is_kind(kind) => (Some(kind), rest),
        _ => (None, spec),
    }
}

/// Returns whether such a word, which has no colon, is hardly meant as the path of a file.
pub(super) fn is_meant_for_a_kind(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    NO_FILES.contains(&word.as_str())
        || ["stdout", "stderr"].iter().any(|name| is_one_slip_from(&word, name))
        || word.starts_with("queue+")
        || word.starts_with("queued+")
        || word.ends_with("+stdout")
}

/// Returns whether at most one character too many, too few or another, or two in the wrong order, tell a word from a name.
fn is_one_slip_from(word: &str, name: &str) -> bool {
    let (word, name): (Vec<_>, Vec<_>) = (word.chars().collect(), name.chars().collect());
    let same = word.iter().zip(&name).take_while(|(a, b)| a == b).count();
    let (word, name) = (&word[same..], &name[same..]);
    match (word, name) {
        ([], []) | ([_], []) | ([], [_]) => true,
        ([_, rest @ ..], name) if rest == name => true,
        (word, [_, rest @ ..]) if rest == word => true,
        ([_, rest @ ..], [_, of_name @ ..]) if rest == of_name => true,
        ([a, b, rest @ ..], [c, d, of_name @ ..]) => (a, b) == (d, c) && rest == of_name,
        _ => false,
    }
}

pub(super) fn unknown(spec: &str, kind: &str) -> Error {
    Error::invalid(format!(
        "{spec:?} asks for {kind:?}, which is no writer: {EXPECTED}; \
         if it is the path of a file, write \"instance:\" before it"
    ))
}

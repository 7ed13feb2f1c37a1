//! What data must not contain raw, and how it comes out instead.
//!
//! A clean text, which is nearly every text, is recognized in one scan and left alone.

use std::fmt::{self, Write};

use super::Buf;
use crate::ascii;

/// Where a text will stand, which decides what it must not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An id or a name: between brackets, so it holds none.
    Tag,
    /// A target, which ends at the first `: `.
    Target,
    /// Message and fields, a timer's text, the error of an outcome.
    Text,
}

/// Returns whether `text` holds a character that must not stand raw anywhere in a line.
#[inline]
pub(super) fn holds_control(text: &[u8]) -> bool {
    !ascii::is_printable(text) && any_is_control(text)
}

#[inline(never)]
fn any_is_control(text: &[u8]) -> bool {
    ascii::may_hold_control(text) && any_char_is_control(text)
}

#[cold]
fn any_char_is_control(text: &[u8]) -> bool {
    // Text is pushed as `str` only, so it is never copied here.
    String::from_utf8_lossy(text).chars().any(is_control)
}

/// Returns whether `text`, at the start of a body, could be taken for a lifecycle line or a separator.
#[inline]
pub(super) fn poses_as_lifecycle(text: &[u8]) -> bool {
    matches!(text, [b'-', b'-'] | [b'-', b'-', b' ', ..] | [b'-', b'-', b'-'] | [b'-', b'-', b'-', b' ', ..])
}

/// Appends `text` to `out` with everything escaped that must not stand raw in `place`.
pub(super) fn escape_into(out: &mut Buf, text: &str, place: Place) {
    let mut text = text;
    if place != Place::Tag && poses_as_lifecycle(text.as_bytes()) {
        out.push(b"\\u{2d}");
        text = &text[1..];
    }
    let mut clean_from = 0;
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        if is_forbidden(c, rest, place) {
            out.push(&text.as_bytes()[clean_from..at]);
            let _ = write_escape(out, c); // a buffer takes everything
            clean_from = at + c.len_utf8();
        }
    }
    out.push(&text.as_bytes()[clean_from..]);
}

fn is_forbidden(c: char, rest: &str, place: Place) -> bool {
    match c {
        '[' | ']' => place == Place::Tag,
        ':' => place == Place::Target && rest.starts_with(' '),
        c => is_control(c),
    }
}

/// Returns whether `c` must not stand raw anywhere in a line: it could end the line or change how it is shown.
pub(super) fn is_control(c: char) -> bool {
    match c {
        '\t' => false,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => true,
        '\u{2028}'..='\u{2029}' => true, // line and paragraph separator
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true, // bidirectional embeddings, overrides, isolates
        _ => false,
    }
}

/// Returns whether `c` has no place in a path, a setting or JSON: a TAB neither.
pub(crate) fn is_control_or_tab(c: char) -> bool {
    c == '\t' || is_control(c)
}

fn write_escape(out: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Shows a text outside of a log line, an error say, with the same characters escaped as in one: it may quote what others wrote.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Passes a text on, piece by piece, with control characters escaped.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for piece in text.split_inclusive(is_control) {
            let mut chars = piece.chars();
            match chars.next_back().filter(|&c| is_control(c)) {
                None => self.0.write_str(piece)?,
                Some(c) => {
                    self.0.write_str(chars.as_str())?;
                    write_escape(&mut self.0, c)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_judged_the_same_by_scan_and_escape() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let mut out = Buf::new();
            escape_into(&mut out, &text, Place::Text);
            assert_eq!(holds_control(text.as_bytes()), out.bytes() != text.as_bytes(), "{c:?}");
            if out.bytes() != text.as_bytes() {
                assert!(out.bytes().is_ascii() && !out.bytes().iter().any(|&b| b < 0x20), "{out:?}");
            }
        }
    }

    #[test]
    fn what_the_contract_names_is_escaped() {
        for (raw, shown) in [
            ("a\nb\rc", "a\\nb\\rc"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\0\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}"),
            ("\u{2028}\u{202e}\u{2066}", "\\u{2028}\\u{202e}\\u{2066}"),
            ("tab\tstays", "tab\tstays"),
            ("back\\slash, °, – and 日本", "back\\slash, °, – and 日本"),
            ("-- SUCCESS", "\\u{2d}- SUCCESS"),
            ("--- Retry 1 ---", "\\u{2d}-- Retry 1 ---"),
            ("--", "\\u{2d}-"),
            ("---", "\\u{2d}--"),
            ("----", "----"),
            ("--verbose", "--verbose"),
        ] {
            let mut out = Buf::new();
            escape_into(&mut out, raw, Place::Text);
            assert_eq!(String::from_utf8(out.bytes().to_vec()).expect("UTF-8"), shown);
            if !raw.starts_with('-') {
                assert_eq!(Escaped(raw).to_string(), shown, "outside of a line it is the same");
            }
        }
    }

    #[test]
    fn tags_hold_no_bracket_and_targets_no_colon_space() {
        let mut out = Buf::new();
        escape_into(&mut out, "] [root", Place::Tag);
        escape_into(&mut out, "a: b::c", Place::Target);
        assert_eq!(out.bytes(), b"\\u{5d} \\u{5b}roota\\u{3a} b::c");
    }
}

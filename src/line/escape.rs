//! What data must not contain raw, and how it comes out instead.
//!
//! The rule of all three: a clean text, which is nearly every text, is recognized in one scan that the compiler
//! turns into vector instructions, and is left alone.

use std::fmt::Write as _;

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

/// Returns whether `text` may hold a character that has to be escaped.
///
/// Says yes to every such character, and to some innocent ones that share a first byte with them (0xC2 begins
/// the C1 controls and `°`, 0xE2 the separators and `–`): [`escape_into`] looks closer.
pub(super) fn is_suspicious(text: &[u8]) -> bool {
    !is_printable_ascii(text)
        && text.iter().any(|&byte| matches!(byte, 0..=8 | 10..=0x1f | 0x7f | 0xc2 | 0xe2))
}

/// Returns whether every byte is from 0x20 to 0x7e, eight bytes at a time.
fn is_printable_ascii(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // The high bit of a byte is set if it was set before, if the byte is 0x7f, or if it is below 0x20. A borrow
    // or carry into the next byte comes only from a byte that is found anyway.
    let found = |word: u64| word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20);
    let mut words = text.chunks_exact(8);
    let mut all = 0;
    for word in words.by_ref() {
        all |= found(u64::from_ne_bytes(word.try_into().expect("a chunk of 8 bytes")));
    }
    let mut last = [b' '; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    (all | found(u64::from_ne_bytes(last))) & (ONES * 0x80) == 0
}

/// Returns whether `text`, at the start of a body, could be taken for a lifecycle line or a separator.
pub(super) fn poses_as_lifecycle(text: &[u8]) -> bool {
    matches!(text, [b'-', b'-'] | [b'-', b'-', b' ', ..] | [b'-', b'-', b'-'] | [b'-', b'-', b'-', b' ', ..])
}

/// Appends `text` to `out` with everything escaped that must not stand raw in `place`.
pub(super) fn escape_into(out: &mut String, text: &str, place: Place) {
    let mut text = text;
    if place != Place::Tag && poses_as_lifecycle(text.as_bytes()) {
        out.push_str("\\u{2d}");
        text = &text[1..];
    }
    let mut clean_from = 0;
    for (at, c) in text.char_indices() {
        let rest = &text[at + c.len_utf8()..];
        if is_forbidden(c, rest, place) {
            out.push_str(&text[clean_from..at]);
            push_escape(out, c);
            clean_from = at + c.len_utf8();
        }
    }
    out.push_str(&text[clean_from..]);
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

fn push_escape(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c => {
            // A String takes any text: the result can't be an error.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_judged_the_same_by_scan_and_escape() {
        for c in '\0'..=char::MAX {
            let text = c.to_string();
            let mut out = String::new();
            escape_into(&mut out, &text, Place::Text);
            if out != text {
                assert!(is_suspicious(text.as_bytes()), "{c:?} is escaped but the scan misses it");
                assert!(out.is_ascii() && !out.bytes().any(|b| b < 0x20), "{out:?}");
            }
        }
    }

    #[test]
    fn the_scan_finds_every_byte_at_every_place() {
        for byte in (0..=8).chain(10..=0x1f).chain([0x7f, 0xc2, 0xe2]) {
            for len in 1..20 {
                for at in 0..len {
                    let mut text = vec![b'~'; len];
                    text[at] = byte;
                    assert!(is_suspicious(&text), "{byte:#x} at {at} of {len}");
                }
            }
        }
        assert!(!is_suspicious("~ \t plain, Größe 日本".as_bytes()));
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
            let mut out = String::new();
            escape_into(&mut out, raw, Place::Text);
            assert_eq!(out, shown);
        }
    }

    #[test]
    fn tags_hold_no_bracket_and_targets_no_colon_space() {
        let mut out = String::new();
        escape_into(&mut out, "] [root", Place::Tag);
        escape_into(&mut out, "a: b::c", Place::Target);
        assert_eq!(out, "\\u{5d} \\u{5b}roota\\u{3a} b::c");
    }
}

//! The tag: how an id is shown, and the prefix `[id] [name] ` of a task's lines.

use super::{
    Buf,
    escape::{Place, escape_into},
};
use crate::ascii;

/// What stands for an id where there is none, and for an empty id or name.
pub(crate) const NO_TASK: &str = "-";

/// How many characters a long id shows that is neither a UUID nor a ULID.
const SHOWN_CHARS: usize = 64;

/// How many characters a short UUID or ULID shows.
const SHORT_CHARS: usize = 8;

/// How a task's id is shown in its lines.
///
/// ```
/// use tracing_tasklog::IdFormat;
///
/// // A random UUID shows its first 8 characters …
/// assert_eq!(IdFormat::Short.shown("5b0f3c1e-9a54-4c8e-8a43-1f2e3d4c5b6a"), "5b0f3c1e");
/// // … one of version 7 begins with the time, the same for all tasks of a minute, so it shows its last 8.
/// assert_eq!(IdFormat::Short.shown("01977d3a-4c1b-7f00-8a43-1f2e3d4c5b6a"), "3d4c5b6a");
/// // So does a ULID.
/// assert_eq!(IdFormat::Short.shown("01ARZ3NDEKTSV4RRFFQ69G5FAV"), "Q69G5FAV");
/// // Anything else is shown whole, up to 64 characters.
/// assert_eq!(IdFormat::Short.shown("order-4711"), "order-4711");
/// assert_eq!(IdFormat::Full.shown("5b0f3c1e-9a54-4c8e-8a43-1f2e3d4c5b6a"), "5b0f3c1e-9a54-4c8e-8a43-1f2e3d4c5b6a");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdFormat {
    /// Shows 8 characters of a UUID or ULID, and at most 64 of anything else (the default).
    ///
    /// A UUID (hyphenated, or 32 hexadecimal digits that are not all decimal; version and variant as in
    /// RFC 9562) shows its first 8 characters; of version 7 its last 8, because its first 8 are a time; of
    /// version 6, where both ends can be alike, the whole. A ULID (26 characters of Crockford's base 32, not
    /// all digits) shows its last 8.
    #[default]
    Short,
    /// Shows the whole id.
    Full,
}

impl IdFormat {
    /// Returns the part of `id` that is shown, before escapes: empty only for an empty id.
    pub fn shown(self, id: &str) -> &str {
        match self {
            IdFormat::Full => id,
            IdFormat::Short => match uuid_version(id) {
                Some(6) => id,
                Some(7) => last(id, SHORT_CHARS),
                Some(_) => &id[..SHORT_CHARS],
                None if is_ulid(id) => last(id, SHORT_CHARS),
                None => id.char_indices().nth(SHOWN_CHARS).map_or(id, |(end, _)| &id[..end]),
            },
        }
    }
}

/// Appends the prefix of every line of a task: `[id] [name] `.
pub(crate) fn push_prefix(out: &mut Buf, id: &str, name: &str) {
    for part in [id, name] {
        out.push_array(b"[");
        if part.is_empty() {
            out.push(NO_TASK.as_bytes());
        } else if ascii::is_plain_tag(part.as_bytes()) {
            out.push(part.as_bytes());
        } else {
            escape_into(out, part, Place::Tag);
        }
        out.push_array(b"] ");
    }
}

/// The last `n` characters of an ASCII text of at least `n`.
fn last(id: &str, n: usize) -> &str {
    &id[id.len() - n..]
}

/// The version of a UUID, if `id` is one: ASCII then, of 32 or 36 characters.
fn uuid_version(id: &str) -> Option<u32> {
    let bytes = id.as_bytes();
    let hyphenated = match bytes.len() {
        36 => true,
        32 if !bytes.iter().all(u8::is_ascii_digit) => false,
        _ => return None,
    };
    let hyphen_at = |at: usize| hyphenated && matches!(at, 8 | 13 | 18 | 23);
    let well_formed = bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'-' => hyphen_at(at),
        byte => byte.is_ascii_hexdigit() && !hyphen_at(at),
    });
    let (version_at, variant_at) = if hyphenated { (14, 19) } else { (12, 16) };
    if !well_formed || !matches!(bytes[variant_at], b'8' | b'9' | b'a' | b'b' | b'A' | b'B') {
        return None;
    }
    char::from(bytes[version_at]).to_digit(16).filter(|version| (1..=8).contains(version))
}

fn is_ulid(id: &str) -> bool {
    let bytes = id.as_bytes();
    bytes.len() == 26
        && matches!(bytes[0], b'0'..=b'7')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() && !b"ILOU".contains(&b.to_ascii_uppercase()))
        && !bytes.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids() {
        for (id, shown) in [
            ("", ""),
            ("7", "7"),
            ("abc12345", "abc12345"),
            ("5B0F3C1E9A544C8E8A431F2E3D4C5B6A", "5B0F3C1E"),
            ("5b0f3c1e-9a54-1c8e-ba43-1f2e3d4c5b6a", "5b0f3c1e"),
            ("1ef7d3a4-4c1b-6f00-8a43-1f2e3d4c5b6a", "1ef7d3a4-4c1b-6f00-8a43-1f2e3d4c5b6a"),
            ("01977d3a4c1b7f008a431f2e3d4c5b6a", "3d4c5b6a"),
            // version 0 and 9, a wrong variant, a hyphen out of place: no UUID
            ("5b0f3c1e-9a54-0c8e-8a43-1f2e3d4c5b6a", "5b0f3c1e-9a54-0c8e-8a43-1f2e3d4c5b6a"),
            ("5b0f3c1e-9a54-9c8e-8a43-1f2e3d4c5b6a", "5b0f3c1e-9a54-9c8e-8a43-1f2e3d4c5b6a"),
            ("5b0f3c1e-9a54-4c8e-ca43-1f2e3d4c5b6a", "5b0f3c1e-9a54-4c8e-ca43-1f2e3d4c5b6a"),
            ("5b0f3c1e9-a54-4c8e-8a43-1f2e3d4c5b6a", "5b0f3c1e9-a54-4c8e-8a43-1f2e3d4c5b6a"),
            // 32 decimal digits and 26 decimal digits are numbers
            ("12345678901241238123456789012345", "12345678901241238123456789012345"),
            ("01234567890123456789012345", "01234567890123456789012345"),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "Q69G5FAV"),
            ("01arz3ndektsv4rrffq69g5fav", "q69g5fav"),
            ("81ARZ3NDEKTSV4RRFFQ69G5FAV", "81ARZ3NDEKTSV4RRFFQ69G5FAV"),
            ("01ARZ3NDEKTSV4RRFFQ69G5FAU", "01ARZ3NDEKTSV4RRFFQ69G5FAU"),
        ] {
            assert_eq!(IdFormat::Short.shown(id), shown);
            assert_eq!(IdFormat::Full.shown(id), id);
        }
        assert_eq!(IdFormat::Short.shown(&"日".repeat(70)), "日".repeat(64));
    }

    #[test]
    fn a_prefix_never_has_an_empty_part_or_a_bracket_of_its_own() {
        let mut out = Buf::new();
        push_prefix(&mut out, "", "a] [root");
        assert_eq!(out.bytes(), b"[-] [a\\u{5d} \\u{5b}root] ");
    }
}

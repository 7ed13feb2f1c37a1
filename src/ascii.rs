//! Looking at text many bytes at a time: most text is plain ASCII, and to know it should cost next to nothing.
//!
//! The compiler makes a few vector instructions of what is done with 16 or 32 bytes, on every x86-64 and ARM64. Words of eight
//! bytes took twice as many.

/// Returns whether every byte is from 0x20 to 0x7e.
#[inline]
pub(crate) fn is_printable(text: &[u8]) -> bool {
    !any::<32>(text, |byte| byte.wrapping_sub(0x20) > 0x7e - 0x20) // for whole lines
}

/// Returns whether every byte is from 0x20 to 0x7e, and neither quote nor backslash: whether Debug prints it as it is.
#[inline]
pub(crate) fn is_plain(text: &[u8]) -> bool {
    !any::<16>(text, |byte| (byte.wrapping_sub(0x20) > 0x7e - 0x20) | (byte == b'"') | (byte == b'\\'))
}

/// Returns whether every byte is from 0x20 to 0x7e, and no bracket: whether it may stand in a tag as it is.
pub(crate) fn is_plain_tag(text: &[u8]) -> bool {
    !any::<16>(text, |byte| (byte.wrapping_sub(0x20) > 0x7e - 0x20) | (byte == b'[') | (byte == b']'))
}

/// Returns whether a text in UTF-8 holds a byte of a character that is or may be a control character: one of ASCII but TAB, or one
/// that begins with 0xc2 (C1) or 0xe2 (separators, directions). Most letters of all scripts begin with others.
pub(crate) fn may_hold_control(text: &[u8]) -> bool {
    any::<16>(text, |byte| {
        ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f) | (byte == 0xc2) | (byte == 0xe2)
    })
}

/// Returns whether `is` holds for any byte of the text, looking at so many at a time.
#[inline(always)]
fn any<const LANES: usize>(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    let lanes = text.chunks_exact(LANES);
    let rest = lanes.remainder();
    // A branch between them keeps the compiler from weaving the lanes into each other.
    for lanes in lanes {
        if lanes.first_chunk::<LANES>().is_some_and(|lanes| in_lanes(lanes, &is)) {
            return true;
        }
    }
    // The rest overlaps what is before it: that is cheaper than a way of its own.
    match (rest.is_empty(), text.last_chunk::<LANES>()) {
        (true, _) => false,
        (false, Some(last)) => in_lanes(last, &is),
        (false, None) => any_of_few(text, &is),
    }
}

/// The same for less than 32 bytes. Inlined, it would be woven into the way of more.
#[inline(never)]
fn any_of_few(text: &[u8], is: &impl Fn(u8) -> bool) -> bool {
    if let (Some(first), Some(last)) = (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        in_lanes(first, is) || in_lanes(last, is)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        in_lanes(first, is) || in_lanes(last, is)
    } else {
        text.iter().any(|&byte| is(byte))
    }
}

/// Decides nothing before the end, so that all bytes are looked at at once.
#[inline]
fn in_lanes<const LANES: usize>(lanes: &[u8; LANES], is: &impl Fn(u8) -> bool) -> bool {
    lanes.iter().fold(false, |found, &byte| found | is(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_right_at_every_place() {
        for byte in 0..=u8::MAX {
            let is_printable_byte = (b' '..=b'~').contains(&byte);
            let is_plain_byte = is_printable_byte && byte != b'"' && byte != b'\\';
            let is_tag_byte = is_printable_byte && byte != b'[' && byte != b']';
            for len in (1..20).chain(31..34).chain(47..50).chain(63..66) {
                for (at, filler) in (0..len).flat_map(|at| [(at, b' '), (at, b'~'), (at, b'!'), (at, b']')]) {
                    let mut text = vec![filler; len];
                    text[at] = byte;
                    assert_eq!(is_printable(&text), is_printable_byte, "{byte:#x} at {at} of {len}");
                    assert_eq!(is_plain(&text), is_plain_byte, "{byte:#x} at {at} of {len}");
                    let is_tag = is_tag_byte && (filler != b']' || len == 1);
                    assert_eq!(is_plain_tag(&text), is_tag, "{byte:#x} at {at} of {len}");
                }
            }
        }
        assert!(is_printable(b"") && is_plain(b""));
    }
}

//! Looking at text sixteen bytes at a time: most text is plain, and to know it should cost next to nothing.

/// As many bytes are looked at in one go as the vector registers of any x86-64 or ARM64 have: the compiler makes a few
/// instructions of that. Words of eight bytes took twice as many.
const LANES: usize = 16;

/// Returns whether every byte is from 0x20 to 0x7e.
#[inline]
pub(crate) fn is_printable(text: &[u8]) -> bool {
    !any(text, is_other)
}

/// Returns whether every byte is from 0x20 to 0x7e, and neither quote nor backslash: whether Debug prints it as it is.
#[inline]
pub(crate) fn is_plain(text: &[u8]) -> bool {
    !any(text, |byte| is_other(byte) | (byte == b'"') | (byte == b'\\'))
}

/// Returns whether a byte is none of those from 0x20 to 0x7e.
#[inline]
fn is_other(byte: u8) -> bool {
    byte.wrapping_sub(0x20) > 0x7e - 0x20
}

/// Returns whether `is` holds for any byte of the text.
#[inline]
fn any(text: &[u8], is: impl Fn(u8) -> bool) -> bool {
    // Within the lanes nothing is decided; between them a branch keeps the compiler from weaving them into each other.
    let in_lanes = |lanes: &[u8; LANES]| lanes.iter().fold(false, |found, &byte| found | is(byte));
    // What is left overlaps what is before: that is cheaper than a rest of its own.
    if let Some(last) = text.last_chunk() {
        in_lanes(last) || text.as_chunks().0.iter().any(in_lanes)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        let mut both = [0; LANES];
        both[..8].copy_from_slice(first);
        both[8..].copy_from_slice(last);
        in_lanes(&both)
    } else {
        text.iter().any(|&byte| is(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_judged_right_at_every_place() {
        for byte in 0..=u8::MAX {
            let is_printable_byte = (b' '..=b'~').contains(&byte);
            let is_plain_byte = is_printable_byte && byte != b'"' && byte != b'\\';
            for len in (1..20).chain(31..34) {
                for (at, filler) in (0..len).flat_map(|at| [(at, b' '), (at, b'~'), (at, b'!'), (at, b']')]) {
                    let mut text = vec![filler; len];
                    text[at] = byte;
                    assert_eq!(is_printable(&text), is_printable_byte, "{byte:#x} at {at} of {len}");
                    assert_eq!(is_plain(&text), is_plain_byte, "{byte:#x} at {at} of {len}");
                }
            }
        }
        assert!(is_printable(b"") && is_plain(b""));
    }
}

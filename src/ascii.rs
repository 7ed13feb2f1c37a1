//! Looking at text eight bytes at a time: most text is plain, and to know it should cost next to nothing.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH_BITS: u64 = ONES * 0x80;

/// Returns whether every byte is from 0x20 to 0x7e.
#[inline]
pub(crate) fn is_printable(text: &[u8]) -> bool {
    !any(text, others_than_printable)
}

/// Returns whether every byte is from 0x20 to 0x7e, and neither quote nor backslash: whether Debug prints it as it is.
#[inline]
pub(crate) fn is_plain(text: &[u8]) -> bool {
    !any(text, |word| others_than_printable(word) | equal(word, b'"') | equal(word, b'\\'))
}

/// Returns whether `find` finds something in any word of the text: a byte of its result has the high bit set.
///
/// A test may find more than there is only if there is something: then a carry or borrow from a byte that is rightly
/// found may mark the next one.
#[inline]
fn any(text: &[u8], find: impl Fn(u64) -> u64) -> bool {
    let Some(last) = text.last_chunk() else {
        let mut padded = [b' '; 8];
        padded.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        return find(u64::from_ne_bytes(padded)) & HIGH_BITS != 0;
    };
    // The last word overlaps the one before: that is cheaper than a rest of its own.
    let mut found = find(u64::from_ne_bytes(*last));
    for word in text.chunks_exact(8) {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        found |= find(u64::from_ne_bytes(bytes));
    }
    found & HIGH_BITS != 0
}

/// Marks bytes that have the high bit set, that are 0x7f, or that are below 0x20.
#[inline]
fn others_than_printable(word: u64) -> u64 {
    word | word.wrapping_add(ONES) | word.wrapping_sub(ONES * 0x20)
}

/// Marks bytes that equal `byte`, in words without the high bit set.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zero_where_equal = word ^ (ONES * u64::from(byte));
    zero_where_equal.wrapping_sub(ONES) & !zero_where_equal
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

//! Bytes as lines.

/// The number of whole lines.
pub(super) fn count(bytes: &[u8]) -> u64 {
    // In parts of which a byte can hold the number: so the compiler compares many bytes with one instruction, which
    // spares 400 for a line of 130 bytes.
    let part = |part: &[u8]| u64::from(part.iter().map(|&byte| u8::from(byte == b'\n')).sum::<u8>());
    bytes.chunks(usize::from(u8::MAX)).map(part).sum()
}

/// The length of the first line, with its LF.
pub(super) fn first(lines: &[u8]) -> usize {
    lines.iter().position(|&byte| byte == b'\n').map_or(lines.len(), |at| at + 1)
}

/// The length of all whole lines.
pub(super) fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}

/// The length of as many whole lines as fit into `room`.
pub(super) fn fitting(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    whole(&lines[..room])
}

/// Cuts a line to so many bytes, at a character, with a note of how many were cut as [the layer](crate::TaskLayer) does.
#[cfg(all(feature = "multiprocess", unix))]
pub(super) fn cut(line: &[u8], to: usize) -> Vec<u8> {
    let note = |bytes: usize| format!(" [cut {bytes} bytes]\n");
    let mut kept = to.saturating_sub(note(line.len()).len());
    while kept > 0 && line[kept] & 0xC0 == 0x80 {
        kept -= 1; // the middle of a character
    }
    let mut cut = line[..kept].to_vec();
    cut.extend_from_slice(note(line.len() - 1 - kept).as_bytes());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_their_number() {
        for (text, lines) in [("", 0), ("a", 0), ("\n", 1), ("a\nb\nc", 2)] {
            assert_eq!(count(text.as_bytes()), lines);
        }
        for lines in [254, 255, 256, 1000] {
            assert_eq!(count(&b"\n".repeat(lines)), lines as u64);
            assert_eq!(count(&b"line\n".repeat(lines)), lines as u64);
        }
    }
}

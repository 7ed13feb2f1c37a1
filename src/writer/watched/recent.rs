//! The last lines of a file, in case that it turns out to have been removed before they were written to it.

use crate::writer::lines;

/// How many bytes of lines are kept at most.
pub(super) const MOST: usize = 256 * 1024;

/// Lines that were written since the file was last seen to have a name; and, while it has none and there is no other,
/// behind them lines that wait for one.
#[derive(Debug, Default)]
pub(super) struct Recent {
    bytes: Vec<u8>,
    /// How many bytes of them were written. The rest waits.
    written: usize,
    /// What the log has said of its own meanwhile.
    said: String,
}

impl Recent {
    /// Returns whether so many bytes more can be kept.
    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.bytes.len() + len <= MOST
    }

    /// Keeps lines that were written, the last ones of them if they are more than can be kept.
    pub(super) fn keep_written(&mut self, lines: &[u8]) {
        if self.has_room_for(lines.len()) {
            self.bytes.extend_from_slice(lines);
        } else {
            // The file was seen a moment ago, for this very reason: what is before that is safe.
            self.bytes.clear();
            let start = lines.len() - lines.len().min(MOST);
            let behind = start + if start > 0 { lines::first(&lines[start..]) } else { 0 };
            self.bytes.extend_from_slice(&lines[behind..]);
        }
        self.written = self.bytes.len();
    }

    /// Keeps what the log has said of its own.
    pub(super) fn keep_said(&mut self, lines: &str) {
        self.said.push_str(lines);
    }

    /// Keeps lines that wait. Returns whether there was room.
    pub(super) fn keep_waiting(&mut self, lines: &[u8]) -> bool {
        let has_room = self.has_room_for(lines.len());
        if has_room {
            self.bytes.extend_from_slice(lines);
        }
        has_room
    }

    /// Forgets lines that are safe.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.said.clear();
        self.written = 0;
    }

    /// Returns what the log has said of its own.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// Returns the lines that were written, and those that wait.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_whole_lines() {
        let mut recent = Recent::default();
        recent.keep_written(b"one\n");
        recent.keep_written(b"two\n");
        assert!(recent.keep_waiting(b"three\n"));
        assert_eq!(recent.parts(), (&b"one\ntwo\n"[..], &b"three\n"[..]));
        assert!(!recent.keep_waiting(&vec![b'x'; MOST]));
        recent.clear();
        assert_eq!(recent.parts(), (&b""[..], &b""[..]));

        recent.keep_written(&b"seven!\n".repeat(MOST));
        let (written, waiting) = recent.parts();
        assert!(written.starts_with(b"seven!\n") && written.len() > MOST - 7 && written.len() <= MOST);
        assert!(waiting.is_empty());
    }
}

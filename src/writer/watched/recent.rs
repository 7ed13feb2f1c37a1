//! The last lines of a file, in case that it turns out to have been removed before they were written to it.

use crate::writer::lines;

/// How many bytes of lines that were written are kept at most, and how many of lines that wait.
pub(super) const MOST: usize = 256 * 1024;

/// Lines that were written since the file was last seen to have a name; and, while it has none and there is no other,
/// lines that wait for one.
#[derive(Debug, Default)]
pub(super) struct Recent {
    written: Vec<u8>,
    waiting: Vec<u8>,
    /// What the log has said of its own meanwhile.
    said: String,
}

impl Recent {
    /// Returns whether so many bytes more that were written can be kept.
    pub(super) fn has_room_for(&self, len: usize) -> bool {
        self.written.len() + len <= MOST
    }

    /// Keeps lines that were written, the last ones of them if they are more than can be kept.
    pub(super) fn keep_written(&mut self, lines: &[u8]) {
        if self.has_room_for(lines.len()) {
            self.written.extend_from_slice(lines);
            return;
        }
        // The file was seen a moment ago, for this very reason: what is before that is safe.
        self.written.clear();
        let start = lines.len() - lines.len().min(MOST);
        let behind = start + if start > 0 { lines::first(&lines[start..]) } else { 0 };
        self.written.extend_from_slice(&lines[behind..]);
    }

    /// Keeps what the log has said of its own, which never is much.
    pub(super) fn keep_said(&mut self, lines: &str) {
        if self.said.len() < MOST {
            self.said.push_str(lines);
        }
    }

    /// Keeps lines that wait. Returns whether there was room.
    pub(super) fn keep_waiting(&mut self, lines: &[u8]) -> bool {
        let has_room = self.waiting.len() + lines.len() <= MOST;
        if has_room {
            self.waiting.extend_from_slice(lines);
        }
        has_room
    }

    /// Forgets lines that are safe: those that were written.
    pub(super) fn clear_written(&mut self) {
        self.written.clear();
        self.said.clear();
    }

    /// Returns lines that were written.
    pub(super) fn written(&self) -> &[u8] {
        &self.written
    }

    /// Takes the lines that wait out.
    pub(super) fn take_waiting(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.waiting)
    }

    /// Returns what the log has said of its own.
    pub(super) fn said(&self) -> &str {
        &self.said
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
        assert!(!recent.keep_waiting(&vec![b'x'; MOST]));
        assert!(recent.keep_waiting(&vec![b'x'; MOST - 6]), "what was written takes no room of what waits");
        assert_eq!(recent.written(), b"one\ntwo\n");
        assert!(recent.take_waiting().starts_with(b"three\nxx"));
        recent.clear_written();
        assert!(recent.written().is_empty() && recent.take_waiting().is_empty());

        recent.keep_written(&b"seven!\n".repeat(MOST));
        let written = recent.written();
        assert!(written.starts_with(b"seven!\n") && written.len() > MOST - 7 && written.len() <= MOST);
    }
}

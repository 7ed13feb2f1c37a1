//! The last lines of a file, in case that it turns out to have been removed before they were written to it.

use crate::writer::lines;

/// How many bytes of lines that were written are kept at most, and how many of lines that wait.
pub(super) const MOST: usize = 256 * 1024;

/// Lines that were written since the file was last seen in its place; and, while it has none and there is no other,
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
        if !self.has_room_for(lines.len()) {
            let half = self.written.len() / 2;
            let behind = half + lines::first(&self.written[half..]);
            drop(self.written.drain(..behind));
        }
        if self.has_room_for(lines.len()) {
            self.written.extend_from_slice(lines);
            return;
        }
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

    /// Keeps lines that wait, as many as there is room for. Returns the others.
    pub(super) fn keep_waiting<'a>(&mut self, lines: &'a [u8]) -> &'a [u8] {
        let (fitting, rest) = lines.split_at(lines::fitting(lines, (MOST - self.waiting.len()) as u64));
        self.waiting.extend_from_slice(fitting);
        rest
    }

    /// Forgets lines that are safe: those that were written.
    pub(super) fn clear_written(&mut self) {
        self.written.clear();
        self.said.clear();
    }

    /// Takes out the lines that were written, and what the log has said of its own.
    pub(super) fn take_written(&mut self) -> (Vec<u8>, String) {
        (std::mem::take(&mut self.written), std::mem::take(&mut self.said))
    }

    /// Takes the lines that wait out.
    pub(super) fn take_waiting(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.waiting)
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
        assert!(recent.keep_waiting(b"three\n").is_empty());
        assert_eq!(recent.keep_waiting(&vec![b'x'; MOST]).len(), MOST);
        assert!(
            recent.keep_waiting(&vec![b'x'; MOST - 6]).is_empty(),
            "what was written takes no room of what waits"
        );
        assert_eq!(recent.written, b"one\ntwo\n");
        assert!(recent.take_waiting().starts_with(b"three\nxx"));
        recent.clear_written();
        assert!(recent.written.is_empty() && recent.take_waiting().is_empty());

        recent.keep_written(&b"seven!\n".repeat(MOST));
        let written = recent.take_written().0;
        assert!(written.starts_with(b"seven!\n") && written.len() > MOST - 7 && written.len() <= MOST);
    }
}

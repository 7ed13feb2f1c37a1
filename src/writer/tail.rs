//! The end of a file that takes whole lines: what it ends in, what is owed to it, and the account.
//!
//! Two things may be due before the next line: CAN LF behind a fragment, and the announcement of lines that were
//! lost. They go with the line, in one write. Whatever part of it the operating system takes, the account is exact: a
//! line counts as written when its LF is taken, and every other one is lost and will be announced.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use super::{Stats, lines};
use crate::clock;

/// What closes a fragment: CAN LF.
pub(super) const CLOSE_FRAGMENT: &[u8] = b"\x18\n";

/// How the lines of a file without a name come to be at risk.
pub(super) const REMOVED: &str = "removed by another program";

/// The end of a file, and the account of the writer behind it.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Whether the file ends in a fragment.
    pub(super) is_torn: bool,
    pub(super) stats: Stats,
    /// Lines that are lost and not announced yet.
    lost: Option<Lost>,
    /// What else the log is to say, as whole lines.
    notes: String,
}

#[derive(Debug)]
struct Lost {
    lines: u64,
    /// Why the first of them was lost.
    reason: String,
}

impl Tail {
    /// Returns how many bytes are due before the next line.
    pub(super) fn owed_len(&self) -> u64 {
        if self.owes() { self.owed().len() as u64 } else { 0 }
    }

    /// What is due before the next line.
    fn owed(&self) -> Vec<u8> {
        let mut owed = if self.is_torn { CLOSE_FRAGMENT.to_vec() } else { Vec::new() };
        owed.extend_from_slice(self.announcements().as_bytes());
        owed
    }

    fn owes(&self) -> bool {
        self.is_torn || self.has_to_say()
    }

    /// Returns whether the log is to say something of its own.
    pub(super) fn has_to_say(&self) -> bool {
        self.lost.is_some() || !self.notes.is_empty()
    }

    /// What the log is to say of its own before the next line.
    pub(super) fn announcements(&self) -> String {
        let Some(Lost { lines, reason }) = &self.lost else { return self.notes.clone() };
        own_line(format_args!("{lines} lines dropped reason={reason:?}")) + &self.notes
    }

    /// Counts lines that were written and may be lost, and has the log say so. Returns the same for the error hook.
    pub(super) fn put_at_risk(&mut self, lines: u64, how: &str) -> Option<io::Error> {
        self.stats.at_risk_lines += lines;
        if lines == 0 {
            return None;
        }
        let what = format!("up to {lines} lines may be lost");
        self.note(format_args!("{what} reason=\"file {how}\""));
        Some(io::Error::other(format!("the file was {how}, {what}")))
    }

    /// Has the log say something of its own before the next line.
    pub(super) fn note(&mut self, text: fmt::Arguments<'_>) {
        self.note_again(&own_line(text));
    }

    /// Has the log say again what it may have said in vain.
    pub(super) fn note_again(&mut self, lines: &str) {
        const MOST: usize = 4096; // of a file that nothing can be written to
        if self.notes.len() < MOST {
            self.notes.push_str(lines);
        }
    }

    /// Has lines counted a second time that were written before, and are lost: as written, as lost, or as lines that wait.
    #[cfg(feature = "watch")]
    pub(super) fn write_off(&mut self, lines: &[u8]) {
        let count = lines::count(lines);
        self.stats.written_lines = self.stats.written_lines.saturating_sub(count);
        self.stats.rewritten_lines += count;
    }

    /// Appends whole lines by `write`, which is write(2): with one call, unless it takes less at a time. The lines that are
    /// not taken are lost.
    ///
    /// Returns how many bytes were taken, and the error that ended it.
    pub(super) fn append(
        &mut self,
        lines: &[u8],
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> (u64, io::Result<()>) {
        let (taken, rest, result) = self.try_append(lines, write);
        if let Err(error) = &result {
            self.lose(lines::count(rest), error);
        }
        (taken, result)
    }

    /// Appends whole lines as [`append`](Self::append) does. Returns also the lines that were not taken, which the caller keeps
    /// or loses.
    pub(super) fn try_append<'a>(
        &mut self,
        lines: &'a [u8],
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> (u64, &'a [u8], io::Result<()>) {
        if !self.owes() {
            let (taken, result) = self.append_bytes(lines, write);
            return (taken as u64, self.settle(lines, taken), result);
        }
        let mut bytes = self.owed();
        let owed = bytes.len();
        bytes.extend_from_slice(lines);
        let (taken, result) = self.append_bytes(&bytes, write);
        if taken >= owed {
            self.lost = None;
            self.notes.clear();
        }
        (taken as u64, self.settle(lines, taken.saturating_sub(owed)), result)
    }

    /// Closes the fragment that the file ends in, if it does.
    pub(super) fn close_fragment(
        &mut self,
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> (u64, io::Result<()>) {
        let (taken, result) =
            if self.is_torn { self.append_bytes(CLOSE_FRAGMENT, write) } else { (0, Ok(())) };
        (taken as u64, result)
    }

    /// Counts lines that can't even be tried.
    pub(super) fn lose(&mut self, lines: u64, error: &io::Error) {
        if lines == 0 {
            return; // what the log itself says is no line that anybody has logged
        }
        self.stats.dropped_lines += lines;
        let lost = self.lost.get_or_insert_with(|| Lost { lines: 0, reason: reason(error) });
        lost.lines += lines;
    }

    /// Takes the lines that were lost last for lines that are still to be written.
    pub(super) fn find(&mut self, lines: u64) {
        self.stats.dropped_lines -= lines;
        self.lost = self
            .lost
            .take()
            .filter(|lost| lost.lines > lines)
            .map(|lost| Lost { lines: lost.lines - lines, ..lost });
    }

    /// Counts the lines of which `taken` bytes were taken. Returns the others.
    fn settle<'a>(&mut self, lines: &'a [u8], taken: usize) -> &'a [u8] {
        let written = lines::whole(&lines[..taken]);
        self.stats.written_lines += lines::count(&lines[..written]);
        &lines[written..]
    }

    fn append_bytes(
        &mut self,
        bytes: &[u8],
        write: &mut dyn FnMut(&[u8]) -> io::Result<usize>,
    ) -> (usize, io::Result<()>) {
        let mut taken = 0;
        while taken < bytes.len() {
            let error = match write(&bytes[taken..]) {
                Ok(0) => ErrorKind::WriteZero.into(),
                Ok(n) => {
                    taken += n;
                    self.stats.bytes += n as u64;
                    self.is_torn = bytes[taken - 1] != b'\n';
                    continue;
                }
                Err(error) => error,
            };
            self.stats.errors += 1;
            if error.kind() != ErrorKind::Interrupted {
                return (taken, Err(error));
            }
        }
        (taken, Ok(()))
    }
}

/// A line outside any task that this crate itself writes.
fn own_line(text: fmt::Arguments<'_>) -> String {
    format!("[-] [tracing_tasklog] {} {text}\n", clock::text_of(&clock::stamp_now()))
}

/// Returns whether an error is about room, or about a reader, and not about the descriptor: opening the file again is no help.
#[cfg(feature = "watch")]
pub(super) fn may_pass(error: &io::Error) -> bool {
    use ErrorKind::{
        BrokenPipe, FileTooLarge, Interrupted, QuotaExceeded, StorageFull, WouldBlock, WriteZero,
    };

    matches!(
        error.kind(),
        BrokenPipe | FileTooLarge | Interrupted | QuotaExceeded | StorageFull | WouldBlock | WriteZero
    )
}

/// Why lines are lost, in the words of the announcement.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::StorageFull => "disk full".to_owned(),
        ErrorKind::QuotaExceeded => "disk quota exceeded".to_owned(),
        ErrorKind::FileTooLarge => "file size limit".to_owned(),
        ErrorKind::BrokenPipe => "reader is gone".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that takes so many bytes more, and then is full.
    struct Disk {
        content: Vec<u8>,
        room: usize,
    }

    impl Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.content.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    #[test]
    fn a_failure_to_say_something_is_no_lost_line() {
        let mut tail = Tail::default();
        tail.note(format_args!("up to 2 lines may be lost"));
        let (_, result) = tail.append(b"", &mut |_| Err(ErrorKind::StorageFull.into()));
        assert!(result.is_err() && tail.has_to_say());
        assert!(!tail.announcements().contains("0 lines dropped"), "{}", tail.announcements());
    }

    #[test]
    fn whatever_part_is_taken_the_account_and_the_announcement_are_exact() {
        for room in 0..60 {
            for room_later in [0, 1, 2, 3, 40, 90, 200] {
                let (mut tail, mut disk) = (Tail::default(), Disk { content: Vec::new(), room });
                let mut accepted = 0;
                for (text, room) in
                    [("one\ntwo\nthree\n", None), ("four\n", Some(room_later)), ("five\n", Some(500))]
                {
                    disk.room = room.unwrap_or(disk.room);
                    accepted += lines::count(text.as_bytes());
                    let _ = tail.append(text.as_bytes(), &mut |bytes| disk.write(bytes));
                }
                let content = String::from_utf8(disk.content).expect("UTF-8");
                let whole = |line: &&str| !line.ends_with('\x18');
                let found =
                    content.lines().filter(whole).filter(|line| !line.starts_with("[-]")).count() as u64;
                let announced: u64 = content
                    .lines()
                    .filter(whole)
                    .filter_map(|line| {
                        line.strip_suffix(" lines dropped reason=\"disk full\"")?
                            .rsplit(' ')
                            .next()?
                            .parse::<u64>()
                            .ok()
                    })
                    .sum();
                assert_eq!(found, tail.stats.written_lines, "{content}");
                assert_eq!(found + announced, accepted, "{content}");
                assert_eq!(announced, tail.stats.dropped_lines, "{content}");
                assert!(content.ends_with("five\n"), "{content}");
            }
        }
    }
}

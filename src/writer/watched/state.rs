//! What changes from line to line, and the line's way into the file.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    time::SystemTime,
};

use super::{
    ending::Ending,
    fate::{Last, Old},
    follow::Place,
    left::Left,
    recent::Recent,
};
use crate::{
    Error,
    error::Trouble,
    file::{AppendFile, FileId, Opened},
    sys,
    writer::{
        lines,
        tail::{self, Tail},
        turns::HasTail,
    },
};

/// What changes from line to line.
#[derive(Debug)]
pub(super) struct State {
    pub(super) file: Box<dyn AppendFile>,
    pub(super) id: FileId,
    /// Where the path led to when the file was opened: another path if it is a link, or its directory is.
    pub(super) target: PathBuf,
    pub(super) tail: Tail,
    pub(super) recent: Recent,
    pub(super) place: Place,
    pub(super) ending: Ending,
    /// Why the descriptor is of no use any more, if so: lines wait until the file is opened again.
    broken: Option<String>,
    /// The file before, for a moment.
    pub(super) left: Option<Left>,
    /// The most that the kernel lets this process write into a file, before it sends SIGXFSZ.
    size_limit: u64,
    /// Whether the last clone is gone: nothing is made or opened any more.
    pub(super) is_over: bool,
}

/// What is to be done when the lock is gone: trouble to tell, files to close.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) troubles: Vec<(Trouble, Error)>,
    pub(super) left: Vec<Box<dyn AppendFile>>,
    /// How many lines are lost so far.
    pub(super) lost: u64,
}

impl State {
    pub(super) fn new(opened: Opened, target: PathBuf, now: SystemTime) -> Self {
        let mut tail = Tail::default();
        tail.is_torn = opened.is_torn;
        State {
            ending: Ending::of(opened.len, now, &tail),
            file: opened.file,
            id: opened.id,
            target,
            tail,
            recent: Recent::default(),
            place: Place::default(),
            broken: None,
            left: None,
            size_limit: sys::file_size_limit(),
            is_over: false,
        }
    }

    /// Goes on with another file. Returns the one that is left.
    pub(super) fn begin(&mut self, opened: Opened, target: PathBuf, now: SystemTime) -> Old {
        let last = self.take_last();
        self.id = opened.id;
        self.target = target;
        self.tail.is_torn = opened.is_torn;
        self.ending = Ending::of(opened.len, now, &self.tail);
        Old { file: self.exchange(opened.file), last }
    }

    /// Goes on with the same file, which was opened again. Returns the one that is left.
    pub(super) fn begin_again(&mut self, opened: Opened, now: SystemTime) -> Old {
        let last = self.take_last();
        if self.broken.is_some() {
            // What was written last may be in another file, so this one may be shorter than it would be.
            self.ending = Ending::of(opened.len, now, &self.tail);
        }
        self.ending.is_doubtful = true;
        Old { file: self.exchange(opened.file), last }
    }

    fn exchange(&mut self, file: Box<dyn AppendFile>) -> Box<dyn AppendFile> {
        self.broken = None;
        self.size_limit = sys::file_size_limit();
        std::mem::replace(&mut self.file, file)
    }

    fn take_last(&mut self) -> Last {
        let lines = self.ending.lines_since_look(&self.tail);
        let at_risk =
            self.place.not_packed.map_or(lines, |safe| lines.min(self.tail.stats.written_lines - safe));
        let (written, said) = self.recent.take_written();
        let (id, target, seen) = (self.id, self.target.clone(), self.ending.seen());
        let is_late = self.place.was_late;
        Last { id, target, seen, is_late, lines, at_risk, written, said }
    }

    /// Notes that the descriptor is of no use any more.
    pub(super) fn break_off(&mut self, cause: &io::Error) {
        self.broken.get_or_insert_with(|| tail::reason(cause));
    }

    /// Returns why the descriptor is of no use any more, if so.
    pub(super) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// Appends whole lines, or keeps them for a file that is still to come.
    pub(super) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.place.is_gone() || self.broken.is_some() {
            return self.keep(lines);
        }
        self.ending.doubt(&mut self.tail, &mut *self.file);
        if let Err(cause) = self.check_room_for(lines.len()) {
            self.tail.stats.errors += 1;
            return self.refuse(lines, cause);
        }
        let (announcements, owed) = (self.tail.announcements(), self.tail.owed_len());
        let file = &mut self.file;
        let (taken, rest, result) = self.tail.try_append(lines, &mut |bytes| file.append(bytes));
        if !announcements.is_empty() && taken >= owed {
            self.recent.keep_said(&announcements);
        }
        self.recent.keep_written(&lines[..lines.len() - rest.len()]);
        result.or_else(|cause| {
            self.ending.is_doubtful = true;
            self.refuse(rest, cause)
        })
    }

    /// Keeps lines that were not taken if that is the descriptor's fault; else they are lost.
    fn refuse(&mut self, lines: &[u8], cause: io::Error) -> io::Result<()> {
        if self.is_nowhere() || tail::may_pass(&cause) {
            self.tail.lose(lines::count(lines), &cause);
            return Err(cause);
        }
        self.break_off(&cause);
        self.keep(lines)
    }

    /// Writes what the log is still to say: perhaps there is no line after this. A failure is counted, and tells nobody anything
    /// that it doesn't know already.
    pub(super) fn write_announcements(&mut self) {
        if self.tail.has_to_say() && !self.place.is_gone() && self.check_room_for(0).is_ok() {
            let _ = self.write_lines(&[]);
        }
    }

    /// Appends lines again that were written before and are lost, and the lines that wait: there is a file for them.
    pub(super) fn write_again(&mut self, mut lines: Vec<u8>) -> io::Result<()> {
        self.tail.write_off(&lines);
        lines.append(&mut self.recent.take_waiting());
        self.tail.stats.queued_lines = 0;
        if lines.is_empty() { Ok(()) } else { self.write_lines(&lines) }
    }

    /// Gives the lines that wait up. Returns how many they were.
    pub(super) fn lose_waiting(&mut self) -> u64 {
        drop(self.recent.take_waiting());
        let lost = std::mem::take(&mut self.tail.stats.queued_lines);
        self.tail.stats.dropped_lines += lost;
        lost
    }

    /// Returns whether the lines need a look before they are written: what is kept in case of a removal is bounded.
    pub(super) fn is_look_needed_for(&self, lines: &[u8]) -> bool {
        !self.place.is_gone() && self.broken.is_none() && !self.recent.has_room_for(lines.len())
    }

    /// Returns an error if the kernel doesn't let this process write so many bytes more.
    pub(super) fn check_room_for(&self, len: usize) -> io::Result<()> {
        if self.size_limit == u64::MAX {
            return Ok(());
        }
        let end = self.file.len()?.saturating_add(self.tail.owed_len()).saturating_add(len as u64);
        if end <= self.size_limit { Ok(()) } else { Err(ErrorKind::FileTooLarge.into()) }
    }

    /// Keeps lines in memory: the file has no name any more, or can't be written to, and there is no other.
    fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        let rest = self.recent.keep_waiting(lines);
        self.tail.stats.queued_lines += lines::count(&lines[..lines.len() - rest.len()]);
        if rest.is_empty() {
            return Ok(());
        }
        let error = io::Error::other(self.broken().unwrap_or("log file removed").to_owned());
        self.tail.stats.errors += 1;
        self.tail.lose(lines::count(rest), &error);
        Err(error)
    }
}

impl HasTail for State {
    fn tail_mut(&mut self) -> &mut Tail {
        &mut self.tail
    }
}

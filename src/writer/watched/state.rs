//! What changes from line to line, and the line's way into the file.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use super::{ending::Ending, follow::Place, left::Left, recent::Recent};
use crate::{
    Error,
    error::Trouble,
    file::{AppendFile, FileId, Opened},
    sys,
    writer::{lines, tail::Tail, turns::HasTail},
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
    pub(super) fn new(opened: Opened, target: PathBuf) -> Self {
        let mut tail = Tail::default();
        tail.is_torn = opened.is_torn;
        State {
            ending: Ending::of(opened.len, &tail),
            file: opened.file,
            id: opened.id,
            target,
            tail,
            recent: Recent::default(),
            place: Place::default(),
            left: None,
            size_limit: sys::file_size_limit(),
            is_over: false,
        }
    }

    /// Goes on with another file. Returns the one that is left.
    pub(super) fn begin(&mut self, opened: Opened, target: PathBuf) -> Box<dyn AppendFile> {
        self.id = opened.id;
        self.target = target;
        self.tail.is_torn = opened.is_torn;
        self.ending = Ending::of(opened.len, &self.tail);
        self.size_limit = sys::file_size_limit();
        std::mem::replace(&mut self.file, opened.file)
    }

    /// Appends whole lines, or keeps them for a file that is still to come.
    pub(super) fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.place.is_gone() {
            return self.keep(lines);
        }
        self.ending.doubt(&mut self.tail, &mut *self.file);
        if !self.has_room_for(lines.len()) {
            return self.lose(lines, ErrorKind::FileTooLarge.into());
        }
        let (announcements, owed) = (self.tail.announcements(), self.tail.owed_len());
        let file = &mut self.file;
        let (taken, result) = self.tail.append(lines, &mut |bytes| file.append(bytes));
        if !announcements.is_empty() && taken >= owed {
            self.recent.keep_said(&announcements);
        }
        match &result {
            Ok(()) => self.recent.keep_written(lines),
            Err(_) => self.ending.is_doubtful = true,
        }
        result
    }

    /// Writes what the log is still to say: perhaps there is no line after this. A failure is counted, and tells nobody anything
    /// that it doesn't know already.
    pub(super) fn write_announcements(&mut self) {
        if self.tail.has_to_say() && !self.place.is_gone() && self.has_room_for(0) {
            let _ = self.write_lines(&[]);
        }
    }

    /// Appends the lines that wait: there is a file for them.
    pub(super) fn write_waiting(&mut self) -> io::Result<()> {
        let waiting = self.recent.take_waiting();
        self.tail.stats.queued_lines = 0;
        if waiting.is_empty() { Ok(()) } else { self.write_lines(&waiting) }
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
        !self.place.is_gone() && !self.recent.has_room_for(lines.len())
    }

    /// Returns whether the kernel lets this process write so many bytes more.
    pub(super) fn has_room_for(&mut self, len: usize) -> bool {
        if self.size_limit == u64::MAX {
            return true;
        }
        let Ok(now) = self.file.len() else { return true };
        now.saturating_add(self.tail.owed_len()).saturating_add(len as u64) <= self.size_limit
    }

    /// Keeps lines in memory: the file has no name any more, and there is no other.
    fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        if !self.recent.keep_waiting(lines) {
            return self.lose(lines, io::Error::other("log file removed"));
        }
        self.tail.stats.queued_lines += lines::count(lines);
        Ok(())
    }

    fn lose(&mut self, lines: &[u8], error: io::Error) -> io::Result<()> {
        self.tail.stats.errors += 1;
        self.tail.lose(lines::count(lines), &error);
        Err(error)
    }
}

impl HasTail for State {
    fn tail_mut(&mut self) -> &mut Tail {
        &mut self.tail
    }
}

//! The lines of a child that fork(2) has made, while it has not called exec(2).
//!
//! The child has the parent's memory as it was at that moment: a lock that another thread held is held for ever, and the
//! thread that compresses backups is not there. So it touches nothing of the parent's state: it has a file of its own,
//! opened for appending at the path, and opened again when the parent has rotated. It never rotates.

use std::{io, time::Duration};

use super::shared::Shared;
use crate::{
    Error,
    error::Trouble,
    file::{AppendFile, FileId},
    sys,
    writer::{
        Stats, lines,
        tail::Tail,
        turns::{HasTail, Turns},
    },
};

/// How long the child waits for its own lock. It could be held for ever in a child of the child.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the child writes with.
#[derive(Debug)]
pub(super) struct Forked {
    turns: Turns<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How often the process was forked whose account it is.
    forks: u64,
    open: Option<(FileId, Box<dyn AppendFile>)>,
    tail: Tail,
}

impl Forked {
    pub(super) fn new() -> Self {
        Forked { turns: Turns::new(State::default()) }
    }

    /// Returns the counters of the child's own lines.
    pub(super) fn stats(&self) -> Stats {
        let state = self.turns.try_lock(Some(PATIENCE));
        state.filter(|state| state.forks == sys::forks()).map(|state| state.tail.stats).unwrap_or_default()
    }

    /// Writes lines to the file that is at the path now.
    pub(super) fn take_lines(&self, shared: &Shared, lines: &[u8], was_cut: bool) {
        let count = lines::count(lines);
        let result = self.turns.lock_for(count, was_cut, Some(PATIENCE)).and_then(|mut state| {
            if state.forks != sys::forks() {
                *state = State { forks: sys::forks(), ..State::default() }; // a child of the child
                state.tail.stats.accepted_lines = count;
                state.tail.stats.cut_lines = u64::from(was_cut);
            }
            state.write_lines(shared, lines)
        });
        if let Err(cause) = result {
            shared.notice.tell(Trouble::Write, &Error::io("write a line to", &shared.path, cause));
        }
    }

    /// Has the kernel write the child's file to the disk.
    pub(super) fn sync(&self, shared: &Shared) -> io::Result<()> {
        shared.files.sync(&shared.path)
    }
}

impl HasTail for State {
    fn tail_mut(&mut self) -> &mut Tail {
        &mut self.tail
    }
}

impl State {
    fn write_lines(&mut self, shared: &Shared, lines: &[u8]) -> io::Result<()> {
        let len = match self.follow(shared) {
            Ok(len) => len,
            Err(error) if self.open.is_none() => return self.lose(lines, error),
            Err(_) => 0, // where the path leads can't be told: the file that is open is as good
        };
        if len.saturating_add(self.tail.owed_len() + lines.len() as u64) > sys::file_size_limit() {
            return self.lose(lines, io::ErrorKind::FileTooLarge.into());
        }
        match &mut self.open {
            Some((_, file)) => self.tail.append(lines, &mut |bytes| file.append(bytes)).1,
            None => Ok(()),
        }
    }

    fn lose(&mut self, lines: &[u8], error: io::Error) -> io::Result<()> {
        self.tail.stats.errors += 1;
        self.tail.lose(lines::count(lines), &error);
        Err(error)
    }

    /// Opens the file at the path, unless it is the one that is open. Returns its length.
    fn follow(&mut self, shared: &Shared) -> io::Result<u64> {
        let there = shared.files.find(&shared.path)?;
        if let (Some(there), Some((open, _))) = (there, &self.open)
            && there.id == *open
        {
            return Ok(there.len);
        }
        let opened = shared.files.open(&shared.path, shared.mode)?;
        self.open = Some((opened.id, opened.file));
        self.tail.is_torn = false; // what the file ends in is the parent's to close
        Ok(opened.len)
    }
}

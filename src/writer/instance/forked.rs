//! The lines of a child that fork(2) has made, while it has not called exec(2).
//!
//! The child has the parent's memory as it was at that moment: a lock that another thread held is held for ever, and the
//! thread that compresses backups is not there. So it touches nothing of the parent's state: it has a file of its own,
//! opened for appending at the path, and opened again when the parent has rotated. It never rotates.

use std::{
    io,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use super::shared::Shared;
use crate::{
    Error,
    error::Trouble,
    file::{AppendFile, FileId},
    sys,
    writer::{Stats, lines, tail::Tail},
};

/// How long the child waits for its own lock. It could be held for ever in a child of the child.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the child writes with.
#[derive(Debug, Default)]
pub(super) struct Forked {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<(FileId, Box<dyn AppendFile>)>,
    tail: Tail,
}

impl Forked {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        sys::lock_within(&self.state, PATIENCE).ok_or_else(|| io::ErrorKind::ResourceBusy.into())
    }

    /// Returns the counters of the child's own lines.
    pub(super) fn stats(&self) -> Stats {
        self.state().map(|state| state.tail.stats).unwrap_or_default()
    }

    /// Writes lines to the file that is at the path now.
    pub(super) fn take_lines(&self, shared: &Shared, lines: &[u8]) {
        let result = self.state().and_then(|mut state| state.take_lines(shared, lines));
        if let Err(cause) = result {
            shared.notice.tell(Trouble::Write, &Error::io("write a line to", &shared.path, cause));
        }
    }

    /// Has the kernel write the child's file to the disk.
    pub(super) fn sync(&self, shared: &Shared) -> io::Result<()> {
        shared.files.sync(&shared.path)
    }
}

impl State {
    fn take_lines(&mut self, shared: &Shared, lines: &[u8]) -> io::Result<()> {
        let count = lines::count(lines);
        self.tail.stats.accepted_lines += count;
        if let Err(error) = self.follow(shared) {
            if self.open.is_none() {
                self.tail.stats.errors += 1;
                self.tail.lose(count, &error);
                return Err(error);
            }
        }
        match &mut self.open {
            Some((_, file)) => self.tail.append(lines, &mut |bytes| file.append(bytes)).1,
            None => Ok(()),
        }
    }

    /// Opens the file at the path, unless it is the one that is open.
    fn follow(&mut self, shared: &Shared) -> io::Result<()> {
        let there = shared.files.find(&shared.path)?.map(|found| found.id);
        if there.is_none() || there != self.open.as_ref().map(|open| open.0) {
            let opened = shared.files.open(&shared.path, shared.mode)?;
            self.open = Some((opened.id, opened.file));
            self.tail.is_torn = false; // what the file ends in is the parent's to close
        }
        Ok(())
    }
}

//! The lines of a child that fork(2) has made, while it has not called exec(2).
//!
//! The child has the parent's memory as it was at that moment: a lock that another thread held is held for ever, and the
//! thread that compresses backups is not there. So it touches nothing of the parent's state: it has a file of its own,
//! opened for appending at the path, and opened again when the parent has rotated.
//!
//! It doesn't rotate as long as the process lives that does. When that is gone, because the program has daemonized, say, the
//! child takes the lock over, and everything that goes with it: from then on it is the log's process. Of several children one
//! does. Only the thread that compresses isn't made again.

use std::{io, time::Duration};

use super::{
    family::Family,
    shared::{Shared, State, Troubles},
};
use crate::{
    Error,
    error::Trouble,
    file::{self, AppendFile, FileId},
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
    turns: Turns<Child>,
}

#[derive(Debug, Default)]
struct Child {
    /// How often the process was forked whose account it is.
    forks: u64,
    /// The second of the last look at what can be seen only once in a while.
    looked_at: i64,
    open: Option<(FileId, Box<dyn AppendFile>)>,
    tail: Tail,
    /// What a log's own process has, once it was taken over.
    own: Option<Box<State>>,
}

impl Forked {
    pub(super) fn new() -> Self {
        Forked { turns: Turns::new(Child::default()) }
    }

    /// Returns the counters of the child's own lines.
    pub(super) fn stats(&self) -> Stats {
        let child = self.turns.try_lock(Some(PATIENCE));
        let child = child.filter(|child| child.forks == sys::forks());
        child.map(|mut child| child.tail_mut().stats).unwrap_or_default()
    }

    /// Writes lines to the file that is at the path now.
    pub(super) fn take_lines(&self, shared: &Shared, lines: &[u8], was_cut: bool) {
        let (mut troubles, mut lost) = (Troubles::new(), 0);
        match self.turns.lock_for(lines::count(lines), was_cut, Some(PATIENCE)) {
            Ok(mut child) => {
                child.begin_anew_after_fork(lines, was_cut);
                child.take_lines(shared, lines, &mut troubles);
                lost = child.tail_mut().stats.dropped_lines;
            }
            Err(busy) => troubles.push((Trouble::Write, Error::io("write a line to", &shared.path, busy))),
        }
        shared.tell(troubles, lost);
    }

    /// Does something with what the child has taken over, if it has.
    pub(super) fn with_own<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut child = self.turns.try_lock(Some(PATIENCE))?;
        if child.forks == sys::forks() { child.own.as_deref_mut().map(act) } else { None }
    }
}

impl HasTail for Child {
    fn tail_mut(&mut self) -> &mut Tail {
        match &mut self.own {
            Some(own) => own.tail_mut(),
            None => &mut self.tail,
        }
    }
}

impl Child {
    /// In a child of the child, what this one has is not its own.
    fn begin_anew_after_fork(&mut self, lines: &[u8], was_cut: bool) {
        if self.forks != sys::forks() {
            *self = Child { forks: sys::forks(), ..Child::default() };
            self.tail.stats.accepted_lines = lines::count(lines);
            self.tail.stats.cut_lines = u64::from(was_cut);
        }
    }

    fn take_lines(&mut self, shared: &Shared, lines: &[u8], troubles: &mut Troubles) {
        let second = shared.clock.coarse_second();
        if second != std::mem::replace(&mut self.looked_at, second) {
            self.let_go_if_closed();
            self.take_over_if_due(shared, troubles);
        }
        if let Some(own) = &mut self.own {
            return shared.write_as_owner(own, lines, troubles);
        }
        if let Err(cause) = self.write_lines(shared, lines) {
            troubles.push((Trouble::Write, Error::io("write a line to", &shared.path, cause)));
        }
    }

    /// Becomes the log's process, if there is no other any more.
    fn take_over_if_due(&mut self, shared: &Shared, troubles: &mut Troubles) {
        if self.own.is_some() || sys::lives(shared.opener) {
            return;
        }
        match self.take_over(shared) {
            Ok(true) if shared.compresses() => {
                let why = "the thread that does is not in a child made by fork(2): they are compressed when the log is opened again";
                let error = Error::io("compress the backups of", &shared.path, io::Error::other(why));
                troubles.push((Trouble::Rotation, error));
            }
            Ok(_) => {}
            Err(cause) => {
                let error = Error::io("take over from the process that rotated", &shared.path, cause);
                troubles.push((Trouble::Rotation, error));
            }
        }
    }

    /// Returns whether the log was taken over.
    fn take_over(&mut self, shared: &Shared) -> io::Result<bool> {
        shared.check(None)?;
        let Some(mut family) = Family::take_over(&*shared.files, &shared.path, &shared.family, shared.terms)?
        else {
            return Ok(false);
        };
        let opened = shared.files.open(&shared.path, shared.mode)?;
        family.add(opened.id);
        family.write(sys::file_size_limit())?;
        let mut own = State::new(opened, family, shared.every.as_ref(), &shared.clock);
        let is_torn = own.tail.is_torn;
        own.tail = std::mem::take(&mut self.tail);
        own.tail.is_torn = is_torn;
        (self.own, self.open) = (Some(Box::new(own)), None);
        Ok(true)
    }

    fn write_lines(&mut self, shared: &Shared, lines: &[u8]) -> io::Result<()> {
        match self.append(shared, lines) {
            Err((0, error)) if file::is_stale(&error) => {
                self.let_go_if_closed();
                self.open = None;
                self.tail.find(lines::count(lines));
                self.append(shared, lines).map_err(|(_, error)| error)
            }
            result => result.map_err(|(_, error)| error),
        }
    }

    /// Appends lines. Returns with an error how many bytes were taken.
    fn append(&mut self, shared: &Shared, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let len = match self.follow(shared) {
            Ok(len) => len,
            Err(error) if self.open.is_none() => return Err((0, self.lose(lines, error))),
            Err(_) => 0, // where the path leads can't be told: the file that is open is as good
        };
        if len.saturating_add(self.tail.owed_len() + lines.len() as u64) > sys::file_size_limit() {
            return Err((0, self.lose(lines, io::ErrorKind::FileTooLarge.into())));
        }
        let Some((_, file)) = &mut self.open else { return Ok(()) };
        let (taken, result) = self.tail.append(lines, &mut |bytes| file.append(bytes));
        result.map_err(|error| (taken, error))
    }

    fn lose(&mut self, lines: &[u8], error: io::Error) -> io::Error {
        self.tail.stats.errors += 1;
        self.tail.lose(lines::count(lines), &error);
        error
    }

    fn let_go_if_closed(&mut self) {
        if self.open.as_mut().is_some_and(|(_, file)| file.check().is_err()) {
            self.open = None;
        }
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
        shared.check(Some(opened.id))?;
        self.open = Some((opened.id, opened.file));
        self.tail.is_torn = false; // what the file ends in is the parent's to close
        Ok(opened.len)
    }
}

//! The lines of a child that fork(2) has made, while it has not called exec(2).
//!
//! The child has the parent's memory as it was at that moment: a lock that another thread held is held for ever, and the
//! thread that looks is not there. So it touches nothing of the parent's state: it has a file of its own, and each of its
//! lines looks where the path leads to.

use std::{io, path::PathBuf, time::Duration};

use super::{
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{
    file::{Access, AppendFile, FileId, Opened},
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

#[derive(Debug)]
struct Child {
    /// How often the process was forked whose state it is.
    forks: u64,
    state: State,
}

impl Forked {
    pub(super) fn new() -> Self {
        Forked { turns: Turns::new(Child::new()) }
    }

    /// Returns the counters of the child's own lines.
    pub(super) fn stats(&self) -> Stats {
        let child = self.turns.try_lock(Some(PATIENCE));
        let own = child.filter(|child| child.forks == sys::forks());
        own.map(|child| child.state.tail.stats).unwrap_or_default()
    }

    /// Writes lines to the file that the path leads to now.
    pub(super) fn take_lines(&self, shared: &Shared, lines: &[u8], was_cut: bool) {
        let mut aftermath = Aftermath::default();
        let result =
            self.turns.lock_for(lines::count(lines), was_cut, Some(PATIENCE)).and_then(|mut child| {
                if shared.is_watched || child.state.is_nowhere() {
                    shared.look(&mut child.state, &mut aftermath);
                }
                shared.write(&mut child.state, lines, &mut aftermath)
            });
        if let Err(cause) = result {
            aftermath.troubles.push(shared.failed_to_write(cause));
        }
        shared.settle(aftermath);
    }
}

impl Forked {
    /// The child's last look.
    pub(super) fn finish(&self, shared: &Shared) {
        let Some(mut child) = self.turns.try_lock(Some(PATIENCE)) else { return };
        if child.forks != sys::forks() || child.state.is_nowhere() {
            return;
        }
        let mut aftermath = Aftermath::default();
        shared.look_for_the_last_time(&mut child.state, &mut aftermath);
        drop(child);
        shared.settle(aftermath);
    }
}

impl Child {
    fn new() -> Self {
        Child { forks: sys::forks(), state: State::nowhere() }
    }
}

impl HasTail for Child {
    /// The account; in a child of the process that has had it a new one.
    fn tail_mut(&mut self) -> &mut Tail {
        if self.forks != sys::forks() {
            *self = Child::new();
        }
        &mut self.state.tail
    }
}

impl State {
    /// A state whose first look opens the file.
    fn nowhere() -> Self {
        let opened = Opened {
            file: Box::new(Nowhere),
            id: FileId::default(),
            access: Access::default(),
            mode_error: None,
            len: 0,
            modified: std::time::SystemTime::UNIX_EPOCH,
            is_torn: false,
        };
        State::new(opened, PathBuf::new(), std::time::SystemTime::UNIX_EPOCH)
    }

    /// Returns whether no file was opened yet.
    pub(super) fn is_nowhere(&self) -> bool {
        self.id == FileId::default()
    }
}

/// A file that was never opened: it has no name, and takes nothing.
#[derive(Debug)]
struct Nowhere;

impl AppendFile for Nowhere {
    fn metadata(&self) -> io::Result<std::fs::Metadata> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn take_after(&mut self, _other: &std::fs::Metadata, _mode: Option<u32>) -> io::Result<()> {
        Ok(())
    }

    #[cfg(all(feature = "gzip", unix))]
    fn set_modified(&mut self, _time: std::time::SystemTime) -> io::Result<()> {
        Ok(())
    }

    fn check(&mut self) -> io::Result<u64> {
        Ok(1)
    }

    fn append(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        Ok(false)
    }

    fn holder(&self, _said: Option<u32>) -> Option<u32> {
        None
    }

    fn set_mode(&mut self, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn unlock(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn links(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn last_byte(&mut self, _len: u64) -> io::Result<Option<u8>> {
        Ok(None)
    }

    fn read_between(&mut self, _from: u64, _to: u64) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn last_name(&self) -> Option<(PathBuf, bool)> {
        None
    }

    fn settled_ending(&mut self) -> io::Result<(u64, Option<u8>)> {
        Ok((0, None))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

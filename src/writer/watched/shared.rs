//! What the clones of a `WatchedFile` share, and whose turn it is.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    forked::Forked,
    hints::{Hints, LATE},
    state::{Aftermath, State},
};
use crate::{
    Error,
    clock::Clock,
    error::Trouble,
    file::FileSystem,
    handoff,
    notice::Notice,
    sys,
    writer::{Stats, TakeLines, lines, turns::Turns},
};

/// Looks that are due so soon after each other are done at once, so that the thread wakes once for many files: half of the
/// time between two.
const TOGETHER: Duration = Duration::from_millis(75);

/// How long the end of a file waits for its turn.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// What the clones of a `WatchedFile` share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) mode: Option<u32>,
    pub(super) trusts_path: bool,
    pub(super) create_after: Duration,
    /// Whether the file can be rotated: not a device.
    pub(super) is_watched: bool,
    pub(super) files: Box<dyn FileSystem>,
    pub(super) notice: Notice,
    pub(super) turns: Turns<State>,
    /// The target of the state, for those who don't have its lock.
    pub(super) target: Mutex<PathBuf>,
    /// Where names change when the path leads elsewhere: itself and its target, without links in their directories, as whoever
    /// watches has last found them.
    pub(super) spots: Mutex<Vec<PathBuf>>,
    /// Whether somebody has asked for the disk: then files that are left are synchronized too.
    pub(super) is_synced: AtomicBool,
    pub(super) clock: Clock,
    pub(super) hints: Hints,
    /// How often this process was forked when the log was opened, and the way of the lines of its children.
    pub(super) forks: u64,
    pub(super) forked: Forked,
}

impl Shared {
    /// Returns whether this is a child that fork(2) has made since the log was opened. It must not wait for any lock of the
    /// parent's.
    pub(super) fn is_forked(&self) -> bool {
        self.forks != sys::forks()
    }

    /// Returns the counters as they are now; in a child made by fork(2), those of its own lines.
    pub(super) fn stats(&self) -> Stats {
        if self.is_forked() { self.forked.stats() } else { self.turns.lock().tail.stats }
    }

    /// Has the kernel write the file and its name to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.is_synced.store(true, Ordering::Relaxed);
        let failed = |cause| Error::io("synchronize with the disk", &self.path, cause);
        if self.is_forked() {
            return self.files.sync(&self.path).map_err(failed);
        }
        let mut state = self.turns.lock();
        if state.tail.stats.queued_lines > 0 {
            let why = state.broken().unwrap_or("the file was removed").to_owned();
            return Err(failed(io::Error::other(why + ", and lines wait until there is a file again")));
        }
        state.file.check().and_then(|_| state.file.sync()).map_err(failed)?;
        if self.is_watched {
            self.files.sync(state.target.parent().unwrap_or(&state.target)).map_err(failed)?;
        }
        Ok(())
    }

    /// Finds the spots anew. A directory is named in one way only, whatever links lead to it.
    pub(super) fn find_spots(&self) -> Vec<PathBuf> {
        let target = self.target.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let path = match (self.path.parent().map(Path::canonicalize), self.path.file_name()) {
            (Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => self.path.clone(),
        };
        let mut spots = vec![path, target];
        spots.dedup();
        self.spots.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&spots);
        spots
    }

    /// Returns the spots.
    pub(super) fn spots(&self) -> Vec<PathBuf> {
        self.spots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The turn of the thread that looks. Returns when it has to come again.
    pub(super) fn tick(&self) -> Duration {
        let due = self.hints.due_in(self.clock.instant());
        if due > TOGETHER {
            return due;
        }
        // A line that is being written to a disk that hangs is not waited for: other files have their turn.
        let Some(mut state) = self.turns.try_lock(Some(Duration::from_millis(20))) else { return LATE };
        if state.is_over {
            return LATE;
        }
        let mut aftermath = Aftermath::default();
        let next = self.look(&mut state, &mut aftermath);
        aftermath.lost = state.tail.stats.dropped_lines;
        drop(state);
        self.settle(aftermath);
        next
    }

    /// The last look: what was written to a file that was removed, what waits for one, and what the log is still to say has its
    /// last chance. With the last clone it `is_over`; at the end of the process lines may still come.
    pub(super) fn finish(&self, is_over: bool) {
        if self.is_forked() {
            return self.forked.finish(self);
        }
        let Some(mut state) = self.turns.try_lock(Some(LAST_PATIENCE)) else { return };
        let mut aftermath = Aftermath::default();
        self.look_for_the_last_time(&mut state, &mut aftermath);
        state.write_announcements();
        state.is_over |= is_over;
        let lost = state.tail.stats.dropped_lines;
        aftermath.lost = lost;
        drop(state);
        self.settle(aftermath);
        self.notice.tell_total(&self.path, lost);
    }

    /// Does what must not be done under the lock.
    pub(super) fn settle(&self, aftermath: Aftermath) {
        drop(aftermath.left);
        for (trouble, error) in &aftermath.troubles {
            let lost = if *trouble == Trouble::Write { aftermath.lost } else { 0 };
            self.notice.tell_with(*trouble, error, lost);
        }
    }

    /// Has a line that could not be written told.
    pub(super) fn failed_to_write(&self, cause: io::Error) -> (Trouble, Error) {
        (Trouble::Write, Error::io("write a line to", &self.path, cause))
    }
}

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        if self.is_forked() {
            return self.forked.take_lines(self, lines, was_cut);
        }
        let mut aftermath = Aftermath::default();
        match self.turns.lock_for(lines::count(lines), was_cut, None) {
            Ok(mut state) => {
                let state = &mut *state;
                let is_due = || self.hints.is_due_for_lines(&self.clock) || state.is_look_needed_for(lines);
                if (self.is_watched || state.broken().is_some()) && is_due() {
                    self.look(state, &mut aftermath);
                }
                if let Err(cause) = self.write(state, lines, &mut aftermath) {
                    aftermath.troubles.push(self.failed_to_write(cause));
                }
                aftermath.lost = state.tail.stats.dropped_lines;
            }
            Err(busy) => aftermath.troubles.push(self.failed_to_write(busy)),
        }
        self.settle(aftermath);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

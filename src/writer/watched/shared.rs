//! What the clones of a `WatchedFile` share, and the way of a line into it.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    ending::Ending,
    follow::Place,
    forked::Forked,
    hints::{Hints, LATE},
    left::Left,
    recent::Recent,
};
use crate::{
    Error,
    clock::Clock,
    error::Trouble,
    file::{AppendFile, FileId, FileSystem, Opened},
    handoff,
    notice::Notice,
    sys,
    writer::{
        Stats, TakeLines, lines,
        tail::Tail,
        turns::{HasTail, Turns},
    },
};

/// Looks that are due so soon after each other are done at once, so that the thread wakes once for many files: half of the
/// time between two.
const TOGETHER: Duration = Duration::from_millis(75);

/// What the clones of a `WatchedFile` share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) mode: Option<u32>,
    pub(super) create_after: Duration,
    /// Whether the file can be rotated: not a device.
    pub(super) is_watched: bool,
    pub(super) files: Box<dyn FileSystem>,
    pub(super) notice: Notice,
    pub(super) turns: Turns<State>,
    /// Where the path led to when its file was opened: another path if it is a link, or its directory is.
    pub(super) target: Mutex<PathBuf>,
    /// Whether somebody has asked for the disk: then files that are left are synchronized too.
    pub(super) is_synced: AtomicBool,
    pub(super) clock: Clock,
    pub(super) hints: Hints,
    /// How often this process was forked when the log was opened, and the way of the lines of its children.
    pub(super) forks: u64,
    pub(super) forked: Forked,
}

/// What changes from line to line.
#[derive(Debug)]
pub(super) struct State {
    pub(super) file: Box<dyn AppendFile>,
    pub(super) id: FileId,
    pub(super) tail: Tail,
    pub(super) recent: Recent,
    pub(super) place: Place,
    pub(super) ending: Ending,
    /// The file before, for a moment.
    pub(super) left: Option<Left>,
    /// The most that the kernel lets this process write into a file, before it sends SIGXFSZ.
    size_limit: u64,
    /// Whether the last clone is gone: nothing is made or opened any more.
    is_over: bool,
}

/// What is to be done when the lock is gone: trouble to tell, files to close.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) troubles: Vec<(Trouble, Error)>,
    pub(super) left: Vec<Box<dyn AppendFile>>,
}

impl State {
    pub(super) fn new(opened: Opened) -> Self {
        let mut tail = Tail::default();
        tail.is_torn = opened.is_torn;
        State {
            ending: Ending::of(opened.len, &tail),
            file: opened.file,
            id: opened.id,
            tail,
            recent: Recent::default(),
            place: Place::default(),
            left: None,
            size_limit: sys::file_size_limit(),
            is_over: false,
        }
    }

    /// Goes on with another file. Returns the one that is left.
    pub(super) fn begin(&mut self, opened: Opened) -> Box<dyn AppendFile> {
        self.id = opened.id;
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

    /// Returns whether the kernel lets this process write so many bytes more.
    pub(super) fn has_room_for(&mut self, len: usize) -> bool {
        if self.size_limit == u64::MAX {
            return true;
        }
        let Ok((now, _)) = self.file.ending() else { return true };
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

impl Shared {
    /// Returns whether this is a child that fork(2) has made since the log was opened.
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
        state.file.sync().map_err(failed)?;
        if self.is_watched {
            self.files.sync(self.path.parent().unwrap_or(&self.path)).map_err(failed)?;
        }
        Ok(())
    }

    /// Returns where the path led to when its file was opened.
    pub(super) fn target(&self) -> PathBuf {
        self.target.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the directories in which something happens when the path leads elsewhere.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let mut directories: Vec<_> = [self.path.clone(), self.target()]
            .iter()
            .filter_map(|path| path.parent().map(Path::to_owned))
            .collect();
        directories.dedup();
        directories
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
        drop(state);
        self.settle(aftermath);
        next
    }

    /// The last clone goes: lines that wait for a file have their last chance.
    pub(super) fn finish(&self) {
        if self.is_forked() {
            return;
        }
        let Some(mut state) = self.turns.try_lock(Some(Duration::from_secs(1))) else { return };
        let mut aftermath = Aftermath::default();
        if state.place.is_gone() {
            self.look(&mut state, &mut aftermath);
        }
        let waiting = std::mem::take(&mut state.tail.stats.queued_lines);
        if waiting > 0 {
            state.tail.stats.dropped_lines += waiting;
            let cause = io::Error::other(format!(
                "{waiting} lines are lost, the file was removed and can't be made again"
            ));
            aftermath.troubles.push(self.failed_to_write(cause));
        }
        state.is_over = true;
        drop(state);
        self.settle(aftermath);
    }

    /// Does what must not be done under the lock.
    pub(super) fn settle(&self, aftermath: Aftermath) {
        drop(aftermath.left);
        aftermath.troubles.iter().for_each(|(trouble, error)| self.notice.tell(*trouble, error));
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
                if self.is_watched
                    && (self.hints.is_due_for_lines(&self.clock) || !state.recent.has_room_for(lines.len()))
                {
                    self.look(state, &mut aftermath);
                }
                if let Err(cause) = state.write_lines(lines) {
                    aftermath.troubles.push(self.failed_to_write(cause));
                }
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

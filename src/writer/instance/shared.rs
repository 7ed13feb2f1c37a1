//! What the clones of an `InstanceFile` share, and the way of a line into it.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::PathBuf,
    time::{Duration, Instant},
};

#[cfg(all(feature = "gzip", unix))]
use super::gzip::Signal;
use super::{ending, family::Family, forked::Forked, lock::Terms};
use crate::{
    Error,
    calendar::{Due, Every, Period, Zone},
    clock::Clock,
    error::Trouble,
    file::{self, AppendFile, FileId, FileSystem, Opened},
    handoff,
    notice::Notice,
    sys,
    writer::{
        Stats, TakeLines, lines,
        tail::Tail,
        turns::{HasTail, Turn, Turns},
    },
};

/// How long a rotation that failed waits for its next try.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many free numbers among the backups, left by rotations that were stopped or by somebody who removed some, are
/// looked behind.
pub(super) const GAPS: usize = 16;

/// What the clones of an `InstanceFile` share.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    /// The size that the live file doesn't exceed, of single lines that are larger apart; `u64::MAX` for none.
    pub(super) max_bytes: u64,
    pub(super) backups: usize,
    /// When else the file is rotated.
    pub(super) every: Option<(Every, Zone)>,
    pub(super) mode: Option<u32>,
    pub(super) terms: Terms,
    pub(super) files: Box<dyn FileSystem>,
    pub(super) clock: Clock,
    pub(super) notice: Notice,
    pub(super) turns: Turns<State>,
    /// How often this process was forked when the log was opened, and the way of the lines of its children.
    pub(super) forks: u64,
    pub(super) forked: Forked,
    /// The process that has opened the log, and the name of the family.
    pub(super) opener: u32,
    pub(super) family: String,
    #[cfg(all(feature = "gzip", unix))]
    pub(super) compress: Option<std::sync::Arc<Signal>>,
}

/// What changes from line to line.
#[derive(Debug)]
pub(super) struct State {
    pub(super) file: Box<dyn AppendFile>,
    pub(super) id: FileId,
    /// The file's length, as far as this process wrote it.
    pub(super) len: u64,
    pub(super) tail: Tail,
    /// Whether the open file has been renamed away, and no new one is open yet.
    pub(super) is_renamed: bool,
    /// The names of the backup for which there is no slot, while a rotation is under way.
    pub(super) oldest: Vec<PathBuf>,
    /// The hour, day or week of the file, if it is rotated by time.
    pub(super) period: Option<Period>,
    /// Of the written lines, so many are in files that had a name at the last look, or were rotated away.
    pub(super) safe_lines: u64,
    /// The second of the last look at the path.
    pub(super) looked_at: i64,
    /// Whether the open file is to be opened again, whatever the path says: it could not be written to, or is no more open.
    pub(super) is_suspect: bool,
    /// When a rotation that failed may be tried again.
    pub(super) retry_at: Option<Instant>,
    /// The most that the kernel lets this process write into a file, before it sends SIGXFSZ.
    pub(super) size_limit: u64,
    /// The rotations up to the last `sync`.
    pub(super) synced_rotations: u64,
    pub(super) family: Family,
}

/// Trouble that is told when the lock is gone.
pub(super) type Troubles = Vec<(Trouble, Error)>;

impl Shared {
    /// Locks the state.
    pub(super) fn state(&self) -> Turn<'_, State> {
        self.turns.lock()
    }

    /// Returns whether this is a child that fork(2) has made since the log was opened.
    pub(super) fn is_forked(&self) -> bool {
        self.forks != sys::forks()
    }

    /// Returns the counters as they are now; in a child made by fork(2), those of its own lines.
    pub(super) fn stats(&self) -> Stats {
        if self.is_forked() { self.forked.stats() } else { self.state().tail.stats }
    }

    /// Rotates a file whose hour, day or week is over.
    fn rotate_if_due(&self, state: &mut State, troubles: &mut Troubles) {
        let (Some((every, zone)), Some(period)) = (&self.every, &state.period) else { return };
        match period.due(self.clock.now(), *every, zone) {
            Due::Stay => {}
            Due::Reanchor(period) => state.period = Some(period),
            Due::Rotate(period) => {
                if state.len == 0 || self.rotate(state, troubles) {
                    state.period = Some(period);
                }
            }
        }
    }

    /// Writes lines to the files that they belong into: as many with one call as fit.
    fn write_lines(&self, state: &mut State, mut lines: &[u8], troubles: &mut Troubles) {
        while !lines.is_empty() {
            let mut fitting = lines::fitting(lines, state.room(self.max_bytes));
            if fitting == 0 {
                let has_room = state.len == 0 || self.rotate(state, troubles);
                let max_bytes = if has_room { self.max_bytes } else { u64::MAX };
                fitting = lines::fitting(lines, state.room(max_bytes)).max(lines::first(lines));
            }
            let (now, later) = lines.split_at(fitting);
            if let Err(cause) = self.append(state, now, troubles) {
                troubles.push((Trouble::Write, Error::io("write a line to", &self.path, cause)));
            }
            lines = later;
        }
    }

    /// Rotates, or goes on with a rotation that failed. Returns whether a new live file is open.
    pub(super) fn rotate(&self, state: &mut State, troubles: &mut Troubles) -> bool {
        if state.retry_at.is_some_and(|at| self.clock.instant() < at) {
            return false;
        }
        let closed = match state.close_fragment() {
            Err(error) if file::is_stale(&error) => Ok(()), // it is of no use any more, and the new one has another
            closed => closed,
        };
        let opened = closed
            .and_then(|()| self.try_rotate(state, troubles).inspect_err(|_| state.tail.stats.errors += 1));
        match opened {
            Ok(opened) => {
                self.go_on_with(state, opened, troubles);
                true
            }
            Err(cause) => {
                state.retry_at = Some(self.clock.instant() + RETRY_AFTER);
                troubles.push((
                    Trouble::Rotation,
                    Error::io("rotate, so that it grows beyond its limit,", &self.path, cause),
                ));
                false
            }
        }
    }

    /// Writes lines in the log's own process, or in one that has taken it over.
    pub(super) fn write_as_owner(&self, state: &mut State, lines: &[u8], troubles: &mut Troubles) {
        self.look_if_due(state, troubles);
        self.rotate_if_due(state, troubles);
        self.write_lines(state, lines, troubles);
    }

    /// Returns whether backups are compressed.
    pub(super) fn compresses(&self) -> bool {
        #[cfg(all(feature = "gzip", unix))]
        return self.compress.is_some();
        #[cfg(not(all(feature = "gzip", unix)))]
        return false;
    }

    /// Goes on with a live file just opened: behind a rotation, or because the path led elsewhere.
    pub(super) fn go_on_with(&self, state: &mut State, mut opened: Opened, troubles: &mut Troubles) {
        if let Some(error) = opened.mode_trouble(&self.path) {
            state.tail.stats.errors += 1;
            troubles.push((Trouble::Trust, error));
        }
        let is_rotated = state.is_renamed;
        state.begin(opened);
        if !is_rotated {
            state.tail.stats.reopens += 1;
            return;
        }
        state.tail.stats.rotations += 1;
        #[cfg(all(feature = "gzip", unix))]
        if !self.is_forked() {
            self.compress.iter().for_each(|signal| signal.compress());
        }
    }

    /// Has the kernel write the live file, the backups made since the last call, and their names to the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let synced = if self.is_forked() {
            self.forked.with_own(|own| self.sync_files(own)).unwrap_or_else(|| self.files.sync(&self.path))
        } else {
            self.sync_files(&mut self.state())
        };
        synced.map_err(|cause| Error::io("synchronize with the disk", &self.path, cause))
    }

    fn sync_files(&self, state: &mut State) -> io::Result<()> {
        state.file.sync()?;
        let new_backups =
            usize::try_from(state.tail.stats.rotations - state.synced_rotations).unwrap_or(usize::MAX);
        let slots = if new_backups > 0 { self.slots(state, self.backups, GAPS)? } else { Vec::new() };
        let newest = new_backups.saturating_add(usize::from(state.is_renamed));
        for path in slots.iter().take(newest).flat_map(|slot| &slot.backups) {
            self.files.sync(path)?;
        }
        self.files.sync(self.path.parent().unwrap_or(&self.path))?;
        state.synced_rotations = state.tail.stats.rotations;
        Ok(())
    }

    /// Tells about troubles, and how many lines are lost so far, without a lock.
    pub(super) fn tell(&self, troubles: Troubles, lost: u64) {
        for (trouble, error) in &troubles {
            let is_loss = *trouble == Trouble::Write;
            if is_loss {
                ending::see_to_exit();
            }
            self.notice.tell_with(*trouble, error, if is_loss { lost } else { 0 });
        }
    }
}

impl State {
    pub(super) fn new(opened: Opened, family: Family, every: Option<&(Every, Zone)>, clock: &Clock) -> Self {
        let now = clock.now();
        let modified = if opened.len > 0 { opened.modified } else { now };
        let period = every.map(|(every, zone)| Period::of_existing(modified, now, *every, zone));
        let mut tail = Tail::default();
        tail.is_torn = opened.is_torn;
        State {
            file: opened.file,
            id: opened.id,
            len: opened.len,
            tail,
            is_renamed: false,
            oldest: Vec::new(),
            period,
            looked_at: clock.coarse_second(),
            is_suspect: false,
            safe_lines: 0,
            retry_at: None,
            size_limit: sys::file_size_limit(),
            synced_rotations: 0,
            family,
        }
    }

    /// Goes on with a file just opened.
    fn begin(&mut self, opened: Opened) {
        (self.file, self.id, self.len) = (opened.file, opened.id, opened.len);
        self.tail.is_torn = opened.is_torn;
        (self.is_renamed, self.is_suspect) = (false, false);
        self.safe_lines = self.tail.stats.written_lines;
        self.retry_at = None;
        self.size_limit = sys::file_size_limit();
    }

    /// Returns how many bytes of lines the file takes up to a size.
    fn room(&self, max_bytes: u64) -> u64 {
        max_bytes.min(self.size_limit).saturating_sub(self.len + self.tail.owed_len())
    }

    /// Appends whole lines: with one call, unless the operating system takes less at a time. Returns how many bytes it has
    /// taken, and the error that ended it.
    pub(super) fn append(&mut self, lines: &[u8]) -> (u64, io::Result<()>) {
        if self.room(u64::MAX) < lines.len() as u64 {
            let error = io::Error::from(ErrorKind::FileTooLarge);
            self.tail.stats.errors += 1;
            self.tail.lose(lines::count(lines), &error);
            return (0, Err(error));
        }
        let file = &mut self.file;
        let (taken, result) = self.tail.append(lines, &mut |bytes| file.append(bytes));
        self.len += taken;
        (taken, result)
    }

    /// Appends lines of which nothing was taken, to another file.
    pub(super) fn append_again(&mut self, lines: &[u8]) -> io::Result<()> {
        self.tail.find(lines::count(lines));
        self.append(lines).1
    }

    /// Writes what the log is still to say. A failure is counted, and tells nobody anything that it doesn't know already.
    pub(super) fn write_announcements(&mut self) {
        if self.tail.has_to_say() && self.len.saturating_add(self.tail.owed_len()) <= self.size_limit {
            let _ = self.append(&[]);
        }
    }

    /// Closes the fragment that the file ends in, if it does, and if the kernel lets this process write so much.
    fn close_fragment(&mut self) -> io::Result<()> {
        if self.size_limit < self.len + self.tail.owed_len() {
            return Ok(());
        }
        let file = &mut self.file;
        let (taken, result) = self.tail.close_fragment(&mut |bytes| file.append(bytes));
        self.len += taken;
        result
    }
}

impl HasTail for State {
    fn tail_mut(&mut self) -> &mut Tail {
        &mut self.tail
    }
}

impl TakeLines for Shared {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        if self.is_forked() {
            return self.forked.take_lines(self, lines, was_cut);
        }
        let mut state = match self.turns.lock_for(lines::count(lines), was_cut, None) {
            Ok(state) => state,
            Err(busy) => {
                return self.tell(vec![(Trouble::Write, Error::io("write a line to", &self.path, busy))], 0);
            }
        };
        let mut troubles = Troubles::new();
        self.write_as_owner(&mut state, lines, &mut troubles);
        let lost = state.tail.stats.dropped_lines;
        drop(state);
        self.tell(troubles, lost);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceFile").field("path", &self.path).finish_non_exhaustive()
    }
}

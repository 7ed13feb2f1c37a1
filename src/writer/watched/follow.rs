//! Where the path leads to now, and going there.
//!
//! # Hint, truth, floor
//!
//! An event in the directory is a *hint*: it makes the next look due, and wakes the thread that looks. The *truth* is one
//! stat(2) of the path, compared with the open file: device and inode (and, as inodes are used again, when it was made).
//! The *floor* is a timer: with no hint at all, the next look comes after [`ACTIVE`] or `IDLE`. If even that doesn't come,
//! because the thread is stopped or gone, the next line looks by itself.
//!
//! # What a look finds, and what it does
//!
//! 1. The path leads to the open file: nothing. (Its end is inspected: see `ending.rs`.) If the descriptor of the open file went
//!    bad, the file is opened again: see `broken.rs`.
//! 2. It leads to another regular file: that is opened first, without O_CREAT; then lines go there. The old one is closed.
//! 3. Nothing has the path. Lines go on into the open file, which has another name now, until somebody makes the new
//!    one: logrotate(8) needs a moment between its rename and its `create`, which is O_EXCL, so a writer that makes the file
//!    at once gets into its way. After `create_after` it is made here, with O_EXCL too. It is made at once if a compressor is at
//!    work on the open file: no `create` comes after that. If the open file has no name any more, nobody would read what is
//!    written to it: then it is made at once too, in a directory that is made again.
//! 4. Anything else, be it a directory, a FIFO, a link that leads nowhere, or a permission that is missing: lines go on into
//!    the open file. The next look tries again; the second that fails is told.
//!
//! What becomes of lines that went into a file that was removed: see `change.rs`.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    change::Name,
    ending::{ACTIVE, SOON},
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{
    Error,
    error::Trouble,
    file::{FileId, Opened, no_regular_file, trust},
};

/// How long a path that can't be followed is nobody's trouble: `create` of logrotate(8) makes the file first, and then gives
/// it to its owner.
const PATIENCE: Duration = Duration::from_millis(90);

/// What is known of the path, while it doesn't lead to the open file.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Since when nothing has it.
    missing_since: Option<Instant>,
    /// Since when it can't be followed.
    outage: Option<Outage>,
    /// Whether a look that found it gone came much too late: then nobody knows what happened to it.
    pub(super) was_late: bool,
    /// Whether the open file was seen to have another name.
    pub(super) was_moved: bool,
    /// The lines that had been written in all when no compressor was at work on the open file, which had another name.
    pub(super) not_packed: Option<u64>,
    /// Since when the open file is known to have no name any more: lines wait.
    pub(super) gone_since: Option<Instant>,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    is_told: bool,
}

impl Place {
    pub(super) fn is_gone(&self) -> bool {
        self.gone_since.is_some()
    }
}

/// Why there is a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occasion {
    pub(super) now: Instant,
    /// Whether it comes much later than it should.
    pub(super) is_late: bool,
    /// Whether somebody has asked for it, who doesn't want to wait for anything.
    pub(super) is_asked: bool,
}

/// Where the path leads to.
enum Leads {
    ToTheOpenFile,
    ToAnother,
    /// Nowhere; the path at which the file is to be made.
    Nowhere(PathBuf),
}

impl Shared {
    /// Looks where the path leads to, and follows it. Returns when to look again.
    pub(super) fn look(&self, state: &mut State, aftermath: &mut Aftermath) -> Duration {
        let now = self.clock.instant();
        let is_late = self.hints.begin(now);
        self.let_go(state, now, aftermath);
        let occasion = Occasion { now, is_late, is_asked: false };
        let followed = self.follow(state, occasion, aftermath);
        let next = followed.unwrap_or_else(|error| self.failed(state, occasion, error, aftermath));
        let next = state.left.as_ref().map_or(next, |left| next.min(left.kept_for(now)));
        self.hints.end(now + next);
        next
    }

    /// Looks now, because somebody asks for it.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        if self.is_forked() {
            return Ok(()); // every line of a child looks by itself
        }
        let failed = |cause| Error::io("reopen", &self.path, cause);
        let Some(mut state) = self.turns.try_lock(None) else {
            return Err(failed(ErrorKind::ResourceBusy.into()));
        };
        let mut aftermath = Aftermath::default();
        let occasion = Occasion { now: self.clock.instant(), is_late: false, is_asked: true };
        let followed = self.follow(&mut state, occasion, &mut aftermath);
        self.hints.hint();
        drop(state);
        self.settle(aftermath);
        followed.map(drop).map_err(failed)
    }

    /// Follows the path if it can. Returns when to look again.
    pub(super) fn follow(
        &self,
        state: &mut State,
        occasion: Occasion,
        aftermath: &mut Aftermath,
    ) -> io::Result<Duration> {
        match self.find(state)? {
            Leads::ToTheOpenFile => match state.file.len() {
                Ok(len) if state.broken().is_none() && !occasion.is_asked => {
                    state.recent.clear_written();
                    self.has_its_place(state, aftermath);
                    Ok(self.inspect(state, len, occasion.now, aftermath))
                }
                len => self.open_again(state, len.err(), aftermath),
            },
            Leads::ToAnother => {
                state.place.missing_since = None;
                let name = self.name_of_old(state, occasion);
                if name == Name::Unsure {
                    return Ok(SOON);
                }
                match self.open_there() {
                    Ok(opened) if opened.id == state.id => Ok(SOON),
                    Ok(opened) => Ok(self.go_on(state, opened, name, occasion, aftermath)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(SOON),
                    Err(error) => Err(error),
                }
            }
            Leads::Nowhere(vacant) => self.fill(state, &vacant, occasion, aftermath),
        }
    }

    /// The path leads to the open file: it takes the lines that wait.
    pub(super) fn has_its_place(&self, state: &mut State, aftermath: &mut Aftermath) {
        state.place = Place::default();
        self.hints.was_moved.store(false, Ordering::Relaxed);
        if state.left.is_none() {
            self.hints.is_elsewhere.store(false, Ordering::Relaxed);
        }
        if let Err(cause) = state.write_again(Vec::new()) {
            aftermath.troubles.push(self.failed_to_write(cause));
        }
    }

    /// Makes the file at a path that nothing has, if it is time. Returns when to look again.
    fn fill(
        &self,
        state: &mut State,
        vacant: &Path,
        occasion: Occasion,
        aftermath: &mut Aftermath,
    ) -> io::Result<Duration> {
        let name = self.name_of_old(state, occasion);
        if name == Name::Unsure {
            return Ok(SOON);
        }
        state.place.missing_since.take_if(|_| occasion.is_late);
        let missing = occasion.now - *state.place.missing_since.get_or_insert(occasion.now);
        self.hints.is_elsewhere.store(true, Ordering::Relaxed);
        let has_time = name == Name::Has && !occasion.is_asked && missing < self.create_after;
        if has_time && !self.is_being_packed(&*state.file) {
            // A compressor may come soon, or never.
            state.place.not_packed = Some(state.tail.stats.written_lines);
            let next = if missing < ACTIVE { SOON } else { ACTIVE };
            return Ok(next.min(self.create_after - missing));
        }
        match self.make(state, vacant, name, aftermath) {
            Ok(opened) => Ok(self.go_on(state, opened, name, occasion, aftermath)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(SOON),
            Err(error) => Err(error),
        }
    }

    fn find(&self, state: &State) -> io::Result<Leads> {
        match self.files.find_target(&self.path)? {
            Some(found) if found.is_char_device && !self.is_watched && found.id != state.id => {
                Ok(Leads::ToAnother)
            }
            Some(found) if found.is_char_device && !self.is_watched => Ok(Leads::ToTheOpenFile),
            Some(found) if found.is_dir => Err(ErrorKind::IsADirectory.into()),
            Some(found) if !found.is_file => Err(no_regular_file()),
            Some(found) if found.id == state.id => Ok(Leads::ToTheOpenFile),
            Some(_) => Ok(Leads::ToAnother),
            None => Ok(Leads::Nowhere(self.vacant(state)?)),
        }
    }

    pub(super) fn open_there(&self) -> io::Result<Opened> {
        if !self.is_watched {
            return self.files.open_device(&self.path);
        }
        let opened = self.files.open_existing(&self.path)?;
        self.check(Some(opened.id))?;
        Ok(opened)
    }

    /// Returns an error if this is a root process, and other users may change the way to the log.
    fn check(&self, open: Option<FileId>) -> io::Result<()> {
        if self.trusts_path { Ok(()) } else { trust::check(&self.path, open) }
    }

    /// Returns at which path the file is to be made: behind a link that still leads to where it did, there.
    fn vacant(&self, state: &State) -> io::Result<PathBuf> {
        match self.files.find(&self.path)? {
            Some(found) if found.is_link => match trust::leads_to(&self.path) {
                Ok(target) if target == state.target => Ok(target),
                _ => Err(io::Error::new(ErrorKind::NotFound, "it is a link that leads nowhere")),
            },
            _ => Ok(self.path.clone()),
        }
    }

    /// Makes the file. It belongs to the owner of the open one, and has its mode unless the builder has set another, as far as
    /// this process may give it away.
    fn make(
        &self,
        state: &mut State,
        path: &Path,
        name: Name,
        aftermath: &mut Aftermath,
    ) -> io::Result<Opened> {
        if path != self.path {
            self.check(None)?; // it is behind a link
        }
        let before = if state.is_nowhere() { None } else { state.file.metadata().ok() };
        // Nobody else's until it has the owner and the mode that it is to have.
        let mode = if before.is_some() { Some(0o600) } else { self.mode };
        let mut opened = match (self.files.create_new(path, mode), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound && name == Name::None => {
                self.files.create_dir_all(parent)?;
                self.files.create_new(path, mode)
            }
            (made, _) => made,
        }?;
        if let Some(before) = before
            && let Err(cause) = opened.file.take_after(&before, self.mode)
        {
            state.tail.stats.errors += 1;
            let error = Error::io("keep the owner and the mode of", &self.path, cause);
            aftermath.troubles.push((Trouble::Follow, error));
        }
        Ok(opened)
    }

    /// Notes that the path can't be followed. Returns when to try again.
    fn failed(
        &self,
        state: &mut State,
        occasion: Occasion,
        cause: io::Error,
        aftermath: &mut Aftermath,
    ) -> Duration {
        state.tail.stats.errors += 1;
        state.place.missing_since = None;
        self.name_of_old(state, occasion);
        let now = occasion.now;
        let is_first = state.place.outage.is_none();
        let outage = state.place.outage.get_or_insert(Outage { since: now, is_told: false });
        if !outage.is_told && now - outage.since >= PATIENCE {
            outage.is_told = true;
            let what = "follow, so that lines go on into the old file,";
            aftermath.troubles.push((Trouble::Follow, Error::own_or_io(what, &self.path, cause)));
        }
        if is_first { SOON } else { ACTIVE }
    }
}

/// Looks again at the end of a file that seems to be torn: another process may have been in the middle of a line.
pub(super) fn settle_end(opened: &mut Opened) {
    if opened.is_torn
        && let Ok((len, last)) = opened.file.settled_ending()
    {
        opened.len = len;
        opened.is_torn = last.is_some_and(|byte| byte != b'\n');
    }
}

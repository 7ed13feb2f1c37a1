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
//! 1. The path leads to the open file: nothing. (Its end is inspected: see `ending.rs`.)
//! 2. It leads to another regular file: that is opened first, without O_CREAT; then lines go there. The old one is closed.
//! 3. Nothing has the path. Lines go on into the open file, which has another name now, until somebody makes the new
//!    one: logrotate(8) needs a moment between its rename and its `create`, which is O_EXCL, so a writer that makes the file
//!    at once gets into its way. After `create_after` it is made here, with O_EXCL too. If the open file has no name any
//!    more, nobody would read what is written to it: then it is made at once, in a directory that is made again too.
//! 4. Anything else, be it a directory, a FIFO, a link that leads nowhere, or a permission that is missing: lines go on into
//!    the open file. The next look tries again; the second that fails is told.
//!
//! # A file that was removed
//!
//! Between the removal and the look that finds it, lines went into a file without a name. They are kept in memory (see
//! `recent.rs`) and written again. That is done only if the file is known to have been removed in its place: one that
//! was renamed first may have been read by a compressor, and its lines would be there twice. Those are counted as lines
//! at risk. While no new file can be made, lines wait in memory, as many as fit, and the others are counted as lost.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    ending::{ACTIVE, SOON},
    left::Left,
    shared::{Aftermath, Shared, State},
};
use crate::{
    Error,
    error::Trouble,
    file::{Found, Opened, no_regular_file},
    writer::lines,
};

/// How long a path that can't be followed is nobody's trouble: `create` of logrotate(8) makes the file first, and then gives
/// it to its owner.
const PATIENCE: Duration = Duration::from_millis(90);

/// How many links a link may lead through.
const LINKS: usize = 8;

/// What is known of the path, while it doesn't lead to the open file.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Since when nothing has it.
    missing_since: Option<Instant>,
    /// Since when it can't be followed.
    outage: Option<Outage>,
    /// Whether the open file was seen to have another name.
    was_moved: bool,
    /// Whether the open file has no name any more, and no other can be had.
    is_gone: bool,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    is_told: bool,
}

impl Place {
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }
}

/// Why there is a look.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    now: Instant,
    /// Whether it comes much later than it should.
    is_late: bool,
    /// Whether somebody has asked for it, who doesn't want to wait until the file is made.
    is_asked: bool,
}

/// Where the path leads to.
enum Leads {
    ToTheOpenFile(Found),
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
        let followed = self.follow(state, Occasion { now, is_late, is_asked: false }, aftermath);
        let next = followed.unwrap_or_else(|error| self.failed(state, now, error, aftermath));
        let next = state.left.as_ref().map_or(next, |left| next.min(left.kept_for(now)));
        self.hints.end(now + next);
        next
    }

    /// Looks now, because somebody asks for it.
    pub(super) fn reopen(&self) -> Result<(), Error> {
        if self.is_forked() || !self.is_watched {
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
    fn follow(
        &self,
        state: &mut State,
        occasion: Occasion,
        aftermath: &mut Aftermath,
    ) -> io::Result<Duration> {
        match self.find(state)? {
            Leads::ToTheOpenFile(found) => {
                state.place = Place::default();
                state.recent.clear();
                self.hints.was_moved.store(false, Ordering::Relaxed);
                Ok(self.inspect(state, found.len, occasion.now, aftermath))
            }
            Leads::ToAnother => {
                let has_name = note_name(state)?;
                match self.open_there() {
                    Ok(opened) if opened.id == state.id => Ok(SOON),
                    Ok(opened) => Ok(self.go_on(state, opened, has_name, occasion, aftermath)),
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(SOON),
                    Err(error) => Err(error),
                }
            }
            Leads::Nowhere(vacant) => {
                let has_name = note_name(state)?;
                let missing = occasion.now - *state.place.missing_since.get_or_insert(occasion.now);
                if has_name && !occasion.is_asked && missing < self.create_after {
                    return Ok((self.create_after - missing).min(ACTIVE));
                }
                match self.make(&vacant, has_name) {
                    Ok(opened) => Ok(self.go_on(state, opened, has_name, occasion, aftermath)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(SOON),
                    Err(error) => Err(error),
                }
            }
        }
    }

    fn find(&self, state: &State) -> io::Result<Leads> {
        match self.files.find_target(&self.path)? {
            Some(found) if found.is_char_device && !self.is_watched => Ok(Leads::ToAnother),
            Some(found) if found.is_dir => Err(ErrorKind::IsADirectory.into()),
            Some(found) if !found.is_file => Err(no_regular_file()),
            Some(found) if found.id == state.id => Ok(Leads::ToTheOpenFile(found)),
            Some(_) => Ok(Leads::ToAnother),
            None => Ok(Leads::Nowhere(self.vacant()?)),
        }
    }

    fn open_there(&self) -> io::Result<Opened> {
        if self.is_watched {
            self.files.open_existing(&self.path)
        } else {
            self.files.open_device(&self.path)
        }
    }

    /// Returns at which path the file is to be made: behind a link that still leads to where it did, there.
    fn vacant(&self) -> io::Result<PathBuf> {
        match self.files.find(&self.path)? {
            Some(found) if found.is_link => {
                let target = self.target();
                match leads_to(&self.path) {
                    Ok(leads) if leads == target => Ok(target),
                    _ => Err(io::Error::new(ErrorKind::NotFound, "it is a link that leads nowhere")),
                }
            }
            _ => Ok(self.path.clone()),
        }
    }

    /// Makes the file.
    fn make(&self, path: &Path, has_name: bool) -> io::Result<Opened> {
        match (self.files.create_new(path, self.mode), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound && !has_name => {
                self.files.create_dir_all(parent)?;
                self.files.create_new(path, self.mode)
            }
            (made, _) => made,
        }
    }

    /// Goes on with another file. Returns when to look again.
    fn go_on(
        &self,
        state: &mut State,
        mut opened: Opened,
        has_name: bool,
        occasion: Occasion,
        aftermath: &mut Aftermath,
    ) -> Duration {
        if has_name {
            self.part_with_old(state, aftermath);
        }
        settle_end(&mut opened);
        state.tail.stats.reopens += u64::from(!state.is_nowhere());
        let lines = state.ending.lines_since_look(&state.tail);
        let file = state.begin(opened);
        if has_name {
            let before = state.left.replace(Left { file, lines, since: occasion.now });
            aftermath.left.extend(before.map(|left| left.file));
        } else {
            aftermath.left.push(file);
        }
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) =
            self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let was_moved = self.hints.was_moved.swap(false, Ordering::Relaxed) || state.place.was_moved;
        state.place = Place::default();
        if !has_name {
            let is_told = self.hints.is_told.load(Ordering::Relaxed) && !self.is_forked();
            self.bring_back(state, is_told && !was_moved && !occasion.is_late, aftermath);
        }
        state.recent.clear();
        ACTIVE
    }

    /// Leaves a file in good order.
    fn part_with_old(&self, state: &mut State, aftermath: &mut Aftermath) {
        let file = &mut state.file;
        // What fails here is counted, and tells nobody anything that it doesn't know already.
        let _ = state.tail.close_fragment(&mut |bytes| file.append(bytes));
        if self.is_synced.load(Ordering::Relaxed)
            && let Err(cause) = state.file.sync()
        {
            let error = Error::io("synchronize with the disk what was rotated away from", &self.path, cause);
            aftermath.troubles.push((Trouble::Follow, error));
        }
    }

    /// Writes lines that went into a file without a name, or waited for one.
    fn bring_back(&self, state: &mut State, is_certain: bool, aftermath: &mut Aftermath) {
        let recent = std::mem::take(&mut state.recent);
        let (written, waiting) = recent.parts();
        state.tail.stats.queued_lines -= lines::count(waiting);
        if is_certain {
            state.tail.note_again(recent.said());
        } else {
            self.at_risk(state, lines::count(written), "removed", aftermath);
        }
        let file = &mut state.file;
        let append = &mut |bytes: &[u8]| file.append(bytes);
        let rewritten =
            if is_certain && !written.is_empty() { state.tail.rewrite(written, append) } else { Ok(()) };
        let appended = if waiting.is_empty() { Ok(()) } else { state.tail.append(waiting, append).1 };
        for cause in [rewritten, appended].into_iter().filter_map(Result::err) {
            aftermath.troubles.push(self.failed_to_write(cause));
        }
    }

    /// Counts lines that may be lost, tells about them, and has the log say it.
    pub(super) fn at_risk(&self, state: &mut State, lines: u64, how: &str, aftermath: &mut Aftermath) {
        state.tail.stats.at_risk_lines += lines;
        if lines == 0 {
            return;
        }
        state
            .tail
            .note(format_args!("up to {lines} lines may be lost reason=\"file {how} by another program\""));
        let cause = io::Error::other(format!(
            "the file was {how} by another program, up to {lines} lines may be lost"
        ));
        aftermath.troubles.push((Trouble::Truncated, Error::io("keep every line in", &self.path, cause)));
    }

    /// Notes that the path can't be followed. Returns when to try again.
    fn failed(
        &self,
        state: &mut State,
        now: Instant,
        cause: io::Error,
        aftermath: &mut Aftermath,
    ) -> Duration {
        state.tail.stats.errors += 1;
        state.place.is_gone = state.file.links().is_ok_and(|links| links == 0);
        let is_first = state.place.outage.is_none();
        let outage = state.place.outage.get_or_insert(Outage { since: now, is_told: false });
        if !outage.is_told && now - outage.since >= PATIENCE {
            outage.is_told = true;
            aftermath.troubles.push((
                Trouble::Follow,
                Error::io("follow, so that lines go on into the old file,", &self.path, cause),
            ));
        }
        if is_first { SOON } else { ACTIVE }
    }
}

/// Returns whether the open file has a name. Then what was written to it is safe.
fn note_name(state: &mut State) -> io::Result<bool> {
    let has_name = state.file.links()? > 0;
    if has_name {
        state.recent.clear();
        state.place.was_moved = true;
    }
    Ok(has_name)
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

/// Returns where a link leads to, also if nothing is there: as `canonicalize` would, if there were something.
fn leads_to(link: &Path) -> io::Result<PathBuf> {
    let mut path = link.to_owned();
    for _ in 0..LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { break };
        let place = parent.canonicalize()?.join(name);
        match place.read_link() {
            Ok(next) => path = place.with_file_name("").join(next),
            Err(_) => return Ok(place),
        }
    }
    Err(ErrorKind::NotFound.into())
}

//! From one file to the next, and what becomes of lines that went into one that was removed.
//!
//! Between a removal and the look that finds it, lines went into a file without a name. They are kept in memory (see
//! `recent.rs`) and written again. That is done only if the file is known to have been removed in its place: one that
//! was renamed first may have been read by a compressor, and its lines would be there twice. Those are counted as lines
//! at risk. To know it, the one who is told of events needs its turn: from the first look that finds no name on, lines
//! wait in memory, and a look [`SOON`] after decides. A look that comes late decides that nobody knows.
//!
//! While no new file can be made, lines go on waiting, as many as fit, and the others are counted as lost.

use std::{
    io,
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use super::{
    ending::{ACTIVE, SOON},
    fate::Fate,
    follow::{Occasion, Place, settle_end},
    left::{KEPT, KEPT_LONG, Left},
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{
    Error,
    error::Trouble,
    file::Opened,
    writer::{lines, tail::REMOVED},
};

/// Whether the open file has a name, when it is not the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// It has: what was written to it is safe.
    Has,
    /// It has none, and how it came to that will be known soon.
    Unsure,
    /// It has none.
    None,
}

impl Shared {
    /// Finds out whether the open file has a name.
    pub(super) fn name_of_old(&self, state: &mut State, occasion: Occasion) -> Name {
        match state.file.links() {
            Ok(links) if links > 0 => {
                state.place.was_moved = true;
                return Name::Has;
            }
            Ok(_) => {}
            Err(cause) => {
                state.break_off(&cause);
                // If it lasts, nobody knows whether it was moved.
                state.place.was_moved |= state.place.is_gone();
            }
        }
        if !state.place.is_gone() {
            state.place.gone_since = Some(occasion.now);
            // As if it had been moved, for all that anybody knows.
            state.place.was_late = occasion.is_late;
            state.place.was_moved |= occasion.is_late || !self.is_told();
        }
        let is_known = self.hints.was_moved.load(Ordering::Relaxed) || state.place.was_moved;
        let waited = state.place.gone_since.map(|since| occasion.now.saturating_duration_since(since));
        let is_time = waited.is_none_or(|waited| waited >= SOON);
        if is_known || is_time || occasion.is_asked { Name::None } else { Name::Unsure }
    }

    /// Returns whether every change is told.
    fn is_told(&self) -> bool {
        self.hints.is_told.load(Ordering::Relaxed) && !self.is_forked()
    }

    /// Goes on with another file. Returns when to look again.
    pub(super) fn go_on(
        &self,
        state: &mut State,
        mut opened: Opened,
        name: Name,
        occasion: Occasion,
        aftermath: &mut Aftermath,
    ) -> Duration {
        if name == Name::Has {
            self.part_with_old(state, aftermath);
        }
        settle_end(&mut opened);
        aftermath.troubles.extend(opened.mode_trouble(&self.path).map(|error| (Trouble::Trust, error)));
        state.tail.stats.reopens += u64::from(!state.is_nowhere());
        let target = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        if !self.is_forked() {
            target.clone_into(&mut self.target.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let mut old = state.begin(opened, target, self.clock.now());
        let was_moved = self.hints.was_moved.swap(false, Ordering::Relaxed) || state.place.was_moved;
        state.place = Place::default();
        self.part_with_left(state, occasion.now, aftermath);
        if name == Name::Has {
            let kept = if self.is_being_packed(&*old.file) { KEPT_LONG } else { KEPT };
            self.hints.is_elsewhere.store(true, Ordering::Relaxed);
            state.left = Some(Left { old, since: occasion.now, kept });
            self.bring_back(state, Fate::default(), REMOVED, aftermath);
        } else {
            let fate = self.fate(&mut old, was_moved);
            state.tail.note_again(&old.last.said);
            self.bring_back(state, fate, REMOVED, aftermath);
            aftermath.left.push(old.file);
        }
        ACTIVE
    }

    /// Leaves a file in good order.
    fn part_with_old(&self, state: &mut State, aftermath: &mut Aftermath) {
        if state.file.check().is_err() {
            return; // nothing must be written to that number
        }
        state.ending.doubt(&mut state.tail, &mut *state.file);
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

    /// Writes lines again that are in no file, and those that wait for one; counts those of which nobody can tell.
    pub(super) fn bring_back(&self, state: &mut State, fate: Fate, how: &str, aftermath: &mut Aftermath) {
        self.at_risk(state, fate.at_risk, how, aftermath);
        if let Err(cause) = state.write_again(fate.again) {
            aftermath.troubles.push(self.failed_to_write(cause));
        }
    }

    /// Brings lines to safety that are in no file that has a name, at the end; or counts them.
    pub(super) fn look_for_the_last_time(&self, state: &mut State, aftermath: &mut Aftermath) {
        let now = self.clock.instant();
        self.part_with_left(state, now, aftermath);
        let is_safe = |state: &State| !state.place.is_gone() && state.broken().is_none();
        let has_no_name = self.is_watched && state.file.links().map_or(true, |links| links == 0);
        if is_safe(state) && !has_no_name {
            return;
        }
        if self.follow(state, Occasion { now, is_late: false, is_asked: true }, aftermath).is_ok()
            && is_safe(state)
        {
            return;
        }
        let (written, _) = state.recent.take_written();
        self.at_risk(state, lines::count(&written), REMOVED, aftermath);
        let lost = state.lose_waiting();
        if lost > 0 {
            let why = state.broken().unwrap_or("the file was removed and can't be made again");
            let cause = format!("{lost} lines are lost, {why}");
            aftermath.troubles.push(self.failed_to_write(io::Error::other(cause)));
        }
    }

    /// Counts lines that may be lost, tells about them, and has the log say it.
    pub(super) fn at_risk(&self, state: &mut State, lines: u64, how: &str, aftermath: &mut Aftermath) {
        if let Some(cause) = state.tail.put_at_risk(lines, how) {
            aftermath.troubles.push((Trouble::Risk, Error::io("keep every line in", &self.path, cause)));
        }
    }
}

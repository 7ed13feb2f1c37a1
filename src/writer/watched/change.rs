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
    follow::{Occasion, Place, settle_end},
    left::Left,
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{Error, error::Trouble, file::Opened, writer::lines};

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
    pub(super) fn name_of_old(&self, state: &mut State, occasion: Occasion) -> io::Result<Name> {
        if state.file.links()? > 0 {
            state.recent.clear_written();
            state.place.was_moved = true;
            return Ok(Name::Has);
        }
        if state.place.gone_since.is_none() {
            state.place.gone_since = Some(occasion.now);
            // As if it had been moved, for all that anybody knows.
            state.place.was_moved |= occasion.is_late || !self.is_told();
        }
        let is_known = self.hints.was_moved.load(Ordering::Relaxed) || state.place.was_moved;
        let waited = state.place.gone_since.map(|since| occasion.now.saturating_duration_since(since));
        let is_time = waited.is_none_or(|waited| waited >= SOON);
        Ok(if is_known || is_time || occasion.is_asked { Name::None } else { Name::Unsure })
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
        let lines = state.ending.lines_since_look(&state.tail);
        let target = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        if !self.is_forked() {
            target.clone_into(&mut self.target.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let file = state.begin(opened, target);
        if name == Name::Has {
            let before = state.left.replace(Left { file, lines, since: occasion.now });
            aftermath.left.extend(before.map(|left| left.file));
        } else {
            aftermath.left.push(file);
        }
        let was_moved = self.hints.was_moved.swap(false, Ordering::Relaxed) || state.place.was_moved;
        state.place = Place::default();
        if name != Name::Has {
            self.bring_back(state, !was_moved, aftermath);
        }
        ACTIVE
    }

    /// Leaves a file in good order.
    fn part_with_old(&self, state: &mut State, aftermath: &mut Aftermath) {
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

    /// Writes lines that went into a file without a name, if that `is_certain`, and lines that waited for one.
    fn bring_back(&self, state: &mut State, is_certain: bool, aftermath: &mut Aftermath) {
        let mut result = Ok(());
        if !is_certain {
            self.at_risk(state, lines::count(state.recent.written()), "removed", aftermath);
            state.recent.clear_written();
        } else if !state.recent.written().is_empty() {
            state.tail.note_again(state.recent.said());
            let file = &mut state.file;
            result = state.tail.rewrite(state.recent.written(), &mut |bytes| file.append(bytes));
        }
        for cause in [result, state.write_waiting()].into_iter().filter_map(Result::err) {
            aftermath.troubles.push(self.failed_to_write(cause));
        }
    }

    /// Brings lines to safety that are in no file that has a name, at the end; or counts them.
    pub(super) fn look_for_the_last_time(&self, state: &mut State, aftermath: &mut Aftermath) {
        let now = self.clock.instant();
        self.part_with_left(state, now, aftermath);
        if !self.is_watched || !(state.place.is_gone() || state.file.links().is_ok_and(|links| links == 0)) {
            return;
        }
        if self.follow(state, Occasion { now, is_late: false, is_asked: true }, aftermath).is_ok()
            && !state.place.is_gone()
        {
            return;
        }
        self.at_risk(state, lines::count(state.recent.written()), "removed", aftermath);
        state.recent.clear_written();
        let lost = state.lose_waiting();
        if lost > 0 {
            let cause = format!("{lost} lines are lost, the file was removed and can't be made again");
            aftermath.troubles.push(self.failed_to_write(io::Error::other(cause)));
        }
    }

    /// Counts lines that may be lost, tells about them, and has the log say it.
    pub(super) fn at_risk(&self, state: &mut State, lines: u64, how: &str, aftermath: &mut Aftermath) {
        state.tail.stats.at_risk_lines += lines;
        if lines == 0 {
            return;
        }
        let what = format!("up to {lines} lines may be lost");
        state.tail.note(format_args!("{what} reason=\"file {how} by another program\""));
        let cause = io::Error::other(format!("the file was {how} by another program, {what}"));
        aftermath.troubles.push((Trouble::Truncated, Error::io("keep every line in", &self.path, cause)));
    }
}

//! The file that was left a moment ago.
//!
//! Whoever compresses a rotated file reads it to its end, and then removes it. If it is gone so soon after it was left, the last
//! lines may have come behind that end: nobody can tell, so they are counted as lines at risk. (`delaycompress` of
//! logrotate(8) leaves the file alone until the next rotation.) What happens to it later is no sign of that: the next
//! rotation may have come.

use std::time::{Duration, Instant};

use super::{
    shared::Shared,
    state::{Aftermath, State},
};
use crate::file::AppendFile;

/// How long a file is kept open after it was left.
const KEPT: Duration = Duration::from_millis(30);

/// How long after that it is too late to say anything.
const TOO_LATE: Duration = Duration::from_millis(30);

/// A file that was left, and the lines that were written to it at last.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) file: Box<dyn AppendFile>,
    /// The lines that were written to it since it was last seen in its place.
    pub(super) lines: u64,
    pub(super) since: Instant,
}

impl Left {
    /// Returns how long it is still kept.
    pub(super) fn kept_for(&self, now: Instant) -> Duration {
        KEPT.saturating_sub(self.age(now))
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Shared {
    /// Lets go of the file that was left, if it is time.
    pub(super) fn let_go(&self, state: &mut State, now: Instant, aftermath: &mut Aftermath) {
        if state.left.as_ref().is_some_and(|left| left.age(now) >= KEPT) {
            self.part_with_left(state, now, aftermath);
        }
    }

    /// Lets go of the file that was left.
    pub(super) fn part_with_left(&self, state: &mut State, now: Instant, aftermath: &mut Aftermath) {
        let Some(left) = state.left.take() else { return };
        if left.age(now) < KEPT + TOO_LATE && left.file.links().is_ok_and(|links| links == 0) {
            self.at_risk(state, left.lines, "removed", aftermath);
        }
        aftermath.left.push(left.file);
    }
}

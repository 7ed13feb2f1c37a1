//! The file that was left a moment ago.
//!
//! A compressor reads a rotated file to its end, and then removes it. If it is gone so soon after it was left, the last lines may
//! have come behind that end: `fate.rs` finds out which. They are written again, behind lines that came meanwhile. (`delaycompress` of logrotate(8) leaves the file alone until the next
//! rotation.) What happens to it later is no sign of that: the next rotation may have come.

use std::time::{Duration, Instant};

use super::{
    fate::Old,
    shared::Shared,
    state::{Aftermath, State},
};
use crate::writer::tail::REMOVED;

/// How long a file is kept open after it was left.
pub(super) const KEPT: Duration = Duration::from_millis(30);

/// How long it is kept open if a compressor was at work on it already when it was left: fsync(2) of what that has written is a
/// part of its work.
pub(super) const KEPT_LONG: Duration = Duration::from_millis(120);

/// How long after that it is too late to say anything.
const TOO_LATE: Duration = Duration::from_millis(30);

/// A file that was left, and the lines that were written to it at last.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) old: Old,
    pub(super) since: Instant,
    /// How long it is kept.
    pub(super) kept: Duration,
}

impl Left {
    /// Returns how long it is still kept.
    pub(super) fn kept_for(&self, now: Instant) -> Duration {
        self.kept.saturating_sub(self.age(now))
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

impl Shared {
    /// Lets go of the file that was left, if it is time.
    pub(super) fn let_go(&self, state: &mut State, now: Instant, aftermath: &mut Aftermath) {
        let is_removed = |left: &Left| left.old.file.links().is_ok_and(|links| links == 0);
        if state.left.as_ref().is_some_and(|left| left.age(now) >= left.kept || is_removed(left)) {
            self.part_with_left(state, now, aftermath);
        }
    }

    /// Lets go of the file that was left.
    pub(super) fn part_with_left(&self, state: &mut State, now: Instant, aftermath: &mut Aftermath) {
        let Some(mut left) = state.left.take() else { return };
        if left.age(now) < left.kept + TOO_LATE && left.old.file.links().is_ok_and(|links| links == 0) {
            let fate = self.fate(&mut left.old, true);
            self.bring_back(state, fate, REMOVED, aftermath);
        }
        aftermath.left.push(left.old.file);
    }
}

//! The file that was left a moment ago.
//!
//! Whoever compresses a rotated file reads it to its end, and then removes it. If it is gone so soon after it was left, the last
//! lines may have come behind that end: nobody can tell, so they are counted as lines at risk. (`delaycompress` of
//! logrotate(8) leaves the file alone until the next rotation.)

use std::time::{Duration, Instant};

use super::shared::{Aftermath, Shared, State};
use crate::file::AppendFile;

/// How long a file is kept open after it was left.
const KEPT: Duration = Duration::from_millis(90);

/// A file that was left, and the lines that were written to it at last.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) file: Box<dyn AppendFile>,
    /// The lines that were written to it since it was last seen in its place.
    pub(super) lines: u64,
    pub(super) since: Instant,
}

impl Shared {
    /// Keeps a file that is left, and lets go of one that was left before.
    pub(super) fn keep_left(&self, state: &mut State, left: Left, aftermath: &mut Aftermath) {
        if let Some(before) = state.left.replace(left) {
            self.part_with(state, before, aftermath);
        }
    }

    /// Lets go of the file that was left, if it is time.
    pub(super) fn let_go(&self, state: &mut State, now: Instant, aftermath: &mut Aftermath) {
        if let Some(left) = state.left.take_if(|left| now.saturating_duration_since(left.since) >= KEPT) {
            self.part_with(state, left, aftermath);
        }
    }

    fn part_with(&self, state: &mut State, left: Left, aftermath: &mut Aftermath) {
        if left.file.links().is_ok_and(|links| links == 0) {
            self.at_risk(state, left.lines, "removed", aftermath);
        }
        aftermath.left.push(left.file);
    }
}

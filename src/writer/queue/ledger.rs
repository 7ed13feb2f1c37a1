//! What the log knows of the lines that are lost, and when it is told of more.

use std::time::{Duration, Instant};

use super::{
    core::{Core, Mode},
    drops::Drops,
};

/// Losses are announced so often at most, while there is much to write.
pub(super) const EVERY: Duration = Duration::from_millis(250);

/// How often the last losses are announced: once more if that has failed.
const LAST_WORDS: u8 = 2;

/// The account of the announcements.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The losses that the log knows of.
    told: Drops,
    at: Option<Instant>,
    /// How much was settled when the log was told, or was to be told: the next time has to wait until more is.
    settled: Option<u64>,
    /// How often something was said at the end, when nothing else was left to write.
    last_words: u8,
    /// What the sink has said when it lost a line.
    pub(super) reason: String,
}

impl Ledger {
    /// Returns the losses that the log is to be told of now, and takes the gap in the lines for told.
    ///
    /// `has_more` lines are about to be written, others wait in the queue (`has_lines`); it `is_quiet`.
    pub(super) fn due(
        &mut self,
        core: &mut Core,
        nested: u64,
        has_more: bool,
        has_lines: bool,
        is_quiet: bool,
    ) -> Option<Drops> {
        let all = Drops { nested, ..core.drops };
        if all == self.told {
            return None;
        }
        let is_end = core.mode == Mode::Closing && !has_more && !has_lines;
        let is_last = is_end && self.last_words < LAST_WORDS;
        // What the writing has caused is told along with other lines, or at the end: else it would cause more for ever.
        let is_due = match core.gap {
            Some(gap) => gap <= core.settled_to,
            None => has_more || is_last,
        };
        let is_pressing = is_quiet || core.mode != Mode::Threaded || core.is_flush_wanted();
        let is_soon = !is_pressing && self.at.is_some_and(|at| at.elapsed() < EVERY);
        let is_muted = self.settled == Some(core.settled) && !is_last;
        if !is_due || is_soon || is_muted {
            return None;
        }
        self.last_words += u8::from(is_end);
        core.gap = None;
        (self.at, self.settled) = (Some(Instant::now()), Some(core.settled));
        Some(all.since(&self.told))
    }

    /// The log was told of these losses.
    pub(super) fn told(&mut self, drops: &Drops) {
        self.told = self.told.and(drops);
    }
}

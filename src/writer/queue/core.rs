//! What a queue counts and holds beside its lanes, under one short lock. Nothing in here waits, formats, or calls anybody.

use std::io;

use super::{
    drops::{Cause, Drops},
    first::First,
    lanes::Room,
};
use crate::sys::stamp;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The writer's thread.
    Threaded,
    /// It still does, and ends when everything is written that was logged before. Whoever logs now waits until it is.
    Closing,
    /// There is no such thread (any more): whoever logs.
    Direct,
}

/// How far something has come: all lines with stamps up to one, and so many entries of the side buffer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mark {
    pub(super) main: u64,
    pub(super) side: u64,
}

impl Mark {
    /// Returns whether this is as far as another mark.
    pub(super) fn has(self, mark: Mark) -> bool {
        self.main >= mark.main && self.side >= mark.side
    }
}

/// The state of a queue.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) mode: Mode,
    /// How much may still go into the lanes.
    pub(super) room: Room,
    /// A line that is too large for them, and its stamp.
    pub(super) large: Option<(u64, Vec<u8>)>,
    /// Lines that were gathered elsewhere, and memory for such.
    pub(super) batch: Option<Vec<u8>>,
    pub(super) empty: Vec<u8>,
    /// How many bytes were written or lost; and up to which stamp all lines were.
    pub(super) settled: u64,
    pub(super) settled_to: u64,
    /// Up to where the sink was flushed, and how many bytes that were; and up to where somebody waits for it.
    pub(super) flushed: Mark,
    pub(super) flushed_bytes: u64,
    pub(super) flush_to: Mark,
    /// The sink is to be flushed as soon as it can: a fork waits for that.
    pub(super) cleans: bool,
    /// The last flush that the sink refused for good: what was said.
    pub(super) flush_failed: Option<(io::ErrorKind, String)>,
    /// In `Mode::Closing`: what was logged before.
    pub(super) closes_at: Mark,
    /// Threads that wait for room; and those of them that go before any other, one after the other.
    pub(super) waiting: usize,
    pub(super) first: First,
    /// Threads that wait for something to be written.
    pub(super) watching: usize,
    /// Rises whenever the sink has taken something, or something was given up.
    pub(super) progress: u64,
    /// Somebody has waited for progress in vain, and there was none since.
    pub(super) is_stalled: bool,
    /// That lines are lost by it was told.
    pub(super) has_told_stall: bool,
    /// The end of the queue had a limit, and that has passed.
    pub(super) is_given_up: bool,
    /// Lines by what became of them; accepted are those that were not put into a lane.
    pub(super) accepted: u64,
    pub(super) written: u64,
    pub(super) drops: Drops,
    /// The stamp of the first loss that is not announced yet.
    pub(super) gap: Option<u64>,
    pub(super) bytes: u64,
    pub(super) errors: u64,
}

impl Core {
    pub(super) fn new(mode: Mode, room: Room) -> Self {
        Core {
            mode,
            room,
            large: None,
            batch: None,
            empty: Vec::new(),
            settled: 0,
            settled_to: 0,
            flushed: Mark::default(),
            flushed_bytes: 0,
            flush_to: Mark::default(),
            cleans: false,
            flush_failed: None,
            closes_at: Mark::default(),
            waiting: 0,
            first: First::new(),
            watching: 0,
            progress: 0,
            is_stalled: false,
            has_told_stall: false,
            is_given_up: false,
            accepted: 0,
            written: 0,
            drops: Drops::default(),
            gap: None,
            bytes: 0,
            errors: 0,
        }
    }

    /// Takes a line that is too large for a lane, when nothing else is there.
    pub(super) fn take_large(&mut self, lines: &[u8], count: u64) {
        self.room.grant(lines.len());
        self.accepted += count;
        self.large = Some((stamp::now(), lines.to_vec()));
    }

    /// Takes a batch that was filled elsewhere, with so many lines in it, when nothing else is there.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn take_batch(&mut self, batch: Vec<u8>, lines: u64) {
        self.accepted += lines;
        self.room.grant(batch.len());
        self.batch = Some(batch);
    }

    /// Returns whether somebody waits for what is there to be written.
    pub(super) fn is_pressing(&self) -> bool {
        self.room.is_half_full() || self.waiting > 0 || self.is_flush_wanted() || self.mode != Mode::Threaded
    }

    /// Returns whether somebody waits for a flush.
    pub(super) fn is_flush_wanted(&self) -> bool {
        self.cleans || !self.flushed.has(self.flush_to)
    }

    /// Has a flush wanted up to a mark.
    pub(super) fn want_flush(&mut self, mark: Mark) {
        let Mark { main, side } = self.flush_to;
        self.flush_to = Mark { main: main.max(mark.main), side: side.max(mark.side) };
    }

    /// So many bytes of lines were written or lost.
    pub(super) fn settle(&mut self, bytes: usize) {
        self.room.give_back(bytes);
        self.settled += bytes as u64;
        self.moved();
    }

    /// Notes that the sink has moved.
    pub(super) fn moved(&mut self) {
        self.progress += 1;
        self.is_stalled = false;
        self.has_told_stall = false;
    }

    /// Counts lines that had no room.
    pub(super) fn drop_lines(&mut self, cause: Cause, lines: u64) {
        self.drops.count(cause, lines);
        self.note_gap();
    }

    /// Notes that a line is missing that was logged up to now.
    pub(super) fn note_gap(&mut self) {
        self.gap.get_or_insert_with(stamp::now);
    }
}

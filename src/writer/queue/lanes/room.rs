//! How much may still go into a queue: bytes of lines, whatever lane they are in, and blocks for them.

use super::shape::Shape;
use crate::writer::LineKind;

/// Room beyond the capacity: for lines of level ERROR; and in all, with as much again that only lines about tasks take (RUNNING and
/// its like, retry separators), so that many errors don't crowd them out.
const FOR_ERRORS: usize = 64 * 1024;
pub(in crate::writer) const RESERVED: usize = 2 * FOR_ERRORS;

/// No entry of a lane is longer.
const MOST_IN_A_LANE: usize = 256 * 1024 * 1024;

/// How much of the room beyond the capacity is for such lines.
pub(in crate::writer) fn beyond(kind: LineKind) -> usize {
    match kind {
        kind if kind.is_about_task() => RESERVED,
        kind if kind.is_urgent() => FOR_ERRORS,
        _ => 0,
    }
}

/// The room of all lanes together, under the lock of their queue.
#[derive(Debug)]
pub(in crate::writer) struct Room {
    capacity: usize,
    /// Bytes of lines that are in the queue, and those that lanes may take without asking again.
    granted: usize,
    /// Blocks that were given back: the last is the next to be used, its memory is near. Then those that were never used, from a
    /// number on.
    free: Vec<u32>,
    fresh: u32,
    blocks: u32,
}

impl Room {
    pub(in crate::writer) fn new(capacity: usize, shape: &Shape) -> Self {
        let blocks = shape.blocks as u32;
        Room { capacity, granted: 0, free: Vec::with_capacity(shape.blocks), fresh: 0, blocks }
    }

    /// Returns whether so many bytes of such lines may go in. A line larger than the whole queue passes alone.
    pub(in crate::writer) fn has(&self, bytes: usize, kind: LineKind) -> bool {
        let needed = self.granted.saturating_add(bytes);
        let is_within = needed <= self.capacity || needed <= self.capacity.saturating_add(beyond(kind));
        self.granted == 0 || (is_within && !self.is_too_large(bytes))
    }

    /// Returns whether such a line needs the queue to be nearly empty: it would never find room beside others.
    pub(in crate::writer) fn is_large(&self, bytes: usize) -> bool {
        bytes > self.capacity / 2
    }

    /// Returns whether no lane may have the blocks for so many bytes: they pass alone.
    pub(in crate::writer) fn is_too_large(&self, bytes: usize) -> bool {
        bytes > self.capacity.saturating_add(RESERVED).min(MOST_IN_A_LANE)
    }

    /// Grants bytes.
    pub(in crate::writer) fn grant(&mut self, bytes: usize) {
        self.granted += bytes;
    }

    /// Returns how much one of so many lanes may have beyond what it needs, a block at most: less, the less room there is.
    pub(super) fn spare(&self, lanes: usize, block: usize) -> usize {
        (self.capacity.saturating_sub(self.granted) / (4 * lanes.max(1))).min(block)
    }

    /// So many bytes were written or lost, or are not needed.
    pub(in crate::writer) fn give_back(&mut self, bytes: usize) {
        self.granted = self.granted.saturating_sub(bytes);
    }

    /// Returns how many blocks no lane has.
    pub(super) fn blocks(&self) -> usize {
        self.free.len() + (self.blocks - self.fresh) as usize
    }

    /// Takes a block, if there is one.
    pub(super) fn take_block(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let block = self.fresh;
            (block < self.blocks).then(|| {
                self.fresh += 1;
                block
            })
        })
    }

    /// Gives a block back.
    pub(super) fn put_block(&mut self, block: u32) {
        self.free.push(block);
    }

    /// Returns whether nothing is granted.
    #[cfg(any(all(feature = "multiprocess", unix), test))]
    pub(in crate::writer) fn is_empty(&self) -> bool {
        self.granted == 0
    }

    /// Returns whether half of it is in use.
    pub(in crate::writer) fn is_half_full(&self) -> bool {
        self.granted > self.capacity / 2
    }
}

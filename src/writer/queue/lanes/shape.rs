//! What is where in the memory of lanes, byte by byte. All numbers have 8 bytes.
//!
//! | from | what |
//! |---|---|
//! | 0 | the head: what the writer does, and what a ring's file has besides |
//! | [`Shape::slot`] | 128 bytes for each lane: 64 that its producers write, 64 that the writer writes |
//! | [`Shape::next`] | 8 bytes for each block: the block behind it in its lane |
//! | [`Shape::data`] | the blocks |
//!
//! A lane is a stream of bytes: a *position* in it is counted from the beginning of all times. It lies in a chain of blocks, each with
//! as many bytes as any other, a power of two. So a position says where in its block it is, and only the block is to be found: by
//! the chain. What was read is given back, block by block, and used again by any lane. A lane that was read to its end may give back
//! all it has. Then it goes on in a new chain, at the next position that begins a block: [`BASE`] says where.

use super::room::RESERVED;

/// In the head: what the writer does, see [`protocol`](super::protocol); and 1 if a line is to be written at once.
pub(in crate::writer) const STATE: usize = 384;
pub(in crate::writer) const URGENT: usize = 392;

/// So many lanes were ever used: the first ones.
pub(in crate::writer) const USED: usize = 400;

/// The length of a head that has nothing else.
const HEAD: usize = 512;

/// The length of a lane's slot, and places in it. Its producers write: where the stream ends; the oldest block that it still has,
/// and its position; how many lines it ever had, and how many bytes these were.
const SLOT: usize = 128;
pub(in crate::writer) const END: usize = 0;
pub(in crate::writer) const BASE: usize = 8;
pub(in crate::writer) const LINES: usize = 16;
pub(in crate::writer) const BYTES: usize = 24;
/// The writer writes, twice: up to where the lane was taken.
pub(in crate::writer) const TAKEN: [usize; 2] = [64, 96];

/// Where the blocks begin: at a multiple of this, a page.
const PAGE: usize = 4096;

/// The most lanes. Threads beyond that share them.
const MOST_LANES: usize = 64;

/// Blocks have at least so many bytes, and at most. Smaller ones would be no page; in larger ones a lane would keep too much to itself.
const SMALLEST: usize = 4096;
const LARGEST: usize = 16 * 1024;

/// No queue has more blocks: that are 4 GiB.
pub(in crate::writer) const MOST_BLOCKS: usize = 1 << 18;

/// In memory that is provided as it is touched, how many bytes there are for each byte of lines: each entry has 16 bytes more than
/// its line, and up to 7 to be a multiple of 8.
const BESIDE_SHORT_LINES: usize = 4;

/// The measures of lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::writer) struct Shape {
    pub(in crate::writer) head: usize,
    /// How many lanes: a power of two.
    pub(in crate::writer) lanes: usize,
    /// The size of a block: a power of two.
    pub(in crate::writer) block: usize,
    pub(in crate::writer) blocks: usize,
}

impl Shape {
    /// The lanes of a queue that is for one process, and for so many bytes of lines.
    pub(in crate::writer) fn in_process(capacity: usize) -> Self {
        let block = (capacity / MOST_LANES).clamp(SMALLEST, LARGEST).next_power_of_two();
        let lanes = MOST_LANES;
        let bytes = capacity.saturating_add(RESERVED).saturating_mul(BESIDE_SHORT_LINES);
        let blocks = (bytes / block + lanes + 1).min(MOST_BLOCKS);
        Shape { head: HEAD, lanes, block, blocks }
    }

    /// Returns where the slot of a lane is.
    #[inline]
    pub(in crate::writer) fn slot(&self, lane: usize) -> usize {
        self.head + lane * SLOT
    }

    /// Returns where it says which block comes behind a block.
    pub(in crate::writer) fn next(&self, block: u32) -> usize {
        self.head + self.lanes * SLOT + block as usize * 8
    }

    /// Returns where a block begins.
    pub(in crate::writer) fn data(&self, block: u32) -> usize {
        self.begin() + block as usize * self.block
    }

    fn begin(&self) -> usize {
        (self.head + self.lanes * SLOT + self.blocks * 8).next_multiple_of(PAGE)
    }

    /// Returns the size of all.
    pub(in crate::writer) fn len(&self) -> usize {
        self.begin().saturating_add(self.blocks.saturating_mul(self.block))
    }

    /// The number that says where a chain begins: at a position that is a multiple of the block's size.
    pub(in crate::writer) fn base(&self, position: u64, block: u32) -> u64 {
        (position / self.block as u64) << 24 | u64::from(block)
    }

    /// The position and the block that such a number means.
    pub(in crate::writer) fn of_base(&self, base: u64) -> (u64, u32) {
        ((base >> 24) * self.block as u64, (base & 0xFF_FFFF) as u32)
    }
}

/// The length of what comes before an entry's lines: their length and number, and the stamp.
pub(in crate::writer) const HEADER: usize = 16;

/// The length of an entry with so many bytes of lines.
#[inline]
pub(in crate::writer) fn entry(lines: usize) -> usize {
    HEADER + lines.next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_has_room_for_its_capacity_and_overlaps_nothing() {
        for capacity in [1, 100, 4096, 20_000, 64 * 1024, 1 << 20, 3 << 20, 8 << 20, 1 << 30] {
            let shape = Shape::in_process(capacity);
            assert!(shape.lanes.is_power_of_two() && shape.block.is_power_of_two(), "{shape:?}");
            assert!(shape.blocks * shape.block >= (4 * capacity).min(4 << 30), "{shape:?}");
            assert!(shape.slot(shape.lanes - 1) + SLOT <= shape.next(0));
            assert!(shape.next(shape.blocks as u32 - 1) + 8 <= shape.data(0));
            assert_eq!(shape.data(shape.blocks as u32 - 1) + shape.block, shape.len());
            assert_eq!((shape.data(0) % PAGE, shape.block % PAGE), (0, 0));
        }
        assert_eq!(Shape::in_process(usize::MAX).blocks, MOST_BLOCKS);
    }

    #[test]
    fn where_a_chain_begins_is_read_back() {
        let shape = Shape::in_process(8 << 20);
        for (position, block) in [(0, 0), (16 * 1024, 3), (16 * 1024 * 12_345_678_901, 0xFF_FFFF)] {
            assert_eq!(shape.of_base(shape.base(position, block)), (position, block));
        }
    }
}

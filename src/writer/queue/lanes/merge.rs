//! The lines of all lanes in one order.
//!
//! Each entry has a stamp of a clock that is the same for all threads. The writer reads the clock, then where the lanes end, and takes
//! entries with stamps below what the clock said, the smallest first. So a line that was logged after another one's log call had
//! returned comes behind it, also on another thread:
//!
//! - Both are there at the look: then the second has the larger stamp, as its producer read the clock after the first had
//!   published.
//! - Only the second is there. Then the first was published after the look at its lane, and so after the writer had read the clock. The
//!   second's stamp is that or later: it isn't taken yet.
//!
//! (Where the clock has steps so large that a line, its log call's return, another thread and that one's line fit into one, lines of two
//! lanes with the same stamp may change places. A step has 1 ns on x86-64, up to some 50 ns on other machines.)
//!
//! It may stop at any entry, and look anew: the same holds. In a lane the order is that of the lane, whatever its stamps say.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::consumer::Flaw;

/// Lanes to be merged, by number.
pub(in crate::writer) trait Streams {
    /// How many they are.
    fn count(&self) -> usize;

    /// Returns the stamp of a lane's next entry, if there is one.
    fn stamp(&mut self, number: usize) -> Result<Option<u64>, Flaw>;

    /// Takes that entry, and appends its lines.
    fn take(&mut self, number: usize, into: &mut Vec<u8>) -> Result<(), Flaw>;
}

/// Merges lanes.
#[derive(Debug, Default)]
pub(in crate::writer) struct Merge {
    /// The lanes that have an entry, by its stamp.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Merge {
    /// Appends lines to `into`, in their order, up to a stamp, until `most` bytes are there. Returns up to which stamp it has all.
    ///
    /// # Errors
    ///
    /// A lane that can't be used, by its number. What was taken before is sound.
    pub(in crate::writer) fn gather(
        &mut self,
        streams: &mut impl Streams,
        to: u64,
        most: usize,
        into: &mut Vec<u8>,
    ) -> Result<u64, (usize, Flaw)> {
        self.next.clear();
        for number in 0..streams.count() {
            if let Some(stamp) = streams.stamp(number).map_err(|flaw| (number, flaw))? {
                self.next.push(Reverse((stamp, number)));
            }
        }
        while let Some(Reverse((mut stamp, number))) = self.next.pop() {
            let others = self.next.peek().map_or(u64::MAX, |Reverse((stamp, _))| *stamp);
            // As long as this one is the first.
            while stamp <= others {
                if stamp > to {
                    return Ok(to);
                }
                if into.len() >= most {
                    return Ok(stamp.saturating_sub(1));
                }
                let next = streams.take(number, into).and_then(|()| streams.stamp(number));
                match next.map_err(|flaw| (number, flaw))? {
                    Some(next) => stamp = stamp.max(next),
                    None => break,
                }
            }
            if stamp > others {
                self.next.push(Reverse((stamp, number)));
            }
        }
        Ok(to)
    }
}

//! The producers' end: a log call copies its lines into the lane of its thread.

use std::{
    hint,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
    thread,
};

use crossbeam_utils::CachePadded;

use super::{
    protocol,
    room::{self, RESERVED, Room},
    shape::{self, Shape},
    threads,
};
use crate::{
    sys::{
        stamp,
        try_lock::{Held, TryLock},
        words::{AtomicU64, Words},
    },
    writer::LineKind,
};

/// The part of a slot that producers write.
const SLOT_WORDS: usize = 4;

/// How often a thread that needs a lane which another one holds tries again. As a rule that one needs it for some nanoseconds. But a signal
/// handler may have interrupted it, and now wait for a lock that this thread has: so it isn't waited for.
const TRIES: u32 = 100;

/// The last tries let other threads run in between: not more, as on a busy machine each takes milliseconds.
const YIELDS: u32 = 2;

/// The lanes of a queue.
#[derive(Debug)]
pub(in crate::writer) struct Lanes {
    words: Words,
    shape: Shape,
    /// What the producers of a lane know of it. As a rule that is one thread: nobody else takes the lock, but for a moment when room is
    /// short.
    lanes: Box<[CachePadded<TryLock<Lane>>]>,
}

/// What the producers know of a lane.
#[derive(Debug, Default)]
struct Lane {
    /// Where it ends.
    end: u64,
    /// The word where the next entry goes, and how many bytes of its block are left.
    at: usize,
    left: usize,
    /// The chain of its blocks: the oldest, and its position; the one that it writes to; the last one. How many they are, and how many
    /// of them come behind the one that it writes to: all of them, if there is none.
    first: u32,
    begin: u64,
    current: u32,
    last: u32,
    blocks: usize,
    ahead: usize,
    /// How many bytes of lines it may take without asking.
    granted: usize,
    /// Up to where it was taken, when that was looked at last.
    taken: u64,
    /// How many lines it ever had, and how many bytes these were.
    lines: u64,
    bytes: u64,
}

impl Lanes {
    pub(in crate::writer) fn new(words: Words, shape: Shape) -> Self {
        let lanes = (0..shape.lanes).map(|_| CachePadded::new(TryLock::new(Lane::default()))).collect();
        Lanes { words, shape, lanes }
    }

    pub(in crate::writer) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Returns the number at a place.
    #[inline]
    pub(in crate::writer) fn number(&self, place: usize) -> &AtomicU64 {
        &self.words[place / 8]
    }

    /// Appends so many bytes from a place on, which were published.
    pub(super) fn read_words(&self, place: usize, len: usize, into: &mut Vec<u8>) {
        self.words.read(place / 8, len, into);
    }

    /// Appends lines to the lane of this thread, `count` in number, if it has room for them at hand.
    #[inline]
    pub(in crate::writer) fn append(&self, lines: &[u8], count: u64) -> bool {
        let thread = threads::number();
        self.append_as(thread, thread as usize & (self.lanes.len() - 1), lines, count)
    }

    /// The same for a thread and a lane by their numbers.
    #[inline]
    pub(super) fn append_as(&self, thread: u32, number: usize, lines: &[u8], count: u64) -> bool {
        let Ok(mut lane) = self.lanes[number].try_lock(thread) else { return false };
        let has_room = lines.len() <= lane.granted && shape::entry(lines.len()) <= lane.left;
        if has_room {
            lane.append(self, number, lines, count);
        }
        has_room
    }

    /// Appends lines for which there is room, and lets the lane have more for those that come. Returns whether there was a lane: if not,
    /// this thread may have been interrupted by a signal while it had the last one.
    pub(in crate::writer) fn append_with(
        &self,
        room: &mut Room,
        lines: &[u8],
        count: u64,
        takes_spare: bool,
    ) -> bool {
        self.append_near(self.mine(), room, lines, count, takes_spare)
    }

    /// The same for a lane by its number, or one that is free.
    pub(super) fn append_near(
        &self,
        mine: usize,
        room: &mut Room,
        lines: &[u8],
        count: u64,
        takes_spare: bool,
    ) -> bool {
        let Some((number, mut lane)) = self.any(mine) else { return false };
        if self.used() <= number {
            self.number(shape::USED).fetch_max(number as u64 + 1, Release);
        }
        lane.give_back_blocks(self, number, room, false);
        while lane.left + lane.ahead * self.shape.block < shape::entry(lines.len()) {
            let Some(block) = room.take_block() else { return false };
            lane.add_block(self, block);
        }
        let needed = lines.len().saturating_sub(lane.granted);
        room.grant(needed);
        let spare = if takes_spare { room.spare(self.used(), self.shape.block) } else { 0 };
        let spare = spare.saturating_sub(lane.granted.saturating_sub(lines.len())); // what it has already
        room.grant(spare);
        lane.granted += needed + spare;
        lane.append(self, number, lines, count);
        true
    }

    /// Returns whether a log call of this thread has its lane: then a signal has interrupted it there.
    pub(in crate::writer) fn is_interrupted(&self) -> bool {
        let thread = threads::number();
        self.lanes[self.mine()].holder() == Some(thread)
    }

    /// Locks a lane, or, while that is held, another one: the stamps have the lines of a thread in order all the same.
    fn any(&self, mine: usize) -> Option<(usize, Held<'_, Lane>)> {
        for tried in 0..TRIES {
            let numbers = (0..self.lanes.len()).map(|number| (mine + number) & (self.lanes.len() - 1));
            let mut is_all_mine = true;
            for number in numbers {
                match self.lanes[number].try_lock(threads::number()) {
                    Ok(held) => return Some((number, held)),
                    Err(holder) => is_all_mine &= holder == threads::number(),
                }
            }
            if is_all_mine {
                return None;
            }
            pause(tried);
        }
        None
    }

    /// Locks a lane, unless a log call of this thread holds it, which a signal has interrupted, or the holder doesn't run.
    fn this(&self, number: usize) -> Option<Held<'_, Lane>> {
        for tried in 0..TRIES {
            match self.lanes[number].try_lock(threads::number()) {
                Ok(held) => return Some(held),
                Err(holder) if holder == threads::number() => return None,
                Err(_) => pause(tried),
            }
        }
        None
    }

    /// Holds a lane, as an interrupted log call does.
    #[cfg(all(test, not(tasklog_loom)))]
    pub(in crate::writer) fn hold_mine(&self) -> impl Drop + use<'_> {
        self.hold(self.mine())
    }

    /// The same for a lane by its number.
    #[cfg(all(test, not(tasklog_loom)))]
    pub(super) fn hold(&self, number: usize) -> impl Drop + use<'_> {
        self.lanes[number].try_lock(threads::number()).expect("nobody holds it")
    }

    /// Returns whether so many bytes of such lines may go in, with what other lanes don't need.
    pub(in crate::writer) fn has_room(&self, room: &mut Room, bytes: usize, kind: LineKind) -> bool {
        // Short lines must not use up the memory that others have reserved.
        let kept = if room::beyond(kind) > 0 { 0 } else { 2 * RESERVED / self.shape.block };
        let blocks =
            if room.is_too_large(bytes) { 0 } else { shape::entry(bytes).div_ceil(self.shape.block) + kept };
        let has = |room: &Room| room.has(bytes, kind) && blocks <= room.blocks();
        has(room) || {
            self.take_back(room);
            has(room)
        }
    }

    /// Takes back what lanes have been granted and don't need, and their blocks that were read.
    pub(in crate::writer) fn take_back(&self, room: &mut Room) {
        for number in 0..self.used() {
            let Some(mut lane) = self.this(number) else { continue };
            room.give_back(std::mem::take(&mut lane.granted));
            lane.give_back_blocks(self, number, room, true);
        }
    }

    /// Returns how many lines ever were in the lanes, and how many bytes these were.
    pub(in crate::writer) fn totals(&self) -> (u64, u64) {
        let of_slot = |place| (0..self.used()).map(|lane| self.slot(lane, place).load(Relaxed)).sum();
        (of_slot(shape::LINES), of_slot(shape::BYTES))
    }

    /// Returns how many bytes the lanes hold that were not taken yet: roughly, as more may come meanwhile.
    pub(in crate::writer) fn waiting(&self) -> u64 {
        let of_lane = |lane| {
            let taken = self.slot(lane, shape::TAKEN[0]).load(Relaxed);
            self.slot(lane, shape::END).load(Relaxed).saturating_sub(taken)
        };
        (0..self.used()).map(of_lane).sum()
    }

    /// Returns how many lanes were ever used: the first ones.
    pub(super) fn used(&self) -> usize {
        self.number(shape::USED).load(Acquire) as usize
    }

    #[inline]
    pub(super) fn slot(&self, lane: usize, place: usize) -> &AtomicU64 {
        self.number(self.shape.slot(lane) + place)
    }

    /// Returns the block behind another one.
    fn behind(&self, block: u32) -> u32 {
        self.number(self.shape.next(block)).load(Relaxed) as u32
    }

    /// The number of this thread's lane.
    #[inline]
    pub(super) fn mine(&self) -> usize {
        threads::number() as usize & (self.lanes.len() - 1)
    }
}

/// Gives the holder of a lane a moment.
fn pause(tried: u32) {
    if tried + YIELDS < TRIES { hint::spin_loop() } else { thread::yield_now() }
}

impl Lane {
    /// Appends lines, for which there is room, and has them read.
    #[inline(always)]
    fn append(&mut self, lanes: &Lanes, number: usize, lines: &[u8], count: u64) {
        let len = shape::entry(lines.len());
        let header = [lines.len() as u64 | count << 32, stamp::now()];
        if len <= self.left {
            lanes.words.write(self.at, header, lines);
            self.at += len / 8;
            self.left -= len;
            self.end += len as u64;
        } else {
            self.append_over_blocks(lanes, number, header, lines);
        }
        self.granted -= lines.len();
        self.lines += count;
        self.bytes += lines.len() as u64;
        let slot = &lanes.words[lanes.shape.slot(number) / 8..][..SLOT_WORDS];
        slot[shape::LINES / 8].store(self.lines, Relaxed);
        slot[shape::BYTES / 8].store(self.bytes, Relaxed);
        protocol::publish(&slot[shape::END / 8], self.end);
    }

    /// The same where a block ends in between.
    #[cold]
    fn append_over_blocks(&mut self, lanes: &Lanes, number: usize, header: [u64; 2], lines: &[u8]) {
        let words = header.into_iter().chain(lines.chunks(8).map(word));
        for word in words {
            if self.left == 0 {
                self.begin_block(lanes, number);
            }
            lanes.words[self.at].store(word, Relaxed);
            self.at += 1;
            self.left -= 8;
            self.end += 8;
        }
    }

    /// Adds a block to the chain.
    fn add_block(&mut self, lanes: &Lanes, block: u32) {
        if self.blocks == 0 {
            self.first = block;
        } else {
            lanes.number(lanes.shape.next(self.last)).store(u64::from(block), Relaxed);
        }
        self.last = block;
        self.blocks += 1;
        self.ahead += 1;
    }

    /// Goes on in the next block of the chain.
    fn begin_block(&mut self, lanes: &Lanes, number: usize) {
        let shape = &lanes.shape;
        if self.ahead == self.blocks {
            self.end = self.end.next_multiple_of(shape.block as u64);
            (self.begin, self.current) = (self.end, self.first);
            lanes.slot(number, shape::BASE).store(shape.base(self.begin, self.first), Release);
        } else {
            self.current = lanes.behind(self.current);
        }
        self.ahead -= 1;
        (self.at, self.left) = (shape.data(self.current) / 8, shape.block);
    }

    /// Gives back the blocks that were read; and if that `is_all`, those that it has not begun, and the one that it writes to if that
    /// was read to its end.
    fn give_back_blocks(&mut self, lanes: &Lanes, number: usize, room: &mut Room, is_all: bool) {
        let [first, second] = shape::TAKEN.map(|place| lanes.slot(number, place));
        if let Some(taken) = protocol::taken(first, second)
            && (self.taken..=self.end).contains(&taken)
        {
            self.taken = taken;
        }
        let block = lanes.shape.block as u64;
        // Not the one that ends where it was taken to: the reader may be about to ask which block comes behind it.
        while self.ahead < self.blocks && self.taken > self.begin + block {
            self.give_back_first(lanes, room);
            self.begin += block;
        }
        if is_all && (self.ahead == self.blocks || self.taken == self.end) {
            (0..self.blocks).for_each(|_| self.give_back_first(lanes, room));
            (self.left, self.ahead) = (0, 0);
        } else if is_all {
            let mut ahead = self.current;
            for _ in 0..std::mem::take(&mut self.ahead) {
                ahead = lanes.behind(ahead);
                room.put_block(ahead);
                self.blocks -= 1;
            }
            self.last = self.current;
        }
        if self.ahead < self.blocks {
            lanes.slot(number, shape::BASE).store(lanes.shape.base(self.begin, self.first), Release);
        }
    }

    fn give_back_first(&mut self, lanes: &Lanes, room: &mut Room) {
        room.put_block(self.first);
        self.first = lanes.behind(self.first);
        self.blocks -= 1;
    }
}

/// Up to 8 bytes as a word.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

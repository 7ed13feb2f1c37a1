//! What a queue counts and holds, under one short lock. Nothing in here waits, formats, or calls anybody.

use std::{io, mem};

use super::{
    batches::{self, Batches, MOST},
    drops::{Cause, Drops},
    first::First,
};
use crate::writer::LineKind;

/// What the writer's thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// It works, or was woken: it will look again by itself.
    Awake,
    /// It waits for a moment whether more comes.
    Lingers,
    /// It sleeps until it is woken.
    Sleeps,
}

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

/// How far something has come: bytes of the queue, and entries of the side buffer.
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
    pub(super) writer: Writer,
    /// The batch that lines are appended to.
    open: Vec<u8>,
    /// Empty batches. The last that was used is the next: its memory is near.
    empty: Vec<Vec<u8>>,
    /// Bytes that were taken and not written yet.
    queued: usize,
    capacity: usize,
    /// All bytes that were ever taken; and of these, how many were written or lost.
    pub(super) position: u64,
    pub(super) settled: u64,
    /// Up to where the sink was flushed, and up to where somebody waits for it.
    pub(super) flushed: Mark,
    pub(super) flush_to: Mark,
    /// Something shall not wait for more: a line of level ERROR.
    pub(super) is_urgent: bool,
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
    /// Lines by what became of them, without the side buffer's before they are written.
    pub(super) accepted: u64,
    pub(super) written: u64,
    pub(super) drops: Drops,
    /// The position at the first loss that is not announced yet.
    pub(super) gap: Option<u64>,
    pub(super) cut: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
}

impl Core {
    pub(super) fn new(mode: Mode, capacity: usize, batches: &Batches) -> Self {
        let batch = || Vec::with_capacity(batches.size);
        let mut empty = Vec::with_capacity(2 * capacity.min(MOST * batches.size) / batches.size + 4);
        empty.extend((1..batches.ready).map(|_| batch()));
        Core {
            mode,
            writer: Writer::Awake,
            open: batch(),
            empty,
            queued: 0,
            capacity,
            position: 0,
            settled: 0,
            flushed: Mark::default(),
            flush_to: Mark::default(),
            is_urgent: false,
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
            cut: 0,
            bytes: 0,
            errors: 0,
        }
    }

    /// Returns whether there is room for so many bytes of such lines. A line larger than the whole queue passes alone.
    #[inline]
    pub(super) fn has_room(&self, bytes: usize, kind: LineKind) -> bool {
        let needed = self.queued.saturating_add(bytes);
        self.queued == 0
            || needed <= self.capacity
            || needed <= self.capacity.saturating_add(batches::room_beyond(kind))
    }

    /// Returns whether such a line needs the queue to be nearly empty: it would never find room beside others.
    pub(super) fn is_large(&self, bytes: usize) -> bool {
        bytes > self.capacity / 2
    }

    /// Returns an empty batch.
    pub(super) fn empty(&mut self, batches: &Batches) -> Vec<u8> {
        self.empty.pop().unwrap_or_else(|| Vec::with_capacity(batches.size))
    }

    /// Keeps a batch to be used again, if there is a place for it. One that a long line has made larger isn't kept.
    pub(super) fn give_back(&mut self, mut batch: Vec<u8>, batches: &Batches) {
        let is_fit = (batches.size..=2 * batches.size).contains(&batch.capacity());
        if is_fit && self.empty.len() < self.empty.capacity() {
            batch.clear();
            self.empty.push(batch);
        }
    }

    /// Takes lines, for which there is room.
    #[inline]
    pub(super) fn append(&mut self, lines: &[u8], batches: &Batches) {
        if !self.open.is_empty() && self.open.len() + lines.len() > batches.size {
            self.hand_over(batches);
        }
        self.open.extend_from_slice(lines);
        self.queued += lines.len();
        self.position += lines.len() as u64;
    }

    #[cold]
    fn hand_over(&mut self, batches: &Batches) {
        let empty = self.empty(batches);
        let full = mem::replace(&mut self.open, empty);
        if let Err(full) = batches.hand_over(full) {
            // There are more than expected: this one grows instead.
            let empty = mem::replace(&mut self.open, full);
            self.give_back(empty, batches);
        }
    }

    /// Takes a batch that was filled elsewhere, with so many lines in it, when nothing else is there.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(super) fn take_batch(&mut self, batch: Vec<u8>, lines: u64, batches: &Batches) {
        self.accepted += lines;
        self.queued += batch.len();
        self.position += batch.len() as u64;
        if let Err(batch) = batches.hand_over(batch) {
            self.open = batch; // never: the channel is empty
        }
    }

    /// Takes out the open batch, if there is anything in it. Only after all full ones.
    pub(super) fn take_open(&mut self, batches: &Batches) -> Option<Vec<u8>> {
        self.is_urgent = false;
        if self.open.is_empty() {
            return None;
        }
        let empty = self.empty(batches);
        Some(mem::replace(&mut self.open, empty))
    }

    /// Returns whether there is anything in the open batch.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Returns whether what is there shall be written now, without waiting for more.
    pub(super) fn is_pressing(&self) -> bool {
        self.is_urgent
            || self.queued >= self.capacity / 2
            || self.waiting > 0
            || self.is_flush_wanted()
            || self.mode != Mode::Threaded
    }

    /// Returns whether somebody waits for a flush.
    pub(super) fn is_flush_wanted(&self) -> bool {
        self.cleans || !self.flushed.has(self.flush_to)
    }

    /// Begins to end: what was logged so far is still written by the thread.
    pub(super) fn close(&mut self, side: u64) {
        if self.mode == Mode::Threaded {
            self.mode = Mode::Closing;
            self.closes_at = Mark { main: self.position, side };
            self.want_flush(self.closes_at);
        }
    }

    /// Has a flush wanted up to a mark.
    pub(super) fn want_flush(&mut self, mark: Mark) {
        let Mark { main, side } = self.flush_to;
        self.flush_to = Mark { main: main.max(mark.main), side: side.max(mark.side) };
    }

    /// Returns whether the writer's thread is to be woken because of what was just done, and notes that it is.
    pub(super) fn wakes_writer(&mut self) -> bool {
        let wakes = match self.writer {
            Writer::Awake => false,
            Writer::Lingers => self.is_pressing(),
            Writer::Sleeps => true,
        };
        if wakes {
            self.writer = Writer::Awake;
        }
        wakes
    }

    /// The same, because of lines that were just taken: who wants a flush or the end has woken it for that.
    #[inline]
    pub(super) fn wakes_writer_for_lines(&mut self) -> bool {
        let wakes = match self.writer {
            Writer::Awake => return false,
            Writer::Lingers => self.is_urgent || self.queued >= self.capacity / 2 || self.waiting > 0,
            Writer::Sleeps => true,
        };
        if wakes {
            self.writer = Writer::Awake;
        }
        wakes
    }

    /// Counts what became of bytes of the queue.
    pub(super) fn settle(&mut self, bytes: usize) {
        self.queued -= bytes;
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
        self.gap.get_or_insert(self.position);
    }

    /// Returns whether everything is written.
    pub(super) fn is_settled(&self) -> bool {
        self.queued == 0
    }
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use super::*;
    use crate::writer::queue::batches::{RESERVED, SMALLEST_BATCH};

    fn core(capacity: usize) -> (Core, Batches) {
        let batches = Batches::new(capacity);
        (Core::new(Mode::Threaded, capacity, &batches), batches)
    }

    /// What is in the queue, in the order in which it is taken out.
    fn drained(core: &mut Core, batches: &Batches) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| batches.next().or_else(|| core.take_open(batches))).collect()
    }

    #[test]
    fn a_line_is_in_one_batch_and_lines_keep_their_order() {
        let (mut core, batches) = core(16 * 1024);
        let lines: Vec<Vec<u8>> =
            (1_u8..=60).map(|n| [vec![n; usize::from(n) * 17], vec![b'\n']].concat()).collect();
        lines.iter().for_each(|line| core.append(line, &batches));
        let found = drained(&mut core, &batches);
        assert!(found.len() > 4, "{} batches", found.len());
        assert!(found.iter().all(|batch| batch.len() <= SMALLEST_BATCH && batch.ends_with(b"\n")));
        assert_eq!(found.concat(), lines.concat());
        assert_eq!(core.position, lines.concat().len() as u64);
    }

    #[test]
    fn more_batches_than_the_channel_takes_are_no_loss() {
        let (mut core, batches) = core(1);
        let line = [vec![b'x'; SMALLEST_BATCH], vec![b'\n']].concat();
        let lines = 10 * (RESERVED / SMALLEST_BATCH);
        (0..lines).for_each(|_| core.append(&line, &batches));
        assert_eq!(drained(&mut core, &batches).concat(), line.repeat(lines));
    }

    #[test]
    fn room_is_for_the_capacity_and_for_one_larger_line() {
        let (mut core, batches) = core(100);
        let [plain, error, about_task, both] =
            [0, LineKind::URGENT, LineKind::ABOUT_TASK, LineKind::URGENT | LineKind::ABOUT_TASK]
                .map(LineKind);
        assert!(core.has_room(1000, plain), "it passes alone");
        core.append(&[b'x'; 60], &batches);
        for (kind, room) in
            [(plain, 40), (error, 40 + RESERVED / 2), (about_task, 40 + RESERVED), (both, 40 + RESERVED)]
        {
            assert!(core.has_room(room, kind) && !core.has_room(room + 1, kind), "{kind:?}");
            assert!(!core.has_room(usize::MAX, kind));
        }
        core.settle(60);
        assert!(core.has_room(1000, plain) && core.is_settled());
    }

    #[test]
    fn who_lingers_is_woken_when_it_matters_and_who_sleeps_always() {
        let (mut core, batches) = core(100);
        core.append(b"line\n", &batches);
        for (writer, wakes) in [(Writer::Awake, false), (Writer::Lingers, false), (Writer::Sleeps, true)] {
            core.writer = writer;
            assert_eq!(core.wakes_writer(), wakes, "{writer:?}");
            core.writer = writer;
            assert_eq!(core.wakes_writer_for_lines(), wakes, "{writer:?}");
        }
        let by_lines: [fn(&mut Core); 3] =
            [|core| core.is_urgent = true, |core| core.waiting = 1, |core| core.queued = 50];
        let by_others: [fn(&mut Core); 2] =
            [|core| core.flush_to = Mark { main: 5, side: 0 }, |core| core.mode = Mode::Closing];
        for (n, press) in by_lines.iter().chain(&by_others).enumerate() {
            for wakes in
                [Core::wakes_writer, Core::wakes_writer_for_lines].iter().take(if n < 3 { 2 } else { 1 })
            {
                let (mut core, _) = self::core(100);
                press(&mut core);
                core.writer = Writer::Lingers;
                assert!(wakes(&mut core) && core.writer == Writer::Awake);
                assert!(!wakes(&mut core), "it was woken already");
            }
        }
    }
}

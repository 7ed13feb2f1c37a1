//! The side buffer: lines that are logged where nobody may wait, and no lock can be had.
//!
//! They come from the writer's thread (a sink, an error hook, a panic hook that logs), and from log calls inside of log
//! calls (a signal handler, a `Display`). So nothing in here waits, or takes a lock: it is a channel with room for a number of
//! lines, and a count of the bytes in it.
//!
//! Each line bears a stamp, as those in lanes do: so it is written behind all that its thread had logged before, and in front of all
//! that comes later.

#[cfg(not(tasklog_loom))]
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

#[cfg(tasklog_loom)]
use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

/// How many lines and bytes there is room for.
const LINES: usize = 1024;
pub(super) const BYTES: usize = 256 * 1024;

/// A line, or several that were logged in one call.
#[derive(Debug)]
pub(super) struct SideLine {
    /// When it was logged.
    pub(super) stamp: u64,
    pub(super) bytes: Vec<u8>,
}

/// Room for so many bytes.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
}

impl Room {
    pub(super) fn new() -> Self {
        Room { taken: AtomicUsize::new(0) }
    }

    /// Takes room, if there is enough.
    pub(super) fn take(&self, bytes: usize) -> bool {
        // Relaxed: it is a number and nothing else. The lines themselves go through the channel.
        let enough = |taken: usize| Some(taken + bytes).filter(|&taken| taken <= BYTES);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough).is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// The side buffer of a queue.
#[derive(Debug)]
pub(super) struct Side {
    lines: (Sender<SideLine>, Receiver<SideLine>),
    room: Room,
    /// Lines that were handed over, those that had no room included. Counted before they are there to be taken.
    accepted: AtomicU64,
    /// Entries that had room, counted before they are there; and those of them that are written or lost: one after the
    /// other, so the first so many.
    pushed: AtomicU64,
    gone: AtomicU64,
    /// Lines that had no room, or that the writing of such lines has caused.
    lost: AtomicU64,
    cut: AtomicU64,
}

impl Side {
    pub(super) fn new() -> Self {
        Side {
            lines: bounded(LINES),
            room: Room::new(),
            accepted: AtomicU64::new(0),
            pushed: AtomicU64::new(0),
            gone: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            cut: AtomicU64::new(0),
        }
    }

    /// Takes lines, `count` in number, if there is room.
    pub(super) fn push(&self, stamp: u64, lines: &[u8], count: u64, was_cut: bool) {
        self.accept(count, was_cut);
        if !self.room.take(lines.len()) {
            return self.count_as_lost(count);
        }
        self.pushed.fetch_add(1, Ordering::Relaxed);
        if self.lines.0.try_send(SideLine { stamp, bytes: lines.to_vec() }).is_err() {
            self.took(lines.len(), true);
            self.count_as_lost(count);
        }
    }

    /// Counts lines that are lost, because the writing of such lines has caused them.
    pub(super) fn lose(&self, count: u64, was_cut: bool) {
        self.accept(count, was_cut);
        self.count_as_lost(count);
    }

    /// Release: a thread that sees them lost sees them accepted.
    fn count_as_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Release);
    }

    fn accept(&self, count: u64, was_cut: bool) {
        self.accepted.fetch_add(count, Ordering::Relaxed); // statistics only, all of them
        self.cut.fetch_add(u64::from(was_cut), Ordering::Relaxed);
    }

    /// Takes the oldest line out. It takes room until it is [gone](Self::took).
    pub(super) fn pop(&self) -> Option<SideLine> {
        self.lines.1.try_recv().ok()
    }

    /// So many bytes of an entry that was taken out are gone; all of it, if `is_done`.
    pub(super) fn took(&self, bytes: usize, is_done: bool) {
        self.room.give_back(bytes);
        self.gone.fetch_add(u64::from(is_done), Ordering::Relaxed);
    }

    pub(super) fn pushed(&self) -> u64 {
        self.pushed.load(Ordering::Relaxed)
    }

    pub(super) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Returns whether every line that had room is gone.
    pub(super) fn is_clear(&self) -> bool {
        self.room.taken() == 0
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn cut(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }
}

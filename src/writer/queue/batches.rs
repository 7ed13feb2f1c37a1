//! The way of full batches to whoever has the sink, and how large they are.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::writer::LineKind;

/// As many bytes as a batch has at most, of single lines that are larger apart: what goes into one system call.
pub(super) const LARGEST_BATCH: usize = 64 * 1024;
pub(super) const SMALLEST_BATCH: usize = 4 * 1024;

/// Room beyond the capacity: for lines of level ERROR; and in all, with as much again that only lines about tasks take (RUNNING and
/// its like, retry separators), so that many errors don't crowd them out.
const FOR_ERRORS: usize = 64 * 1024;
pub(super) const RESERVED: usize = 2 * FOR_ERRORS;

/// How much of the room beyond the capacity is for such lines.
pub(super) fn room_beyond(kind: LineKind) -> usize {
    match kind {
        kind if kind.is_about_task() => RESERVED,
        kind if kind.is_urgent() => FOR_ERRORS,
        _ => 0,
    }
}

/// As many batches are made at the start at most, so that a log call makes none; and as many wait at most. Of a queue that is
/// larger than that the open batch grows.
const READY: usize = 32;
pub(super) const MOST: usize = 16 * 1024;

/// The way of full batches to whoever has the sink.
#[derive(Debug)]
pub(super) struct Batches {
    full: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    /// The size of a batch, and how many are made at the start.
    pub(super) size: usize,
    pub(super) ready: usize,
}

impl Batches {
    pub(super) fn new(capacity: usize) -> Self {
        let size = (capacity / 4).clamp(SMALLEST_BATCH, LARGEST_BATCH);
        // A batch is handed over when the next line doesn't fit, so two that follow each other are more than one in size.
        let most = (2 * (capacity / size + RESERVED / size) + 4).min(MOST);
        Batches { full: bounded(most), size, ready: (capacity / size + 4).min(READY) }
    }

    /// Passes a full batch on. It comes back if there is no place for it.
    pub(super) fn hand_over(&self, batch: Vec<u8>) -> Result<(), Vec<u8>> {
        self.full.0.try_send(batch).map_err(TrySendError::into_inner)
    }

    /// Returns the oldest full batch.
    pub(super) fn next(&self) -> Option<Vec<u8>> {
        self.full.1.try_recv().ok()
    }

    /// Returns whether no full batch is there.
    pub(super) fn is_empty(&self) -> bool {
        self.full.1.is_empty()
    }
}

//! What a batch has of one ring, and how far that ring is taken while the sink takes the batch.

use crate::writer::{
    lines,
    ring::{
        consumer::{Consumer, Flaw},
        directory::FileKey,
        layout::Taken,
    },
};

/// What a batch has of one ring: lines, then what the log says of the worker.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) key: FileKey,
    /// Where it is in the batch, and how much of it are the worker's lines; and where these are in the ring.
    pub(super) begin: usize,
    pub(super) main: usize,
    pub(super) end: usize,
    pub(super) first: u64,
    pub(super) entries: Vec<Entry>,
    /// What was taken of the ring when so many of the lines' bytes were settled, and with all of it.
    seen: usize,
    so_far: Taken,
    pub(super) in_the_end: Taken,
}

/// An entry of the aside lane that was handed over.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its number in the side buffer.
    pub(super) number: u64,
    pub(super) lines: u64,
    /// The place behind it.
    pub(super) behind: u64,
}

impl Part {
    /// Nothing yet of a ring, from a place in the batch on.
    pub(super) fn new(ring: &Consumer, begin: usize) -> Self {
        let taken = ring.taken();
        Part {
            key: ring.key(),
            begin,
            main: 0,
            end: begin,
            first: taken.main,
            entries: Vec::new(),
            seen: 0,
            so_far: taken,
            in_the_end: taken,
        }
    }

    /// Returns whether there is anything in it.
    pub(super) fn is_news(&self) -> bool {
        self.in_the_end != self.so_far
    }

    /// What was taken of the ring when so many bytes of the batch are settled, and so many entries of the side buffer: whole lines.
    pub(super) fn taken(&mut self, settled: usize, entries: u64, ring: &Consumer) -> Result<Taken, Flaw> {
        if settled >= self.end && self.entries.last().is_none_or(|last| last.number <= entries) {
            return Ok(self.in_the_end);
        }
        let settled = settled.saturating_sub(self.begin).min(self.main);
        if settled > self.seen {
            let (mut bytes, from) = (Vec::new(), self.first + self.seen as u64);
            ring.read(&mut bytes, from, self.first + settled as u64)?;
            let whole = lines::whole(&bytes);
            if whole > 0 {
                self.so_far.main = from + whole as u64;
                self.so_far.lines = self.so_far.lines.wrapping_add(lines::count(&bytes));
            }
            self.seen = settled;
        }
        let gone = self.entries.iter().take_while(|entry| entry.number <= entries).count();
        for entry in self.entries.drain(..gone) {
            self.so_far.aside = entry.behind;
            self.so_far.lines = self.so_far.lines.wrapping_add(entry.lines);
        }
        Ok(self.so_far)
    }
}

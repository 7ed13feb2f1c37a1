//! The lanes of this process, as the thread reads them that writes.

use std::{
    io,
    sync::atomic::Ordering::{Acquire, Relaxed, Release},
};

use super::{
    consumer::{Cursor, Flaw, Source},
    merge::{Merge, Streams},
    producer::Lanes,
    protocol,
    shape::{self, Shape},
};
use crate::sys::stamp;

const SOUND: &str = "only this crate writes there; this is a bug in tracing-tasklog";

impl Source for Lanes {
    fn shape(&self) -> &Shape {
        self.shape()
    }

    fn number(&self, place: usize) -> io::Result<u64> {
        Ok(Lanes::number(self, place).load(Relaxed))
    }

    fn read(&self, place: usize, len: usize, into: &mut Vec<u8>) -> io::Result<()> {
        self.read_words(place, len, into);
        Ok(())
    }
}

/// How far the lanes of this process were read.
#[derive(Debug, Default)]
pub(in crate::writer) struct Local {
    cursors: Vec<Cursor>,
    merge: Merge,
    /// The last stamp before the last look.
    looked_at: u64,
}

/// The two together.
struct Reading<'a> {
    cursors: &'a mut [Cursor],
    lanes: &'a Lanes,
    looked_at: u64,
}

impl Streams for Reading<'_> {
    fn count(&self) -> usize {
        self.cursors.len()
    }

    #[inline]
    fn stamp(&mut self, number: usize) -> Result<Option<u64>, Flaw> {
        let cursor = &mut self.cursors[number];
        Ok(cursor.next(self.lanes)?.map(|entry| cursor.stamp(entry, self.looked_at)))
    }

    #[inline]
    fn take(&mut self, number: usize, into: &mut Vec<u8>) -> Result<(), Flaw> {
        self.cursors[number].take(self.lanes, into)
    }
}

impl Local {
    /// Looks what there is: reads the clock, then where the lanes end.
    pub(in crate::writer) fn look(&mut self, lanes: &Lanes) {
        // One less: what is logged only now may have the same stamp, where the clock has large steps.
        self.looked_at = stamp::before_looking() - 1;
        protocol::between_reads(); // as in `protocol::wakes`, between a line and whatever its thread does next
        self.cursors.resize_with(lanes.used(), Cursor::default);
        for (number, cursor) in self.cursors.iter_mut().enumerate() {
            let end = lanes.slot(number, shape::END).load(Acquire);
            let base = lanes.slot(number, shape::BASE).load(Acquire);
            cursor.look(end, base, lanes.shape()).expect(SOUND);
        }
    }

    /// The last stamp of lines that were surely there at the last look.
    pub(in crate::writer) fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Appends lines that were there at the look, of all lanes in their order, not those with stamps after `to`, until `most` bytes are
    /// there. Their memory may be used again. Returns the stamp up to which all are taken.
    pub(in crate::writer) fn gather(
        &mut self,
        lanes: &Lanes,
        to: u64,
        most: usize,
        into: &mut Vec<u8>,
    ) -> u64 {
        let (to, looked_at) = (self.looked_at.min(to), self.looked_at);
        let mut reading = Reading { cursors: &mut self.cursors, lanes, looked_at };
        let gathered = self.merge.gather(&mut reading, to, most, into);
        for (number, cursor) in self.cursors.iter().enumerate() {
            let [taken, ..] = cursor.taken();
            let [first, second] = shape::TAKEN.map(|place| lanes.slot(number, place));
            if first.load(Relaxed) != taken {
                first.store(taken, Release);
                second.store(taken, Release);
            }
        }
        gathered.map_err(|(_, flaw)| flaw).expect(SOUND)
    }
}

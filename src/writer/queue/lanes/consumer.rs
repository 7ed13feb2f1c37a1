//! The writer's end: reads lanes, one entry after the other.

use std::io;

use super::shape::{self, Shape};

/// How many bytes of a lane are fetched at once.
const FETCH: usize = 16 * 1024;

/// The longest entry that is believed: nobody makes longer ones.
const LONGEST: usize = 1 << 30;

/// Memory that holds lanes.
pub(in crate::writer) trait Source {
    fn shape(&self) -> &Shape;

    /// Reads the number at a place.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn number(&self, place: usize) -> io::Result<u64>;

    /// Appends the bytes from a place on.
    ///
    /// # Errors
    ///
    /// They can't be read.
    fn read(&self, place: usize, len: usize, into: &mut Vec<u8>) -> io::Result<()>;
}

/// What can't be used, and why: a text that goes on from "the ring …".
#[derive(Debug)]
#[allow(dead_code, reason = "of a process's own memory it is said by a panic, which shows it")]
pub(in crate::writer) enum Flaw {
    /// It can't be opened or read, now.
    Io(io::Error),
    /// What is in it makes no sense.
    Nonsense(String),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Flaw::Nonsense("was cut short".to_owned()),
            _ => Flaw::Io(error),
        }
    }
}

/// An entry of a lane.
#[derive(Clone, Copy, Debug)]
pub(in crate::writer) struct Entry {
    pub(in crate::writer) stamp: u64,
    /// The number of its bytes and lines.
    len: usize,
    pub(in crate::writer) lines: u64,
}

/// A lane, as far as it was read.
#[derive(Debug, Default)]
pub(in crate::writer) struct Cursor {
    /// Where the lane ends; and where it ended when that was looked at before.
    end: u64,
    before: u64,
    /// Behind the last entry that was taken; and how many lines that were, and bytes.
    position: u64,
    lines: u64,
    bytes: u64,
    /// What was fetched, and how much of it was taken; the position behind it.
    fetched: Vec<u8>,
    at: usize,
    fetched_to: u64,
    /// The block that was read last, and where it ends.
    block: u32,
    block_end: u64,
    /// Where the chain begins.
    base: u64,
    /// The next entry, if it is known.
    next: Option<Entry>,
}

impl Cursor {
    /// How far a lane was taken.
    pub(in crate::writer) fn taken(&self) -> [u64; 3] {
        [self.position, self.lines, self.bytes]
    }

    /// Returns whether everything was taken that was there at the last look.
    #[inline]
    pub(in crate::writer) fn is_done(&self) -> bool {
        self.position >= self.end
    }

    /// Returns the stamp by which the next entry has its turn: its own; but what was there at the look before the last one is older than the
    /// last one, whatever it says: the clock of another boot, say, or nonsense in a file.
    pub(in crate::writer) fn stamp(&self, entry: Entry, looked_at: u64) -> u64 {
        if self.position < self.before { entry.stamp.min(looked_at) } else { entry.stamp }
    }

    /// Notes where the lane ends now, and where its chain begins: that was read afterwards.
    ///
    /// # Errors
    ///
    /// That can't be.
    pub(in crate::writer) fn look(&mut self, end: u64, base: u64, shape: &Shape) -> Result<(), Flaw> {
        let most = shape.blocks as u64 * shape.block as u64;
        if end < self.end || end & 7 != 0 || end - self.position > most + shape.block as u64 {
            let (before, taken) = (self.end, self.position);
            return Err(Flaw::Nonsense(format!(
                "says that a lane ends at {end}: it did at {before}, of which {taken} are taken"
            )));
        }
        (self.before, self.end, self.base) = (self.end, end, base);
        Ok(())
    }

    /// Returns the next entry, if there is one.
    ///
    /// # Errors
    ///
    /// It can't be read, or there is nothing that could be one.
    #[inline]
    pub(in crate::writer) fn next(&mut self, source: &impl Source) -> Result<Option<Entry>, Flaw> {
        if self.next.is_none() && !self.is_done() {
            self.next = Some(self.read_next(source)?);
        }
        Ok(self.next)
    }

    fn read_next(&mut self, source: &impl Source) -> Result<Entry, Flaw> {
        self.fetch(source, shape::HEADER)?;
        let header = &self.fetched[self.at..];
        let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (len, lines) = ((number(0) & 0xFFFF_FFFF) as usize, number(0) >> 32);
        if len == 0 || len > LONGEST || lines == 0 || shape::entry(len) as u64 > self.end - self.position {
            return Err(self.nonsense());
        }
        Ok(Entry { stamp: number(8), len, lines })
    }

    fn nonsense(&self) -> Flaw {
        Flaw::Nonsense(format!("has no entry at {} in a lane that ends at {}", self.position, self.end))
    }

    /// Takes the next entry, and appends its lines.
    ///
    /// # Errors
    ///
    /// They can't be read, or aren't lines.
    pub(in crate::writer) fn take(&mut self, source: &impl Source, into: &mut Vec<u8>) -> Result<(), Flaw> {
        let Some(Entry { len, lines, .. }) = self.next else { return Ok(()) };
        let whole = shape::entry(len);
        self.fetch(source, whole)?;
        let bytes = &self.fetched[self.at + shape::HEADER..][..len];
        if bytes.last() != Some(&b'\n') {
            return Err(self.nonsense());
        }
        into.extend_from_slice(bytes);
        self.next = None;
        self.at += whole;
        if self.at == self.fetched.len() && self.fetched.capacity() > 2 * FETCH {
            (self.fetched, self.at) = (Vec::new(), 0); // a long line has made it larger
        }
        self.position += whole as u64;
        self.lines = self.lines.wrapping_add(lines);
        self.bytes = self.bytes.wrapping_add(len as u64);
        Ok(())
    }

    /// Has so many bytes fetched, as a rule more.
    #[inline]
    fn fetch(&mut self, source: &impl Source, len: usize) -> Result<(), Flaw> {
        if self.fetched.len() - self.at < len { self.fetch_more(source, len) } else { Ok(()) }
    }

    #[cold]
    fn fetch_more(&mut self, source: &impl Source, len: usize) -> Result<(), Flaw> {
        self.fetched.drain(..self.at);
        self.at = 0;
        while self.fetched.len() < len.max(FETCH) && self.fetched_to < self.end {
            self.find_block(source)?;
            let room = (len.max(FETCH) - self.fetched.len()) as u64;
            let part = (self.block_end.min(self.end) - self.fetched_to).min(room.next_multiple_of(8));
            let shape = source.shape();
            let place = shape.data(self.block) + (self.fetched_to % shape.block as u64) as usize;
            source.read(place, part as usize, &mut self.fetched)?;
            self.fetched_to += part;
        }
        if self.fetched.len() < len { Err(self.nonsense()) } else { Ok(()) }
    }

    /// Finds the block of what is to be fetched next.
    fn find_block(&mut self, source: &impl Source) -> Result<(), Flaw> {
        let shape = source.shape();
        let (begin, first) = shape.of_base(self.base);
        if self.fetched.is_empty() && begin >= self.fetched_to {
            // A new chain: everything before it was taken.
            (self.position, self.fetched_to, self.block) = (begin, begin, first);
        } else if self.fetched_to == self.block_end {
            self.block = u32::try_from(source.number(shape.next(self.block))?).unwrap_or(u32::MAX);
        } else {
            return Ok(());
        }
        if self.block as usize >= shape.blocks || self.fetched_to >= self.end {
            return Err(self.nonsense());
        }
        self.block_end = self.fetched_to + shape.block as u64;
        Ok(())
    }
}

//! What goes from the rings to the sink at once.

use std::time::Instant;

use super::{
    builder::BATCH,
    rings::{Ring, Rings, Troubles},
};
use crate::writer::{
    lines,
    queue::{Drops, inner::Inner, ledger},
    ring::{
        consumer::{Consumer, Flaw},
        directory::FileKey,
        layout::Taken,
    },
};

/// How many bytes of aside lines go with one batch: they fit into the side buffer.
const ASIDE: usize = 64 * 1024;

/// How many bytes a ring has in a batch at least, if it has them: so that it isn't read in tiny parts.
const SMALLEST: usize = 4096;

/// Whole lines of one or more rings.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Lines in it, and how many of them are announcements.
    pub(super) lines: u64,
    pub(super) announcements: u64,
    pub(super) parts: Vec<Part>,
    /// How many bytes of aside lines were handed over.
    aside: usize,
    /// There is more where it came from.
    pub(super) has_more: bool,
}

/// What a batch has of one ring: lines, then what the log says of the worker.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) key: FileKey,
    /// Where it is in the batch, and how much of it are the worker's lines.
    begin: usize,
    main: usize,
    end: usize,
    entries: Vec<Entry>,
    /// What was taken of the ring before it, and with it.
    before: Taken,
    after: Taken,
}

/// An entry of the aside lane that was handed over.
#[derive(Debug)]
struct Entry {
    /// Its number in the side buffer.
    number: u64,
    lines: u64,
    /// The place behind it.
    behind: u64,
}

impl Part {
    /// What was taken of the ring when so many bytes of the batch are settled, and so many entries of the side buffer: whole lines.
    pub(super) fn taken(&self, settled: usize, entries: u64, ring: &Consumer) -> Result<Taken, Flaw> {
        if settled >= self.end && self.entries.last().is_none_or(|last| last.number <= entries) {
            return Ok(self.after);
        }
        let mut taken = self.before;
        let most = settled.saturating_sub(self.begin).min(self.main);
        if most > 0 {
            let mut bytes = Vec::new();
            let to = taken.main + most as u64;
            ring.read(&mut bytes, taken.main, to)?;
            let whole = lines::whole(&bytes);
            taken.main += whole as u64;
            taken.lines = taken.lines.wrapping_add(lines::count(&bytes));
        }
        for entry in self.entries.iter().take_while(|entry| entry.number <= entries) {
            taken.aside = entry.behind;
            taken.lines = taken.lines.wrapping_add(entry.lines);
        }
        Ok(taken)
    }
}

impl Batch {
    /// Gathers lines from all rings, beginning with another one each time.
    pub(super) fn gather(
        rings: &mut Rings,
        first: usize,
        queue: &Inner,
        is_last: bool,
        troubles: &mut Troubles,
    ) -> Self {
        let bytes = queue.lock().empty(&queue.batches);
        let mut batch = Batch { bytes, ..Batch::default() };
        rings.look(troubles);
        let mut broken = Vec::new();
        let count = rings.open.len();
        for at in (0..count).map(|at| (first + at) % count) {
            if batch.bytes.len() >= BATCH {
                batch.has_more = true;
                break;
            }
            let begin = batch.bytes.len();
            if let Err(flaw) = batch.gather_from(&mut rings.open[at], queue, is_last) {
                batch.bytes.truncate(begin);
                broken.push((at, flaw));
            }
        }
        broken.sort_by_key(|(at, _)| std::cmp::Reverse(*at)); // so that the places of the others hold
        broken.into_iter().for_each(|(at, flaw)| rings.refuse(at, flaw, troubles));
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    fn gather_from(&mut self, ring: &mut Ring, queue: &Inner, is_last: bool) -> Result<(), Flaw> {
        let before = ring.consumer.taken();
        let progress = ring.consumer.progress();
        let mut taken = before;
        let begin = self.bytes.len();
        let entry = ring.consumer.read_entry(taken.aside, progress.aside)?;
        // An entry that belongs behind what is there, in a ring of somebody who is gone, would wait for ever.
        let to = entry.as_ref().map_or(progress.main, |(belongs_at, ..)| progress.main.min(*belongs_at));
        if to > taken.main {
            let room = BATCH.saturating_sub(begin).max(SMALLEST);
            taken.main = ring.consumer.read_lines(&mut self.bytes, taken.main, to, room)?;
        }
        let count = lines::count(&self.bytes[begin..]);
        self.lines += count;
        taken.lines = taken.lines.wrapping_add(count); // whatever was there before
        let main = self.bytes.len() - begin;
        let (mut next, mut entries) = (entry, Vec::new());
        while let Some((belongs_at, bytes, behind)) = next {
            let is_due = taken.main >= belongs_at || (ring.is_abandoned && taken.main == progress.main);
            if !is_due || self.aside + bytes.len() > ASIDE {
                break;
            }
            self.aside += bytes.len();
            let count = lines::count(&bytes);
            taken.lines = taken.lines.wrapping_add(count);
            let position = queue.lock().position + self.bytes.len() as u64;
            queue.side.push(position, &bytes, count, false);
            entries.push(Entry { number: queue.side.pushed(), lines: count, behind });
            taken.aside = behind;
            next = ring.consumer.read_entry(behind, progress.aside).ok().flatten(); // what is wrong is seen next time
        }
        self.announce(ring, &mut taken, queue, is_last);
        if taken != before {
            self.has_more |= taken.main < progress.main;
            ring.is_busy = true;
            let (key, end) = (ring.consumer.key(), self.bytes.len());
            self.parts.push(Part { key, begin, main, end, entries, before, after: taken });
        }
        Ok(())
    }

    /// Has the log say what the worker has dropped, when that is due.
    fn announce(&mut self, ring: &mut Ring, taken: &mut Taken, queue: &Inner, is_last: bool) {
        let untold = ring.untold();
        if untold == Drops::default() {
            return;
        }
        let progress = ring.consumer.progress();
        let gap = *ring.gap.get_or_insert(progress.main);
        let is_soon = ring.told.is_some_and(|told| told.elapsed() < ledger::EVERY);
        let has_other = untold.queue_full + untold.queue_stalled > 0;
        // What the writing itself has caused is told along with other lines: else it would cause more for ever.
        let is_alone = !has_other && self.bytes.is_empty();
        let is_end = is_last || ring.is_abandoned;
        if taken.main < gap || ((is_soon || is_alone) && !is_end) {
            return;
        }
        (ring.gap, ring.told) = (None, Some(Instant::now()));
        let (name, pid) = ring.consumer.worker();
        let mut of = vec![("worker", name.to_owned())];
        if pid.to_string() != name {
            of.push(("pid", pid.to_string()));
        }
        for dropped in untold.by_cause() {
            let line = queue.options.announce.line(&dropped, "", &of);
            self.announcements += u64::from(!line.is_empty());
            self.bytes.extend_from_slice(line.as_bytes());
        }
        taken.told = progress.dropped;
    }
}

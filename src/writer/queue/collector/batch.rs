//! What goes from the rings to the sink at once.

use std::time::Instant;

use super::{
    builder::BATCH,
    part::{Entry, Part},
    rings::{Ring, Rings, Troubles},
};
use crate::writer::{
    lines,
    queue::{Drops, inner::Inner, ledger},
    ring::{consumer::Flaw, layout::Taken},
};

/// How many aside lines go with one batch: they fit into the side buffer.
const ASIDE: usize = 64 * 1024;
const ENTRIES: usize = 512;

/// How many bytes a ring has in a batch at least, if it has them: so that it isn't read in tiny parts.
const SMALLEST: usize = 4096;

/// How many bytes a ring has in a batch at most, if others have lines too and that is more than its share: else a worker could take
/// it for a stall that others come first.
const SHARE: usize = 8 * 1024;

/// Whole lines of one or more rings.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// Lines in it, and how many of them are announcements.
    pub(super) lines: u64,
    pub(super) announcements: u64,
    pub(super) parts: Vec<Part>,
    /// How many bytes of aside lines were handed over, and in how many entries.
    aside: usize,
    entries: usize,
    /// How much of it is for one ring.
    share: usize,
    /// There is more where it came from.
    pub(super) has_more: bool,
    /// Which ring comes first in the next one.
    pub(super) next: usize,
}

impl Batch {
    /// Gathers lines from all rings, one after the other, beginning with `first`.
    pub(super) fn gather(
        rings: &mut Rings,
        first: usize,
        queue: &Inner,
        is_last: bool,
        troubles: &mut Troubles,
    ) -> Self {
        let mut bytes = std::mem::take(&mut queue.lock().empty);
        bytes.clear();
        let mut batch = Batch { bytes, next: first.wrapping_add(1), ..Batch::default() };
        rings.look(troubles);
        let mut broken = Vec::new();
        let busy = rings.open.iter().filter(|ring| ring.has_lines()).count();
        batch.share = (BATCH / busy.max(1)).max(SHARE);
        let count = rings.open.len();
        for at in (0..count).map(|at| (first + at) % count) {
            if batch.bytes.len() >= BATCH {
                batch.has_more = true;
                batch.next = at;
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

    /// Gathers what a ring has: lines up to where the next entry of the aside lane belongs, then such entries.
    fn gather_from(&mut self, ring: &mut Ring, queue: &Inner, is_last: bool) -> Result<(), Flaw> {
        let progress = ring.consumer.progress();
        let mut part = Part::new(&ring.consumer, self.bytes.len());
        let entry = ring.consumer.read_entry(part.in_the_end.aside, progress.aside)?;
        let to = entry.as_ref().map_or(progress.main, |(belongs_at, ..)| progress.main.min(*belongs_at));
        if to > part.first {
            let room = BATCH.saturating_sub(part.begin).clamp(SMALLEST, self.share);
            part.in_the_end.main = ring.consumer.read_lines(&mut self.bytes, part.first, to, room)?;
        }
        part.main = self.bytes.len() - part.begin;
        let count = lines::count(&self.bytes[part.begin..]);
        self.lines += count;
        part.in_the_end.lines = part.in_the_end.lines.wrapping_add(count); // whatever was there before
        self.gather_entries(ring, &mut part, entry, queue);
        self.announce(ring, &mut part.in_the_end, queue, is_last);
        part.end = self.bytes.len();
        if part.is_news() {
            self.has_more |= part.in_the_end.main < progress.main;
            ring.is_busy = true;
            self.parts.push(part);
        }
        Ok(())
    }

    /// Hands over the entries whose place has come.
    fn gather_entries(
        &mut self,
        ring: &Ring,
        part: &mut Part,
        mut next: Option<(u64, Vec<u8>, u64)>,
        queue: &Inner,
    ) {
        let (progress, taken) = (ring.consumer.progress(), &mut part.in_the_end);
        while let Some((belongs_at, bytes, behind)) = next {
            // One that belongs behind all that is there, in a ring of somebody who is gone, would wait for ever.
            let is_due = taken.main >= belongs_at || (ring.is_abandoned && taken.main == progress.main);
            if !is_due || self.aside + bytes.len() > ASIDE || self.entries == ENTRIES {
                break;
            }
            let count = lines::count(&bytes);
            queue.side.push(0, &bytes, count, false); // behind this batch
            self.aside += bytes.len();
            self.entries += 1;
            part.entries.push(Entry { number: queue.side.pushed(), lines: count, behind });
            taken.aside = behind;
            taken.lines = taken.lines.wrapping_add(count);
            next = ring.consumer.read_entry(behind, progress.aside).ok().flatten(); // what is wrong is seen next time
        }
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

//! The collector's thread.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    batch::Batch,
    home::{Home, Whose},
    lock::Lock,
    part::Part,
    rings::{Rings, Troubles},
    shared::{Shared, Woken},
};
use crate::writer::{
    queue::{
        duty,
        lanes::protocol,
        outlet::{self, Pace, Turn},
    },
    ring::directory::FileKey,
};

/// How long a line waits for company at most, and how long it must have been quiet before the thread sleeps.
const LINGER: Duration = Duration::from_millis(20);

/// How often the thread looks for new rings and for workers that are gone, while there is something to do or was a moment ago,
/// and while there isn't.
const SCAN_EVERY: Duration = Duration::from_millis(100);
const SCAN_IDLE_EVERY: Duration = Duration::from_millis(500);
const IS_IDLE_AFTER: Duration = Duration::from_secs(1);

/// How long it pauses where no file can be opened: longer each time, up to the time between two scans.
const PAUSE: Duration = Duration::from_millis(10);

/// A collector at work.
struct Run {
    shared: Arc<Shared>,
    home: Home,
    rings: Rings,
    /// It has closed rings, as another collector may have begun.
    has_left: bool,
    /// Which ring comes first in the next batch.
    first: usize,
    scanned: Instant,
    /// When there was something to do last.
    worked: Instant,
    troubles: Troubles,
}

/// What has become of a batch.
#[derive(Debug, PartialEq, Eq)]
enum Done {
    /// It is written, or what isn't is lost and counted.
    Written,
    /// Nobody waits for it any more.
    GivenUp,
    /// This is a child made by fork(2), by the sink: all of it is the parent's.
    Forked,
}

/// How much there was to write.
#[derive(Debug, PartialEq, Eq)]
enum Passed {
    Nothing,
    Some,
    /// More than goes into a batch.
    Full,
}

/// The collector's thread.
pub(super) fn run(shared: Arc<Shared>, lock: Lock) {
    // What is logged on this thread goes aside, whatever it is doing.
    let _duty = duty::write(shared.queue.id(), false);
    let over = Over(Arc::clone(&shared)); // dropped last
    let now = Instant::now();
    let mut run = Run {
        rings: Rings::new(shared.directory.clone()),
        home: Home::new(shared.directory.clone(), lock, shared.pipe()),
        shared,
        has_left: false,
        first: 0,
        scanned: now,
        worked: now,
        troubles: Vec::new(),
    };
    run.scan();
    if run.work() == Done::Forked {
        return mem::forget((run, over));
    }
    drop(run);
}

/// The thread is over, whatever the reason.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.has_done(|orders| orders.is_over = true);
    }
}

impl Run {
    /// Works until it is told to end.
    fn work(&mut self) -> Done {
        loop {
            if self.shared.is_parents() {
                return Done::Forked; // by the error hook
            }
            let orders = self.shared.orders();
            if orders.is_closing || orders.flushes > orders.flushed {
                let done = self.drain(orders.is_closing);
                if done != Done::Written {
                    return done;
                }
                let unread = self.rings.unread();
                self.shared.has_done(|now| {
                    (now.flushed, now.unread) = (orders.flushes, unread);
                    now.is_drained = orders.is_closing && unread == 0;
                });
                if orders.is_closing {
                    return Done::Written;
                }
            }
            match self.pass(false) {
                Ok(Passed::Full) => {}
                Ok(_) => self.rest(),
                Err(done) => return done,
            }
            if self.scanned.elapsed() >= self.scan_every() {
                self.scan();
            }
        }
    }

    fn scan_every(&self) -> Duration {
        let is_idle = self.worked.elapsed() >= IS_IDLE_AFTER && !self.rings.are_too_many();
        if is_idle { SCAN_IDLE_EVERY } else { SCAN_EVERY }
    }

    /// Looks for rings. Returns whether it knows all that there are.
    fn scan(&mut self) -> bool {
        let whose = self.home.look(&mut self.troubles);
        if matches!(whose, Whose::OursAgain | Whose::Others) {
            self.rings.leave(); // another one may have taken more of them
            self.has_left = true;
        }
        let is_listed = match whose {
            Whose::Ours | Whose::OursAgain => self.rings.scan(&mut self.troubles),
            Whose::Gone => self.rings.scan_nothing(&mut self.troubles),
            Whose::Others | Whose::Replaced => false,
        };
        self.scanned = Instant::now();
        self.tell();
        is_listed
    }

    /// Writes what is there to be written in one go.
    fn pass(&mut self, is_last: bool) -> Result<Passed, Done> {
        if !self.rings.open.is_empty() && !self.home.is_locked() {
            self.scan(); // before another collector has begun
        }
        let shared = Arc::clone(&self.shared);
        let batch = Batch::gather(&mut self.rings, self.first, &shared.queue, is_last, &mut self.troubles);
        self.first = batch.next;
        let passed = match &batch {
            batch if batch.has_more => Passed::Full,
            batch if batch.is_empty() => Passed::Nothing,
            _ => Passed::Some,
        };
        if !batch.is_empty() {
            self.worked = Instant::now();
            match self.write(batch) {
                Done::Written => {}
                done => return Err(done),
            }
        }
        self.tell();
        Ok(passed)
    }

    /// Writes everything that is in the rings now: where there are more than can be open at once, of one after the other.
    fn drain(&mut self, is_last: bool) -> Done {
        // The rings that have not had their turn: not known until the directory could be listed.
        let mut left: Option<HashSet<FileKey>> = None;
        let mut pause = PAUSE;
        loop {
            let is_listed = self.scan();
            let waiting = self.rings.waiting();
            let is_stuck = !is_listed || left.as_ref().is_some_and(|left| left.is_subset(waiting));
            if is_listed && left.is_none() {
                left = Some(waiting.clone());
            }
            self.has_left = false;
            let done = self.drain_open(is_last);
            if self.has_left {
                left = None; // once more from the beginning
            }
            if let Some(left) = &mut left {
                left.retain(|ring| self.rings.waiting().contains(ring));
            }
            if done != Done::Written || left.as_ref().is_some_and(HashSet::is_empty) {
                return done;
            }
            if is_stuck {
                self.shared.sleep(pause, None); // none could be opened
                pause = (2 * pause).min(SCAN_EVERY);
            }
        }
    }

    /// Writes everything that is in the open rings now.
    fn drain_open(&mut self, is_last: bool) -> Done {
        self.rings.look(&mut self.troubles);
        let marks: Vec<(FileKey, u64, u64)> = self.rings.marks();
        loop {
            if self.shared.orders().is_given_up {
                return Done::GivenUp;
            }
            match self.pass(is_last) {
                Ok(Passed::Nothing) => break,
                Ok(_) if self.rings.have_reached(&marks) => break,
                Ok(_) => {}
                Err(done) => return done,
            }
        }
        self.rings.remove_abandoned(&mut self.troubles);
        self.tell();
        Done::Written
    }

    /// Has the sink take a batch.
    fn write(&mut self, batch: Batch) -> Done {
        let shared = Arc::clone(&self.shared);
        let queue = &*shared.queue;
        let Batch { bytes, lines, announcements, mut parts, .. } = batch;
        let mut core = queue.lock();
        let (begin, lost) = (core.settled, core.drops.total());
        core.take_batch(bytes, lines + announcements);
        drop(core);
        let done = loop {
            let (turn, done) = self.turn();
            if done == Some(Done::Forked) {
                return Done::Forked;
            }
            // Also in the middle of it: whoever comes after a sink that hangs, or after a process that is killed, writes only
            // what this one hasn't.
            self.note(&mut parts, begin);
            match (turn, done) {
                (_, Some(done)) => break done,
                (Turn::Wait(at), _) if self.shared.pause_until(at) => break Done::GivenUp,
                // It has taken a part, and may keep it.
                (Turn::More, _) if !queue.is_all_settled() => queue.want_flush_of_settled(),
                _ => {}
            }
        };
        if done == Done::GivenUp {
            self.flush_once();
            self.tell();
            self.note(&mut parts, begin);
        }
        let mut core = queue.lock();
        if done == Done::Written && core.drops.total() == lost {
            // Its own lines are no lines of anybody's.
            core.accepted -= announcements;
            core.written -= announcements;
        }
        drop(core);
        done
    }

    /// Has the sink do one thing. Says if that was all.
    fn turn(&self) -> (Turn, Option<Done>) {
        let queue = &*self.shared.queue;
        let mut outlet = queue.slot.take();
        let mut troubles = outlet::Troubles::default();
        let turn = outlet.turn(queue, Pace::All, &mut troubles);
        if turn == Turn::Forked {
            mem::forget(outlet);
            return (turn, Some(Done::Forked));
        }
        queue.slot.put_back(outlet);
        queue.tell(troubles);
        let done = match turn {
            _ if self.shared.is_parents() => Some(Done::Forked), // by the error hook
            Turn::Idle if queue.is_all_settled() => Some(Done::Written), // else it was flushed in between
            _ if self.shared.orders().is_given_up => Some(Done::GivenUp),
            _ => None,
        };
        (turn, done)
    }

    /// Has the sink pass on what it has taken of what is given up. If it can't, the next collector writes that again.
    fn flush_once(&self) {
        let queue = &*self.shared.queue;
        let mut outlet = queue.slot.take();
        let mut troubles = outlet::Troubles::default();
        outlet.flush(queue, &mut troubles);
        queue.slot.put_back(outlet);
        queue.tell(troubles);
    }

    /// Says in the rings how far they are taken: as far as the sink has taken the batch, and was flushed.
    fn note(&mut self, parts: &mut [Part], begin: u64) {
        let core = self.shared.queue.lock();
        let (bytes, side) = (core.flushed_bytes, core.flushed.side);
        drop(core);
        let flushed = usize::try_from(bytes.saturating_sub(begin)).unwrap_or(usize::MAX);
        for part in parts {
            let lines = self.rings.take(part.key, |ring| part.taken(flushed, side, ring), &mut self.troubles);
            self.shared.lines.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Waits until there is something to do: for a moment, in which lines have company, and if there was nothing, until a worker
    /// wakes it.
    fn rest(&mut self) {
        let (state, limit) = match self.worked.elapsed() < LINGER {
            true => (protocol::LINGERS, LINGER),
            false => (protocol::SLEEPS, self.scan_every()),
        };
        self.rings.write_state(state, &mut self.troubles);
        if state == protocol::SLEEPS {
            let before = self.rings.marks();
            self.rings.look(&mut self.troubles);
            if self.rings.marks() != before {
                return;
            }
        }
        self.tell();
        if self.shared.sleep(limit, self.home.pipe()) == Woken::Change {
            self.scan();
        }
    }

    /// Tells about trouble with rings.
    fn tell(&mut self) {
        for (trouble, error) in mem::take(&mut self.troubles) {
            self.shared.queue.options.notice.tell(trouble, &error);
        }
        if self.shared.is_parents() {
            mem::forget(mem::take(&mut self.rings.open)); // a child, made by the hook: they are closed, and not its own
        }
    }
}

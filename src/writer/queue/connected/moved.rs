//! A ring whose file was removed, or moved elsewhere, with its directory perhaps: no collector will ever find it. The worker makes another one, takes
//! what is left in the old one along, and goes on there. Not while a collector has it open: that one goes on to read it.

use std::sync::atomic::Ordering;

use super::{Connected, Main};
use crate::{
    Error,
    error::Trouble,
    writer::{
        lines,
        queue::{locked::Locked, outlet::LARGEST_BATCH},
        ring::{layout::LONGEST_LINE, producer::DroppedFor},
    },
};

/// The generation of forks of nobody: this is not the queue of this process any more, the one behind it is.
pub(super) const MOVED: u64 = u64::MAX;

impl Connected {
    /// Looks whether the ring is still where a collector finds it, and moves if it isn't.
    #[cold]
    pub(super) fn look_after_ring(&self) {
        if self.producer.is_lost(&self.directory) {
            let mut main = self.lock();
            self.move_on(&mut main);
            self.tell(main);
        }
    }

    /// Releases the lock, and tells what was to be told.
    pub(super) fn tell(&self, mut main: Locked<'_, Main>) {
        let trouble = main.trouble.take();
        drop(main);
        if let Some((trouble, error)) = trouble {
            self.options.notice.tell(trouble, &error);
        }
    }

    /// Moves to another ring. Returns whether that is done.
    pub(super) fn move_on(&self, main: &mut Locked<'_, Main>) -> bool {
        if self.has_moved() || !self.orphans.is_due() {
            return self.has_moved();
        }
        let path = self.directory.path();
        let next = match Connected::open(self.options.clone(), path) {
            Ok(next) => next,
            Err(error) => {
                self.orphans.has_failed(); // it is tried again
                main.trouble = Some((Trouble::Write, error));
                return false;
            }
        };
        self.take_along(main, &next);
        self.settle_account(main, &next);
        main.lane.shut();
        self.producer.leave();
        if self.successor.set(Box::new(next)).is_err() {
            return true; // never: it is set under this lock
        }
        self.generation.store(MOVED, Ordering::Release);
        let what = format!(
            "the ring of this process in {path:?} was removed or moved: its lines are in another one now"
        );
        main.trouble = Some((Trouble::Rings, Error::invalid(what)));
        true
    }

    /// Passes on what is left in the account: lines that are not taken along, and losses of which the log wasn't told.
    fn settle_account(&self, main: &mut Main, next: &Connected) {
        // What was logged aside is not taken along: it has no place among the others there.
        let settled = self.producer.taken_lines() + self.producer.dropped().iter().sum::<u64>();
        let aside = self.accepted_aside.load(Ordering::Relaxed);
        let left = (main.accepted + aside).saturating_sub(settled + main.waiting_lines).min(aside);
        self.accepted_aside.fetch_sub(left, Ordering::Relaxed);
        next.accepted_aside.fetch_add(left, Ordering::Relaxed);
        next.producer.drop_lines(DroppedFor::Nested, left);
        let untold = self.producer.hand_over_drops(&next.producer);
        let of_main = untold.min(main.accepted);
        main.accepted -= of_main;
        let aside = self.accepted_aside.load(Ordering::Relaxed);
        self.accepted_aside.fetch_sub((untold - of_main).min(aside), Ordering::Relaxed);
        next.lock().accepted += untold;
    }

    /// Copies the lines that no collector has taken.
    fn take_along(&self, main: &mut Main, next: &Connected) {
        let (mut from, to) = (main.lane.look(&self.producer), main.lane.end());
        let (mut count, mut bytes) = (0, Vec::new());
        let mut next = (next, next.lock());
        while from < to {
            bytes.clear();
            let until = to.min(from + (LARGEST_BATCH + LONGEST_LINE) as u64);
            if self.producer.read(&mut bytes, from, until).is_err() {
                break;
            }
            bytes.truncate(lines::whole(&bytes));
            if bytes.is_empty() {
                break;
            }
            next.1.lane.append(&next.0.producer, &bytes); // it is of the same size
            from += bytes.len() as u64;
            count += lines::count(&bytes);
        }
        next.1.accepted += count;
        main.accepted -= count.min(main.accepted);
    }

    pub(super) fn has_moved(&self) -> bool {
        self.generation.load(Ordering::Acquire) == MOVED
    }
}

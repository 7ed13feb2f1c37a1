//! A worker that waits for room: it looks again and again, as the collector has no means to wake it that would outlive them
//! both. Only threads of one process wake each other.

use std::time::{Duration, Instant};

use super::{Connected, Main};
use crate::writer::{
    LineKind,
    queue::{
        drops::Cause,
        locked::Locked,
        waiting::{FIRST_AFTER, Patience},
    },
};

/// How long it pauses between two looks: longer, the longer it has waited.
const PAUSE: Duration = Duration::from_micros(100);
const PAUSE_AT_MOST: Duration = Duration::from_millis(10);

/// Why there is no room for a line.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoRoom {
    /// It is to be dropped.
    For(Cause),
    /// Nobody may wait here.
    MustNotWait,
    /// This isn't the ring of this process any more.
    HasMoved,
}

/// Somebody who waits.
struct Waiter {
    began: Instant,
    limit: Duration,
    patience: Patience,
    bytes: usize,
    kind: LineKind,
    ticket: Option<u64>,
}

impl Connected {
    /// Waits for room as long as the options have it.
    #[cold]
    pub(super) fn wait_for_room(
        &self,
        main: &mut Locked<'_, Main>,
        bytes: usize,
        kind: LineKind,
    ) -> Result<(), NoRoom> {
        if self.has_moved() {
            return Err(NoRoom::HasMoved);
        }
        if kind.is_nested() {
            return Err(NoRoom::MustNotWait);
        }
        let limit = self.options.limit_for_room().ok_or(NoRoom::For(Cause::Full))?;
        let patience = Patience::new(main.lane.look(&self.producer), self.options.stall_timeout);
        let mut waiter = Waiter { began: Instant::now(), limit, patience, bytes, kind, ticket: None };
        main.waiting += 1;
        let result = loop {
            if let Some(result) = self.look_for_room(main, &mut waiter) {
                break result;
            }
        };
        main.waiting -= 1;
        if let Some(ticket) = waiter.ticket {
            main.first.leave(ticket);
            self.room.notify_all(); // it may be the turn of another one
        }
        result
    }

    /// Looks for room, and pauses if there is none.
    fn look_for_room(&self, main: &mut Locked<'_, Main>, waiter: &mut Waiter) -> Option<Result<(), NoRoom>> {
        if self.producer.is_lost(&self.directory) && self.move_on(main) {
            return Some(Err(NoRoom::HasMoved));
        }
        let waited = waiter.began.elapsed();
        let is_large = waiter.bytes > self.options.capacity / 2;
        if waiter.ticket.is_none() && (is_large || waited >= FIRST_AFTER) {
            waiter.ticket = Some(main.first.join());
        }
        main.lane.look(&self.producer);
        if main.first.is_turn_of(waiter.ticket) && self.has_room(main, waiter.bytes, waiter.kind) {
            return Some(Ok(()));
        }
        if main.is_stalled() {
            return Some(Err(NoRoom::For(Cause::Stalled)));
        }
        let left = waiter.limit.saturating_sub(waited);
        if left.is_zero() {
            return Some(Err(NoRoom::For(Cause::Full)));
        }
        self.producer.wake_if_needed(true);
        main.wait(&self.room, (waited / 8).clamp(PAUSE, PAUSE_AT_MOST).min(left));
        let taken = main.lane.look(&self.producer);
        if waiter.patience.look(taken) {
            main.stalled_at = Some(taken);
        }
        None
    }
}

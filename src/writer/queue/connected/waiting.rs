//! A worker that waits for room: it looks again and again, as the collector has no means to wake it that would outlive them
//! both.

use std::{
    thread,
    time::{Duration, Instant},
};

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

impl Connected {
    /// Waits for room as long as the options have it.
    #[cold]
    pub(super) fn wait_for_room(
        &self,
        main: &mut Locked<'_, Main>,
        bytes: usize,
        kind: LineKind,
    ) -> Result<(), Cause> {
        let began = Instant::now();
        let Some(limit) = self.options.limit_for_room() else { return Err(Cause::Full) };
        let mut patience = Patience::new(main.lane.look(&self.producer), self.options.stall_timeout);
        let is_large = bytes > self.options.capacity / 2;
        let mut ticket = None;
        main.waiting += 1;
        let result = loop {
            if self.producer.is_removed() && self.move_on(main) {
                break Ok(());
            }
            if ticket.is_none() && (is_large || began.elapsed() >= FIRST_AFTER) {
                ticket = Some(main.first.join());
            }
            main.lane.look(&self.producer);
            if main.first.is_turn_of(ticket) && self.has_room(main, bytes, kind) {
                break Ok(());
            }
            if main.is_stalled() {
                break Err(Cause::Stalled);
            }
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                break Err(Cause::Full);
            }
            main.without(|| {
                self.producer.wake_if_needed(true);
                thread::sleep((began.elapsed() / 8).clamp(PAUSE, PAUSE_AT_MOST).min(left));
            });
            let taken = main.lane.look(&self.producer);
            if patience.look(taken) {
                main.stalled_at = Some(taken);
            }
        };
        main.waiting -= 1;
        if let Some(ticket) = ticket {
            main.first.leave(ticket);
        }
        result
    }
}

//! Who goes before all others that wait for room: whoever has waited long, or has a line so large that it would never find room
//! beside those of others.

use std::collections::VecDeque;

/// Those who go first, one after the other.
#[derive(Debug)]
pub(super) struct First {
    tickets: VecDeque<u64>,
    next: u64,
}

impl First {
    pub(super) fn new() -> Self {
        First { tickets: VecDeque::with_capacity(64), next: 0 }
    }

    /// Becomes the last of those who go first. Returns the ticket.
    pub(super) fn join(&mut self) -> u64 {
        self.next += 1;
        self.tickets.push_back(self.next);
        self.next
    }

    /// Is none of those any more.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.tickets.retain(|&other| other != ticket);
    }

    /// Returns whether nobody goes before the one with this ticket, or without.
    #[inline]
    pub(super) fn is_turn_of(&self, ticket: Option<u64>) -> bool {
        self.tickets.front().copied() == ticket || self.tickets.is_empty()
    }
}

//! Who waits for room in a queue, or for what is in it to be written: never for ever, as long as nothing moves.

use std::time::{Duration, Instant};

use super::{
    core::{Core, Mode},
    drops::Cause,
    inner::Inner,
    locked::Locked,
};
use crate::writer::LineKind;

/// How long somebody waits at a time. Longer, and a process that was stopped (SIGSTOP) would take that for a stall.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// How long somebody waits at a time who writes too.
const PAUSE: Duration = Duration::from_millis(1);

/// Who has waited so long goes before those who come later.
pub(super) const FIRST_AFTER: Duration = Duration::from_millis(100);

/// How long the end of the process waits for a sink that takes nothing, when somebody has waited for it in vain already.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(200);

impl Inner {
    /// Waits for room as long as the options have it.
    #[cold]
    pub(super) fn wait_for_room(
        &self,
        core: &mut Locked<'_, Core>,
        bytes: usize,
        kind: LineKind,
    ) -> Result<(), Cause> {
        let began = Instant::now();
        let Some(limit) = self.options.limit_for_room() else { return Err(Cause::Full) };
        let mut patience = Patience::new(core.progress, self.options.stall_timeout);
        let mut ticket = None;
        core.waiting += 1;
        let result = loop {
            if ticket.is_none() && (core.room.is_large(bytes) || began.elapsed() >= FIRST_AFTER) {
                ticket = Some(core.first.join());
            }
            if core.first.is_turn_of(ticket) && self.has_room(core, bytes, kind) {
                break Ok(());
            }
            if core.is_stalled {
                break Err(Cause::Stalled);
            }
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                break Err(Cause::Full);
            }
            if core.mode == Mode::Direct {
                core.without(|| self.see_off(left.min(self.options.patience())));
                if !self.has_room(core, bytes, kind) {
                    core.wait(&self.room, left.min(PAUSE)); // somebody else holds what is missing
                    core.is_stalled |= patience.look(core.progress);
                }
                continue;
            }
            self.wake(); // in any case: a signal may have interrupted a log call that was about to
            core.wait(&self.room, left.min(SLICE));
            core.is_stalled |= patience.look(core.progress);
        };
        core.waiting -= 1;
        if let Some(ticket) = ticket {
            core.first.leave(ticket);
            self.room.notify_all();
        }
        result
    }

    /// Waits until `is_over`, but not longer than `limit` says. Returns whether it is.
    pub(super) fn wait_until(&self, limit: Limit, is_over: impl Fn(&Core) -> bool) -> bool {
        let began = Instant::now();
        let mut core = self.lock();
        let mut patience = Patience::new(core.progress, self.options.stall_timeout);
        let mut own_patience = Patience::new(core.progress, limit.at_most(Duration::MAX));
        core.watching += 1;
        let is_over = loop {
            if is_over(&core) {
                break true;
            }
            self.wake(); // as above
            let left = match limit {
                Limit::Time(limit) => limit.saturating_sub(began.elapsed()),
                Limit::Progress(_) if core.is_stalled || own_patience.is_over() => Duration::ZERO,
                Limit::Progress(_) => SLICE,
            };
            if left.is_zero() {
                break false;
            }
            core.wait(&self.moved, left.min(SLICE));
            if patience.look(core.progress) && matches!(limit, Limit::Progress(_)) {
                core.is_stalled = true;
            }
            own_patience.look(core.progress);
        };
        core.watching -= 1;
        is_over
    }

    /// The patience of the end of the process.
    pub(super) fn patience_at_exit(&self) -> Patience {
        let core = self.lock();
        let limit = if core.is_given_up { GIVEN_UP_AFTER } else { self.options.stall_timeout };
        Patience::new(core.progress, limit.min(self.options.stall_timeout))
    }
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    /// So long.
    Time(Duration),
    /// As long as the sink takes something at least once in so long.
    Progress(Duration),
}

impl Limit {
    /// The time without progress, or so long at most.
    pub(super) fn at_most(self, most: Duration) -> Duration {
        match self {
            Limit::Time(limit) | Limit::Progress(limit) => limit.min(most),
        }
    }
}

/// Somebody's patience with a sink that takes nothing: it counts the time that was really waited, in slices, so that nobody
/// loses it while the whole process is stopped.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    seen: u64,
    since: Instant,
    waited: Duration,
}

impl Patience {
    pub(super) fn new(progress: u64, limit: Duration) -> Self {
        Patience { limit, seen: progress, since: Instant::now(), waited: Duration::ZERO }
    }

    /// Looks after a slice of waiting. Returns whether it has come to an end.
    pub(super) fn look(&mut self, progress: u64) -> bool {
        let now = Instant::now();
        let slice = now.saturating_duration_since(self.since).min(2 * SLICE);
        self.since = now;
        if self.seen == progress {
            self.waited += slice;
        } else {
            (self.seen, self.waited) = (progress, Duration::ZERO);
        }
        self.is_over()
    }

    fn is_over(&self) -> bool {
        self.waited >= self.limit
    }

    /// The same as [`look`](Self::look), for one who has waited without the lock. Nobody else has to wait as long.
    pub(super) fn is_over_for(&mut self, queue: &Inner) -> bool {
        let mut core = queue.lock();
        core.is_stalled |= self.look(core.progress);
        core.is_stalled
    }
}

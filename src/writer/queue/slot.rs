//! Where the sink is while nobody uses it.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::outlet::Outlet;

/// How long is waited at once. If the machine stands still meanwhile, no more than this counts as waiting: who has the sink
/// could not put it back then.
const SLICE: Duration = Duration::from_millis(20);

/// Where the sink is while nobody uses it.
#[derive(Debug)]
pub(super) struct Slot {
    state: Mutex<SlotState>,
    back: Condvar,
}

#[derive(Debug)]
struct SlotState {
    outlet: Option<Box<Outlet>>,
    /// Those who wait for it, and go before the writer's thread, which would take it again at once.
    guests: usize,
    /// Threads that fork: they want it when it keeps nothing, and go before all others then.
    forks: usize,
    /// All who wait.
    waiting: usize,
}

impl SlotState {
    /// Takes the sink out if it is there, and if it may be taken, which also depends on how many threads fork.
    fn take_if(&mut self, may_take: impl Fn(&Outlet, usize) -> bool) -> Option<Box<Outlet>> {
        self.outlet.take_if(|outlet| may_take(outlet, self.forks))
    }
}

impl Slot {
    pub(super) fn new(outlet: Box<Outlet>) -> Self {
        Slot {
            state: Mutex::new(SlotState { outlet: Some(outlet), guests: 0, forks: 0, waiting: 0 }),
            back: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sink out, for the writer's thread: however long it takes.
    pub(super) fn take(&self) -> Box<Outlet> {
        let mut state = self.lock();
        loop {
            if state.guests == state.forks
                && let Some(outlet) = state.take_if(|outlet, forks| forks == 0 || !outlet.is_clean())
            {
                return outlet;
            }
            state.waiting += 1;
            state = self.back.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Takes the sink out, for anybody else who logs, within `limit`.
    pub(super) fn take_as_guest(&self, mut limit: Duration) -> Option<Box<Outlet>> {
        self.take_within(&mut limit, false)
    }

    /// Takes the sink out, for a thread that forks, when it keeps nothing, within what is `left` of its time.
    pub(super) fn take_to_fork(&self, left: &mut Duration) -> Option<Box<Outlet>> {
        self.take_within(left, true)
    }

    fn take_within(&self, left: &mut Duration, forks: bool) -> Option<Box<Outlet>> {
        let mut state = self.lock();
        state.guests += 1;
        state.forks += usize::from(forks);
        let outlet = loop {
            let may_take = |outlet: &Outlet, others: usize| {
                if forks { outlet.is_clean() } else { others == 0 || !outlet.is_clean() }
            };
            if let Some(outlet) = state.take_if(may_take) {
                break Some(outlet);
            }
            if left.is_zero() {
                break None;
            }
            let (slice, began) = (SLICE.min(*left), Instant::now());
            state.waiting += 1;
            state = self.back.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            *left -= slice.min(began.elapsed());
        };
        state.guests -= 1;
        state.forks -= usize::from(forks);
        if outlet.is_none() {
            self.back.notify_all(); // others may have waited for this one
        }
        outlet
    }

    /// Puts the sink back.
    pub(super) fn put_back(&self, outlet: Box<Outlet>) {
        let mut state = self.lock();
        state.outlet = Some(outlet);
        let somebody_waits = state.waiting > 0;
        drop(state);
        if somebody_waits {
            self.back.notify_all();
        }
    }
}

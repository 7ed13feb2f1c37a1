//! RUNNING first: the order at the beginning of a task.
//!
//! Four threads may enter one span, or log into it, at the same moment. The first to reach the gate writes
//! RUNNING; the others wait for it; whoever comes later finds the gate open and pays one load. The thread that
//! writes RUNNING may come by again, because the writer it calls may log into the same task: it passes. No lock is
//! held while RUNNING is written, and a writer that panics leaves the gate open.
//!
//! Threads that are on their way through gates of several tasks may log into each other's tasks. Who would close a
//! circle by waiting passes instead: better a line before RUNNING than none ever. Nobody waits longer than 5 s in
//! any case: the thread that writes RUNNING may be waiting for a lock of the program's own, or be gone in a fork.

use std::{
    sync::{Condvar, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

/// How long a thread waits for the one that writes RUNNING.
const PATIENCE: Duration = Duration::from_secs(5);

/// A gate that opens once, behind the first to pass.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Set when the gate is open, never unset: the fast way to know.
    open: OnceLock<()>,
    /// The thread that is on its way through, between the first arrival and the opening.
    first: Mutex<Option<ThreadToken>>,
    opened: Condvar,
}

impl Gate {
    /// Returns whether the gate is open.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get().is_some()
    }

    /// Passes the gate: runs `first` and opens it, or waits for the thread that does, or finds it open.
    pub(crate) fn pass(&self, first: impl FnOnce()) {
        if self.is_open() || !self.is_first() {
            return;
        }
        let _opens_on_every_way_out = Opening(self);
        first();
    }

    /// Returns whether this thread is the first; if it isn't, only once it may pass.
    fn is_first(&self) -> bool {
        let (me, deadline) = (ThreadToken::current(), Instant::now() + PATIENCE);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *first {
                _ if self.is_open() => return false,
                None => {
                    *first = Some(me);
                    return true;
                }
                Some(token) if token == me => return false,
                Some(token) => {
                    let Some(_waits) = Waiting::begin(me, token) else { return false };
                    let Some(left) = deadline.checked_duration_since(Instant::now()) else { return false };
                    first = self.opened.wait_timeout(first, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Waits until the gate is open, but not longer than `limit`, and never for this thread itself.
    pub(crate) fn wait(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_open() && first.is_some_and(|token| token != ThreadToken::current()) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            first = self.opened.wait_timeout(first, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Opens the gate when it goes, also while a panic unwinds.
struct Opening<'a>(&'a Gate);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let _first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.open.get_or_init(|| ());
        self.0.opened.notify_all();
    }
}

/// For each thread that waits: itself, and the thread that it waits for. Never a circle.
static WAITING: Mutex<Vec<(ThreadToken, ThreadToken)>> = Mutex::new(Vec::new());

/// A thread's entry in [`WAITING`].
struct Waiting(ThreadToken);

impl Waiting {
    /// Notes that `me` waits for `other`, unless that waits for `me`, directly or through others.
    fn begin(me: ThreadToken, other: ThreadToken) -> Option<Self> {
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = other;
        while let Some(&(_, next)) = waiting.iter().find(|(waits, _)| *waits == last) {
            last = next;
        }
        if last == me {
            return None;
        }
        waiting.push((me, other));
        Some(Waiting(me))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).retain(|(waits, _)| *waits != self.0);
    }
}

/// Tells threads that live at the same time apart, also while thread-locals are being destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ThreadToken(usize);

impl ThreadToken {
    fn current() -> Self {
        thread_local! {
            // Without a destructor: it is there as long as the thread. Its address is the token.
            static PLACE: u8 = const { 0 };
        }
        ThreadToken(PLACE.with(|place| std::ptr::from_ref(place).addr()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    #[test]
    fn nobody_passes_before_the_first_is_through() {
        for _ in 0..200 {
            let (gate, barrier) = (Gate::default(), Barrier::new(4));
            let (firsts, through) = (AtomicUsize::new(0), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        gate.pass(|| {
                            firsts.fetch_add(1, Ordering::SeqCst);
                            thread::yield_now();
                            through.store(1, Ordering::SeqCst);
                        });
                        assert_eq!(through.load(Ordering::SeqCst), 1);
                    });
                }
            });
            assert_eq!(firsts.load(Ordering::SeqCst), 1);
        }
    }

    #[test]
    fn the_first_never_waits_for_itself() {
        let gate = Gate::default();
        gate.pass(|| {
            gate.pass(|| panic!("it is not the first"));
            gate.wait(Duration::from_secs(60));
            assert!(!gate.is_open());
        });
        assert!(gate.is_open());
    }

    #[test]
    fn a_panic_opens_the_gate() {
        let gate = Gate::default();
        let panic = catch_unwind(AssertUnwindSafe(|| gate.pass(|| panic!("in the sink"))));
        assert!(panic.is_err());
        assert!(gate.is_open());
    }

    #[test]
    fn waiting_has_a_limit() {
        let gate = Gate::default();
        gate.pass(|| {
            thread::scope(|scope| {
                scope.spawn(|| gate.wait(Duration::from_millis(1)));
            });
        });
    }
}

//! The open tasks of a layer, and what happens to them when the program ends in an orderly way.

use std::{
    collections::BTreeMap,
    fmt, mem,
    sync::{Arc, Mutex, Once, Weak},
    time::Duration,
};

use super::{Entry, lock};
use crate::sys;

/// How long an interruption waits for the RUNNING of a task that another thread is writing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The tasks of one layer that have begun and are not closed, in the order in which they began.
#[derive(Debug)]
pub(crate) struct OpenTasks {
    seats: Mutex<Seats>,
    /// Done when the exit hook knows of this set.
    registered: Once,
}

#[derive(Debug, Default)]
struct Seats {
    last: u64,
    taken: BTreeMap<u64, Arc<Entry>>,
}

impl OpenTasks {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(OpenTasks { seats: Mutex::default(), registered: Once::new() })
    }

    /// Adds a task. Returns its seat, which is never 0.
    pub(super) fn add(self: &Arc<Self>, entry: Arc<Entry>) -> u64 {
        self.registered.call_once(|| register(self));
        let mut seats = lock(&self.seats);
        seats.last += 1;
        let seat = seats.last;
        seats.taken.insert(seat, entry);
        seat
    }

    /// Removes a task. Returns whether it was there.
    pub(super) fn remove(&self, seat: u64) -> bool {
        let removed = lock(&self.seats).taken.remove(&seat);
        removed.is_some() // and what was removed is dropped here, without the lock
    }

    /// Closes every open task as INTERRUPTED, the oldest first.
    fn interrupt_all(&self) {
        let taken = mem::take(&mut lock(&self.seats).taken);
        taken.values().for_each(|entry| entry.interrupt(PATIENCE));
    }

    /// The same at the end of the process, for the tasks whose lines reach a writer of this crate, as far as is known.
    fn interrupt_at_exit(&self) {
        let Some(mut seats) = sys::lock_at_exit(&self.seats) else { return };
        let taken = mem::take(&mut seats.taken);
        drop(seats);
        let ours = taken.values().filter(|entry| entry.has_our_writer());
        ours.for_each(|entry| entry.interrupt(sys::exit_patience()));
    }
}

/// The sets that ever had a task, for the exit hook.
static SETS: Mutex<Vec<Weak<OpenTasks>>> = Mutex::new(Vec::new());

/// Makes a set known to the exit hook, and the exit hook to the C library.
fn register(set: &Arc<OpenTasks>) {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| sys::at_exit(sys::AtExit::Tasks, interrupt_at_exit));
    let mut sets = lock(&SETS);
    sets.retain(|set| set.strong_count() > 0);
    sets.push(Arc::downgrade(set));
}

fn interrupt_at_exit() {
    let Some(mut locked) = sys::lock_at_exit(&SETS) else { return };
    let sets = mem::take(&mut *locked);
    drop(locked);
    sets.iter().filter_map(Weak::upgrade).for_each(|set| set.interrupt_at_exit());
}

/// Closes the layer's open tasks as INTERRUPTED when it is dropped: the orderly end of a program.
///
/// Made by [`TaskLayer::interrupt_on_drop`](crate::TaskLayer::interrupt_on_drop) and
/// [`try_init`](crate::try_init). Bind it to a name that lives as
/// long as the tasks should: `let _guard = …`, not `let _ = …`, which drops it at once.
///
/// Whatever was said about a task before, the guard writes INTERRUPTED. Lines logged in it afterwards keep its
/// tag, and there is no second closing line. Tasks that begin after the drop run normally. If another thread is
/// writing a task's RUNNING line at that moment, the drop waits for it, up to 5 s.
///
/// The guard of `try_init` ends the queue of a writer that has one, too, when the tasks are closed.
#[must_use = "dropping the guard interrupts the open tasks: bind it to a name"]
#[derive(Debug)]
pub struct InterruptGuard {
    open: Arc<OpenTasks>,
    /// What is to be dropped when the tasks are closed.
    then: Option<Box<dyn fmt::Debug + Send + Sync>>,
}

impl InterruptGuard {
    pub(crate) fn new(open: &Arc<OpenTasks>) -> Self {
        InterruptGuard { open: Arc::clone(open), then: None }
    }

    /// Has something else end with the guard, after the tasks.
    #[cfg(feature = "queue")]
    pub(crate) fn then(mut self, end: impl fmt::Debug + Send + Sync + 'static) -> Self {
        self.then = Some(Box::new(end));
        self
    }
}

impl Drop for InterruptGuard {
    fn drop(&mut self) {
        self.open.interrupt_all();
        drop(self.then.take());
    }
}

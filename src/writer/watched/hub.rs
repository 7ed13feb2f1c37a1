//! The thread that looks: one for the whole process, whatever the number of files.
//!
//! It sleeps until a look is due, or until it is woken because something has happened in a directory. Nobody waits for it:
//! if it is stopped, lines look by themselves.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use super::{ending::IDLE, events::Events, shared::Shared};
use crate::{clock, sys};

/// How long a new file waits for the list of the others, which could be locked for ever in a child of fork, and for the
/// thread that looks, which may be in a hook.
const PATIENCE: Duration = Duration::from_secs(1);

/// The hub of this process, as long as it has a file.
static HUB: Mutex<Weak<Hub>> = Mutex::new(Weak::new());

/// What files hold of the thread: it ends with the last of them.
#[derive(Debug)]
pub(super) struct Hub {
    list: Arc<List>,
    thread: Thread,
    /// The forks of this process when the thread was made: in a child it isn't there.
    forks: u64,
}

/// The files, for the thread that looks and for the one that is told of events.
#[derive(Debug, Default)]
pub(super) struct List {
    files: Mutex<Vec<Weak<Shared>>>,
    is_over: AtomicBool,
}

impl Hub {
    /// Has a file looked after, as long as the hub that is returned is kept.
    pub(super) fn look_after(file: &Arc<Shared>) -> io::Result<Arc<Hub>> {
        sys::at_exit(sys::AtExit::Writers, finish_at_exit);
        let mut current = sys::lock_within(&HUB, PATIENCE).ok_or(io::ErrorKind::ResourceBusy)?;
        let hub = match current.upgrade().filter(|hub| hub.forks == sys::forks()) {
            Some(hub) => hub,
            None => {
                let hub = Arc::new(Hub::start()?);
                *current = Arc::downgrade(&hub);
                hub
            }
        };
        hub.list.locked().push(Arc::downgrade(file));
        hub.thread.unpark();
        drop(current);
        hub.wait_until_seen_to(file);
        Ok(hub)
    }

    /// Waits until what happens to the file is told: a fraction of a millisecond, and no longer than [`PATIENCE`]. The thread
    /// that looks would wait for itself, in a hook that opens a file.
    fn wait_until_seen_to(&self, file: &Shared) {
        let began = clock::instant();
        let is_seen_to = || file.hints.is_seen_to.load(Ordering::Relaxed);
        while !is_seen_to() && thread::current().id() != self.thread.id() && began.elapsed() < PATIENCE {
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn start() -> io::Result<Hub> {
        let list = Arc::new(List::default());
        let for_thread = Arc::clone(&list);
        let builder = thread::Builder::new().name("tasklog-watch".to_owned());
        let thread = sys::with_signals_blocked(|| builder.spawn(move || run(&for_thread)))?;
        Ok(Hub { list, thread: thread.thread().clone(), forks: sys::forks() })
    }
}

/// The thread is not waited for: it may be in an error hook that waits for whoever drops the last file.
impl Drop for Hub {
    fn drop(&mut self) {
        self.list.is_over.store(true, Ordering::Relaxed);
        if self.forks == sys::forks() {
            self.thread.unpark();
        }
    }
}

/// Has every file looked at once more when the process ends: nobody else may come by.
fn finish_at_exit() {
    let hub = sys::lock_at_exit(&HUB).and_then(|current| current.upgrade());
    let Some(hub) = hub.filter(|hub| hub.forks == sys::forks()) else { return };
    let Some(files) = sys::lock_at_exit(&hub.list.files).map(|list| upgraded(&list)) else { return };
    files.iter().for_each(|file| file.finish(false));
}

fn upgraded(files: &[Weak<Shared>]) -> Vec<Arc<Shared>> {
    files.iter().filter_map(Weak::upgrade).collect()
}

impl List {
    fn locked(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the files that are still in use. They are dropped without the lock, wherever that is.
    pub(super) fn files(&self) -> Vec<Arc<Shared>> {
        let mut list = self.locked();
        list.retain(|file| file.strong_count() > 0);
        upgraded(&list)
    }
}

fn run(list: &Arc<List>) {
    let mut events = Events::new(Arc::clone(list), thread::current());
    while !list.is_over.load(Ordering::Relaxed) {
        let files = list.files();
        let next = files.iter().map(|file| file.tick()).min().unwrap_or(IDLE);
        // After the look: what was told before a directory went still counts for it.
        let is_hinted = events.watch(&files);
        drop(files);
        if !is_hinted {
            thread::park_timeout(next);
        }
    }
}

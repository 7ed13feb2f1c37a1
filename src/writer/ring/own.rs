//! The rings that this process itself writes to. A collector in the same process must not open their files: to close any file
//! descriptor of a file releases the lock that the process has on it (fcntl(2)). And its own lock says nothing to it.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::directory::FileKey;
use crate::sys;

/// How long a child made by fork(2) waits for the list: its parent may have held the lock then, for ever.
const PATIENCE: Duration = Duration::from_millis(200);

struct Own {
    key: FileKey,
    file: Arc<File>,
    /// In a child they are the parent's.
    forks: u64,
}

static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());

fn lock() -> Option<MutexGuard<'static, Vec<Own>>> {
    if sys::forks() > 0 {
        return sys::lock_within(&OWN, PATIENCE);
    }
    Some(OWN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A ring that this process writes to, until this is dropped.
#[derive(Debug)]
pub(super) struct Registered {
    key: FileKey,
}

/// Makes the file of a ring of this process, and makes that known: whoever finds the file finds it in here.
pub(super) fn make(file: impl FnOnce() -> io::Result<File>) -> io::Result<(Arc<File>, Registered)> {
    let list = lock();
    let file = Arc::new(file()?);
    let key = FileKey::of(&file.metadata()?);
    if let Some(mut own) = list {
        own.push(Own { key, file: Arc::clone(&file), forks: sys::forks() });
    }
    Ok((file, Registered { key }))
}

impl Drop for Registered {
    fn drop(&mut self) {
        let gone = lock().and_then(|mut own| {
            let at = own.iter().position(|own| own.key == self.key && own.forks == sys::forks())?;
            Some(own.swap_remove(at))
        });
        drop(gone); // without the lock
    }
}

/// Returns the file of a ring that this process writes to, if it is one.
pub(super) fn find(key: FileKey) -> Option<Arc<File>> {
    let own = lock()?;
    own.iter().find(|own| own.key == key && own.forks == sys::forks()).map(|own| Arc::clone(&own.file))
}

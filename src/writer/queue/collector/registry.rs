//! The collectors of this process: one for a directory, and what the end of the process does about them.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::MetadataExt as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use super::{Running, shared::Shared};
use crate::{
    Error, sys,
    writer::ring::directory::{self, Directory, FileKey},
};

/// How often somebody who waits for another collector to end looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the lists are waited for where their holder may never run again.
const PATIENCE: Duration = Duration::from_millis(200);

/// The directories for which this process collects, and in which generation of forks. The lock of fcntl(2) keeps out other
/// processes only, and goes when this one closes the file once more.
static COLLECTED: Mutex<Vec<(FileKey, u64)>> = Mutex::new(Vec::new());

static COLLECTORS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Locks a list, within a limit where its holder may never run again: in a child of fork, and while the process ends.
fn lock_list<T>(list: &'static Mutex<Vec<T>>) -> Option<MutexGuard<'static, Vec<T>>> {
    if sys::forks() > 0 || sys::is_exiting() {
        return sys::lock_within(list, PATIENCE);
    }
    Some(list.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The right to collect for a directory, until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    key: FileKey,
    forks: u64,
    file: Option<File>,
}

impl Lock {
    /// Returns whether it is for the directory that is at this path now. `None` if there is none.
    pub(super) fn is_for(&self, directory: &Directory) -> Option<bool> {
        let meta = directory.path().metadata().ok()?;
        // Its inode number may have been used again.
        let has_name = self.file.as_ref()?.metadata().is_ok_and(|meta| meta.nlink() > 0);
        Some(has_name && FileKey::of(&meta) == self.key)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is closed under the lock of the list: to close it releases whatever lock this process has on it, that of
        // the next collector too.
        if let Some(mut collected) = lock_list(&COLLECTED) {
            collected.retain(|entry| *entry != (self.key, self.forks));
            drop(self.file.take());
        }
    }
}

/// Locks a directory for the one collector that it may have.
pub(super) fn lock(directory: &Directory, if_running: Running) -> Result<Lock, Error> {
    let began = Instant::now();
    loop {
        let pid = match try_lock(directory)? {
            Ok(lock) => return Ok(lock),
            Err(pid) => pid,
        };
        let left = match if_running {
            Running::Refuse => Duration::ZERO,
            Running::Wait(limit) => limit.saturating_sub(began.elapsed()),
        };
        if left.is_zero() {
            return Err(Error::is_collected(directory.path(), pid));
        }
        thread::sleep(left.min(LOOK_EVERY));
    }
}

/// Locks a directory, or says which process has it, if that is known.
fn try_lock(directory: &Directory) -> Result<Result<Lock, Option<u32>>, Error> {
    let in_directory = |cause| Error::io("lock the directory of the queue", directory.path(), cause);
    let meta = directory.path().metadata().map_err(in_directory)?;
    let (key, forks) = (FileKey::of(&meta), sys::forks());
    let Some(mut collected) = lock_list(&COLLECTED) else { return Ok(Err(None)) };
    if collected.contains(&(key, forks)) {
        return Ok(Err(Some(std::process::id())));
    }
    let (path, mut file) = directory.open_lock()?;
    if !directory::lock(&file).map_err(in_directory)? {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid); // who has it is said as well as can be
        return Ok(Err(pid.trim().parse().ok()));
    }
    let note = format!("{}\n", std::process::id());
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    noted.map_err(|cause| Error::io("write to the collector's lock", &path, cause))?;
    collected.push((key, forks));
    drop(collected);
    Ok(Ok(Lock { key, forks, file: Some(file) }))
}

/// Has a collector ended when the process ends.
pub(super) fn register(collector: &Arc<Shared>) {
    sys::at_exit(sys::AtExit::Collectors, end_at_exit);
    let Some(mut collectors) = lock_list(&COLLECTORS) else { return };
    collectors.retain(|collector| collector.strong_count() > 0);
    collectors.push(Arc::downgrade(collector));
}

fn end_at_exit() {
    let collectors: Vec<Arc<Shared>> = match lock_list(&COLLECTORS) {
        Some(collectors) => collectors.iter().filter_map(Weak::upgrade).collect(),
        None => return,
    };
    collectors.iter().for_each(|collector| collector.close()); // all at once
    collectors.iter().for_each(|collector| collector.end());
}

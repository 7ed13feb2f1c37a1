//! Compressed backups, made on a thread of their own.
//!
//! A backup `tasks.log.3` is copied, compressed, to `.tasks.log.gz.tmp`, which is on the list of the log's own files
//! before a byte is in it. When it is whole and on the disk, it is renamed to the number that the backup has by then,
//! with `.gz`, and the plain one is removed. Killed before the rename, the process leaves the temporary file; killed
//! after it, both. The next one removes the compressed half of such a pair and begins again.

use std::{
    io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use super::{
    family::temporary_path,
    rotate::GZ,
    shared::{GAPS, Shared, State},
};
use crate::{
    Error,
    error::Trouble,
    file::{AppendFile, FileId, Reading},
    sys,
};

/// The thread that compresses backups.
#[derive(Debug)]
pub(super) struct Compressor {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
    /// The forks of this process when the thread was made: in a child it isn't there.
    forks: u64,
}

/// What the thread is to do next.
#[derive(Debug, Default)]
pub(super) struct Signal {
    order: Mutex<Order>,
    given: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    Wait,
    /// So it begins: with what an earlier process has left.
    #[default]
    Compress,
    /// Compress what is left, then end.
    End,
}

impl Signal {
    /// Has backups looked for.
    pub(super) fn compress(&self) {
        self.give(Order::Compress);
    }

    fn give(&self, order: Order) {
        let mut current = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if *current != Order::End {
            *current = order;
        }
        self.given.notify_one();
    }

    /// Waits for an order.
    fn next(&self) -> Order {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        while *order == Order::Wait {
            order = self.given.wait(order).unwrap_or_else(PoisonError::into_inner);
        }
        if *order == Order::End { Order::End } else { std::mem::replace(&mut *order, Order::Wait) }
    }
}

impl Compressor {
    /// Starts the thread.
    pub(super) fn start(shared: Arc<Shared>, signal: Arc<Signal>) -> io::Result<Self> {
        let for_thread = Arc::clone(&signal);
        let run = move || {
            loop {
                let order = for_thread.next();
                compress_all(&shared);
                if order == Order::End {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("tasklog-gzip".to_owned()).spawn(run)?;
        Ok(Compressor { signal, thread: Some(thread), forks: sys::forks() })
    }
}

/// Waits until the backups that there are are compressed.
impl Drop for Compressor {
    fn drop(&mut self) {
        if self.forks != sys::forks() {
            mem::forget(self.thread.take()); // it isn't there, and a thread of the parent may have the signal's lock for ever
            return;
        }
        self.signal.give(Order::End);
        let waits = |thread: &JoinHandle<()>| thread.thread().id() != thread::current().id(); // it may be in the error hook
        if let Some(thread) = self.thread.take().filter(waits).filter(|_| !sys::is_exiting()) {
            // The thread tells its troubles itself; if it panicked, it has printed why.
            let _ = thread.join();
        }
    }
}

/// Compresses every plain backup, the oldest first. Trouble ends it until the next rotation.
fn compress_all(shared: &Shared) {
    let compress = || {
        remove_temporary(shared, &shared.state())?;
        while let Some(backup) = next_backup(shared)? {
            compress_one(shared, backup)?;
        }
        Ok(())
    };
    if let Err(cause) = compress() {
        // It is a copy that was begun: without it the next try begins from nothing.
        let _ = remove_temporary(shared, &shared.state());
        shared.notice.tell(Trouble::Rotation, &Error::io("compress the backups of", &shared.path, cause));
    }
}

/// Opens the oldest plain backup that no line is written to any more. Of a pair that a crash has left, the compressed
/// half goes first.
fn next_backup(shared: &Shared) -> io::Result<Option<Reading>> {
    let state = shared.state();
    for slot in shared.slots(&state, shared.backups, GAPS)?.iter().rev() {
        let [plain, compressed @ ..] = slot.backups.as_slice() else { continue };
        if is_compressed(plain) {
            continue;
        }
        compressed.iter().try_for_each(|path| shared.files.remove(path))?;
        let backup = shared.files.open_read(plain)?; // with the lock: at any other time it may get another name
        if backup.id != state.id {
            return Ok(Some(backup));
        }
    }
    Ok(None)
}

fn compress_one(shared: &Shared, mut backup: Reading) -> io::Result<()> {
    let temporary = temporary_path(&shared.path);
    let copy = {
        let mut state = shared.state();
        remove_temporary(shared, &state)?;
        let mut copy = shared.files.create_new(&temporary, Some(0o600))?;
        state.family.add(copy.id);
        let limit = state.size_limit;
        state.family.write(limit)?;
        let _ = copy.file.take_after(&backup.meta, None); // as far as this process may: the live file's was told
        copy.file
    };
    let mut encoder = flate2::write::GzEncoder::new(Copy(copy), flate2::Compression::default());
    let copied = io::copy(&mut backup.content, &mut encoder)?;
    let mut copy = encoder.finish()?.0;
    let _ = backup.meta.modified().and_then(|time| copy.set_modified(time)); // a copy with another time is one all the same
    copy.sync()?;
    let state = shared.state();
    match place_of(shared, &state, backup.id)? {
        Some(now) => {
            let mut compressed = now.clone().into_os_string();
            compressed.push(GZ);
            if shared.files.find(&now)?.is_some_and(|found| found.len > copied) {
                return shared.files.remove(&temporary); // a child of a fork has added a line: once more
            }
            shared.files.rename(&temporary, Path::new(&compressed))?;
            shared.files.remove(&now)
        }
        None => shared.files.remove(&temporary), // it was the oldest, and is gone
    }
}

/// Returns the name that a backup has now.
fn place_of(shared: &Shared, state: &State, id: FileId) -> io::Result<Option<PathBuf>> {
    for path in shared.slots(state, shared.backups, GAPS)?.into_iter().flat_map(|slot| slot.backups) {
        if shared.files.find(&path)?.is_some_and(|found| found.id == id) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Removes the copy that was begun, by an earlier process or in vain. An empty one may have been made and not listed yet;
/// nobody else has a use for such a file.
fn remove_temporary(shared: &Shared, state: &State) -> io::Result<()> {
    let temporary = temporary_path(&shared.path);
    let Some(found) = shared.files.find(&temporary)? else { return Ok(()) };
    let is_empty = found.is_file && found.len == 0 && found.access.is_own();
    if state.family.owns(found.id) || is_empty {
        return shared.files.remove(&temporary);
    }
    Err(io::Error::other(format!("{temporary:?} is in the way, which this log has not made")))
}

fn is_compressed(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(GZ.as_bytes())
}

/// A file that is written from its beginning.
struct Copy(Box<dyn AppendFile>);

impl io::Write for Copy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

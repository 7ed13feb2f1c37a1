//! The lock of a collector: the right to collect for a directory.
//!
//! It is two locks of flock(2): one on the file `collector.lock`, which bears the process id, and one on the directory itself. A
//! cleaner may remove the file: then the other lock keeps further collectors out until this one has made the file anew. A lock on the
//! directory may be another program's, too (everybody who can read it can lock it): so alone it keeps nobody out for long.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    mem, thread,
    time::{Duration, Instant},
};

use super::Running;
use crate::{
    Error,
    sys::{self, not_inherited::NotInherited},
    writer::ring::directory::{self, Directory, FileKey},
};

/// How often a collector that waits for another one to end looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long a lock on the directory alone is respected. A collector whose file was removed makes it anew within half a second.
const GRACE: Duration = Duration::from_secs(1);

/// A locked file. The lock belongs to the open file: to open and close the same file elsewhere doesn't release it. Children made by
/// fork(2) close it.
#[derive(Debug)]
struct Held {
    key: FileKey,
    forks: u64,
    file: Option<(NotInherited, File)>,
}

impl Held {
    /// Locks a file; returns it if another process, or another collector of this one, has locked it.
    fn new(file: File) -> io::Result<Result<Self, File>> {
        let key = FileKey::of(&file.metadata()?);
        let not_inherited = NotInherited::new(&file)?;
        if !directory::lock_open(&file)? {
            return Ok(Err(file));
        }
        Ok(Ok(Held { key, forks: sys::forks(), file: Some((not_inherited, file)) }))
    }

    /// Returns whether the file is open: other code may have closed "all" descriptors, and have others by now.
    fn is_open(&self) -> bool {
        let is_its = |file: &(_, File)| file.1.metadata().is_ok_and(|meta| FileKey::of(&meta) == self.key);
        self.file.as_ref().is_some_and(is_its)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let is_open = self.is_open();
        let Some((not_inherited, file)) = self.file.take() else { return };
        if self.forks != sys::forks() {
            return mem::forget((not_inherited, file)); // it was closed when the child was made
        }
        drop(not_inherited);
        if !is_open {
            return mem::forget(file);
        }
        directory::unlock_open(&file); // a child that was made by other means than fork(2) may have it
    }
}

/// The right to collect for a directory, until this is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    directory: FileKey,
    of_directory: Option<Held>,
    of_file: Held,
}

impl Lock {
    /// Returns whether it is for the directory that is at this path now.
    ///
    /// # Errors
    ///
    /// None is there, or it can't be looked at.
    pub(super) fn is_for(&self, directory: &Directory) -> io::Result<bool> {
        Ok(FileKey::of(&directory.path().metadata()?) == self.directory)
    }

    /// Returns whether the file has its name: without it another collector may begin.
    pub(super) fn has_name(&self, directory: &Directory) -> bool {
        directory.has_lock(self.of_file.key)
    }

    /// Returns whether the file is open, and so is locked.
    pub(super) fn is_open(&self) -> bool {
        self.of_file.is_open()
    }

    /// Locks what has the name of the file now.
    ///
    /// # Errors
    ///
    /// It can't be made, or another collector has locked it.
    pub(super) fn take_again(&mut self, directory: &Directory) -> Result<(), Error> {
        self.of_file =
            hold_file(directory)?.map_err(|pid| Error::is_collected_by_another(directory.path(), pid))?;
        if !self.of_directory.as_ref().is_some_and(Held::is_open) {
            let held = File::open(directory.path()).and_then(Held::new);
            self.of_directory = held.ok().and_then(Result::ok);
        }
        Ok(())
    }
}

/// Why a directory can't be locked now.
enum Busy {
    /// Another collector has it: the process, if that is known.
    Collector(Option<u32>),
    /// The directory alone is locked.
    Directory,
}

/// Locks a directory for the one collector that it may have.
pub(super) fn lock(directory: &Directory, if_running: Running) -> Result<Lock, Error> {
    let began = Instant::now();
    let mut alone_since = None;
    loop {
        let now = Instant::now();
        let alone_for = alone_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let pid = match try_lock(directory, alone_for >= GRACE)? {
            Ok(lock) => return Ok(lock),
            Err(Busy::Directory) => {
                alone_since.get_or_insert(now);
                thread::sleep(LOOK_EVERY);
                continue;
            }
            Err(Busy::Collector(pid)) => pid,
        };
        alone_since = None;
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

fn try_lock(directory: &Directory, file_is_enough: bool) -> Result<Result<Lock, Busy>, Error> {
    let in_directory = |cause| Error::io("lock the directory of the queue", directory.path(), cause);
    let opened = File::open(directory.path()).map_err(in_directory)?;
    let key = FileKey::of(&opened.metadata().map_err(in_directory)?);
    let (of_directory, is_locked) = match Held::new(opened) {
        Ok(Ok(held)) => (Some(held), false),
        Ok(Err(_)) => (None, true),
        Err(_) => (None, false), // not every file system locks directories
    };
    let of_file = match hold_file(directory)? {
        Ok(held) => held,
        Err(pid) => return Ok(Err(Busy::Collector(pid))),
    };
    if is_locked && !file_is_enough {
        return Ok(Err(Busy::Directory));
    }
    Ok(Ok(Lock { directory: key, of_directory, of_file }))
}

/// Locks the file, or says which process has it, if that is known and lives.
fn hold_file(directory: &Directory) -> Result<Result<Held, Option<u32>>, Error> {
    let (path, file) = directory.open_lock()?;
    let held = match Held::new(file).map_err(|cause| Error::io("lock the collector's lock", &path, cause))? {
        Ok(held) => held,
        Err(mut file) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid); // who has it is said as well as can be
            return Ok(Err(pid.trim().parse().ok().filter(|pid| sys::lives(*pid))));
        }
    };
    if let Some((_, file)) = &held.file {
        let note = format!("{}\n", std::process::id());
        let mut file: &File = file;
        // The number only names the holder in an error: a full disk must not keep the collector from draining it.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes()));
    }
    Ok(Ok(held))
}

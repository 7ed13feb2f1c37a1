//! Whose files they are: the lock that keeps a second process off a path, and the list of files that are its own.
//!
//! Beside `tasks.log` lies `.tasks.log.lock`. Its lock is held as long as the log is open; the kernel lets go of it
//! with the process. Its content only grows:
//!
//! ```text
//! tracing-tasklog 1
//! family "/var/log/app/tasks-{instance}.log"
//! pid 4711
//! own 0 1311768 1767268800123456789
//! own 0 1311770 1767268912987654321
//! ```
//!
//! A file is this log's own if its inode and the time at which it was made are listed: only such a file is ever renamed, compressed or
//! removed. Nothing is renamed before it is on the list. A list that is lost, or a file that is not on it, makes a backup
//! somebody else's: it stays, and its number is left out.
//!
//! Where the folder can't be written, the log file itself is locked. It can't be rotated there either.

use std::{
    collections::HashSet,
    ffi::OsString,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process,
};

use crate::file::{AppendFile, FileId, FileSystem, Opened};

const HEADER: &str = "tracing-tasklog 1";

/// What ends a line of which a crash has left a part: the half of a number would be another file's.
const TORN: &[u8] = b" torn\n";

/// A list of more bytes than this is written anew at the next start.
const COMPACT_AT: u64 = 4 * 1024 * 1024;

/// The lock of a log, while it is held, and the files that are its own.
#[derive(Debug)]
pub(super) struct Family {
    /// Which file the list is.
    id: FileId,
    /// `None` where the folder can't be written: the log file itself holds the lock then.
    list: Option<Box<dyn AppendFile>>,
    /// Whether the lock file was made for this claim.
    is_new: bool,
    own: HashSet<FileId>,
    /// What the list still lacks.
    unwritten: Vec<u8>,
}

/// What became of the attempt to have a path.
pub(super) enum Claim {
    Held(Family),
    /// Another process has it, with this number if that is known.
    InUse(Option<u32>),
}

impl Family {
    /// Takes the lock of the log at `path`, which belongs to the family `name`.
    pub(super) fn claim(files: &dyn FileSystem, path: &Path, name: &str) -> io::Result<Claim> {
        let lock_path = lock_path(path);
        loop {
            let Some(lock) = open_lock(files, &lock_path)? else {
                return Ok(Claim::Held(Family::new(None, FileId::default(), false)));
            };
            let (id, len, is_torn) = (lock.id, lock.len, lock.is_torn);
            let mut family = Family::new(Some(lock.file), id, len == 0);
            match family.lock(files, &lock_path) {
                Ok(Lock::Held) => {}
                Ok(Lock::InUse) => {
                    return Ok(Claim::InUse(List::read(files, &lock_path).unwrap_or_default().pid));
                }
                Ok(Lock::Gone) => continue,
                Err(error) => return Err(family.give_up(files, path, error)),
            }
            // Read under the lock: another process may have written to it until now.
            let begun = List::read(files, &lock_path).and_then(|list| {
                family.own = list.own;
                family.begin(files, path, name, len, is_torn)
            });
            return match begun {
                Ok(()) => Ok(Claim::Held(family)),
                Err(error) => Err(family.give_up(files, path, error)),
            };
        }
    }

    /// Locks the list, which is at its place as long as no other process has pruned it.
    fn lock(&mut self, files: &dyn FileSystem, lock_path: &Path) -> io::Result<Lock> {
        if !self.list.as_mut().map_or(Ok(true), |list| list.try_lock())? {
            return Ok(Lock::InUse);
        }
        Ok(if self.is_at(files, lock_path)? { Lock::Held } else { Lock::Gone })
    }

    fn is_at(&self, files: &dyn FileSystem, lock_path: &Path) -> io::Result<bool> {
        Ok(files.find(lock_path)?.is_some_and(|found| found.id == self.id))
    }

    /// Sees to it that the lock is the one at its place: one that somebody has removed is made again, with the whole
    /// list. An error if another process has taken the path meanwhile.
    pub(super) fn hold_on(&mut self, files: &dyn FileSystem, path: &Path, name: &str) -> io::Result<()> {
        if self.list.is_none() || self.is_at(files, &lock_path(path))? {
            return Ok(());
        }
        path.parent().map_or(Ok(()), |parent| files.create_dir_all(parent))?;
        match Family::claim(files, path, name)? {
            Claim::Held(mut family) => {
                self.own.iter().for_each(|id| family.add(*id));
                *self = family;
                Ok(())
            }
            Claim::InUse(_) => {
                let what = "its lock was removed, and another process has taken the path";
                Err(io::Error::new(ErrorKind::ResourceBusy, what))
            }
        }
    }

    fn new(list: Option<Box<dyn AppendFile>>, id: FileId, is_new: bool) -> Self {
        Family { id, list, is_new, own: HashSet::new(), unwritten: Vec::new() }
    }

    /// Notes what every list begins with, or, in one that is there, that this process has it now.
    fn begin(
        &mut self,
        files: &dyn FileSystem,
        path: &Path,
        name: &str,
        len: u64,
        is_torn: bool,
    ) -> io::Result<()> {
        let is_long = len > COMPACT_AT;
        if len == 0 || is_long {
            self.unwritten = format!("{HEADER}\nfamily {name:?}\n").into_bytes();
        } else if is_torn {
            self.unwritten.extend_from_slice(TORN);
        }
        if is_long {
            self.forget_what_is_gone(files, path)?;
            self.own.iter().for_each(|id| self.unwritten.extend_from_slice(own_line(*id).as_bytes()));
            self.list.as_mut().map_or(Ok(()), |list| list.clear())?;
        }
        self.unwritten.extend_from_slice(format!("pid {}\n", process::id()).as_bytes());
        Ok(())
    }

    /// Forgets files that are gone.
    fn forget_what_is_gone(&mut self, files: &dyn FileSystem, path: &Path) -> io::Result<()> {
        let mut there = HashSet::new();
        for name in files.list(path.parent().unwrap_or(path))? {
            there.extend(files.find(&name)?.map(|found| found.id));
        }
        self.own.retain(|id| there.contains(id));
        Ok(())
    }

    /// Gives the claim up because of an error, and leaves no trace of one that was the first. Returns the error.
    pub(super) fn give_up<E>(self, files: &dyn FileSystem, path: &Path, error: E) -> E {
        if self.is_new {
            // It is a trace that was to be removed; what is told is the error.
            let _ = files.remove(&lock_path(path));
        }
        error
    }

    /// Returns whether the lock is on a file of its own, not on the log.
    pub(super) fn has_lock_file(&self) -> bool {
        self.list.is_some()
    }

    /// Returns whether a file is this log's own.
    pub(super) fn owns(&self, id: FileId) -> bool {
        self.own.contains(&id)
    }

    /// Notes a file as this log's own. [`Family::write`] puts it on the list.
    pub(super) fn add(&mut self, id: FileId) {
        if self.own.insert(id) {
            self.unwritten.extend_from_slice(own_line(id).as_bytes());
        }
    }

    /// Writes what the list lacks. What can't be written stays for the next time.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let Some(list) = &mut self.list else { return Ok(()) };
        while !self.unwritten.is_empty() {
            match list.append(&self.unwritten) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => drop(self.unwritten.drain(..taken)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// What became of the attempt to lock a file.
enum Lock {
    Held,
    InUse,
    /// It is not there any more.
    Gone,
}

/// Opens a lock file; `None` where it can't be made.
fn open_lock(files: &dyn FileSystem, lock: &Path) -> io::Result<Option<Opened>> {
    if files.find(lock)?.is_some_and(|found| !found.is_file) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("{lock:?} is no regular file")));
    }
    match files.open(lock, None) {
        // One that is there and can't be opened is somebody's: to go on without it would be to ignore the lock.
        Err(error) if is_forbidden(&error) && files.find(lock)?.is_none() => Ok(None),
        opened => opened.map(Some),
    }
}

fn own_line(id: FileId) -> String {
    format!("own {} {} {}\n", id.device, id.inode, id.born)
}

/// Returns the path of a log's lock: `.tasks.log.lock` beside `tasks.log`.
fn lock_path(path: &Path) -> PathBuf {
    hidden(path, ".lock")
}

/// Returns where a backup is compressed: `.tasks.log.gz.tmp` beside `tasks.log`.
pub(super) fn temporary_path(path: &Path) -> PathBuf {
    hidden(path, ".gz.tmp")
}

fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(suffix);
    path.with_file_name(name)
}

/// What a lock file says.
#[derive(Debug, Default)]
struct List {
    family: Option<String>,
    pid: Option<u32>,
    own: HashSet<FileId>,
}

impl List {
    /// Reads what there is: of a list that is not ours, nothing.
    fn read(files: &dyn FileSystem, path: &Path) -> io::Result<Self> {
        let content = files.read(path)?;
        let content = String::from_utf8_lossy(&content);
        let mut lines = content.lines();
        let mut list = List::default();
        if lines.next() != Some(HEADER) {
            return Ok(list);
        }
        for line in lines {
            match line.split_once(' ') {
                Some(("family", family)) => list.family = Some(family.to_owned()),
                Some(("pid", pid)) => list.pid = pid.parse().ok(),
                Some(("own", id)) => list.own.extend(parse_id(id)),
                _ => {} // torn by a crash
            }
        }
        Ok(list)
    }
}

fn parse_id(text: &str) -> Option<FileId> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let id = FileId { device: numbers.next()??, inode: numbers.next()??, born: numbers.next()?? };
    numbers.next().is_none().then_some(id)
}

/// Removes the files of instances of the family `name` that are dead, but for the newest: so that with this one, `keep`
/// instances stay. Returns the first error; the others are tried all the same.
///
/// An instance is dead if its lock can be had. What is removed is on its list.
pub(super) fn prune(files: &dyn FileSystem, path: &Path, name: &str, keep: usize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    let family = format!("{name:?}");
    let mut dead = Vec::new();
    let mut alive = 0;
    for lock in files.list(folder)? {
        let Some(log) = log_of_lock(&lock).filter(|log| log != path) else { continue };
        let list = List::read(files, &lock).unwrap_or_default(); // what can't be read can't be proved to be ours
        if list.family.as_ref() != Some(&family) {
            continue;
        }
        match hold(files, &lock)? {
            None => alive += 1,
            Some(held) => {
                let written = files.find(&log)?.map_or(std::time::UNIX_EPOCH, |found| found.modified);
                dead.push((written, log, lock, list, held));
            }
        }
    }
    dead.sort_by_key(|(written, ..)| std::cmp::Reverse(*written));
    let stay = keep.saturating_sub(1 + alive);
    let mut result = Ok(());
    for (_, log, lock, list, _held) in dead.into_iter().skip(stay) {
        let removed = remove_all(files, &log, &list.own).and_then(|()| files.remove(&lock));
        result = result.and(removed);
    }
    result
}

/// Takes the lock of a dead instance, for as long as the file is kept. A lock file that was replaced meanwhile is not it.
fn hold(files: &dyn FileSystem, lock: &Path) -> io::Result<Option<Box<dyn AppendFile>>> {
    let Some(before) = files.find(lock)?.filter(|found| found.is_file) else { return Ok(None) };
    let mut opened = files.open(lock, None)?;
    let is_held = opened.file.try_lock()?;
    let is_same = files.find(lock)?.is_some_and(|found| found.id == opened.id && found.id == before.id);
    Ok((is_held && is_same).then_some(opened.file))
}

/// Removes the log, what has its name and a suffix, and a copy that it was compressing, as far as it is on the list.
fn remove_all(files: &dyn FileSystem, log: &Path, own: &HashSet<FileId>) -> io::Result<()> {
    let name = log.as_os_str().as_encoded_bytes();
    let temporary = temporary_path(log);
    for path in files.list(log.parent().unwrap_or(log))? {
        let rest = path.as_os_str().as_encoded_bytes().strip_prefix(name);
        let is_of_log =
            path == temporary || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
        if is_of_log && files.find(&path)?.is_some_and(|found| found.is_file && own.contains(&found.id)) {
            files.remove(&path)?;
        }
    }
    Ok(())
}

/// Returns the path of the log whose lock this is.
fn log_of_lock(lock: &Path) -> Option<PathBuf> {
    let name = lock.file_name()?.to_str()?.strip_prefix('.')?.strip_suffix(".lock")?;
    Some(lock.with_file_name(name))
}

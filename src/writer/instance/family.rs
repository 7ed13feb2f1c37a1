//! Whose files they are: the lock that keeps a second process off a path, and the list of files that are its own.
//!
//! Beside `tasks.log` lies `.tasks.log.lock`. Its lock is held as long as the log is open; the kernel lets go of it
//! with the process. Lines are only ever appended to it:
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
//! The lock's mode is 0600, whatever the umask: a file that others may open is one that they may lock. A list that others may write is
//! not believed, and begun anew.
//!
//! Where the folder can't be written, the log file itself is locked. It can't be rotated there either.
//!
//! With `lock(false)` there is the list, and no lock. It says `lock no` behind the `pid`: nobody can tell that such a process is gone.

use std::{
    collections::HashSet,
    ffi::OsString,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use super::{
    list::{HEADER, List, UNLOCKED, own_line},
    lock::{Terms, lock_or_say, open_lock, read_list},
};
use crate::{
    Error,
    file::{Access, AppendFile, FileId, FileSystem, is_stale, trust::LOCK_MODE},
    sys,
};

/// What ends a line of which a crash has left a part: the half of a number would be another file's.
const TORN: &[u8] = b" torn\n";

/// A list that has become longer than this many bytes is replaced by a new one.
const COMPACT_AT: u64 = 64 * 1024;

/// How often a lock is tried before its holder counts as a process that has the path, and not one that just looks whether
/// it is there.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The lock of a log, while it is held, and the files that are its own.
#[derive(Debug)]
pub(super) struct Family {
    /// What all instances have in common.
    name: String,
    terms: Terms,
    /// Which file the list is.
    id: FileId,
    /// `None` where the folder can't be written: the log file itself holds the lock then.
    list: Option<Box<dyn AppendFile>>,
    /// The length of the list.
    len: u64,
    /// Whether the lock file was made for this claim.
    is_new: bool,
    own: HashSet<FileId>,
    /// What the list still lacks.
    unwritten: Vec<u8>,
    /// What is to be told of the lock.
    pub(super) trouble: Option<Error>,
}

/// What became of the attempt to have a path.
pub(super) enum Claim {
    Held(Family),
    /// Another process has it, with this number if that is known.
    InUse(Option<u32>),
}

impl Family {
    /// Takes the lock of the log at `path`, which belongs to the family `name`.
    pub(super) fn claim(files: &dyn FileSystem, path: &Path, name: &str, terms: Terms) -> io::Result<Claim> {
        let lock_path = lock_path(path);
        let mut held = None;
        for _ in 0..TRIES {
            let mut family = Family::new(name, terms);
            let Some(lock) = open_lock(files, &lock_path, terms)? else { return Ok(Claim::Held(family)) };
            (family.id, family.len, family.is_new) = (lock.id, lock.len, lock.len == 0);
            family.list = Some(lock.file);
            match family.lock(files, &lock_path) {
                Ok(Lock::Held) => {}
                Ok(Lock::InUse | Lock::Gone) => {
                    held = family.list;
                    thread::sleep(BETWEEN_TRIES);
                    continue;
                }
                Err(error) => return Err(family.give_up(files, path, error)),
            }
            return match family.take_up(files, path, lock.access, lock.is_torn) {
                Ok(()) => Ok(Claim::Held(family)),
                Err(error) => Err(family.give_up(files, path, error)),
            };
        }
        let said = held.as_mut().and_then(|held| held.read().ok()).and_then(|content| List::of(&content).pid);
        Ok(Claim::InUse(held.and_then(|held| held.holder(said))))
    }

    /// Goes on with the list that there is, under the lock: another process may have written to it until now.
    fn take_up(
        &mut self,
        files: &dyn FileSystem,
        path: &Path,
        access: Access,
        is_torn: bool,
    ) -> io::Result<()> {
        let lock_path = lock_path(path);
        let content = self.list.as_mut().map_or(Ok(Vec::new()), |list| list.read())?;
        let list = List::of(&content).of_this_crate(&lock_path)?;
        if access.is_open_to_others() && !self.is_new && !self.terms.trusts {
            self.trouble = Some(Error::refused(
                &lock_path,
                format!(
                    "other users could write to {lock_path:?} (mode {:o}), so it is begun anew, and backups made before stay \
                     for good: remove them, or set trust_path(true) where files have no modes",
                    access.mode
                ),
            ));
            return self.replace(files, path);
        }
        self.begin(list, is_torn);
        let is_wrong = access.mode != LOCK_MODE && access.is_own();
        if let Some(Err(cause)) = self.list.as_mut().filter(|_| is_wrong).map(|list| list.set_mode(LOCK_MODE))
        {
            self.trouble =
                Some(Error::io("keep other users from locking", &lock_path, io::Error::other(cause)));
        }
        Ok(())
    }

    fn new(name: &str, terms: Terms) -> Self {
        Family {
            name: name.to_owned(),
            terms,
            id: FileId::default(),
            list: None,
            len: 0,
            is_new: false,
            own: HashSet::new(),
            unwritten: Vec::new(),
            trouble: None,
        }
    }

    /// Locks the list, which is at its place as long as no other process has pruned it.
    fn lock(&mut self, files: &dyn FileSystem, lock_path: &Path) -> io::Result<Lock> {
        let lock = |list: &mut Box<dyn AppendFile>| lock_or_say(&mut **list, lock_path);
        if self.terms.locks && !self.list.as_mut().map_or(Ok(true), lock)? {
            return Ok(Lock::InUse);
        }
        Ok(if self.is_at(files, lock_path)? { Lock::Held } else { Lock::Gone })
    }

    fn is_at(&self, files: &dyn FileSystem, lock_path: &Path) -> io::Result<bool> {
        Ok(files.find(lock_path)?.is_some_and(|found| found.id == self.id))
    }

    /// Notes what every list begins with, or, in one that is there, that this process has it now.
    fn begin(&mut self, list: List, is_torn: bool) {
        self.own = list.own;
        if is_torn {
            self.unwritten.extend_from_slice(TORN);
        }
        if !list.has_header {
            self.unwritten.extend_from_slice(format!("{HEADER}\nfamily {:?}\n", self.name).as_bytes());
        }
        self.unwritten.extend_from_slice(format!("pid {}\n", process::id()).as_bytes());
        self.unwritten.extend_from_slice(if self.terms.locks { b"" } else { UNLOCKED });
    }

    /// Sees to it that the lock is the one at its place, and the list not too long: one that somebody has removed, or that
    /// could not be made, is made again, and a long one replaced. An error if that can't be, or if another process has
    /// taken the path meanwhile.
    pub(super) fn hold_on(&mut self, files: &dyn FileSystem, path: &Path, size_limit: u64) -> io::Result<()> {
        if let Err(error) = self.list.as_mut().map_or(Ok(1), |list| list.check()) {
            if !is_stale(&error) {
                return Err(error);
            }
            self.list = None; // and the lock is gone with it
        }
        if self.list.is_none() || !self.is_at(files, &lock_path(path))? {
            path.parent().map_or(Ok(()), |parent| files.create_dir_all(parent))?;
            let Claim::Held(mut family) = Family::claim(files, path, &self.name, self.terms)? else {
                let what = "its lock was removed, and another process has taken the path";
                return Err(io::Error::new(ErrorKind::ResourceBusy, what));
            };
            if family.list.is_none() {
                return Err(io::Error::new(
                    ErrorKind::PermissionDenied,
                    "its folder can't be written: allow this user to write there",
                ));
            }
            self.own.iter().for_each(|id| family.add(*id));
            *self = family;
        }
        if self.len > COMPACT_AT.min(size_limit / 2) { self.replace(files, path) } else { Ok(()) }
    }

    /// Replaces the list by a new one, of the files that are still there. The new one is whole and locked before it has
    /// the name: whatever happens on the way, one of the two is there.
    fn replace(&mut self, files: &dyn FileSystem, path: &Path) -> io::Result<()> {
        let mut there = HashSet::new();
        for name in files.list(path.parent().unwrap_or(path))? {
            there.extend(files.find(&name)?.map(|found| found.id));
        }
        let new_path = hidden(path, ".lock.new");
        if files.find(&new_path)?.is_some_and(|found| found.is_file && found.access.is_own()) {
            files.remove(&new_path)?; // no other process of this user makes one: this one has the lock
        }
        let opened = files.open_lock(&new_path, true)?;
        self.terms.check(opened.access, &new_path)?;
        if opened.len > 0 {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{new_path:?} is in the way")));
        }
        let mut new = Family::new(&self.name, self.terms);
        (new.id, new.list, new.trouble) = (opened.id, Some(opened.file), self.trouble.take());
        new.begin(List::default(), false);
        self.own.intersection(&there).for_each(|id| new.add(*id));
        new.lock(files, &new_path)?;
        new.write(u64::MAX)?;
        files.replace(&new_path, &lock_path(path))?;
        *self = new;
        Ok(())
    }

    /// Takes the log over in a child made by fork(2), when no process lives that has said the log is its own. Its children have
    /// the lock still, each of them and all together. So the one that takes over makes a new list, which it alone has locked,
    /// before it puts that in the place of the old one.
    ///
    /// Returns `None` if another one has the log, or is taking it over.
    pub(super) fn take_over(
        files: &dyn FileSystem,
        path: &Path,
        name: &str,
        terms: Terms,
    ) -> io::Result<Option<Family>> {
        let (lock_path, new_path) = (lock_path(path), hidden(path, ".lock.new"));
        let is_held = |list: &List| list.pid.is_some_and(sys::lives);
        if !terms.locks || files.find(&lock_path)?.is_none() {
            return Ok(None);
        }
        let (mut old, list) = read_list(files, &lock_path, terms)?;
        if is_held(&list) {
            return Ok(None);
        }
        // Where no child has it any more, it is held until the new one is there, so that no other process takes it.
        old.file.try_lock()?;
        let opened = files.open_lock(&new_path, true)?;
        terms.check(opened.access, &new_path)?;
        let mut new = Family::new(name, terms);
        (new.id, new.list) = (opened.id, Some(opened.file));
        if !matches!(new.lock(files, &new_path)?, Lock::Held) {
            return Ok(None);
        }
        // Read under the lock: another child may have been faster. One that was killed has left what it had written.
        let list = read_list(files, &lock_path, terms)?.1.of_this_crate(&lock_path)?;
        if is_held(&list) || opened.len > 0 {
            files.remove(&new_path)?;
            return Ok(None);
        }
        new.begin(List::default(), false);
        list.own.iter().for_each(|id| new.add(*id));
        new.write(u64::MAX)?;
        files.replace(&new_path, &lock_path)?;
        Ok(Some(new))
    }

    /// Gives the claim up because of an error, and leaves no trace of one that was the first. Returns the error.
    pub(super) fn give_up<E>(self, files: &dyn FileSystem, path: &Path, error: E) -> E {
        let lock_path = lock_path(path);
        if self.is_new && self.is_at(files, &lock_path).unwrap_or_default() {
            // It is a trace that was to be removed; what is told is the error.
            let _ = files.remove(&lock_path);
        }
        error
    }

    /// Returns whether the lock is on a file of its own, not on the log.
    pub(super) fn has_lock_file(&self) -> bool {
        self.list.is_some()
    }

    /// Returns whether the log itself is to be locked.
    pub(super) fn locks_log(&self) -> bool {
        self.terms.locks && self.list.is_none()
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

    /// Writes what the list lacks, which doesn't grow beyond `size_limit`. What can't be written stays for the next time.
    pub(super) fn write(&mut self, size_limit: u64) -> io::Result<()> {
        let Some(list) = &mut self.list else { return Ok(()) };
        if self.len + self.unwritten.len() as u64 > size_limit {
            return Err(ErrorKind::FileTooLarge.into());
        }
        if !self.unwritten.is_empty() {
            list.check()?; // its number may be another file's
        }
        while !self.unwritten.is_empty() {
            match list.append(&self.unwritten) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(taken) => {
                    self.len += taken as u64;
                    self.unwritten.drain(..taken);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What became of the attempt to lock a file.
enum Lock {
    Held,
    InUse,
    /// It is not there any more.
    Gone,
}

/// Returns the path of a log's lock: `.tasks.log.lock` beside `tasks.log`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
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

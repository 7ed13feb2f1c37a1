//! The directory of a queue: the rings in it, the pipe by which the collector is woken, and the lock of the collector.
//!
//! | name | what |
//! |---|---|
//! | `PID-UNIQUE.ring` | the ring of a worker, which has it locked as long as it lives |
//! | `PID-UNIQUE.new` | one that is being made |
//! | `wake` | a FIFO: a byte in it wakes the collector |
//! | `collector.lock` | locked by the collector as long as it lives, and the directory itself too |

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{
        DirBuilderExt as _, FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
        PermissionsExt as _,
    },
    path::{Path, PathBuf, absolute},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::{
    fs::{FlockOperation, OFlags, fcntl_lock, flock},
    io::Errno,
};

use super::{
    layout::{self, Passport, Progress},
    own::{self, Registered},
};
use crate::{Error, file::trust, sys};

const RING: &str = "ring";
const NEW: &str = "new";
const WAKE: &str = "wake";
const LOCK: &str = "collector.lock";

/// What is written into the pipe: there are lines; there is a new ring, or one that will have no more lines.
pub(super) const HAS_LINES: u8 = b'l';
pub(in crate::writer) const HAS_CHANGED: u8 = b'c';

/// What the bits of a directory's mode must not have: others could put rings into it, or take them away.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What the bits of a ring's mode must not have.
const OPEN_TO_OTHERS: u32 = 0o077;

/// The directory of a queue.
#[derive(Clone, Debug)]
pub(in crate::writer) struct Directory {
    path: PathBuf,
}

/// What tells a file from all others that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::writer) struct FileKey {
    device: u64,
    inode: u64,
}

impl FileKey {
    pub(in crate::writer) fn of(meta: &Metadata) -> Self {
        FileKey { device: meta.dev(), inode: meta.ino() }
    }
}

/// What a directory has.
#[derive(Debug, Default)]
pub(in crate::writer) struct Listed {
    /// Files with the name of a ring, in the order of their keys.
    pub(in crate::writer) rings: Vec<Found>,
    /// The paths of rings that are being made.
    pub(in crate::writer) unfinished: Vec<PathBuf>,
}

/// A file with the name of a ring, or with several such names: it is one ring all the same.
#[derive(Clone, Debug)]
pub(in crate::writer) struct Found {
    pub(in crate::writer) key: FileKey,
    pub(in crate::writer) mode: u32,
    pub(in crate::writer) names: Vec<PathBuf>,
}

impl Directory {
    /// Opens the directory, makes it with mode 0700 if it isn't there, and its parents.
    ///
    /// # Errors
    ///
    /// It can't be made, or is somebody else's, or others may write to it; or root would get there by a link of another user.
    pub(in crate::writer) fn open(path: &Path) -> Result<Self, Error> {
        if path.as_os_str().is_empty() {
            return Err(Error::invalid("the path of the queue's directory is empty"));
        }
        let path = absolute(path).map_err(|cause| Error::io("find the directory", path, cause))?;
        trust::check_links(&path)?;
        make(&path).map_err(|cause| Error::io("make the directory of the queue", &path, cause))?;
        let meta = fs::metadata(&path)
            .map_err(|cause| Error::io("open the directory of the queue", &path, cause))?;
        let mode = meta.mode() & 0o7777;
        if !meta.is_dir() {
            return Err(Error::invalid(format!(
                "{path:?} is no directory: give a queue a directory of its own"
            )));
        }
        if meta.uid() != own_uid() {
            return Err(Error::invalid(format!(
                "the directory {path:?} belongs to user {}, and this process is user {}: all processes of a queue run \
                 as one user, which owns its directory",
                meta.uid(),
                own_uid()
            )));
        }
        if mode & WRITABLE_BY_OTHERS != 0 {
            return Err(Error::invalid(format!(
                "others may write to the directory {path:?} (mode {mode:o}): give the queue a directory of its own \
                 with mode 700; one that isn't there is made so"
            )));
        }
        Ok(Directory { path })
    }

    pub(in crate::writer) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the pipe that wakes the collector, for both directions: so nobody waits to open it, and nobody gets SIGPIPE.
    ///
    /// # Errors
    ///
    /// It can't be made or opened, or something else has its name.
    pub(in crate::writer) fn open_pipe(&self) -> Result<File, Error> {
        let path = self.path.join(WAKE);
        // What the umask has left out of the mode is set afterwards.
        match sys::make_fifo(&path, 0o600).and_then(|()| fs::set_permissions(&path, only_owner())) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(Error::io("make the pipe", &path, error));
            }
            _ => {}
        }
        let opened = open_options().open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let (meta, pipe) = opened.map_err(|cause| Error::io("open the pipe", &path, cause))?;
        if !meta.file_type().is_fifo() || meta.uid() != own_uid() {
            return Err(Error::invalid(format!(
                "{path:?} is no FIFO of this user: a queue needs a directory of its own"
            )));
        }
        Ok(pipe)
    }

    /// Returns whether this is what has the name of the pipe.
    pub(in crate::writer) fn has_pipe(&self, pipe: FileKey) -> bool {
        fs::symlink_metadata(self.path.join(WAKE)).is_ok_and(|meta| FileKey::of(&meta) == pipe)
    }

    /// Opens the file of the collector's lock, and makes it if it isn't there.
    ///
    /// # Errors
    ///
    /// It can't be opened, or something else has its name.
    pub(in crate::writer) fn open_lock(&self) -> Result<(PathBuf, File), Error> {
        let path = self.path.join(LOCK);
        let file = open_options().create(true).mode(0o600).open(&path);
        let file = file.and_then(|file| Ok((file.metadata()?, file)));
        let (meta, file) = file.map_err(|cause| Error::io("open the collector's lock", &path, cause))?;
        if !meta.is_file() || meta.uid() != own_uid() {
            return Err(Error::invalid(format!(
                "{path:?} is no regular file of this user: a queue needs a directory of its own"
            )));
        }
        file.set_permissions(only_owner())
            .map_err(|cause| Error::io("set the mode of the collector's lock", &path, cause))?;
        Ok((path, file))
    }

    /// Returns whether this is what has the name of the collector's lock.
    pub(in crate::writer) fn has_lock(&self, lock: FileKey) -> bool {
        fs::symlink_metadata(self.path.join(LOCK)).is_ok_and(|meta| FileKey::of(&meta) == lock)
    }

    /// Makes a file for a new ring, which has no name that a collector looks for yet.
    pub(super) fn make_ring(&self) -> io::Result<NewRing> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{}-{now:x}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let [path, under] = [NEW, RING].map(|extension| self.path.join(&name).with_extension(extension));
        let make = || open_options().create_new(true).mode(0o600).open(&path);
        let (file, own) = own::make(make)?;
        let new = NewRing { file, own: Some(own), path, under, has_name: false };
        new.file.set_permissions(only_owner())?;
        Ok(new)
    }

    /// Returns the files with the name of a ring, and the paths of rings that are being made.
    ///
    /// # Errors
    ///
    /// The directory can't be listed.
    pub(in crate::writer) fn list(&self) -> io::Result<Listed> {
        let (mut rings, mut unfinished) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            match path.extension().and_then(OsStr::to_str) {
                Some(RING) => match entry.metadata() {
                    Ok(meta) => rings.push((FileKey::of(&meta), path, meta.mode())),
                    Err(error) if error.kind() == ErrorKind::NotFound => {} // gone by now
                    Err(error) => return Err(error),
                },
                Some(NEW) => unfinished.push(path),
                _ => {}
            }
        }
        rings.sort();
        let mut found: Vec<Found> = Vec::new();
        for (key, path, mode) in rings {
            match found.last_mut().filter(|last| last.key == key) {
                Some(last) => last.names.push(path),
                None => found.push(Found { key, mode, names: vec![path] }),
            }
        }
        Ok(Listed { rings: found, unfinished })
    }
}

/// A ring's file that is being made. Without a name in the end it is removed again.
#[derive(Debug)]
pub(super) struct NewRing {
    pub(super) file: Arc<File>,
    own: Option<Registered>,
    path: PathBuf,
    under: PathBuf,
    has_name: bool,
}

impl NewRing {
    /// Gives it the name that collectors look for. Returns its path, and what says that it is this process's.
    pub(super) fn name(mut self) -> io::Result<(PathBuf, Option<Registered>)> {
        fs::rename(&self.path, &self.under)?;
        self.has_name = true;
        Ok((self.under.clone(), self.own.take()))
    }
}

impl Drop for NewRing {
    fn drop(&mut self) {
        if !self.has_name {
            let _ = fs::remove_file(&self.path); // a collector does it later
        }
    }
}

/// Removes the file of a ring whose making has been given up: the process that made it is gone. One that has lines was given this
/// name by somebody else: it gets that of a ring.
pub(in crate::writer) fn remove_unfinished(path: &Path) -> io::Result<()> {
    let has_name = path.file_stem().and_then(OsStr::to_str).is_some_and(is_name_of_ring);
    if !has_name || own::find(FileKey::of(&fs::symlink_metadata(path)?)).is_some() {
        return Ok(()); // to close a file of this process would release its lock
    }
    let file = open_ring(path)?.1;
    let mut beginning = [0; 8];
    let read = file.read_at(&mut beginning, 0)?;
    if !Passport::may_become_one(&beginning[..read]) || !lock(&file)? {
        return Ok(());
    }
    let mut bytes = [0; Progress::LEN];
    let has_lines = file.read_exact_at(&mut bytes, layout::MAIN_END as u64).is_ok()
        && Progress::decode(&bytes) != Progress::default();
    if has_lines {
        fs::hard_link(path, path.with_extension(RING))?; // over no other file
    }
    fs::remove_file(path)
}

/// Removes a name of a file, unless it is another file's by now.
pub(in crate::writer) fn remove_name(path: &Path, key: FileKey) -> io::Result<()> {
    let is_its = FileKey::of(&fs::symlink_metadata(path)?) == key;
    if is_its { fs::remove_file(path) } else { Ok(()) }
}

/// Returns whether a name looks like that of a ring: `PID-HEX-NUMBER`.
fn is_name_of_ring(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let &[pid, time, number] = parts.as_slice() else { return false };
    pid.parse::<u32>().is_ok() && u128::from_str_radix(time, 16).is_ok() && number.parse::<u64>().is_ok()
}

/// Opens a file that is taken for a ring.
///
/// # Errors
///
/// It can't be opened, is no regular file, or isn't only this user's.
pub(super) fn open_ring(path: &Path) -> io::Result<(Metadata, File)> {
    let file = open_options().open(path)?;
    let meta = file.metadata()?;
    let refused = |what: String| Err(io::Error::new(ErrorKind::InvalidInput, what));
    if !meta.is_file() {
        return refused("it is no regular file".to_owned());
    }
    if meta.uid() != own_uid() || meta.mode() & OPEN_TO_OTHERS != 0 {
        let (uid, mode) = (meta.uid(), meta.mode() & 0o7777);
        return refused(format!("it belongs to user {uid} and has mode {mode:o}, not only to this user"));
    }
    Ok((meta, file))
}

/// Locks a file for this process, whichever of its threads, and without its children: the lock of fcntl(2), which goes with the
/// process, however that ends, or as soon as it closes any file descriptor of the same file. Returns whether that was possible.
pub(in crate::writer) fn lock(file: &File) -> io::Result<bool> {
    match fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::ACCESS | Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Locks an open file, as long as it is open: the lock of flock(2), which belongs to the open file. Whatever else opens and closes the
/// same file, in this process too, leaves the lock alone; but a child made by fork(2) shares it. Returns whether that was possible.
pub(in crate::writer) fn lock_open(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Releases the lock of [`lock_open`], for all that share it.
pub(in crate::writer) fn unlock_open(file: &File) {
    let _ = flock(file, FlockOperation::Unlock); // it goes with the file
}

/// A collector has opened a ring of another process: the lock of flock(2) says so, which has nothing to do with the worker's.
///
/// # Errors
///
/// The file was removed, and its worker has left it.
pub(super) fn note_reader(file: &File) -> io::Result<()> {
    let is_noted = flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_noted && file.metadata()?.nlink() == 0 {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(()) // a child of the last collector that was made by other means than fork(2) may still have the lock
}

/// Returns whether no other process has opened a ring to read it.
pub(super) fn nobody_reads(file: &File) -> bool {
    flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn only_owner() -> Permissions {
    Permissions::from_mode(0o600)
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Not through a link, and without waiting for the other end of a pipe.
fn open_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32);
    options
}

fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)), // what the umask has left out
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),   // what it is will be seen
        Err(error) => Err(error),
    }
}

//! The file system as the writers see it: the only place that calls `std::fs`, behind a trait so that a test can have
//! the n-th call fail.

#[cfg(test)]
pub(crate) mod faulty;
mod open;
#[cfg(not(unix))]
#[path = "file/other.rs"]
mod platform;
#[cfg(unix)]
#[path = "file/unix.rs"]
mod platform;
mod real;
pub(crate) mod trust;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    time::SystemTime,
};

use self::open::OpenFile;
#[cfg(all(feature = "gzip", unix))]
pub(crate) use self::open::Reading;
#[cfg(feature = "watch")]
pub(crate) use self::open::closed_by_others;
pub(crate) use self::{open::Opened, real::RealFileSystem};

/// How many bytes are called the end of a file.
#[cfg(feature = "watch")]
const END: u64 = 64;

/// The calls that a writer makes.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a regular file for appending, made if it isn't there, and not through a link. With `mode`, it has exactly that mode
    /// afterwards, or [`Opened::mode_error`] says why not.
    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened>;

    /// Opens a lock file, not through a link. If it isn't there it is made with mode 0600, or is an error unless `may_create`.
    fn open_lock(&self, path: &Path, may_create: bool) -> io::Result<Opened>;

    /// Opens a regular file for appending: [`ErrorKind::NotFound`] if it isn't there.
    #[cfg(feature = "watch")]
    fn open_existing(&self, path: &Path) -> io::Result<Opened>;

    /// Opens a character device for writing.
    #[cfg(feature = "watch")]
    fn open_device(&self, path: &Path) -> io::Result<Opened>;

    /// Makes a new file, with exactly `mode` if there is one; an error if something has the name.
    fn create_new(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened>;

    /// Opens a regular file for reading, not through a link.
    #[cfg(all(feature = "gzip", unix))]
    fn open_read(&self, path: &Path) -> io::Result<Reading>;

    /// Returns the first bytes of a regular file, and the last, some dozens of each at most.
    #[cfg(feature = "watch")]
    fn read_ends(&self, path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)>;

    /// Renames a file to a name that is free: [`ErrorKind::AlreadyExists`] if it isn't.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, over another if there is one.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns what has this name, be it a dangling link; `None` if nothing has.
    fn find(&self, path: &Path) -> io::Result<Option<Found>>;

    /// Returns what a path leads to, through links; `None` if that is nothing.
    #[cfg(feature = "watch")]
    fn find_target(&self, path: &Path) -> io::Result<Option<Found>>;

    /// Returns the names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Returns when everything in the file or directory is on the disk.
    fn sync(&self, path: &Path) -> io::Result<()>;
}

/// A file that is open for appending.
pub(crate) trait AppendFile: fmt::Debug + Send {
    /// Returns how many names the file has: 0 when it was removed. (1 where that can't be known.) An error if this is not open any
    /// more on the file that was opened: other code of the process has closed the
    /// descriptor, and its number may be another file's by now; or the file system has no such file any more (ESTALE).
    /// Everything below that asks for a length or for links does the same.
    ///
    /// To be called before the same file is opened again: that may get the very number. What was found closed is let go here.
    fn check(&mut self) -> io::Result<u64>;

    /// Returns what fstat(2) says of it. The error of [`check`](Self::check) if it is another file.
    fn metadata(&self) -> io::Result<fs::Metadata>;

    /// Gives it the owner and the group of another file as far as this process may, and its mode, unless `mode` is another one.
    fn take_after(&mut self, other: &fs::Metadata, mode: Option<u32>) -> io::Result<()>;

    /// Sets the time of its last change.
    #[cfg(all(feature = "gzip", unix))]
    fn set_modified(&mut self, time: SystemTime) -> io::Result<()>;

    /// Appends bytes with one write(2). Returns how many were taken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes the lock of the file, for as long as it is open. Returns whether it was to be had.
    fn try_lock(&mut self) -> io::Result<bool>;

    /// Returns which process has the lock, if that can be known: perhaps the one that said so, which may be gone.
    fn holder(&self, said: Option<u32>) -> Option<u32>;

    /// Sets its mode, exactly.
    fn set_mode(&mut self, mode: u32) -> io::Result<()>;

    /// Returns its content, up to 16 MiB; of a lock file only.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Gives the lock back.
    #[cfg(feature = "watch")]
    fn unlock(&mut self) -> io::Result<()>;

    /// Returns its length.
    #[cfg(feature = "watch")]
    fn len(&self) -> io::Result<u64>;

    /// Returns how many names it has: 0 when it was removed. (1 where nobody can tell.)
    #[cfg(feature = "watch")]
    fn links(&self) -> io::Result<u64>;

    /// Returns the last byte of a file that has this length. A part of a write that is under way may be seen.
    #[cfg(feature = "watch")]
    fn last_byte(&mut self, len: u64) -> io::Result<Option<u8>>;

    /// Returns the bytes between two places in it.
    #[cfg(feature = "watch")]
    fn read_between(&mut self, from: u64, to: u64) -> io::Result<Vec<u8>>;

    /// Returns the bytes before a place in it, as many as [`FileSystem::read_ends`] does.
    #[cfg(feature = "watch")]
    fn bytes_before(&mut self, place: u64) -> io::Result<Vec<u8>> {
        self.read_between(place.saturating_sub(END), place)
    }

    /// Returns the last name that it had, and whether that was removed; `None` where nobody can tell.
    #[cfg(feature = "watch")]
    fn last_name(&self) -> Option<(PathBuf, bool)>;

    /// Returns its length and its last byte, once a write that is under way is over, where that can be known.
    #[cfg(feature = "watch")]
    fn settled_ending(&mut self) -> io::Result<(u64, Option<u8>)>;

    /// Returns when everything in it is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Which file of a folder it is, whatever its name: its inode and, because inodes are used again, when it was made. On
/// file systems that don't keep the latter, the device is part of it: it may be another one after the next mount, and
/// rather too few files are known again than too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Nanoseconds since 1970; 0 on file systems that don't keep it.
    pub(crate) born: u64,
}

/// Whose a file is, and who may do what with it. Elsewhere than on Unix everything is the user's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// The permissions only: at most 0o7777.
    pub(crate) mode: u32,
}

/// Whether a link at the end of a path is followed when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Links {
    Followed,
    Refused,
}

/// What has a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: FileId,
    pub(crate) access: Access,
    pub(crate) is_file: bool,
    pub(crate) is_link: bool,
    pub(crate) is_dir: bool,
    #[cfg(feature = "watch")]
    pub(crate) is_char_device: bool,
    pub(crate) len: u64,
    pub(crate) modified: SystemTime,
}

/// Opens a file also for reading, which is for its last byte only: one that may only be written serves too.
fn open_to_read_too(options: &OpenOptions, path: &Path) -> io::Result<File> {
    match options.clone().read(true).open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => options.open(path),
        file => file,
    }
    .map_err(|error| special_or(error, path))
}

fn found(meta: io::Result<fs::Metadata>) -> io::Result<Option<Found>> {
    let meta = match meta {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    Ok(Some(Found {
        id: platform::id_of(&meta),
        access: platform::access_of(&meta),
        is_file: meta.is_file(),
        is_link: meta.is_symlink(),
        is_dir: meta.is_dir(),
        #[cfg(feature = "watch")]
        is_char_device: platform::is_char_device(&meta),
        len: meta.len(),
        modified: meta.modified()?,
    }))
}

fn opened(file: File, mode: Option<u32>) -> io::Result<Opened> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(no_regular_file());
    }
    // What open(2) made of the mode is what the umask left of it.
    let wanted = mode.filter(|mode| platform::access_of(&meta).mode != *mode);
    let mode_error = wanted.and_then(|mode| platform::set_mode(&file, mode).err());
    // A last byte that can't be read may be anything: a mark too many is better than two lines in one.
    let is_torn = meta.len() > 0 && last_byte(&file, meta.len()).map_or(true, |byte| byte != b'\n');
    Ok(Opened { is_torn, mode_error, ..opened_as(file, &meta)? })
}

fn opened_as(file: File, meta: &fs::Metadata) -> io::Result<Opened> {
    let (modified, access) = (meta.modified()?, platform::access_of(meta));
    let (id, file) = OpenFile::boxed(file, meta);
    Ok(Opened { file, id, access, mode_error: None, len: meta.len(), modified, is_torn: false })
}

/// What is said of a descriptor that is another file's by now.
fn replaced() -> io::Error {
    io::Error::new(ErrorKind::StaleNetworkFileHandle, "the descriptor was closed and is another file's")
}

/// Returns whether [`AppendFile::check`] has found another file: what was written may be in that one.
pub(crate) fn is_replaced(error: &io::Error) -> bool {
    error.kind() == ErrorKind::StaleNetworkFileHandle && error.raw_os_error().is_none()
}

/// Returns whether an error is about the descriptor, not about the file that is at the path now: other code has closed it, or
/// the file system has no such file any more.
pub(crate) fn is_stale(error: &io::Error) -> bool {
    error.kind() == ErrorKind::StaleNetworkFileHandle || platform::is_closed(error)
}

/// Returns the error that says of a FIFO, socket or device, or of a link that is not to be followed, that it is one: what open(2)
/// says of one hardly tells.
fn special_or(error: io::Error, path: &Path) -> io::Error {
    let is_special = |meta: fs::Metadata| !meta.is_file() && !meta.is_dir();
    let is_refused_link = platform::is_refused_link(&error) && path.is_symlink();
    let is_special = is_refused_link || path.metadata().is_ok_and(is_special);
    if is_special { no_regular_file() } else { error }
}

pub(crate) fn no_regular_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no regular file: give the path of a regular file")
}

fn last_byte(mut file: &File, len: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(len - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn rename_in_two_steps(from: &Path, to: &Path) -> io::Result<()> {
    match to.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// When a file was made, in nanoseconds since 1970; 0 if nobody knows.
fn born(meta: &fs::Metadata) -> u64 {
    let since = meta.created().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

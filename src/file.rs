//! The file system as the writers see it: the only place that calls `std::fs`, behind a trait so that a test can have
//! the n-th call fail.

#[cfg(test)]
pub(crate) mod faulty;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The calls that a writer makes.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a regular file for appending, made if it isn't there. With `mode`, it has exactly that mode afterwards.
    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened>;

    /// Makes a new file, with exactly `mode` if there is one; an error if something has the name.
    #[cfg(all(feature = "gzip", unix))]
    fn create_new(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened>;

    /// Opens a file for reading.
    #[cfg(all(feature = "gzip", unix))]
    fn open_read(&self, path: &Path) -> io::Result<Reading>;

    /// Returns the content of a file, up to 16 MiB.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Renames a file to a name that is free: [`ErrorKind::AlreadyExists`] if it isn't.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Renames a file, over another if there is one.
    fn replace(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns what has this name, be it a dangling link; `None` if nothing has.
    fn find(&self, path: &Path) -> io::Result<Option<Found>>;

    /// Returns the names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;

    /// Returns when everything in the file or directory is on the disk.
    fn sync(&self, path: &Path) -> io::Result<()>;
}

/// A file that is open for appending.
pub(crate) trait AppendFile: fmt::Debug + Send {
    /// Appends bytes with one write(2). Returns how many were taken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes the lock of the file, for as long as it is open. Returns whether it was to be had.
    fn try_lock(&mut self) -> io::Result<bool>;

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

/// What has a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: FileId,
    pub(crate) is_file: bool,
    pub(crate) is_link: bool,
    pub(crate) is_dir: bool,
    pub(crate) len: u64,
    pub(crate) modified: SystemTime,
}

/// A file just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Box<dyn AppendFile>,
    pub(crate) id: FileId,
    pub(crate) len: u64,
    pub(crate) modified: SystemTime,
    /// Whether its last line has no LF.
    pub(crate) is_torn: bool,
}

/// A file that is open for reading.
#[cfg(all(feature = "gzip", unix))]
pub(crate) struct Reading {
    pub(crate) id: FileId,
    /// `None` where files have no such thing.
    pub(crate) mode: Option<u32>,
    pub(crate) content: Box<dyn io::Read>,
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealFileSystem;

/// The most that is read of a file: of a list, the rotations of many years.
const READ_LIMIT: u64 = 16 * 1024 * 1024;

impl FileSystem for RealFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        restrict(&mut options, mode);
        // Reading is for the last byte only: a file that may only be written serves too.
        let file = match options.clone().read(true).open(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => options.open(path),
            file => file,
        }
        .map_err(|error| if is_special(path) { no_regular_file() } else { error })?;
        opened(file, mode)
    }

    #[cfg(all(feature = "gzip", unix))]
    fn create_new(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        restrict(&mut options, mode);
        opened(options.open(path)?, mode)
    }

    #[cfg(all(feature = "gzip", unix))]
    fn open_read(&self, path: &Path) -> io::Result<Reading> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        Ok(Reading { id: id_of(&meta), mode: mode_of(&meta), content: Box::new(file) })
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        File::open(path)?.take(READ_LIMIT).read_to_end(&mut content)?;
        Ok(content)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        rename_new(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            meta => meta.and_then(|meta| {
                Ok(Some(Found {
                    id: id_of(&meta),
                    is_file: meta.is_file(),
                    is_link: meta.is_symlink(),
                    is_dir: meta.is_dir(),
                    len: meta.len(),
                    modified: meta.modified()?,
                }))
            }),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        lock_file(self)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

fn opened(mut file: File, mode: Option<u32>) -> io::Result<Opened> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(no_regular_file());
    }
    set_mode(&file, &meta, mode)?;
    // A last byte that can't be read may be anything: a mark too many is better than two lines in one.
    let is_torn = meta.len() > 0 && last_byte(&mut file).map_or(true, |byte| byte != b'\n');
    Ok(Opened {
        id: id_of(&meta),
        len: meta.len(),
        modified: meta.modified()?,
        is_torn,
        file: Box::new(file),
    })
}

/// Returns whether a FIFO, socket or device is there: what open(2) says of one hardly tells.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

fn no_regular_file() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "it is no regular file")
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// renameat2(2) refuses a name that is taken, in one step. Where a file system can't do that, there are two steps.
#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };

    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_in_two_steps(from, to),
        result => result.map_err(io::Error::from),
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    rename_in_two_steps(from, to)
}

fn rename_in_two_steps(from: &Path, to: &Path) -> io::Result<()> {
    match to.symlink_metadata() {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn id_of(meta: &fs::Metadata) -> FileId {
    use std::os::unix::fs::MetadataExt as _;

    let born = born(meta);
    FileId { device: if born == 0 { meta.dev() } else { 0 }, inode: meta.ino(), born }
}

fn born(meta: &fs::Metadata) -> u64 {
    let since = meta.created().ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or_default()
}

/// flock(2): held by the open file, so it goes with the last process that has it open.
#[cfg(unix)]
fn lock_file(file: &File) -> io::Result<bool> {
    use rustix::{
        fs::{FlockOperation, flock},
        io::Errno,
    };

    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A new file never has more permissions than asked for, not even for a moment, and a FIFO in the place of the file is
/// refused, not waited for.
#[cfg(unix)]
fn restrict(options: &mut OpenOptions, mode: Option<u32>) {
    use std::os::unix::fs::OpenOptionsExt as _;

    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
    if let Some(mode) = mode {
        options.mode(mode);
    }
}

#[cfg(all(unix, feature = "gzip"))]
fn mode_of(meta: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    Some(meta.permissions().mode() & 0o7777)
}

#[cfg(all(not(unix), feature = "gzip"))]
fn mode_of(_meta: &fs::Metadata) -> Option<u32> {
    None
}

/// What open(2) made of the mode is what the umask left of it.
#[cfg(unix)]
fn set_mode(file: &File, meta: &fs::Metadata, mode: Option<u32>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    match mode {
        Some(mode) if meta.permissions().mode() & 0o7777 != mode => {
            file.set_permissions(fs::Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn id_of(meta: &fs::Metadata) -> FileId {
    FileId { born: born(meta), ..FileId::default() }
}

/// Without flock(2) there is no lock: nobody is refused.
#[cfg(not(unix))]
fn lock_file(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(not(unix))]
fn restrict(_options: &mut OpenOptions, _mode: Option<u32>) {}

#[cfg(not(unix))]
fn set_mode(_file: &File, _meta: &fs::Metadata, _mode: Option<u32>) -> io::Result<()> {
    Ok(())
}

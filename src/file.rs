//! The file system as the writers see it: the only place that calls `std::fs`, behind a trait so that a test can have
//! the n-th call fail.

#[cfg(test)]
pub(crate) mod faulty;

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// The calls that a writer makes.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a directory and its parents.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Opens a regular file for appending, made if it isn't there. With `mode`, it has exactly that mode afterwards.
    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened>;

    /// Renames a file, over another if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns whether something has this name, be it a dangling link.
    fn exists(&self, path: &Path) -> io::Result<bool>;
}

/// A file that is open for appending.
pub(crate) trait AppendFile: fmt::Debug + Send {
    /// Appends bytes with one write(2). Returns how many were taken.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// A file just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Box<dyn AppendFile>,
    pub(crate) len: u64,
    /// Whether its last line has no LF.
    pub(crate) is_torn: bool,
}

/// The operating system's files.
#[derive(Debug)]
pub(crate) struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        restrict(&mut options, mode);
        // Reading is for the last byte only: a file that may only be written serves too.
        let mut file = match options.clone().read(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => options.open(path),
            file => file,
        }
        .map_err(|error| if is_special(path) { no_regular_file() } else { error })?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(no_regular_file());
        }
        set_mode(&file, &meta, mode)?;
        // A last byte that can't be read may be anything: a mark too many is better than two lines in one.
        let is_torn = meta.len() > 0 && last_byte(&mut file).map_or(true, |byte| byte != b'\n');
        Ok(Opened { file: Box::new(file), len: meta.len(), is_torn })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            meta => meta.map(|_| true),
        }
    }
}

impl AppendFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }
}

/// Returns whether a FIFO, socket or device is there: what open(2) says of one hardly tells.
fn is_special(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

fn no_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

fn last_byte(file: &mut File) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
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
fn restrict(_options: &mut OpenOptions, _mode: Option<u32>) {}

#[cfg(not(unix))]
fn set_mode(_file: &File, _meta: &fs::Metadata, _mode: Option<u32>) -> io::Result<()> {
    Ok(())
}

//! A file that is open for appending, whose descriptor other code of the process may have closed.
//!
//! A library that daemonizes closes "all" descriptors, and the number of ours may be another file's then. What is open is
//! compared with what was opened when a writer asks, and before the number is closed.

#[cfg(feature = "watch")]
use std::path::PathBuf;
use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    mem,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

#[cfg(feature = "watch")]
use super::last_byte;
use super::{Access, AppendFile, FileId, platform, trust};
use crate::Error;

/// The most that is read of a file: of a list, the rotations of many years.
const READ_LIMIT: u64 = 16 * 1024 * 1024;

/// A file just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Box<dyn AppendFile>,
    pub(crate) id: FileId,
    /// As it was when it was opened.
    pub(crate) access: Access,
    /// Why it has not the mode that it was to have.
    pub(crate) mode_error: Option<io::Error>,
    pub(crate) len: u64,
    pub(crate) modified: SystemTime,
    /// Whether its last line has no LF.
    pub(crate) is_torn: bool,
}

impl Opened {
    /// Returns what is to be told, without a lock, if it has not the mode that it was to have. It is used all the same.
    pub(crate) fn mode_trouble(&mut self, path: &Path) -> Option<Error> {
        let cause = self.mode_error.take()?;
        let remedy = "lines are written all the same: give the file to this user, or leave file_mode out";
        Some(Error::io("set the mode of", path, io::Error::other(format!("{cause}; {remedy}"))))
    }
}

/// A file that is open for reading.
#[cfg(all(feature = "gzip", unix))]
pub(crate) struct Reading {
    pub(crate) id: FileId,
    pub(crate) meta: Metadata,
    pub(crate) content: Box<dyn io::Read>,
}

/// How many descriptors of this process were found closed by other code.
static CLOSED_BY_OTHERS: AtomicU64 = AtomicU64::new(0);

/// Returns how many descriptors were found closed by other code: those of libraries may be closed too.
#[cfg(feature = "watch")]
pub(crate) fn closed_by_others() -> u64 {
    CLOSED_BY_OTHERS.load(Ordering::Relaxed)
}

/// A file that is open for appending.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// `None` once it was found closed.
    file: Option<File>,
    /// Which file was opened.
    id: FileId,
}

impl OpenFile {
    /// Returns which file it is, and the file.
    pub(super) fn boxed(file: File, meta: &Metadata) -> (FileId, Box<dyn AppendFile>) {
        let id = platform::id_of(meta);
        (id, Box::new(OpenFile { file: Some(file), id }))
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(platform::closed)
    }
}

/// Closes the descriptor, unless that was done: its number may be another file's.
impl Drop for OpenFile {
    fn drop(&mut self) {
        let _ = self.check(); // lets go of it
    }
}

impl AppendFile for OpenFile {
    fn check(&mut self) -> io::Result<u64> {
        let is_it = self.metadata().map(|meta| platform::links_of(&meta));
        if is_it.as_ref().is_err_and(|error| platform::is_closed(error) || super::is_replaced(error)) {
            mem::forget(self.file.take());
            CLOSED_BY_OTHERS.fetch_add(1, Ordering::Relaxed);
        }
        is_it
    }

    fn metadata(&self) -> io::Result<Metadata> {
        let meta = self.file()?.metadata()?;
        if platform::id_of(&meta) == self.id { Ok(meta) } else { Err(super::replaced()) }
    }

    fn take_after(&mut self, other: &Metadata, mode: Option<u32>) -> io::Result<()> {
        platform::take_after(self.file()?, other, mode)
    }

    #[cfg(all(feature = "gzip", unix))]
    fn set_modified(&mut self, time: SystemTime) -> io::Result<()> {
        self.file()?.set_modified(time)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file()?.write(bytes)
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        platform::lock_file(self.file()?)
    }

    fn holder(&self, said: Option<u32>) -> Option<u32> {
        trust::holder(self.file().ok()?, said)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        platform::set_mode(self.file()?, mode)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(0))?;
        file.take(READ_LIMIT).read_to_end(&mut content)?;
        Ok(content)
    }

    #[cfg(feature = "watch")]
    fn unlock(&mut self) -> io::Result<()> {
        platform::unlock_file(self.file()?)
    }

    #[cfg(feature = "watch")]
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    #[cfg(feature = "watch")]
    fn links(&self) -> io::Result<u64> {
        Ok(platform::links_of(&self.metadata()?))
    }

    #[cfg(feature = "watch")]
    fn last_byte(&mut self, len: u64) -> io::Result<Option<u8>> {
        Ok(if len > 0 { Some(last_byte(self.file()?, len)?) } else { None })
    }

    #[cfg(feature = "watch")]
    fn read_between(&mut self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(from))?;
        file.take(to - from).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[cfg(feature = "watch")]
    fn last_name(&self) -> Option<(PathBuf, bool)> {
        if self.metadata().is_err_and(|error| platform::is_closed(&error)) {
            return None;
        }
        platform::last_name_of(self.file().ok()?)
    }

    #[cfg(feature = "watch")]
    fn settled_ending(&mut self) -> io::Result<(u64, Option<u8>)> {
        platform::wait_for_writers(self.file()?);
        let len = self.len()?;
        Ok((len, self.last_byte(len)?))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file()?.sync_data()
    }
}

//! Opening a lock file, and whose lock is one.

use std::{
    io::{self, ErrorKind},
    path::Path,
};

use super::list::List;
use crate::{
    Error,
    file::{Access, AppendFile, FileSystem, Opened, trust},
};

/// What is asked of the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether it is locked, and not only a list.
    pub(super) locks: bool,
    /// Whether it may belong to another user, and others may write to it.
    pub(super) trusts: bool,
}

impl Terms {
    /// Refuses a lock that belongs to another user, who could have written anything to it.
    pub(super) fn check(self, lock: Access, path: &Path) -> io::Result<()> {
        if self.trusts || lock.is_own_or_roots() {
            return Ok(());
        }
        let what = format!(
            "the lock {path:?} belongs to user {}, and this process is user {}: move it away if no log is in use there, run as \
             that user, or set trust_path(true)",
            lock.owner,
            trust::effective_user()
        );
        Err(Error::refused(path, what).into())
    }
}

/// Opens a lock file; `None` where it can't be made.
pub(super) fn open_lock(files: &dyn FileSystem, lock: &Path, terms: Terms) -> io::Result<Option<Opened>> {
    let found = files.find(lock)?;
    if found.is_some_and(|found| !found.is_file) {
        let what = format!(
            "{lock:?} is no regular file, so it can't be the log's lock: move it away, or give another path"
        );
        return Err(Error::refused(lock, what).into());
    }
    match files.open_lock(lock, true) {
        // One that is there and can't be opened is somebody's: to go on without it would be to ignore the lock.
        Err(error) if is_forbidden(&error) && found.is_none() => Ok(None),
        Err(error) => Err(error),
        Ok(opened) => terms.check(opened.access, lock).map(|()| Some(opened)),
    }
}

/// Opens a lock that is there. Returns also its list, as far as it is believed.
pub(super) fn read_list(files: &dyn FileSystem, lock: &Path, terms: Terms) -> io::Result<(Opened, List)> {
    let mut opened = files.open_lock(lock, false)?;
    terms.check(opened.access, lock)?;
    let is_believed = terms.trusts || !opened.access.is_open_to_others();
    let list = if is_believed { List::of(&opened.file.read()?) } else { List::default() };
    Ok((opened, list))
}

/// Locks a file. Where a file system has no locks, the error says what to do.
pub(super) fn lock_or_say(file: &mut dyn AppendFile, path: &Path) -> io::Result<bool> {
    let advice =
        "set lock(false) if no other process logs to this path, or give a path on another file system";
    file.try_lock().map_err(|cause| match trust::is_without_locks(&cause) {
        true => Error::without_locks(path, &cause, advice).into(),
        false => cause,
    })
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

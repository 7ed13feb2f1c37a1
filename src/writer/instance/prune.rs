//! Removing the files of instances that are gone.
//!
//! A list of files is what its process says of itself. So it is believed only if no other user could have written it, and it
//! concerns only files of its log's name, which this user owns.

use std::{
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::{family::temporary_path, list::List, name};
use crate::{
    Error,
    file::{Access, FileSystem, Opened},
};

/// Removes the files of dead instances of the family `name`, but for those that wrote last: so that with this one `keep`
/// instances stay, or more if more are alive. Returns the first error; the others are tried all the same.
///
/// An instance is dead if its lock can be had; only the locks of those that are too many are tried. What is removed is on
/// the instance's own list.
pub(super) fn prune(files: &dyn FileSystem, path: &Path, name: &str, keep: usize) -> io::Result<()> {
    let family = format!("{name:?}");
    let mut others = Vec::new();
    for lock in files.list(path.parent().unwrap_or(path))? {
        let Some(log) = log_of_lock(&lock).filter(|log| log != path && name::fits(log, name)) else {
            continue;
        };
        // What can't be read, or be believed, can't be proved to be ours.
        let Ok(Some(mut opened)) = open_believed(files, &lock) else { continue };
        if opened.file.read().is_ok_and(|content| List::of(&content).family.as_ref() == Some(&family)) {
            let written = files.find(&log)?.map_or(UNIX_EPOCH, |found| found.modified);
            others.push((written, log, lock));
        }
    }
    others.sort_by_key(|(written, ..)| std::cmp::Reverse(*written));
    let mut result = Ok(());
    for (_, log, lock) in others.into_iter().skip(keep.saturating_sub(1)) {
        result = result.and(remove_dead(files, &log, &lock));
    }
    result
}

/// Opens a lock file whose list is to be believed: a regular file of this user or root, to which nobody else may write.
fn open_believed(files: &dyn FileSystem, lock: &Path) -> io::Result<Option<Opened>> {
    let is_believed = |access: Access| access.is_own_or_roots() && !access.is_open_to_others();
    if !files.find(lock)?.is_some_and(|found| found.is_file && is_believed(found.access)) {
        return Ok(None);
    }
    Ok(Some(files.open_lock(lock, false)?).filter(|opened| is_believed(opened.access)))
}

/// Removes an instance, if its lock can be had: one that was replaced meanwhile is not it.
fn remove_dead(files: &dyn FileSystem, log: &Path, lock: &Path) -> io::Result<()> {
    let Some(mut opened) = open_believed(files, lock)? else { return Ok(()) };
    let is_held = opened.file.try_lock()?;
    if !is_held || !files.find(lock)?.is_some_and(|found| found.id == opened.id) {
        return Ok(());
    }
    let list = List::of(&opened.file.read()?); // again, now that nobody adds to it any more
    if list.is_unlocked {
        return Ok(()); // its process may live
    }
    remove_all(files, log, &list)?;
    files.remove(lock)
}

/// Removes the log, what has its name and a suffix, and a copy that it was compressing, as far as it is on the list.
fn remove_all(files: &dyn FileSystem, log: &Path, list: &List) -> io::Result<()> {
    let name = log.as_os_str().as_encoded_bytes();
    let temporary = temporary_path(log);
    for path in files.list(log.parent().unwrap_or(log))? {
        let rest = path.as_os_str().as_encoded_bytes().strip_prefix(name);
        let is_of_log =
            path == temporary || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
        let Some(found) = files.find(&path)?.filter(|found| is_of_log && list.own.contains(&found.id)) else {
            continue;
        };
        if found.is_file && !found.access.is_own() {
            let what = format!("{path:?} belongs to user {}: remove it as that user", found.access.owner);
            return Err(Error::refused(&path, what).into());
        }
        if found.is_file {
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

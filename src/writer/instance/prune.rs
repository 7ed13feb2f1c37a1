//! Removing the files of instances that are gone.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use super::family::{List, temporary_path};
use crate::file::{AppendFile, FileId, FileSystem};

/// Removes the files of dead instances of the family `name`, but for those that wrote last: so that with this one `keep`
/// instances stay, or more if more are alive. Returns the first error; the others are tried all the same.
///
/// An instance is dead if its lock can be had; only the locks of those that are too many are tried. What is removed is on
/// the instance's own list.
pub(super) fn prune(files: &dyn FileSystem, path: &Path, name: &str, keep: usize) -> io::Result<()> {
    let family = format!("{name:?}");
    let mut others = Vec::new();
    for lock in files.list(path.parent().unwrap_or(path))? {
        let Some(log) = log_of_lock(&lock).filter(|log| log != path) else { continue };
        // What can't be read can't be proved to be ours.
        if List::read(files, &lock).is_ok_and(|list| list.family.as_ref() == Some(&family)) {
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

/// Removes an instance, if its lock can be had.
fn remove_dead(files: &dyn FileSystem, log: &Path, lock: &Path) -> io::Result<()> {
    let Some(_held) = hold(files, lock)? else { return Ok(()) };
    let list = List::read(files, lock)?; // again, now that nobody adds to it any more
    remove_all(files, log, &list.own)?;
    files.remove(lock)
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

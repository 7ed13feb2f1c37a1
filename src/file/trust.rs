//! Whose files are believed, and by which ways a privileged process goes to its log.
//!
//! A list of files is believed that belongs to this user, or to root, and that no other user may write.
//!
//! Root, whom no permission stops, could be led astray by users who may change the way to the log: by a link to another file, or by
//! another file of the log's name. So a root process takes a way only if
//!
//! - each link on it belongs to root, and one that the log itself is lies in a directory as below;
//! - the directory that holds the log belongs to root, and no other user and no group but root's may write to it; or it is sticky,
//!   and the log in it is a file of root's without a second name.
//!
//! What is above that directory is not looked at, but for links, as in logrotate(8).

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use super::{Access, FileId, platform};
use crate::{Error, sys::lives};

/// The mode of lock files: a lock that others may open is one that they may take.
pub(crate) const LOCK_MODE: u32 = 0o600;

const ROOT: u32 = 0;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;

const REMEDY: &str = "log to a directory that only root may write to (one that isn't there is made so), run as the user whose it \
                      is, or set trust_path(true)";

/// How many links a link may lead through.
const LINKS: usize = 8;

pub(crate) use super::platform::{effective_user, is_without_locks};

impl Access {
    /// Returns whether it belongs to this user.
    pub(crate) fn is_own(self) -> bool {
        self.owner == effective_user()
    }

    /// Returns whether it belongs to this user or to root.
    pub(crate) fn is_own_or_roots(self) -> bool {
        self.owner == ROOT || self.is_own()
    }

    /// Returns whether others than its owner may write to it.
    pub(crate) fn is_open_to_others(self) -> bool {
        self.mode & WRITABLE_BY_OTHERS != 0
    }

    /// Returns who may put other files into a directory than root and its owner.
    fn writers(self) -> Option<String> {
        match self.mode {
            _ if self.owner != ROOT => Some(format!("belongs to user {}", self.owner)),
            mode if mode & STICKY != 0 => None,
            mode if mode & WRITABLE_BY_ALL != 0 => Some(format!("is writable for all users (mode {mode:o})")),
            mode if mode & WRITABLE_BY_GROUP != 0 && self.group != ROOT => {
                Some(format!("is writable for group {} (mode {mode:o})", self.group))
            }
            _ => None,
        }
    }
}

/// Returns what makes directories; root's are for root to write to, whatever the umask.
pub(super) fn directory_builder() -> DirBuilder {
    platform::directory_builder(if platform::is_root() { 0o755 } else { 0o777 })
}

/// Returns which living process has the lock of a file, if that can be known. `said` is the one that said so.
pub(super) fn holder(file: &File, said: Option<u32>) -> Option<u32> {
    let Some(holders) = platform::holders(file) else { return said.filter(|pid| lives(*pid)) };
    let holds = said.filter(|pid| holders.contains(pid));
    holds.or(holders.first().copied()).filter(|pid| lives(*pid))
}

/// Returns an error if root is not to log by this path. Of a file that is open, it has to be the one that the path leads to, where
/// others may put files beside it.
///
/// # Errors
///
/// One that is wrapped in the [`io::Error`] names the path, the reason and the remedy.
pub(crate) fn check(path: &Path, open: Option<FileId>) -> io::Result<()> {
    if !platform::is_root() {
        return Ok(());
    }
    match refusal(path, open)? {
        Some(reason) => {
            Err(Error::refused(path, format!("root is not to log to {path:?}: {reason}: {REMEDY}")).into())
        }
        None => Ok(()),
    }
}

/// Returns an error if this is a root process, and a link on the way to a directory belongs to another user.
#[cfg(all(feature = "multiprocess", unix))]
pub(crate) fn check_links(directory: &Path) -> Result<(), Error> {
    let link = if platform::is_root() { foreign_link(directory) } else { Ok(None) };
    match link.map_err(|cause| Error::io("find the links on the way to", directory, cause))? {
        Some(link) => {
            let what = format!("root is not to use {directory:?}: {link}: give the path without it");
            Err(Error::refused(directory, what))
        }
        None => Ok(()),
    }
}

/// Returns a link on the way to a directory that doesn't belong to root.
fn foreign_link(path: &Path) -> io::Result<Option<String>> {
    for part in path.ancestors() {
        let meta = match part.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            meta => meta?,
        };
        let access = platform::access_of(&meta);
        if meta.is_symlink() && access.owner != ROOT {
            return Ok(Some(format!("the link {part:?} belongs to user {}", access.owner)));
        }
    }
    Ok(None)
}

/// Returns why root is not to log by a path.
fn refusal(path: &Path, open: Option<FileId>) -> io::Result<Option<String>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { break };
        if let Some(link) = foreign_link(parent)? {
            return Ok(Some(link));
        }
        let place = match parent.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // it will be made, for root alone
            parent => parent?.join(name),
        };
        let meta = match place.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            meta => Some(meta?),
        };
        if let Some(meta) = meta.as_ref().filter(|meta| meta.is_symlink()) {
            let owner = platform::access_of(meta).owner;
            if owner != ROOT {
                return Ok(Some(format!("the link {place:?} belongs to user {owner}")));
            }
            let (directory, target) = (place.parent().unwrap_or(&place), place.metadata());
            if target.map_or(true, |target| target.is_file())
                && let Some(writers) = platform::access_of(&directory.metadata()?).writers()
            {
                return Ok(Some(format!("the directory of the link {place:?} {writers}")));
            }
            path = place.with_file_name("").join(place.read_link()?);
            continue;
        }
        return refusal_at(&place, meta.as_ref(), open);
    }
    Ok(None) // open(2) will say that these are too many
}

/// Returns why root is not to log to the file at a place that is no link.
fn refusal_at(place: &Path, meta: Option<&fs::Metadata>, open: Option<FileId>) -> io::Result<Option<String>> {
    let is_file = meta.is_none_or(fs::Metadata::is_file);
    let Some(directory) = place.parent().filter(|_| is_file) else { return Ok(None) }; // a device, or what will be refused
    let access = platform::access_of(&directory.metadata()?);
    if let Some(writers) = access.writers() {
        return Ok(Some(format!("its directory {directory:?} {writers}")));
    }
    let Some(meta) = meta.filter(|_| access.is_open_to_others() && access.mode & STICKY != 0) else {
        return Ok(None);
    };
    let owner = platform::access_of(meta).owner;
    let is_roots = owner == ROOT && platform::links_of(meta) == 1;
    let is_it = open.is_none_or(|id| id == platform::id_of(meta));
    Ok((!is_roots || !is_it).then(|| {
        format!("{place:?} belongs to user {owner} or has another name, in {directory:?}, where all users make files")
    }))
}

/// Returns where a link leads to, also if nothing is there: as `canonicalize` would, if there were something.
pub(crate) fn leads_to(link: &Path) -> io::Result<PathBuf> {
    let mut path = link.to_owned();
    for _ in 0..LINKS {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { break };
        let place = parent.canonicalize()?.join(name);
        match place.read_link() {
            Ok(next) => path = place.with_file_name("").join(next),
            Err(_) => return Ok(place),
        }
    }
    Err(ErrorKind::NotFound.into())
}

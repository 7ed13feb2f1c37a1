//! What only Unix can do with files.

#[cfg(not(target_os = "linux"))]
pub(super) use super::rename_in_two_steps as rename_new;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

use super::{Access, FileId, Links, born};

/// renameat2(2) refuses a name that is taken, in one step. Where a file system can't do that, there are two steps.
#[cfg(target_os = "linux")]
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => super::rename_in_two_steps(from, to),
        result => result.map_err(io::Error::from),
    }
}

pub(super) fn id_of(meta: &Metadata) -> FileId {
    let born = born(meta);
    FileId { device: if born == 0 { meta.dev() } else { 0 }, inode: meta.ino(), born }
}

/// What a system call says of a descriptor that was closed.
pub(super) fn closed() -> io::Error {
    Errno::BADF.into()
}

pub(super) fn is_closed(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::BADF.raw_os_error())
}

/// flock(2): held by the open file, so it goes with the last process that has it open.
pub(super) fn lock_file(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Returns the processes that have locks on a file, as far as this one may know; `None` if nobody tells. (An open file descriptor
/// that was handed on counts for the process that took the lock, be it gone.)
#[cfg(target_os = "linux")]
pub(super) fn holders(file: &File) -> Option<Vec<u32>> {
    let (inode, locks) =
        (file.metadata().ok()?.ino().to_string(), std::fs::read_to_string("/proc/locks").ok()?);
    // 1: FLOCK  ADVISORY  WRITE 4711 fe:00:1311768 0 EOF
    let holder = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it = *fields.get(1)? == "FLOCK" && fields.get(5)?.rsplit(':').next()? == inode;
        fields.get(4)?.parse().ok().filter(|_| is_it)
    };
    Some(locks.lines().filter_map(holder).collect())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn holders(_file: &File) -> Option<Vec<u32>> {
    None
}

#[cfg(feature = "watch")]
pub(super) fn unlock_file(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

pub(super) fn links_of(meta: &Metadata) -> u64 {
    meta.nlink()
}

/// Linux keeps the last name of an open file, and says so if that was removed.
#[cfg(all(target_os = "linux", feature = "watch"))]
pub(super) fn last_name_of(file: &File) -> Option<(std::path::PathBuf, bool)> {
    use std::{ffi::OsString, os::fd::AsRawFd as _, os::unix::ffi::OsStringExt as _};

    let name = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
    let mut name = name.into_os_string().into_vec();
    let is_removed = links_of(&file.metadata().ok()?) == 0;
    if let Some(len) = is_removed.then(|| name.strip_suffix(b" (deleted)").map(<[u8]>::len)).flatten() {
        name.truncate(len);
    }
    name.starts_with(b"/").then(|| (OsString::from_vec(name).into(), is_removed))
}

/// Nobody can tell.
#[cfg(all(not(target_os = "linux"), feature = "watch"))]
pub(super) fn last_name_of(_file: &File) -> Option<(std::path::PathBuf, bool)> {
    None
}

#[cfg(feature = "watch")]
pub(super) fn is_char_device(meta: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&meta.file_type())
}

/// Waits until no process is in the middle of a write: to look for a hole, lseek(2) takes the lock that a write holds from its
/// beginning to its end, on ext4, tmpfs, btrfs and overlayfs. (On XFS a read takes it anyway.)
#[cfg(all(target_os = "linux", feature = "watch"))]
pub(super) fn wait_for_writers(file: &File) {
    // Where there is no such lock, and where the file is empty, it fails; then there is nothing to wait for.
    let _ = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(0));
}

#[cfg(all(not(target_os = "linux"), feature = "watch"))]
pub(super) fn wait_for_writers(_file: &File) {}

/// Returns the user as whom the operating system takes this process.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns whether no permission stops this process.
pub(super) fn is_root() -> bool {
    effective_user() == 0
}

pub(super) fn access_of(meta: &Metadata) -> Access {
    Access { owner: meta.uid(), group: meta.gid(), mode: meta.mode() & 0o7777 }
}

/// Returns whether this is what open(2) says of a link that is not to be followed.
pub(super) fn is_refused_link(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::LOOP, Errno::MLINK])
}

/// Returns whether this is what flock(2) says where a file system has no locks.
pub(crate) fn is_without_locks(error: &io::Error) -> bool {
    is_one_of(error, &[Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS])
}

fn is_one_of(error: &io::Error, list: &[Errno]) -> bool {
    list.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// What makes directories with at most this mode.
pub(super) fn directory_builder(mode: u32) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    builder
}

/// Has writes wait for room, in a file that was opened with [`restrict`].
#[cfg(feature = "watch")]
pub(super) fn wait_in_writes(file: &File) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags - OFlags::NONBLOCK)?)
}

/// A new file never has more permissions than asked for, not even for a moment. A FIFO in the place of the file is refused, not
/// waited for, and a terminal doesn't become that of this process.
pub(super) fn restrict(options: &mut OpenOptions, mode: Option<u32>, links: Links) {
    let no_follow = if links == Links::Refused { OFlags::NOFOLLOW } else { OFlags::empty() };
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | no_follow).bits() as i32);
    if let Some(mode) = mode {
        options.mode(mode);
    }
}

/// The owner first: to give a file away may take the set-user-id bit from it. Who may not give it away may give it to a group.
pub(super) fn take_after(file: &File, other: &Metadata, mode: Option<u32>) -> io::Result<()> {
    let meta = file.metadata()?;
    let (owner, group) = (other.uid(), other.gid());
    let given = if (meta.uid(), meta.gid()) == (owner, group) {
        Ok(())
    } else {
        fchown(file, Some(owner), Some(group))
            .or_else(|error| fchown(file, None, Some(group)).and(Err(error)))
    };
    let mode = mode.unwrap_or(other.mode()) & 0o7777;
    let set = if file.metadata()?.mode() & 0o7777 == mode {
        Ok(())
    } else {
        file.set_permissions(Permissions::from_mode(mode))
    };
    given.and(set)
}

pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

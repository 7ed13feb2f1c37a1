//! What only Unix can do with files.

#[cfg(not(target_os = "linux"))]
pub(super) use super::rename_in_two_steps as rename_new;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::{
    fs::{File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    io::Errno,
};

use super::{FileId, born};

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

#[cfg(feature = "watch")]
pub(super) fn unlock_file(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

#[cfg(feature = "watch")]
pub(super) fn links_of(meta: &Metadata) -> u64 {
    meta.nlink()
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

/// A new file never has more permissions than asked for, not even for a moment, and a FIFO in the place of the file is
/// refused, not waited for.
pub(super) fn restrict(options: &mut OpenOptions, mode: Option<u32>) {
    options.custom_flags(OFlags::NONBLOCK.bits() as i32);
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

/// What open(2) made of the mode is what the umask left of it.
pub(super) fn set_mode(file: &File, meta: &Metadata, mode: Option<u32>) -> io::Result<()> {
    match mode {
        Some(mode) if meta.permissions().mode() & 0o7777 != mode => {
            file.set_permissions(Permissions::from_mode(mode))
        }
        _ => Ok(()),
    }
}

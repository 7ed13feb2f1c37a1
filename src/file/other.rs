//! What stands in, where files are not those of Unix, for what only Unix can do.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io,
};

pub(super) use super::rename_in_two_steps as rename_new;
use super::{Access, FileId, Links, born};

pub(super) fn id_of(meta: &Metadata) -> FileId {
    FileId { born: born(meta), ..FileId::default() }
}

/// What is said of a file that is not the one that was opened.
pub(super) fn closed() -> io::Error {
    io::Error::other("the file was closed")
}

/// Files have no numbers that are used again soon: what is open is closed.
pub(super) fn is_closed(_error: &io::Error) -> bool {
    false
}

/// Whose a file is, is left to the system.
pub(super) fn take_after(_file: &File, _other: &Metadata, _mode: Option<u32>) -> io::Result<()> {
    Ok(())
}

/// Without flock(2) there is no lock: nobody is refused.
pub(super) fn lock_file(_file: &File) -> io::Result<bool> {
    Ok(true)
}

#[cfg(feature = "watch")]
pub(super) fn unlock_file(_file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(feature = "watch")]
pub(super) fn wait_for_writers(_file: &File) {}

/// Nobody can tell.
pub(super) fn holders(_file: &File) -> Option<Vec<u32>> {
    None
}

/// Nobody can tell.
pub(super) fn links_of(_meta: &Metadata) -> u64 {
    1
}

/// Nobody can tell.
#[cfg(feature = "watch")]
pub(super) fn last_name_of(_file: &File) -> Option<(std::path::PathBuf, bool)> {
    None
}

#[cfg(feature = "watch")]
pub(super) fn is_char_device(_meta: &Metadata) -> bool {
    false
}

/// Everything is the user's own.
pub(crate) fn effective_user() -> u32 {
    Access::default().owner
}

pub(super) fn is_root() -> bool {
    false
}

pub(super) fn access_of(_meta: &Metadata) -> Access {
    Access::default()
}

pub(super) fn is_refused_link(_error: &io::Error) -> bool {
    false
}

pub(crate) fn is_without_locks(_error: &io::Error) -> bool {
    false
}

pub(super) fn directory_builder(_mode: u32) -> DirBuilder {
    DirBuilder::new()
}

#[cfg(feature = "watch")]
pub(super) fn wait_in_writes(_file: &File) -> io::Result<()> {
    Ok(())
}

pub(super) fn restrict(_options: &mut OpenOptions, _mode: Option<u32>, _links: Links) {}

pub(super) fn set_mode(_file: &File, _mode: u32) -> io::Result<()> {
    Ok(())
}

//! Which file systems a ring may be on. A log call stores into the mapped ring, and nothing may keep that store from coming back.
//!
//! | file system | what a store into a mapped file does |
//! |---|---|
//! | tmpfs, ext2 to ext4, XFS | has its block already: `fallocate` got it, and the block is written in place |
//! | btrfs, ZFS, bcachefs, nilfs2, f2fs, UBIFS | may need a new block. On a full disk it waits until space is freed, in a call that no signal ends; or the kernel sends SIGBUS |
//! | network file systems, FUSE | may wait for another machine, or for the program behind the mount |
//! | overlayfs | what the file system of its upper directory does |
//!
//! Linux tells the kind of a file system by a number (statfs(2)). Of an overlay it tells only that it is one, so the ring's own
//! file is asked: the overlay passes its flags (ioctl_iflags(2)) on, and only btrfs keeps `FS_NOCOW_FL`. An upper directory
//! on another one of those is not found out. `chattr +C` helps nowhere: btrfs needs room for its own records all the same.

use std::path::Path;

use crate::Error;

/// Where a ring must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unfit {
    name: &'static str,
    why: &'static str,
}

const NEW_PLACE: &str = "which writes each block to a new place: on a full disk a log call would hang until space is freed, or \
                         SIGBUS would end the process";
const NETWORK: &str = "a network file system: a log call would wait for another machine";
const FUSE: &str = "where another program serves the files: a log call would wait for it";

/// Refuses a directory on a file system where a log call could hang, whether it is there already or not.
///
/// What can't be told is left to the calls that follow.
///
/// # Errors
///
/// It is on such a file system. The error names that, and says what to do.
pub(in crate::writer) fn check(directory: &Path) -> Result<(), Error> {
    match kind_of(directory).and_then(unfit) {
        Some(unfit) => Err(refusal(directory, unfit)),
        None => Ok(()),
    }
}

/// Returns what is said of a directory whose files are on btrfs after all, behind an overlay.
pub(super) fn is_on_btrfs(directory: &Path) -> Error {
    refusal(directory, Unfit { name: "btrfs behind an overlay", why: NEW_PLACE })
}

fn refusal(directory: &Path, unfit: Unfit) -> Error {
    let Unfit { name, why } = unfit;
    Error::invalid(format!(
        "could not connect to the queue in {directory:?}: it is on {name}, {why}. Give the queue a directory on a tmpfs \
         (below /run), ext4 or XFS, or insist with any_file_system(true)"
    ))
}

/// Returns the number that tells the kind of the file system that a directory is on, or would be if it were made.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn kind_of(directory: &Path) -> Option<u32> {
    let directory = std::path::absolute(directory).ok()?;
    let found = directory.ancestors().find_map(|part| rustix::fs::statfs(part).ok())?;
    Some(found.f_type as u32) // a word of 32 or 64 bits, with a sign or without: the number has 32
}

/// Not known elsewhere.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn kind_of(_directory: &Path) -> Option<u32> {
    None
}

/// The numbers of statfs(2) and of the kernel's `magic.h`, or of those who keep the file system outside of the kernel.
fn unfit(kind: u32) -> Option<Unfit> {
    let (name, why) = match kind {
        0x9123_683e => ("btrfs", NEW_PLACE),
        0x2fc1_2fc1 => ("ZFS", NEW_PLACE),
        0xca45_1a4e => ("bcachefs", NEW_PLACE),
        0x0000_3434 => ("nilfs2", NEW_PLACE),
        0xf2f5_2010 => ("f2fs", NEW_PLACE),
        0x2405_1905 => ("UBIFS", NEW_PLACE),
        0x6573_5546 => ("FUSE", FUSE),
        0x0000_6969 => ("NFS", NETWORK),
        0x0000_517b | 0xff53_4d42 | 0xfe53_4d42 => ("SMB (CIFS)", NETWORK),
        0x0102_1997 => ("9p", NETWORK),
        0x00c3_6400 => ("Ceph", NETWORK),
        0x5346_414f | 0x6b41_4653 => ("AFS", NETWORK),
        0x7375_7245 => ("Coda", NETWORK),
        0x0bd0_0bd0 => ("Lustre", NETWORK),
        0x4750_4653 => ("GPFS", NETWORK),
        0x1983_0326 => ("BeeGFS", NETWORK),
        0x2003_0528 => ("OrangeFS", NETWORK),
        0x0116_1970 => ("GFS2", NETWORK),
        0x7461_636f => ("OCFS2", NETWORK),
        0x786f_4256 => ("vboxsf", NETWORK),
        _ => return None,
    };
    Some(Unfit { name, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_write_in_place_are_fit_and_others_are_named() {
        let [tmpfs, ramfs, ext4, xfs, overlay] = [0x0102_1994, 0x8584_58f6, 0xef53, 0x5846_5342, 0x794c_7630];
        assert_eq!([tmpfs, ramfs, ext4, xfs, overlay].map(unfit), [None; 5]);
        for (kind, name) in
            [(0x2fc1_2fc1, "ZFS"), (0xca45_1a4e, "bcachefs"), (0x6969, "NFS"), (0x6573_5546, "FUSE")]
        {
            let found = unfit(kind).expect("it is refused");
            assert_eq!(found.name, name);
            let said = refusal(Path::new("/q"), found).to_string();
            for part in ["\"/q\"", name, "would", "tmpfs", "any_file_system(true)"] {
                assert!(said.contains(part), "{part} is not in: {said}");
            }
        }
    }

    /// Whatever the machine's are: what is said of a directory is said of one below it that isn't there.
    #[test]
    fn a_directory_that_is_not_there_is_where_its_parent_is() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(kind_of(&dir.path().join("run/app/q")), kind_of(dir.path()));
        assert!(check(Path::new("")).is_ok(), "that it is empty is said by others");
    }
}

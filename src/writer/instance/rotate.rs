//! The rotation of a log by its own process.
//!
//! # The order of the steps, and why it loses nothing
//!
//! Every file that is touched is on the log's list of its own files (see `family.rs`). Numbers at which something
//! else lies, be it a directory or somebody's file, are left out; the others are the log's slots, the newest first.
//!
//! 0. The lock is seen to be there still, or made again, and what the list lacks is written: nothing that is not on it is renamed.
//! 1. A fragment at the end of the live file is closed, so that every line of a backup is whole or marked.
//! 2. Of a backup that lies there twice, because its compression was stopped at the last step, the compressed half is
//!    removed: parted, the two would look like two backups.
//! 3. Backups are renamed from the first free slot down: the third to the fourth, the second to the third, and so on.
//!    Stopped anywhere, this leaves a gap, and the next rotation begins at the gap. If all slots are taken, the oldest backup
//!    goes to one slot more. What is there already, of a rotation that was stopped before its last step, is removed first.
//! 4. The live file is renamed to the first slot, which is free by now. It stays open, so lines still have a place. If
//!    the path leads to another file, because somebody has moved or removed ours, there is nothing to rename.
//! 5. A new live file is opened and put on the list. Until that succeeds lines go to the old one.
//! 6. The backup in the slot beyond the last is removed: the only step that takes lines away. It comes last, because a file
//!    system may give the inode of a removed file to the next one, and log shippers would take the new live file for it. (On a
//!    full disk it comes before step 5, which may need the room.) A process that is killed before it leaves one backup more
//!    than there may be, which the next start removes.
//!
//! No rename replaces anything: on Linux the kernel refuses a name that is taken, also one that was free a moment ago. A step that
//! fails ends the rotation: the line is written to the file that is open, the size limit is exceeded, and a second
//! later the next line tries again, from the step that failed. A process that is killed between two steps leaves what
//! these steps leave, and the next process goes on from there: the list has told it which files are its own.

use std::{
    io::{self, ErrorKind},
    mem,
    path::{Path, PathBuf},
};

use super::shared::{GAPS, Shared, State, Troubles};
use crate::{
    Error,
    error::Trouble,
    file::{FileId, Found, Opened, trust},
};

/// The suffix of a compressed backup.
pub(super) const GZ: &str = ".gz";

impl Shared {
    /// Does the steps of a rotation, from the one that failed the last time.
    pub(super) fn try_rotate(&self, state: &mut State, troubles: &mut Troubles) -> io::Result<Opened> {
        self.check(None)?;
        if !state.is_renamed {
            state.family.hold_on(&*self.files, &self.path, state.size_limit)?;
            state.family.write(state.size_limit)?;
            let live = self.files.find(&self.path)?;
            if live.is_some_and(|found| found.is_file && found.id == state.id) {
                let first = self.make_room(state)?;
                self.files.rename(&self.path, &first)?;
            }
            state.is_renamed = true;
        }
        let opened = match self.open_live(state, troubles) {
            Err(error) if error.kind() == ErrorKind::StorageFull && !state.oldest.is_empty() => {
                state.tail.stats.errors += 1;
                self.remove_oldest(state);
                self.open_live(state, troubles)?
            }
            opened => opened?,
        };
        self.add_to_list(state, &opened);
        self.remove_oldest(state);
        Ok(opened)
    }

    /// Removes the backup for which there is no slot. If it can't be removed, the next rotation begins with it, and tells if
    /// that fails again.
    fn remove_oldest(&self, state: &mut State) {
        for path in mem::take(&mut state.oldest) {
            let found = self.files.find(&path);
            let is_own = found.map(|found| found.is_some_and(|found| is_own(state, &found)));
            if is_own.and_then(|is_own| if is_own { self.files.remove(&path) } else { Ok(()) }).is_err() {
                state.tail.stats.errors += 1;
            }
        }
    }

    /// Removes the oldest backups, as many as there are more than there may be: an earlier life was to keep more of them, or
    /// was killed in a rotation.
    pub(super) fn remove_surplus(&self, state: &State) -> io::Result<()> {
        let slots = self.slots(state, usize::MAX, GAPS)?;
        let surplus = slots.iter().filter(|slot| !slot.backups.is_empty()).skip(self.backups);
        surplus.flat_map(|slot| &slot.backups).try_for_each(|path| self.files.remove(path))
    }

    /// Puts a live file on the list of what is the log's own.
    pub(super) fn add_to_list(&self, state: &mut State, opened: &Opened) {
        state.family.add(opened.id);
        if state.family.write(state.size_limit).is_err() {
            state.tail.stats.errors += 1; // the next rotation begins with it, and tells if it fails again
        }
    }

    /// Opens the live file. It is the one that the path leads to.
    pub(super) fn open_live(&self, state: &mut State, troubles: &mut Troubles) -> io::Result<Opened> {
        let opened = self.make_live(state, troubles)?;
        self.check(Some(opened.id))?;
        Ok(opened)
    }

    /// Returns an error if this is a root process, and other users may have changed the way to the log.
    pub(super) fn check(&self, open: Option<FileId>) -> io::Result<()> {
        if self.terms.trusts { Ok(()) } else { trust::check(&self.path, open) }
    }

    /// Opens the live file, in a directory that is made again if it is gone. One that is made belongs to the owner of the file
    /// before it, and has its mode unless the builder has set another, as far as this process may give it away.
    fn make_live(&self, state: &mut State, troubles: &mut Troubles) -> io::Result<Opened> {
        let before = state.file.metadata().inspect_err(|_| state.tail.stats.errors += 1).ok();
        // Nobody else's until it has the owner and the mode that it is to have.
        let mode = if before.is_some() { Some(0o600) } else { self.mode };
        let mut made = self.files.create_new(&self.path, mode);
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.path.parent().map_or(Ok(()), |parent| self.files.create_dir_all(parent))?;
            made = self.files.create_new(&self.path, mode);
        }
        match made {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.files.open(&self.path, self.mode),
            Ok(mut opened) => {
                let taken = before.map(|before| opened.file.take_after(&before, self.mode));
                opened.mode_error.take_if(|_| taken.is_some()); // that was the mode until now
                if let Some(Err(cause)) = taken {
                    state.tail.stats.errors += 1;
                    troubles.push((
                        Trouble::Rotation,
                        Error::io("keep the owner and the mode of", &self.path, cause),
                    ));
                }
                Ok(opened)
            }
            failed => failed,
        }
    }

    /// Frees the first slot. Returns its path.
    fn make_room(&self, state: &mut State) -> io::Result<PathBuf> {
        let mut slots = self.slots(state, self.backups.saturating_add(1), 1)?;
        for slot in &mut slots {
            slot.backups.iter().skip(1).try_for_each(|compressed| self.files.remove(compressed))?;
            slot.backups.truncate(1);
        }
        let first_free = match slots.iter().position(|slot| slot.backups.is_empty()) {
            Some(free) => free,
            None => {
                slots[self.backups].backups.iter().try_for_each(|path| self.files.remove(path))?;
                self.backups
            }
        };
        for to in (1..=first_free).rev() {
            for path in &slots[to - 1].backups {
                let renumbered = self.renumbered(path, slots[to].number);
                self.files.rename(path, &renumbered)?;
                if to == self.backups {
                    state.oldest.push(renumbered);
                }
            }
        }
        Ok(backup(&self.path, slots[0].number))
    }

    /// Returns the log's slots, `most` of them: the numbers at which no file of somebody else is. No further than to so many
    /// that are free: each costs two system calls.
    pub(super) fn slots(&self, state: &State, most: usize, mut free: usize) -> io::Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for number in 1.. {
            if slots.len() == most || free == 0 {
                break;
            }
            if let Some(slot) = self.slot(state, number)? {
                free -= usize::from(slot.backups.is_empty());
                slots.push(slot);
            }
        }
        Ok(slots)
    }

    /// Returns the slot at a number, unless somebody else's file is there.
    fn slot(&self, state: &State, number: usize) -> io::Result<Option<Slot>> {
        let plain = backup(&self.path, number);
        let mut compressed = plain.clone().into_os_string();
        compressed.push(GZ);
        let mut slot = Slot { number, backups: Vec::new() };
        for path in [plain, compressed.into()] {
            match self.files.find(&path)? {
                None => {}
                Some(found) if is_own(state, &found) => slot.backups.push(path),
                Some(_) => return Ok(None),
            }
        }
        Ok(Some(slot))
    }

    /// Returns the name that a backup has at another number: plain or compressed, as it is.
    fn renumbered(&self, path: &Path, number: usize) -> PathBuf {
        let mut name = backup(&self.path, number).into_os_string();
        if path.as_os_str().as_encoded_bytes().ends_with(GZ.as_bytes()) {
            name.push(GZ);
        }
        name.into()
    }
}

/// A number that the log may use, and its own backups there: one, or for a moment one plain and one compressed.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: usize,
    pub(super) backups: Vec<PathBuf>,
}

fn is_own(state: &State, found: &Found) -> bool {
    found.is_file && state.family.owns(found.id)
}

/// Returns the name of backup `number` of a log file: `tasks.log.1` is the newest.
fn backup(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_named_behind_the_whole_file_name() {
        assert_eq!(backup(Path::new("logs/tasks.log"), 2), Path::new("logs/tasks.log.2"));
    }
}

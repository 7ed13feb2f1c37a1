//! Whether the open file is still the one at the path: a look once a second, before a line.
//!
//! Somebody may have moved or removed the live file, and other code of this process may have closed its descriptor. Either
//! way the file at the path is opened, and made if there is none.

use std::io::{self, ErrorKind};

use super::shared::{Shared, State, Troubles};
use crate::{Error, error::Trouble, file, writer::tail::REMOVED};

impl Shared {
    /// Looks at the path, unless that was done in this second. The clock costs no system call.
    #[inline]
    pub(super) fn look_if_due(&self, state: &mut State, troubles: &mut Troubles) {
        let second = self.clock.coarse_second();
        if second != state.looked_at {
            state.looked_at = second;
            self.look(state, troubles);
        }
    }

    #[cold]
    fn look(&self, state: &mut State, troubles: &mut Troubles) {
        let checked = state.file.check();
        let is_lost = match &checked {
            Ok(links) => *links == 0,
            Err(error) => file::is_replaced(error),
        };
        let risky = state.tail.stats.written_lines.saturating_sub(state.safe_lines);
        state.safe_lines = state.tail.stats.written_lines;
        let how = if checked.is_ok() { REMOVED } else { "closed by other code" };
        if is_lost && let Some(cause) = state.tail.put_at_risk(risky, how) {
            troubles.push((Trouble::Risk, Error::io("keep every line in", &self.path, cause)));
        }
        state.is_suspect |= counted(state, checked).is_err();
        let there = counted(state, self.files.find(&self.path));
        let is_elsewhere = match there {
            Ok(Some(found)) => found.is_file && found.id != state.id,
            Ok(None) => !state.is_renamed, // else the rotation is to go on
            Err(_) => false,               // where the path leads can't be told: what is open is as good
        };
        if state.is_suspect || is_elsewhere {
            self.reopen(state, troubles);
        }
    }

    /// Opens the file at the path. Returns whether it is open.
    fn reopen(&self, state: &mut State, troubles: &mut Troubles) -> bool {
        if state.is_suspect && state.family.has_lock_file() {
            // The lock may be gone in the same way. Without it the lines have a file all the same.
            let held = state.family.hold_on(&*self.files, &self.path, state.size_limit);
            if let Err(cause) = counted(state, held) {
                troubles.push((Trouble::Rotation, Error::io("keep the lock of", &self.path, cause)));
            }
        }
        let opened = self.open_live(state, troubles);
        match counted(state, opened) {
            Ok(opened) => {
                self.add_to_list(state, &opened);
                self.go_on_with(state, opened, troubles);
                if state.family.locks_log() {
                    let locked = state.file.try_lock();
                    let _ = counted(state, locked); // the file before was locked itself
                }
                true
            }
            Err(cause) => {
                state.is_suspect = true;
                troubles.push((Trouble::Rotation, Error::io("open again", &self.path, cause)));
                false
            }
        }
    }

    /// Appends whole lines. If the descriptor turns out to be none of ours any more, they go to the file at the path.
    pub(super) fn append(&self, state: &mut State, lines: &[u8], troubles: &mut Troubles) -> io::Result<()> {
        let (taken, result) = state.append(lines);
        let Err(error) = &result else { return Ok(()) };
        if !file::is_stale(error) {
            state.is_suspect |= !is_for_want_of_room(error);
        } else if !std::mem::replace(&mut state.is_suspect, true) {
            let _ = state.file.check(); // its number is free for the file that is opened now
            if self.reopen(state, troubles) && taken == 0 {
                return state.append_again(lines);
            }
        }
        result
    }
}

/// Counts a call that failed.
fn counted<T>(state: &mut State, result: io::Result<T>) -> io::Result<T> {
    result.inspect_err(|_| state.tail.stats.errors += 1)
}

/// Returns whether another descriptor of the file would be of no use.
fn is_for_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

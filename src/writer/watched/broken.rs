//! A descriptor that goes bad while the path is fine.
//!
//! A server that takes over from another one knows no file handle of before (ESTALE). A library that daemonizes closes "all"
//! descriptors (EBADF), and the number may be somebody else's file then. A write or an fstat(2) finds it: what is open is
//! compared with what was opened wherever its length is asked for, at every look. From then on lines wait, and nothing is
//! written to that number; the look that comes at once opens what the path leads to.

use std::io;

use super::{
    ending::{ACTIVE, SOON},
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{Error, error::Trouble};

impl Shared {
    /// Writes lines. If the descriptor turns out to be bad, a look opens the file again, and they are written then.
    pub(super) fn write(&self, state: &mut State, lines: &[u8], aftermath: &mut Aftermath) -> io::Result<()> {
        let was_broken = state.broken().is_some();
        state.write_lines(lines)?;
        if state.broken().is_some() && !was_broken {
            self.look(state, aftermath);
        }
        Ok(())
    }

    /// Opens the file again that the path leads to and that is open already: its descriptor went bad, for this `cause` if it was
    /// found just now, or the caller of `reopen` wants it. Returns when to look again.
    pub(super) fn open_again(
        &self,
        state: &mut State,
        cause: Option<io::Error>,
        aftermath: &mut Aftermath,
    ) -> io::Result<std::time::Duration> {
        // Before the same number can be had again.
        let is_bad = state.file.check().is_err();
        if let Some(cause) = &cause {
            state.tail.stats.errors += 1;
            if !is_bad && state.broken().is_none() {
                return Ok(SOON); // it was so for a moment
            }
            state.break_off(cause);
        }
        let opened = match self.open_there() {
            Ok(opened) if opened.id == state.id => opened,
            Ok(_) => return Ok(SOON), // the path leads elsewhere by now
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SOON),
            Err(error) => return Err(error),
        };
        let broken = state.broken().map(str::to_owned);
        let old = state.begin_again(opened, self.clock.now());
        if let Some(why) = broken {
            state.tail.stats.reopens += 1;
            let cause = io::Error::other(format!("{why}; it was opened again"));
            let error = Error::io("go on with the descriptor of", &self.path, cause);
            aftermath.troubles.push((Trouble::Follow, error));
            let fate = old.last.fate_in(&mut *state.file);
            self.bring_back(state, fate, "closed by other code", aftermath);
        }
        aftermath.left.push(old.file);
        self.has_its_place(state, aftermath);
        Ok(ACTIVE)
    }
}

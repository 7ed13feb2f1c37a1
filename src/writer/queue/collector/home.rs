//! The directory of a collector. An operator or a cleaner may remove it, and a worker makes it anew then: the collector moves in
//! again, if no other one was faster. The same holds for the collector's lock and for the pipe that wakes it.

use std::{fs::File, io::ErrorKind};

use super::{
    Running,
    lock::{self, Lock},
    rings::Troubles,
};
use crate::{
    Error,
    error::Trouble,
    writer::ring::directory::{Directory, FileKey},
};

/// The directory of a collector.
#[derive(Debug)]
pub(super) struct Home {
    directory: Directory,
    lock: Lock,
    /// What wakes it, if what it began with has lost its name; and what has the name.
    pipe: Option<File>,
    named_pipe: Option<FileKey>,
    /// That something isn't as it should be was told.
    is_told: bool,
}

/// Who may write what is in the rings of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// This collector.
    Ours,
    /// This collector, but for a while another one may have.
    OursAgain,
    /// Another collector.
    Others,
    /// It isn't there. The rings that this collector has open are its own all the same.
    Gone,
    /// The same, but another directory is in its place, which can't be had.
    Replaced,
}

impl Home {
    pub(super) fn new(directory: Directory, lock: Lock, pipe: &File) -> Self {
        let named_pipe = pipe.metadata().ok().map(|meta| FileKey::of(&meta));
        Home { directory, lock, pipe: None, named_pipe, is_told: false }
    }

    pub(super) fn pipe(&self) -> Option<&File> {
        self.pipe.as_ref()
    }

    /// Returns whether no other collector can have begun.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.has_name(&self.directory)
    }

    /// Looks whose the directory is, and moves in again where that is possible.
    pub(super) fn look(&mut self, troubles: &mut Troubles) -> Whose {
        let path = self.directory.path();
        let (whose, result) = match self.lock.is_for(&self.directory) {
            Ok(true) if self.is_locked() && self.lock.is_open() => (Whose::Ours, self.find_pipe()),
            Ok(true) => match self.lock.take_again(&self.directory) {
                Ok(()) => (Whose::OursAgain, self.find_pipe()),
                Err(error) => (Whose::Others, Err(error)),
            },
            Ok(false) => match self.move_in() {
                Ok(()) => (Whose::Ours, self.find_pipe()),
                Err(error) => (Whose::Replaced, Err(error)),
            },
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                let what = format!("the directory of the queue {path:?} was removed: workers make it anew");
                (Whose::Gone, Err(Error::invalid(what)))
            }
            Err(cause) => {
                (Whose::Replaced, Err(Error::io("look at the directory of the queue", path, cause)))
            }
        };
        let was_told = std::mem::replace(&mut self.is_told, result.is_err());
        if let Err(error) = result
            && !was_told
        {
            troubles.push((Trouble::Rings, error));
        }
        whose
    }

    fn move_in(&mut self) -> Result<(), Error> {
        let directory = Directory::open(self.directory.path())?;
        self.lock = lock::lock(&directory, Running::Refuse)?;
        Ok(())
    }

    /// Opens the pipe that has the name, if that isn't open.
    fn find_pipe(&mut self) -> Result<(), Error> {
        if self.named_pipe.is_some_and(|pipe| self.directory.has_pipe(pipe)) {
            return Ok(());
        }
        let pipe = self.directory.open_pipe()?;
        self.named_pipe = pipe.metadata().ok().map(|meta| FileKey::of(&meta));
        self.pipe = Some(pipe);
        Ok(())
    }
}

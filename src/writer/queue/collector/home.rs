//! The directory of a collector. Somebody may remove it, and a worker makes it anew then: the collector moves in again, if no other
//! one was faster.

use std::fs::File;

use super::{
    Running,
    registry::{self, Lock},
    rings::Troubles,
};
use crate::{Error, error::Trouble, writer::ring::directory::Directory};

/// The directory of a collector.
#[derive(Debug)]
pub(super) struct Home {
    directory: Directory,
    lock: Lock,
    /// What wakes it, if the directory isn't the one in which it began.
    pipe: Option<File>,
    /// That it isn't there was told.
    is_lost: bool,
}

impl Home {
    pub(super) fn new(directory: Directory, lock: Lock) -> Self {
        Home { directory, lock, pipe: None, is_lost: false }
    }

    pub(super) fn pipe(&self) -> Option<&File> {
        self.pipe.as_ref()
    }

    /// Returns whether the directory is there, and this collector's.
    pub(super) fn is_there(&mut self, troubles: &mut Troubles) -> bool {
        let result = match self.lock.is_for(&self.directory) {
            Some(true) => Ok(()),
            Some(false) => self.move_in(),
            None => {
                let path = self.directory.path();
                Err(Error::invalid(format!(
                    "the directory of the queue {path:?} was removed: workers make it anew"
                )))
            }
        };
        let was_lost = std::mem::replace(&mut self.is_lost, result.is_err());
        match result {
            Ok(()) => true,
            Err(error) => {
                if !was_lost {
                    troubles.push((Trouble::Rings, error));
                }
                false
            }
        }
    }

    fn move_in(&mut self) -> Result<(), Error> {
        let directory = Directory::open(self.directory.path())?;
        let pipe = directory.open_pipe()?;
        self.lock = registry::lock(&directory, Running::Refuse)?;
        self.pipe = Some(pipe);
        Ok(())
    }
}

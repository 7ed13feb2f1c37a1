//! Where a worker's ring is: whether a collector can still find it, under its own name or under another one.

use std::{
    fs::{self, Metadata},
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, atomic::Ordering},
};

use super::{Producer, directory, layout};
use crate::writer::ring::directory::{Directory, FileKey};

/// Who has the file of a ring open in this process, but for a collector: the producer, and the list of own rings.
const HOLDERS: usize = 2;

impl Producer {
    /// Returns whether the file was removed, or moved out of the directory, and no collector has it open: none will ever find it.
    pub(in crate::writer) fn is_lost(&self, directory: &Directory) -> bool {
        let is_its = |meta: Metadata| FileKey::of(&meta) == self.key;
        if fs::symlink_metadata(&self.path).is_ok_and(is_its) || Arc::strong_count(&self.file) > HOLDERS {
            return false;
        }
        let is_removed = self.file.metadata().is_ok_and(|meta| meta.nlink() == 0);
        (is_removed || !self.has_another_name(directory)) && directory::nobody_reads(&self.file)
    }

    /// Looks whether the file was given another name that a collector finds. That isn't kept: it would take a lock, which a signal
    /// handler that logs could find taken.
    #[cold]
    fn has_another_name(&self, directory: &Directory) -> bool {
        match directory.list() {
            Ok(listed) => listed.rings.iter().any(|ring| ring.key == self.key),
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }

    /// Says that nothing is left in the file, and nothing will come: what was in it is in another ring. (It may be put back.)
    pub(in crate::writer) fn leave(&self) {
        for (end, of) in [(layout::MAIN_END, layout::OF_MAIN), (layout::ASIDE_END, layout::OF_ASIDE)] {
            let end = self.numbers.at(end).load(Ordering::Relaxed);
            for copy in [layout::TAKEN, layout::TAKEN_AGAIN] {
                self.numbers.at(copy + of).store(end, Ordering::Release);
            }
        }
        self.numbers.at(layout::CLOSED).store(1, Ordering::Release);
    }
}

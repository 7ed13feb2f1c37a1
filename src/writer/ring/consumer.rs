//! The collector's end of a ring. It reads the file and maps nothing: a file that somebody cuts short is an error, not the end of
//! the process. Whatever is in it, it is a file of bounded size with a text.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;

use super::{
    super::lines,
    directory::{self, FileKey},
    layout::{self, ENTRY, LONGEST_LINE, Passport, Progress, Taken},
    own,
};
use crate::sys::not_inherited::NotInherited;
use crate::writer::queue::lanes::protocol;

/// What can't be used, and why: a text that goes on from "the ring …".
#[derive(Debug)]
pub(in crate::writer) enum Flaw {
    /// The file can't be opened or read, now.
    Io(io::Error),
    /// What is in it makes no sense.
    Nonsense(String),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Flaw::Nonsense("was cut short".to_owned()),
            _ => Flaw::Io(error),
        }
    }
}

/// An open ring.
#[derive(Debug)]
pub(in crate::writer) struct Consumer {
    path: PathBuf,
    key: FileKey,
    /// In a child it would go on to say that a collector reads.
    not_inherited: Option<NotInherited>,
    file: Arc<File>,
    /// The worker is in this process.
    is_own: bool,
    passport: Passport,
    /// What the worker has said last.
    progress: Progress,
    taken: Taken,
}

impl Consumer {
    /// Opens a ring, and goes on where it was left.
    ///
    /// # Errors
    ///
    /// It can't be opened, or isn't one that this crate can read.
    pub(in crate::writer) fn open(path: &Path) -> Result<Self, Flaw> {
        let mut ring = Self::peek(path)?;
        if !ring.is_own {
            ring.not_inherited = Some(NotInherited::new(&ring.file)?);
            directory::note_reader(&ring.file)?;
        }
        // The one before may have been killed in the middle of saying it, or after it was woken.
        ring.take(ring.taken)?;
        ring.write_state(protocol::LINGERS)?;
        Ok(ring)
    }

    /// Opens a ring to look at it: nothing is said to its worker, and nothing taken.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub(in crate::writer) fn peek(path: &Path) -> Result<Self, Flaw> {
        let meta = fs::symlink_metadata(path)?;
        if !meta.is_file() {
            let what =
                if meta.is_symlink() { "is a symbolic link" } else { "can't be used: it is no regular file" };
            return Err(Flaw::Nonsense(what.to_owned()));
        }
        let key = FileKey::of(&meta);
        let own = own::find(key);
        let is_own = own.is_some();
        let file = match own {
            Some(file) => file,
            None => Arc::new(directory::open_ring(path).map_err(refused)?.1),
        };
        let mut bytes = [0; layout::PASSPORT];
        file.read_exact_at(&mut bytes, 0)?;
        let passport = Passport::decode(&bytes, file.metadata()?.len()).map_err(Flaw::Nonsense)?;
        let mut copies = [0; 2 * (layout::TAKEN_AGAIN - layout::TAKEN)];
        file.read_exact_at(&mut copies, layout::TAKEN as u64)?;
        let (first, second) = copies.split_at(layout::TAKEN_AGAIN - layout::TAKEN);
        let (first, second) = (Taken::decode(first), Taken::decode(second));
        // A collector that was killed between the two has said more in the first.
        let is_sound = first.main >= second.main && first.aside >= second.aside;
        let mut ring = Consumer {
            path: path.to_owned(),
            key,
            not_inherited: None,
            file,
            is_own,
            passport,
            progress: Progress::default(),
            taken: if is_sound { first } else { second },
        };
        (ring.progress.main, ring.progress.aside) = (ring.taken.main, ring.taken.aside);
        ring.look()?;
        Ok(ring)
    }

    pub(in crate::writer) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::writer) fn key(&self) -> FileKey {
        self.key
    }

    /// Returns the name of the worker, and its process.
    pub(in crate::writer) fn worker(&self) -> (&str, u32) {
        (&self.passport.name, self.passport.pid)
    }

    pub(in crate::writer) fn progress(&self) -> Progress {
        self.progress
    }

    pub(in crate::writer) fn taken(&self) -> Taken {
        self.taken
    }

    /// Looks how far the worker has come.
    ///
    /// # Errors
    ///
    /// The file can't be read, or what it says can't be.
    pub(in crate::writer) fn look(&mut self) -> Result<(), Flaw> {
        let mut now = self.read_progress()?;
        if now.main != self.progress.main {
            // What was left out before the end, and what was logged aside before it, is known behind it.
            let later = self.read_progress()?;
            now = Progress { main: now.main.min(later.main), ..later };
            self.taken.main = self.taken.main.max(now.void.min(now.main));
        }
        let check = |what: &str, before: u64, taken: u64, end: u64, size: u64| {
            if (before..=layout::FURTHEST).contains(&end) && end - taken <= size {
                return Ok(());
            }
            let flaw = format!(
                "says that its {what} lane ends at {end}: it did at {before}, of which {taken} are taken"
            );
            Err(Flaw::Nonsense(flaw))
        };
        let (before, taken, sizes) = (self.progress, self.taken, &self.passport);
        check("main", before.main.max(taken.main), taken.main, now.main, sizes.main)?;
        check("aside", before.aside.max(taken.aside), taken.aside, now.aside, sizes.aside)?;
        self.progress = now;
        Ok(())
    }

    fn read_progress(&self) -> io::Result<Progress> {
        let mut bytes = [0; Progress::LEN];
        self.file.read_exact_at(&mut bytes, layout::MAIN_END as u64)?;
        protocol::between_reads();
        Ok(Progress::decode(&bytes))
    }

    /// Appends whole lines of the main lane to `batch`, from a place up to another one at most: as many as fit, at least one. Returns
    /// the place behind them.
    ///
    /// # Errors
    ///
    /// The file can't be read, or there are no lines where there should be.
    pub(in crate::writer) fn read_lines(
        &self,
        batch: &mut Vec<u8>,
        from: u64,
        to: u64,
        most: usize,
    ) -> Result<u64, Flaw> {
        let mut most = most as u64;
        loop {
            let begin = batch.len();
            let until = to.min(from + most);
            self.read(batch, from, until)?;
            let lines = lines::whole(&batch[begin..]);
            batch.truncate(begin + lines);
            if lines > 0 || until == from {
                return Ok(from + lines as u64);
            }
            if until == to || most > LONGEST_LINE as u64 {
                return Err(Flaw::Nonsense(format!("has no end of a line behind {from}")));
            }
            most = most.saturating_mul(4); // a long line
        }
    }

    /// Reads the entry of the aside lane at a place, if there is one before `to`: where it belongs, the lines, and the place
    /// behind it.
    ///
    /// # Errors
    ///
    /// As [`read_lines`](Self::read_lines).
    pub(in crate::writer) fn read_entry(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Option<(u64, Vec<u8>, u64)>, Flaw> {
        if from == to {
            return Ok(None);
        }
        let nonsense = || Flaw::Nonsense(format!("has no entry at {from} in its aside lane"));
        let lane = (layout::HEAD as u64 + self.passport.main, self.passport.aside);
        let mut bytes = Vec::new();
        if to - from < ENTRY as u64 {
            return Err(nonsense());
        }
        layout::read_lane(&self.file, &mut bytes, lane, from, from + ENTRY as u64)?;
        let (belongs_at, len) = (layout::number(&bytes, 0), layout::number(&bytes, 8));
        if len > to - from - ENTRY as u64 {
            return Err(nonsense());
        }
        let lines = from + ENTRY as u64;
        bytes.clear();
        layout::read_lane(&self.file, &mut bytes, lane, lines, lines + len)?;
        if bytes.last() != Some(&b'\n') {
            return Err(nonsense());
        }
        Ok(Some((belongs_at, bytes, lines + len)))
    }

    /// Appends what is between two places in the main lane.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub(in crate::writer) fn read(&self, into: &mut Vec<u8>, from: u64, to: u64) -> io::Result<()> {
        layout::read_lane(&self.file, into, (layout::HEAD as u64, self.passport.main), from, to)
    }

    /// Says how far it was taken: the worker may use the room again.
    ///
    /// # Errors
    ///
    /// The file can't be written to.
    pub(in crate::writer) fn take(&mut self, taken: Taken) -> io::Result<()> {
        let bytes = taken.encode();
        for place in [layout::TAKEN, layout::TAKEN_AGAIN] {
            protocol::before_taken();
            self.file.write_all_at(&bytes, place as u64)?;
        }
        self.taken = taken;
        Ok(())
    }

    /// Says what the collector does. Look once more afterwards.
    ///
    /// # Errors
    ///
    /// The file can't be written to.
    pub(in crate::writer) fn write_state(&mut self, state: u64) -> io::Result<()> {
        self.file.write_all_at(&state.to_ne_bytes(), layout::COLLECTOR as u64)?;
        protocol::between_reads();
        Ok(())
    }

    /// Returns whether nobody will ever write to the ring again: what [`look`](Self::look) finds afterwards is the last.
    ///
    /// # Errors
    ///
    /// The kernel can't say.
    pub(in crate::writer) fn is_abandoned(&self) -> io::Result<bool> {
        if self.progress.is_closed {
            return Ok(true);
        }
        if self.is_own {
            return Ok(own::find(self.key).is_none());
        }
        directory::lock(&self.file)
    }

    /// Removes the names that the file has.
    ///
    /// # Errors
    ///
    /// One of them can't be removed.
    pub(in crate::writer) fn remove(&self, names: &[PathBuf]) -> io::Result<()> {
        for name in names {
            match directory::remove_name(name, self.key) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // A worker that lives all the same, and has lost its lock, looks after its ring with its next line.
        let _ = self.file.write_all_at(&protocol::SLEEPS.to_ne_bytes(), layout::COLLECTOR as u64);
        Ok(())
    }

    /// Returns whether the file has no name any more: no other collector can find it.
    pub(in crate::writer) fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|meta| meta.nlink() == 0)
    }
}

/// What is no ring at all is no passing trouble.
fn refused(error: io::Error) -> Flaw {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return Flaw::Nonsense("is a symbolic link".to_owned());
    }
    match error.kind() {
        ErrorKind::InvalidInput => Flaw::Nonsense(format!("can't be used: {error}")),
        _ => Flaw::Io(error),
    }
}

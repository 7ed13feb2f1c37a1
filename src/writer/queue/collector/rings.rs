//! The rings that a collector reads: found in the directory, and removed when their worker is gone.

use std::{
    collections::HashSet,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use rustix::io::Errno;

use crate::{
    Error,
    error::Trouble,
    sys,
    writer::{
        queue::Drops,
        ring::{
            consumer::{Consumer, Flaw},
            directory::{self, Directory, FileKey},
            layout::Taken,
        },
    },
};

/// What goes wrong with rings, to be told.
pub(super) type Troubles = Vec<(Trouble, Error)>;

/// How many files are left to others at most, of those that the process may have open.
const FOR_OTHERS: usize = 256;

/// As many dropped lines are believed at most: nobody has ever had so many, and sums of them don't overflow.
const MOST_LINES: u64 = 1 << 60;

/// A ring, and what is known of its worker.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) consumer: Consumer,
    /// Where lines were dropped, at the latest, which the log wasn't told of yet; and when it was told last.
    pub(super) gap: Option<u64>,
    pub(super) told: Option<Instant>,
    /// Nobody will write to it any more.
    pub(super) is_abandoned: bool,
    /// There was something in it since the last scan.
    pub(super) is_busy: bool,
}

impl Ring {
    fn new(consumer: Consumer) -> Self {
        Ring { consumer, gap: None, told: None, is_abandoned: false, is_busy: true }
    }

    /// Returns whether there is something to read.
    pub(super) fn has_lines(&self) -> bool {
        let (progress, taken) = (self.consumer.progress(), self.consumer.taken());
        progress.main > taken.main || progress.aside > taken.aside
    }

    /// Returns the lines that were dropped and that the log wasn't told of.
    pub(super) fn untold(&self) -> Drops {
        let (dropped, told) = (self.consumer.progress().dropped, self.consumer.taken().told);
        let [queue_full, queue_stalled, nested] =
            [0, 1, 2].map(|i: usize| dropped[i].saturating_sub(told[i]).min(MOST_LINES));
        Drops { queue_full, queue_stalled, nested, sink_failed: 0 }
    }
}

/// The rings of a directory.
#[derive(Debug)]
pub(super) struct Rings {
    directory: Directory,
    pub(super) open: Vec<Ring>,
    /// Files that are no rings, or broken ones. Each is told of once.
    refused: HashSet<Seen>,
    /// Files that can't be opened. They are tried again and again, and told of once.
    failing: HashSet<Seen>,
    /// Rings that can't be open now, because too many others are; and the ring that was opened last.
    waiting: HashSet<PathBuf>,
    last_opened: PathBuf,
}

impl Rings {
    pub(super) fn new(directory: Directory) -> Self {
        Rings {
            directory,
            open: Vec::new(),
            refused: HashSet::new(),
            failing: HashSet::new(),
            waiting: HashSet::new(),
            last_opened: PathBuf::new(),
        }
    }

    /// Looks for rings that are new, and for those whose workers are gone.
    pub(super) fn scan(&mut self, troubles: &mut Troubles) {
        self.remove_abandoned(troubles);
        let (paths, unfinished) = match self.list() {
            Ok(found) => found,
            Err(cause) => {
                let path = self.directory.path();
                return troubles
                    .push((Trouble::Rings, Error::io("list the directory of the queue", path, cause)));
            }
        };
        unfinished.iter().for_each(|path| drop(directory::remove_unfinished(path))); // tried again next time
        self.open_new(&paths, troubles);
        self.open.iter_mut().for_each(|ring| ring.is_busy = false);
    }

    /// Lists the directory, which needs a file descriptor too.
    fn list(&mut self) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        match self.directory.list() {
            Err(cause) if is_too_many(&cause) => {
                self.make_way();
                self.directory.list()
            }
            listed => listed,
        }
    }

    /// Opens rings that aren't open: those that are next after the last that was opened.
    fn open_new(&mut self, paths: &[PathBuf], troubles: &mut Troubles) {
        let known: HashSet<&Path> = self.open.iter().map(|ring| ring.consumer.path()).collect();
        let (before, after) = paths.split_at(paths.partition_point(|path| *path <= self.last_opened));
        let mut new: Vec<&PathBuf> =
            after.iter().chain(before).filter(|path| !known.contains(path.as_path())).collect();
        let mut refused = HashSet::new();
        new.retain(|path| match see(path).filter(|seen| self.refused.contains(seen)) {
            Some(seen) => !refused.insert(seen),
            None => true,
        });
        self.refused = refused;
        self.failing.retain(|seen| paths.binary_search(&seen.path).is_ok());
        self.waiting.clear();
        let most = most_open();
        let mut new = new.into_iter();
        for path in new.by_ref() {
            if self.open.len() >= most || self.open_one(path, troubles).is_none() {
                self.waiting.insert(path.clone());
                self.make_way();
                break;
            }
        }
        self.waiting.extend(new.cloned());
    }

    /// Opens a ring, or finds out that it is none. `None` if there are too many open files.
    fn open_one(&mut self, path: &Path, troubles: &mut Troubles) -> Option<()> {
        match Consumer::open(path) {
            Ok(consumer) => {
                self.last_opened = path.to_owned();
                self.open.push(Ring::new(consumer));
            }
            Err(Flaw::Nonsense(what)) => {
                self.refused.extend(see(path));
                troubles.push(useless(path, &what));
            }
            Err(Flaw::Io(cause)) if is_too_many(&cause) => return None,
            Err(Flaw::Io(cause)) => {
                if see(path).is_some_and(|seen| self.failing.insert(seen)) {
                    troubles.push((Trouble::Rings, Error::io("open the ring", path, cause)));
                }
            }
        }
        Some(())
    }

    /// Returns whether there are more rings than can be open at once.
    pub(super) fn are_too_many(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns the rings that wait until others are closed.
    pub(super) fn waiting(&self) -> &HashSet<PathBuf> {
        &self.waiting
    }

    /// Closes rings in which there was nothing of late, or else those that were opened first: they are opened again in their turn.
    fn make_way(&mut self) {
        let before = self.open.len();
        self.open.retain(|ring| ring.is_busy || ring.has_lines() || ring.gap.is_some());
        if self.open.len() == before {
            self.open.drain(..before.div_ceil(2));
        }
    }

    /// Removes the rings that are drained and that nobody will write to any more.
    pub(super) fn remove_abandoned(&mut self, troubles: &mut Troubles) {
        let mut at = 0;
        while let Some(ring) = self.open.get_mut(at) {
            match ring.is_drained_for_good() {
                Ok(false) => at += 1,
                Ok(true) => {
                    let ring = self.open.swap_remove(at).consumer;
                    if let Err(cause) = ring.remove() {
                        self.refused.extend(see(ring.path())); // empty, and told of
                        troubles.push((Trouble::Rings, Error::io("remove the ring", ring.path(), cause)));
                    }
                }
                Err(flaw) => self.refuse(at, flaw, troubles),
            }
        }
    }

    /// Looks at all rings, for lines. Those that turn out to be broken are not read any more.
    pub(super) fn look(&mut self, troubles: &mut Troubles) {
        self.with_each(troubles, |ring| ring.consumer.look());
    }

    /// Tells all workers what the collector does.
    pub(super) fn write_state(&mut self, state: u64, troubles: &mut Troubles) {
        self.with_each(troubles, |ring| Ok(ring.consumer.write_state(state)?));
    }

    fn with_each(&mut self, troubles: &mut Troubles, mut f: impl FnMut(&mut Ring) -> Result<(), Flaw>) {
        let mut at = 0;
        while let Some(ring) = self.open.get_mut(at) {
            match f(ring) {
                Ok(()) => at += 1,
                Err(flaw) => self.refuse(at, flaw, troubles),
            }
        }
    }

    /// A ring is broken: it is left as it is.
    pub(super) fn refuse(&mut self, at: usize, flaw: Flaw, troubles: &mut Troubles) {
        let ring = self.open.swap_remove(at).consumer;
        match flaw {
            Flaw::Nonsense(what) => {
                self.refused.extend(see(ring.path()));
                troubles.push(useless(ring.path(), &what));
            }
            Flaw::Io(cause) => {
                troubles.push((Trouble::Rings, Error::io("read the ring", ring.path(), cause)))
            }
        }
    }

    /// Says how far a ring was taken, as `taken` has it. Returns how many lines that are since the last time.
    pub(super) fn take(
        &mut self,
        key: FileKey,
        taken: impl FnOnce(&Consumer) -> Result<Taken, Flaw>,
        troubles: &mut Troubles,
    ) -> u64 {
        let Some(at) = self.open.iter().position(|ring| ring.consumer.key() == key) else { return 0 };
        let ring = &mut self.open[at].consumer;
        let before = ring.taken();
        let result = taken(ring).and_then(|taken| match taken == before {
            true => Ok(()),
            false => Ok(ring.take(taken)?),
        });
        let lines = ring.taken().lines.wrapping_sub(before.lines);
        if let Err(flaw) = result {
            self.refuse(at, flaw, troubles);
        }
        lines
    }

    /// Returns whether all rings were taken up to where they ended in `marks`, or are no more.
    pub(super) fn have_reached(&self, marks: &[(FileKey, u64, u64)]) -> bool {
        marks.iter().all(|(key, main, aside)| {
            let ring = self.open.iter().find(|ring| ring.consumer.key() == *key);
            ring.is_none_or(|ring| {
                let taken = ring.consumer.taken();
                taken.main >= *main && taken.aside >= *aside
            })
        })
    }

    /// Returns where all rings end now.
    pub(super) fn marks(&self) -> Vec<(FileKey, u64, u64)> {
        let ends = |ring: &Ring| {
            let progress = ring.consumer.progress();
            (ring.consumer.key(), progress.main, progress.aside)
        };
        self.open.iter().map(ends).collect()
    }
}

impl Ring {
    /// Returns whether there is nothing in it, and never will be.
    fn is_drained_for_good(&mut self) -> Result<bool, Flaw> {
        self.is_abandoned = self.is_abandoned || self.consumer.is_abandoned()?;
        if !self.is_abandoned {
            return Ok(false);
        }
        self.consumer.look()?; // after the worker is gone
        Ok(!self.has_lines() && self.untold() == Drops::default())
    }
}

/// A file as it was seen: another one of the same name, or with the same inode, is another one, and so is one whose rights were
/// set right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    path: PathBuf,
    key: FileKey,
    mode: u32,
}

fn see(path: &Path) -> Option<Seen> {
    let meta = path.symlink_metadata().ok()?;
    Some(Seen { path: path.to_owned(), key: FileKey::of(&meta), mode: meta.mode() })
}

/// How many rings may be open at once: the sink and the program need files too.
fn most_open() -> usize {
    let files = usize::try_from(sys::open_files_limit()).unwrap_or(usize::MAX);
    files - (files / 2).min(FOR_OTHERS)
}

/// Returns whether there are too many open files, in this process or in all.
fn is_too_many(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn useless(path: &Path, what: &str) -> (Trouble, Error) {
    (Trouble::Rings, Error::invalid(format!("the ring {path:?} {what}: it is left as it is, and not read")))
}

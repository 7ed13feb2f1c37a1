//! The rings that a collector reads: found in the directory, and removed when their worker is gone.

use std::{
    collections::HashSet,
    io::{self, ErrorKind},
    mem,
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
            directory::{self, Directory, FileKey, Found, Listed},
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
    /// Its names in the directory, as of the last scan: as a rule one; none if it was removed or moved elsewhere.
    names: Vec<PathBuf>,
    /// Where lines were dropped, at the latest, which the log wasn't told of yet; and when it was told last.
    pub(super) gap: Option<u64>,
    pub(super) told: Option<Instant>,
    /// Nobody will write to it any more.
    pub(super) is_abandoned: bool,
    /// There was something in it since the last scan.
    pub(super) is_busy: bool,
}

impl Ring {
    fn new(consumer: Consumer, names: Vec<PathBuf>) -> Self {
        Ring { consumer, names, gap: None, told: None, is_abandoned: false, is_busy: true }
    }

    fn path(&self) -> &Path {
        self.names.first().map_or(self.consumer.path(), PathBuf::as_path)
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

/// The rings of a directory. Each file with the name of a ring is in one of these lists, or isn't there any more.
#[derive(Debug)]
pub(super) struct Rings {
    directory: Directory,
    /// That the directory can't be listed was told.
    is_told: bool,
    pub(super) open: Vec<Ring>,
    /// Files that are no rings, or broken ones. Each is told of once.
    refused: HashSet<Seen>,
    /// Rings that can't be opened or read. They are tried again and again, and told of once.
    failing: HashSet<Seen>,
    /// Rings that can't be open now, because too many others are; and the ring that was opened last.
    waiting: HashSet<FileKey>,
    last_opened: Option<FileKey>,
}

impl Rings {
    pub(super) fn new(directory: Directory) -> Self {
        Rings {
            directory,
            is_told: false,
            open: Vec::new(),
            refused: HashSet::new(),
            failing: HashSet::new(),
            waiting: HashSet::new(),
            last_opened: None,
        }
    }

    /// Looks for rings that are new, and for those whose workers are gone. Returns whether it knows all of them now.
    pub(super) fn scan(&mut self, troubles: &mut Troubles) -> bool {
        self.remove_abandoned(troubles);
        let Listed { rings, unfinished } = match self.list() {
            Ok(listed) => listed,
            Err(cause) => {
                if !mem::replace(&mut self.is_told, true) {
                    let path = self.directory.path();
                    troubles
                        .push((Trouble::Rings, Error::io("list the directory of the queue", path, cause)));
                }
                return false;
            }
        };
        self.is_told = false;
        unfinished.iter().for_each(|path| drop(directory::remove_unfinished(path))); // tried again next time
        for ring in &mut self.open {
            let at = rings.binary_search_by_key(&ring.consumer.key(), |found| found.key);
            ring.names = at.map_or_else(|_| Vec::new(), |at| rings[at].names.clone());
        }
        self.open_new(rings, troubles);
        self.open.iter_mut().for_each(|ring| ring.is_busy = false);
        true
    }

    /// The same where there is no directory. Returns true.
    pub(super) fn scan_nothing(&mut self, troubles: &mut Troubles) -> bool {
        self.remove_abandoned(troubles);
        self.open.iter_mut().for_each(|ring| ring.names.clear());
        self.open_new(Vec::new(), troubles);
        true
    }

    /// Lists the directory, which needs a file descriptor too.
    fn list(&mut self) -> io::Result<Listed> {
        match self.directory.list() {
            Err(cause) if is_too_many(&cause) => {
                self.make_way();
                self.directory.list()
            }
            listed => listed,
        }
    }

    /// Opens rings that aren't open: those that are next after the last that was opened.
    fn open_new(&mut self, found: Vec<Found>, troubles: &mut Troubles) {
        let seen: HashSet<Seen> = found.iter().map(Seen::of).collect();
        self.refused.retain(|file| seen.contains(file));
        self.failing.retain(|file| seen.contains(file));
        let open: HashSet<FileKey> = self.open.iter().map(|ring| ring.consumer.key()).collect();
        let mut new: Vec<Found> = found
            .into_iter()
            .filter(|found| !open.contains(&found.key) && !self.refused.contains(&Seen::of(found)))
            .collect();
        let at = new.partition_point(|found| Some(found.key) <= self.last_opened);
        new.rotate_left(at);
        let are_too_many = !self.waiting.is_empty() || self.open.len() + new.len() > most_open();
        self.waiting.clear();
        if are_too_many && !new.is_empty() {
            self.make_way();
        }
        self.open_as_many_as_possible(new, troubles);
    }

    fn open_as_many_as_possible(&mut self, new: Vec<Found>, troubles: &mut Troubles) {
        let (before, most) = (self.open.len(), most_open());
        let mut rest = new.into_iter();
        for found in rest.by_ref() {
            let key = found.key;
            let is_full = self.open.len() >= most;
            if is_full || self.open_one(found, troubles).is_none() {
                self.waiting.insert(key);
                // The process has no file left for others: some are left to them. What stays open gets its turn.
                let to_close = if is_full { 0 } else { (self.open.len() - before) / 2 };
                let stays = self.open.len() - to_close;
                self.waiting.extend(self.open.drain(stays..).map(|ring| ring.consumer.key()));
                break;
            }
        }
        self.waiting.extend(rest.map(|found| found.key));
        if self.open.len() > before {
            self.last_opened = self.open.last().map(|ring| ring.consumer.key());
        }
    }

    /// Opens a ring, or finds out that it is none. `None` if there are too many open files.
    fn open_one(&mut self, found: Found, troubles: &mut Troubles) -> Option<()> {
        let path = &found.names[0];
        match Consumer::open(path) {
            Ok(consumer) => self.open.push(Ring::new(consumer, found.names)),
            Err(Flaw::Nonsense(what)) => {
                troubles.push(useless(path, &what));
                self.refused.insert(Seen::of(&found));
            }
            Err(Flaw::Io(cause)) if is_too_many(&cause) => return None,
            Err(Flaw::Io(cause)) if cause.kind() == ErrorKind::NotFound => {} // gone by now
            Err(Flaw::Io(cause)) => {
                if self.failing.insert(Seen::of(&found)) {
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
    pub(super) fn waiting(&self) -> &HashSet<FileKey> {
        &self.waiting
    }

    /// Counts the rings that can't be opened or read, and not because there are too many of them.
    pub(super) fn unread(&self) -> usize {
        let is_open = |seen: &&Seen| self.open.iter().any(|ring| ring.consumer.key() == seen.key);
        self.failing.len() - self.failing.iter().filter(is_open).count()
    }

    /// Closes rings in which there was nothing of late, or else those that were opened first: they are opened again in their turn. One
    /// without a name can't be opened again.
    fn make_way(&mut self) {
        let can_go = |ring: &Ring| !ring.names.is_empty();
        let is_idle = |ring: &Ring| can_go(ring) && !ring.is_busy && !ring.has_lines() && ring.gap.is_none();
        let mut most = self.open.len().div_ceil(2);
        let has_idle = self.open.iter().any(is_idle);
        let waiting = &mut self.waiting;
        self.open.retain(|ring| {
            let goes = if has_idle { is_idle(ring) } else { most > 0 && can_go(ring) };
            most -= usize::from(goes && !has_idle);
            waiting.extend(goes.then(|| ring.consumer.key()));
            !goes
        });
    }

    /// Closes all rings that another collector can find.
    pub(super) fn leave(&mut self) {
        self.open.retain(|ring| ring.consumer.is_removed());
    }

    /// Removes the rings that are drained and that nobody will write to any more.
    pub(super) fn remove_abandoned(&mut self, troubles: &mut Troubles) {
        let mut at = 0;
        while let Some(ring) = self.open.get_mut(at) {
            match ring.is_drained_for_good() {
                Ok(false) => at += 1,
                Ok(true) => {
                    let ring = self.open.swap_remove(at);
                    if let Err(cause) = ring.consumer.remove(&ring.names) {
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

    /// A ring is broken, or can't be read: it is left as it is.
    pub(super) fn refuse(&mut self, at: usize, flaw: Flaw, troubles: &mut Troubles) {
        let ring = self.open.swap_remove(at);
        let seen = see(ring.path());
        match flaw {
            Flaw::Nonsense(what) => {
                self.refused.extend(seen);
                troubles.push(useless(ring.path(), &what));
            }
            Flaw::Io(cause) => {
                if seen.is_none_or(|seen| self.failing.insert(seen)) {
                    troubles.push((Trouble::Rings, Error::io("read the ring", ring.path(), cause)));
                }
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

impl Seen {
    fn of(found: &Found) -> Self {
        Seen { path: found.names[0].clone(), key: found.key, mode: found.mode }
    }
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

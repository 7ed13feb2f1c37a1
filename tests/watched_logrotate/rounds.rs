//! Rotations in a loop, and how long the processes hold what was rotated away.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    tool::{Logrotate, wait_for},
    workers::{FileId, LOG, Workers},
};
use crate::support::{dir::Dir, holds_within, verify::LogFamily, wait_until};

/// How long a process may hold an old file while it writes.
pub(crate) const WHILE_WRITING: Duration = Duration::from_millis(250);

/// How long a process may hold an old file while it is idle.
pub(crate) const WHILE_IDLE: Duration = Duration::from_secs(1);

/// How long it may take until there were as many rotations as a test wants.
const LIMIT: Duration = Duration::from_secs(120);

/// How long is waited for processes that follow too late.
const TOO_LATE: Duration = Duration::from_secs(10);

/// Rounds of logrotate over the log of the workers.
pub(crate) struct Rounds {
    pub(crate) workers: Workers,
    logrotate: Logrotate,
    start: Instant,
    rotations: usize,
    /// Files that were rotated away, since when, and not every process has a newer one.
    awaited: Vec<(FileId, Instant)>,
    /// Files that were rotated away and are still held by a process, and since when.
    held: Vec<(FileId, Instant)>,
    times: Times,
    /// When it was last looked who holds what.
    looked: Instant,
    /// What logrotate said on stderr in all rounds.
    pub(crate) said: String,
}

impl Rounds {
    /// Starts the workers in this folder, and prepares logrotate for their log.
    pub(crate) fn start(dir: &Dir, directives: &str) -> Self {
        Rounds {
            workers: Workers::start(dir),
            logrotate: Logrotate::new(dir.root(), &dir.path(LOG), directives),
            start: Instant::now(),
            rotations: 0,
            awaited: Vec::new(),
            held: Vec::new(),
            times: Times::default(),
            looked: Instant::now(),
            said: String::new(),
        }
    }

    /// Runs logrotate every so often until it has rotated so many times.
    pub(crate) fn rotate(&mut self, every: Duration, rotations: usize) {
        let (start, wanted) = (Instant::now(), self.rotations + rotations);
        while self.rotations < wanted {
            self.round(every);
            assert!(start.elapsed() < LIMIT, "{} of {wanted} rotations within {LIMIT:?}", self.rotations);
        }
    }

    /// Runs logrotate once, and looks until its time is over who holds what.
    pub(crate) fn round(&mut self, time: Duration) {
        let (start, mut old) = (Instant::now(), self.workers.live());
        let mut logrotate = self.logrotate.start();
        wait_until("logrotate ends", LIMIT, || {
            let is_over = logrotate.try_wait().expect("it is ours").is_some();
            if let Some(file) = old.take_if(|file| self.workers.live() != Some(*file)) {
                self.awaited.push((file, Instant::now()));
                self.held.push((file, Instant::now()));
            }
            self.look();
            is_over
        });
        self.said.push_str(&wait_for(logrotate));
        self.rotations = rotated(&self.workers.log()).len();
        holds_within(time.saturating_sub(start.elapsed()), || {
            self.look();
            false
        });
    }

    fn look(&mut self) {
        let gap = std::mem::replace(&mut self.looked, Instant::now()).elapsed();
        self.times.stall = self.times.stall.max(gap);
        if self.held.is_empty() && self.awaited.is_empty() {
            return;
        }
        let (live, open) = (self.workers.live(), self.workers.held());
        // Inodes are used again, so what tells is when they were made; if nobody knows, that the path leads there.
        let is_newer = |old: &FileId, file: &FileId| file.1 > old.1 || Some(*file) == live;
        let (followed, awaited): (Vec<_>, Vec<_>) = (self.awaited.drain(..))
            .partition(|(old, _)| open.iter().all(|files| files.iter().any(|file| is_newer(old, file))));
        let (held, free): (Vec<_>, Vec<_>) =
            (self.held.drain(..)).partition(|(old, _)| open.iter().any(|files| files.contains(old)));
        (self.awaited, self.held) = (awaited, held);
        self.times.followed.extend(followed.iter().map(|(_, since)| since.elapsed()));
        self.times.let_go.extend(free.iter().map(|(_, since)| since.elapsed()));
    }

    /// Waits until no process has a file that was rotated away.
    pub(crate) fn wait_until_left(&mut self) {
        wait_until("every process has the new file, and no other", TOO_LATE, || {
            self.look();
            self.held.is_empty() && self.awaited.is_empty()
        });
    }

    /// Waits until every process has the file that the path leads to, and none has another one. Returns how long that took
    /// for each rotation since this was last asked.
    pub(crate) fn wait_until_followed(&mut self) -> Times {
        self.wait_until_left();
        self.looked = Instant::now();
        std::mem::take(&mut self.times)
    }

    /// What was done so far.
    pub(crate) fn figures(&self) -> Figures {
        Figures { rotations: self.rotations, time: self.start.elapsed(), lines: self.workers.lines() }
    }
}

/// The rotated files of a log, the oldest first; those in a folder `old` beside it too.
pub(crate) fn rotated(live: &Path) -> Vec<PathBuf> {
    let old = live.with_file_name("old").join(live.file_name().expect("a file has a name"));
    let moved = old.parent().is_some_and(Path::exists).then(|| LogFamily::of(&old));
    let families = moved.into_iter().chain([LogFamily::of(live)]);
    families.flat_map(|family| family.paths().to_vec()).filter(|path| path != live).collect()
}

/// How long it took after each rotation, for the slowest process.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Until it had the new file.
    followed: Vec<Duration>,
    /// Until it had let go of the old one.
    let_go: Vec<Duration>,
    /// The longest time for which this test itself was not let run: nobody can be held to that.
    stall: Duration,
}

impl Times {
    /// Whether all of them are within a limit, but for what the machine stood still.
    pub(crate) fn are_within(&self, limit: Duration) -> bool {
        self.followed.iter().chain(&self.let_go).all(|time| *time <= limit + 2 * self.stall)
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [("followed", &self.followed), ("let go", &self.let_go)];
        for (what, times) in kinds.into_iter().filter(|(_, times)| !times.is_empty()) {
            let mut times = times.clone();
            times.sort();
            write!(
                f,
                ", {what} within {:.1?} (median {:.1?})",
                times[times.len() - 1],
                times[times.len() / 2]
            )?;
        }
        write!(f, ", the machine stood still for {:.1?}", self.stall)
    }
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) rotations: usize,
    time: Duration,
    lines: u64,
}

impl Figures {
    /// How many lines all processes together logged in a second.
    pub(crate) fn lines_a_second(&self) -> u64 {
        self.lines * 1_000 / u64::try_from(self.time.as_millis()).expect("not for ever").max(1)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { rotations, time, lines } = self;
        write!(f, "{rotations} rotations and {lines} lines in {time:.1?}")
    }
}

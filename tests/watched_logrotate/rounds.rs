//! Rotations in a loop, and how long the processes hold what was rotated away.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    tool::Logrotate,
    workers::{FileId, LOG, Workers},
};
use crate::support::{dir::Dir, holds_within, verify::LogFamily, wait_until};

/// How long a process may hold an old file while it writes.
pub(crate) const WHILE_WRITING: Duration = Duration::from_millis(250);

/// How long a process may hold an old file while it is idle.
pub(crate) const WHILE_IDLE: Duration = Duration::from_secs(1);

/// How long it may take until there were as many rotations as a test wants.
const LIMIT: Duration = Duration::from_secs(120);

/// Rounds of logrotate over the log of the workers.
pub(crate) struct Rounds {
    pub(crate) workers: Workers,
    logrotate: Logrotate,
    start: Instant,
    rotations: usize,
    /// Files that were rotated away and are still held, each with the time right before.
    held: Vec<(FileId, Instant)>,
    /// How long each of the others was held.
    took: Vec<Duration>,
    /// What logrotate said on stderr in all rounds.
    pub(crate) said: String,
}

impl Rounds {
    /// Starts the workers in this folder, and prepares logrotate for their log.
    pub(crate) fn start(dir: &Dir, directives: &str) -> Self {
        let workers = Workers::start(dir);
        let logrotate = Logrotate::new(dir.root(), &dir.path(LOG), directives);
        let (held, took) = (Vec::new(), Vec::new());
        Rounds { workers, logrotate, start: Instant::now(), rotations: 0, held, took, said: String::new() }
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
    fn round(&mut self, time: Duration) {
        let (start, before) = (Instant::now(), self.workers.live());
        let output = self.logrotate.run();
        self.said.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}: {}", output.status, self.said);
        let is_old = |file: &FileId| self.workers.live() != Some(*file);
        self.held.extend(before.filter(is_old).map(|old| (old, start)));
        self.rotations = rotated(&self.workers.log()).len();
        holds_within(time.saturating_sub(start.elapsed()), || {
            self.look();
            false
        });
    }

    fn look(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let open = self.workers.held();
        let (held, free): (Vec<_>, Vec<_>) = self.held.drain(..).partition(|(id, _)| open.contains(id));
        self.took.extend(free.iter().map(|(_, start)| start.elapsed()));
        self.held = held;
    }

    /// Waits until nobody holds an old file, and everybody the one that the path leads to.
    pub(crate) fn wait_until_followed(&mut self, limit: Duration) {
        wait_until("every process lets go of the old file", limit, || {
            self.look();
            self.held.is_empty()
        });
        wait_until("every process has the new file", limit, || {
            self.workers.live().is_some_and(|live| self.workers.held().into_iter().eq([live]))
        });
    }

    /// How long old files were held since this was last asked.
    pub(crate) fn times(&mut self) -> Times {
        let mut took = std::mem::take(&mut self.took);
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        Times { median, longest: took.last().copied().unwrap_or_default() }
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

/// How long rotated files were held, from before logrotate was started on.
#[derive(Debug)]
pub(crate) struct Times {
    median: Duration,
    pub(crate) longest: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "followed within {:.1?} (median {:.1?})", self.longest, self.median)
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

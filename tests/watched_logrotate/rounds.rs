//! Rotations in a loop, and how long the processes hold what was rotated away.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Output,
    time::{Duration, Instant},
};

use super::{
    tool::Logrotate,
    workers::{FileId, LOG, Workers},
};
use crate::support::{
    dir::Dir,
    holds_within,
    verify::{Expect, LogFamily},
    wait_until,
};

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
    pub(crate) took: Vec<Duration>,
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
        self.said.push_str(&said(&output));
        assert!(output.status.success(), "{}: {}", output.status, self.said);
        if let Some(old) = before.filter(|_| before != self.workers.live()) {
            self.rotations += 1;
            self.held.push((old, start));
        }
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

    /// The longest time that an old file was held since this was last asked.
    pub(crate) fn longest(&mut self) -> Duration {
        std::mem::take(&mut self.took).into_iter().max().expect("there were rotations")
    }

    /// What there is to tell, for those who read along.
    pub(crate) fn figures(&self) -> Figures {
        let mut took = self.took.clone();
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        let longest = took.last().copied().unwrap_or_default();
        let (time, lines) = (self.start.elapsed(), self.workers.lines());
        Figures { rotations: self.rotations, time, lines, median, longest }
    }
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) rotations: usize,
    pub(crate) time: Duration,
    pub(crate) lines: u64,
    median: Duration,
    longest: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { rotations, time, lines, median, longest } = self;
        write!(f, "{rotations} rotations and {lines} lines in {time:.1?}, ")?;
        write!(f, "followed after {median:.1?} (median) to {longest:.1?}")
    }
}

//! The verifier: does a family of log files hold exactly the lines that it should hold?
//!
//! The workers of a test write [`numbered`] lines. Each worker counts from 1, and each line bears a
//! checksum over itself. A test says what it expects, reads the log's files from the oldest to the
//! newest, and gets a [`Verdict`] that names every fault with its file and line:
//!
//! ```ignore
//! let expect = Expect::new().worker(0, 900).worker(1, 900).tag(|w, _| (format!("job{w}"), "send".into()));
//! LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
//! ```
//!
//! What must hold:
//!
//! * every **required** line is there exactly once, every **allowed** one at most once, and no other
//!   numbered line;
//! * each worker's counters only rise, over all files in order;
//! * every line has the form `[id] [name] rest` and its expected tag, is valid UTF-8 and holds no raw
//!   control character;
//! * nothing is torn and nothing glued: before a numbered message there is at most a timestamp (as RFC
//!   3339 has it, zone and fraction or not), a level and a target, after it there are at most fields;
//! * the last line of every file ends in LF. Fragments that the writer closed with CAN are counted,
//!   and are no fault by themselves (the line that they were is then missing, if it was required);
//! * there is nothing else but lifecycle lines, retry separators and `[-] [tracing_tasklog]` lines.

mod check;
mod family;
mod line;
mod tasks;
mod verdict;

use std::collections::BTreeMap;
use std::fmt;

pub use family::LogFamily;
pub use line::{numbered, write_numbered};
pub use tasks::{TaskLines, Tasks};
pub use verdict::{Fault, Kind, Verdict};

/// The tag that a line should bear, by worker and counter.
type TagOf = Box<dyn Fn(u32, u64) -> (String, String)>;

/// What a test expects of its log files. Strict as it is made; each setter allows one thing more.
#[derive(Default)]
pub struct Expect {
    workers: BTreeMap<u32, Counters>,
    tag: Option<TagOf>,
    other_lines: bool,
    bare_lines: bool,
    open_fragments: bool,
    announced_losses: bool,
}

/// A worker's lines `1..=required` must be there; `allowed` more may follow.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    required: u64,
    allowed: u64,
}

impl Counters {
    /// The highest counter that may be there.
    fn last(self) -> u64 {
        self.required.saturating_add(self.allowed)
    }
}

impl Expect {
    /// Expects no numbered line at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a ledger says after its writers were killed: lines whose call returned are required, a
    /// line begun is allowed.
    #[cfg(unix)]
    pub fn from_ledger(ledger: &super::ledger::Ledger) -> Self {
        (0..).zip(ledger.read()).fold(Self::new(), |expect, (worker, (started, returned))| {
            let begun = started.checked_sub(returned).expect("a call returns after it was begun");
            expect.worker(worker, returned).allowed(worker, begun)
        })
    }

    /// The worker's lines 1 to `required` must be there.
    pub fn worker(mut self, worker: u32, required: u64) -> Self {
        self.workers.entry(worker).or_default().required = required;
        self
    }

    /// `extra` lines after the worker's required ones may be there, each once at most.
    pub fn allowed(mut self, worker: u32, extra: u64) -> Self {
        self.workers.entry(worker).or_default().allowed = extra;
        self
    }

    /// The tag (id, name) that each line must bear, as shown. Not checked if not said.
    pub fn tag(mut self, tag: impl Fn(u32, u64) -> (String, String) + 'static) -> Self {
        self.tag = Some(Box::new(tag));
        self
    }

    /// Other log lines among the numbered ones are no fault. They still need their shape, and no word
    /// in them may begin with `w=`: that would be a torn numbered line.
    pub fn other_lines(mut self) -> Self {
        self.other_lines = true;
        self
    }

    /// Lines may consist of the numbered message alone, without tag and timestamp, for tests that
    /// write into a writer directly. Such a line's tag is not checked.
    pub fn bare_lines(mut self) -> Self {
        self.bare_lines = true;
        self
    }

    /// A file may end without LF: the writer was killed in the middle of a write.
    pub fn open_fragments(mut self) -> Self {
        self.open_fragments = true;
        self
    }

    /// Required lines may be missing if the log itself announces exactly as many as dropped.
    /// (Allowed ones may be among those announced.)
    pub fn announced_losses(mut self) -> Self {
        self.announced_losses = true;
        self
    }
}

impl fmt::Debug for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expect").field("workers", &self.workers).finish_non_exhaustive()
    }
}

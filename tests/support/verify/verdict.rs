//! What the verifier found.

use std::fmt;
use std::sync::Arc;

/// Faults kept; a log that is broken all over needs no longer list.
const KEPT: usize = 1_000;

/// Faults shown by a failed assertion.
const SHOWN: usize = 20;

/// What is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Required lines are missing. The place is the worker's line before the gap, if there is one.
    Lost,
    /// A line is there more than once. The place is the later one.
    Duplicate,
    /// A worker's line comes after a later one of its lines.
    Order,
    /// A numbered line isn't whole, or has something glued to it.
    Torn,
    /// A line bears another task's tag.
    Tag,
    /// A line that nobody wrote.
    Foreign,
    /// A line that isn't `[id] [name] rest`.
    Shape,
    /// A raw control character (NUL above all), or bytes that are no UTF-8.
    Control,
    /// A file that doesn't end in LF.
    Fragment,
    /// A file that can't be read or unpacked.
    Unreadable,
    /// The log announces another number of lost lines than are missing.
    Announced,
}

/// One fault, where it is, and what the line there looks like.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub place: String,
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.place, self.kind, self.text)
    }
}

/// A file's name and the number of a line in it, from 1; without a file it is the log as a whole.
/// Cheap to clone: there is one for every line.
#[derive(Clone, Default)]
pub(super) struct Place {
    file: Option<Arc<str>>,
    pub(super) line: u32,
}

impl Place {
    pub(super) fn start_of(file: &str) -> Self {
        Self { file: Some(file.into()), line: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}:{}", self.line),
            None => f.write_str("(log)"),
        }
    }
}

/// The result of a verification. Every line counts under exactly one of its heads.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// The first faults, in the order of the files; what is missing comes last.
    pub faults: Vec<Fault>,
    /// How many more faults there are.
    pub unlisted: u64,
    /// All whole lines, closed fragments left out.
    pub lines: u64,
    /// Expected numbered lines, each counted once.
    pub found: u64,
    /// Required lines that are not there.
    pub missing: u64,
    /// Allowed lines that are not there.
    pub missing_allowed: u64,
    /// Numbered lines that were there before.
    pub duplicates: u64,
    /// Files that end without LF.
    pub fragments: u64,
    /// Fragments that a later writer closed with CAN.
    pub closed_fragments: u64,
    /// The sum of the crate's own `N lines dropped` lines.
    pub announced_dropped: u64,
}

impl Verdict {
    /// Panics with the first faults, if there are any.
    pub fn assert_clean(self) -> Self {
        assert!(self.faults.is_empty(), "{self}");
        self
    }

    /// The kinds of the faults, in their order.
    pub fn kinds(&self) -> Vec<Kind> {
        self.faults.iter().map(|fault| fault.kind).collect()
    }

    pub(super) fn add(&mut self, kind: Kind, place: &Place, text: String) {
        if self.faults.len() < KEPT {
            self.faults.push(Fault { kind, place: place.to_string(), text });
        } else {
            self.unlisted += 1;
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, missing, duplicates, announced_dropped, .. } = self;
        let faults = self.faults.len() as u64 + self.unlisted;
        write!(f, "{faults} faults ({found} lines found, {missing} missing, {duplicates} twice, ")?;
        write!(f, "{announced_dropped} announced as dropped)")?;
        self.faults.iter().take(SHOWN).try_for_each(|fault| write!(f, "\n  {fault}"))?;
        match faults.saturating_sub(SHOWN as u64) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// A line to be shown in a message: escaped, and without its middle if it is long.
pub(super) fn clip(line: &[u8]) -> String {
    const END: usize = 80;
    if line.len() <= 2 * END + 20 {
        return format!("\"{}\"", line.escape_ascii());
    }
    let (head, tail) = (&line[..END], &line[line.len() - END..]);
    let cut = line.len() - 2 * END;
    format!("\"{}\" … {cut} bytes … \"{}\"", head.escape_ascii(), tail.escape_ascii())
}

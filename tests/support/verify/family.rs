//! Finding the files of one log and reading them in the order in which they were written.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::super::must;
use super::check::{CAN, Check};
use super::tasks::Tasks;
use super::{Expect, Verdict};

/// A live file with its rotated siblings, the oldest first.
#[derive(Debug)]
pub struct LogFamily {
    paths: Vec<PathBuf>,
}

impl LogFamily {
    /// Finds what lies beside `live` now: `tasks.log.1`, `tasks.log-20260101`, each also as `.gz`.
    ///
    /// Other names, `tasks.log.lock` for one, are not of the family. A live file that doesn't exist
    /// is no fault by itself: a tool may just have renamed it.
    pub fn of(live: impl AsRef<Path>) -> Self {
        let live = live.as_ref();
        let folder = live.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let name = live.file_name().and_then(OsStr::to_str).expect("a log file has a name in UTF-8");
        let entries = must(fs::read_dir(folder), format_args!("list {}", folder.display()));
        let mut members: Vec<_> = entries
            .filter_map(|entry| {
                let path = must(entry, format_args!("list {}", folder.display())).path();
                let suffix = path.file_name()?.to_str()?.strip_prefix(name)?;
                Age::of(suffix).map(|age| (age, path))
            })
            .collect();
        members.sort();
        Self { paths: members.into_iter().map(|(_, path)| path).collect() }
    }

    /// Exactly these files, the oldest first.
    pub fn files<P: Into<PathBuf>>(paths: impl IntoIterator<Item = P>) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect() }
    }

    /// The files, the oldest first.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Their names, the oldest first.
    pub fn names(&self) -> Vec<String> {
        self.paths.iter().map(|path| name_of(path)).collect()
    }

    /// Reads all files and compares them with what is expected.
    #[must_use = "a verdict that nobody looks at proves nothing"]
    pub fn verify(&self, expect: &Expect) -> Verdict {
        let mut check = Check::new(expect);
        for path in &self.paths {
            check.file(&name_of(path), read(path));
        }
        check.finish()
    }

    /// All whole lines without their LFs, closed fragments left out. Panics at a file that can't be read.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for path in &self.paths {
            let bytes = must(read(path), path.display());
            let whole =
                bytes.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"));
            let kept = whole.filter(|line| !line.ends_with(&[CAN]));
            lines.extend(kept.map(|line| String::from_utf8_lossy(line).into_owned()));
        }
        lines
    }

    /// The lines of each task.
    pub fn tasks(&self) -> Tasks {
        Tasks::of(&self.lines())
    }
}

/// What a file's name says about its age. Sorts the oldest first.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Age {
    /// Dated files come before those without a date, the live file among these.
    undated: bool,
    date: String,
    /// The highest number is the oldest; without a number is the newest.
    number: Reverse<Option<u64>>,
}

impl Age {
    /// Reads what follows the live file's name; `None` for a name that is not of the family.
    fn of(suffix: &str) -> Option<Self> {
        let plain = suffix.strip_suffix(".gz").filter(|plain| !plain.is_empty()).unwrap_or(suffix);
        let (dated, number) = match plain.rsplit_once('.').map(|(dated, last)| (dated, backup_number(last))) {
            Some((dated, Some(number))) => (dated, Some(number)),
            _ => (plain, None),
        };
        if dated.is_empty() {
            return Some(Self { undated: true, date: String::new(), number: Reverse(number) });
        }
        let date = dated.strip_prefix(['-', '.'])?;
        let is_date = date.len() >= 8 && date.chars().all(|c| c.is_ascii_digit() || "-_T:".contains(c));
        is_date.then(|| Self { undated: false, date: date.to_owned(), number: Reverse(number) })
    }
}

/// The number of a backup; eight digits or more are a date.
fn backup_number(text: &str) -> Option<u64> {
    let digits = text.len() < 8 && text.chars().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The file's bytes, unpacked if its name ends in `.gz`.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = fs::read(path)?;
    if path.extension() != Some(OsStr::new("gz")) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// The file's own name, for messages.
fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

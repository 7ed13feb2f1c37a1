//! What became of the last lines of a file that is not in its place any more.
//!
//! Lines that were written since the file was last seen in its place are kept in memory (see `recent.rs`). If the file is gone,
//! the evidence decides for each of them:
//!
//! * **The last name of the file** (Linux tells it of an open file). One that was removed in its place was read by nobody:
//!   everything is written again. One that still has a name holds everything.
//! * **What was made of it.** logrotate(8) compresses `tasks.log.1` into `tasks.log.1.gz` and then removes it. The last four bytes
//!   of that tell how long the text was when gzip(1) met its end, and our own descriptor tells where each line stands. With
//!   `renamecopy` the copy of `tasks.log.tmp` does.
//! * **That nothing was made of it** in its directory: with `rotate 0` everything is written again.
//! * **Nothing of that**, because another compressor was used, a copy has any other name, the file can't be read, or a look came
//!   much too late: those lines are counted as lines at risk.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::shared::Shared;
use crate::{
    file::{AppendFile, FileId, FileSystem, Found},
    writer::lines,
};

/// The most that is read of a file to find our own lines in it.
const MOST: u64 = 4 * 1024 * 1024;

/// How much earlier than by our own clock a file system says that a file was made.
const CLOCK_TICK: Duration = Duration::from_millis(50);

/// What compressors append to a name.
const EXTENSIONS: [&str; 7] = ["gz", "xz", "zst", "bz2", "lz4", "Z", "lzma"];

/// How a file begins that gzip, xz, zstd, bzip2, lz4, compress or lzma has made.
const PACKED: [&[u8]; 7] =
    [b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"BZh", b"\x04\x22\x4d\x18", b"\x1f\x9d", b"\x5d\0\0"];

/// A file that lines went into, and what is known of them.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) file: Box<dyn AppendFile>,
    pub(super) last: Last,
}

/// What is known of the last lines of a file.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) id: FileId,
    /// Where it was.
    pub(super) target: PathBuf,
    /// Its length when it was last seen there, and when that was.
    pub(super) seen: (u64, SystemTime),
    /// Whether that it was gone was found much too late.
    pub(super) is_late: bool,
    /// The lines that were written to it since then: how many, how many of them a compressor may have missed, and the last.
    pub(super) lines: u64,
    pub(super) at_risk: u64,
    pub(super) written: Vec<u8>,
    /// What the log has said of its own meanwhile.
    pub(super) said: String,
}

/// What is to be done about lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// Lines that are in no file: they are to be written again.
    pub(super) again: Vec<u8>,
    /// How many lines there are of which nobody can tell.
    pub(super) at_risk: u64,
}

/// How much of a file is there, under whatever name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    All,
    UpTo(u64),
    Nothing,
    Unknown,
}

impl Last {
    /// Nobody knows anything.
    fn unknown(&self) -> Fate {
        Fate { again: Vec::new(), at_risk: self.at_risk }
    }

    /// Every line is lost with the file.
    fn all_again(&self) -> Fate {
        let more = self.lines.saturating_sub(lines::count(&self.written));
        Fate { again: self.written.clone(), at_risk: more }
    }

    /// Decides by where each line ends: a line that `is_safe` is in a file.
    fn decide(
        &self,
        file: &mut dyn AppendFile,
        is_safe: impl Fn(Option<u64>) -> Option<bool>,
    ) -> Option<Fate> {
        let (from, end) = (self.seen.0, file.len().ok()?);
        if end.checked_sub(from)? > MOST {
            return None;
        }
        let text = file.read_between(from, end).ok()?;
        let mut fate = Fate::default();
        for (number, (line, end)) in ends_in(&self.written, &text).into_iter().enumerate() {
            let is_safe = is_safe(end.map(|end| from + end as u64));
            if number == 0 && is_safe != Some(true) {
                fate.at_risk += self.lines.saturating_sub(lines::count(&self.written));
            }
            match is_safe {
                Some(true) => {}
                Some(false) => fate.again.extend_from_slice(line),
                None => fate.at_risk += 1,
            }
        }
        Some(fate)
    }

    /// Decides about lines whose descriptor went bad, by what is in the file at the path: it is the same one.
    pub(super) fn fate_in(&self, file: &mut dyn AppendFile) -> Fate {
        self.decide(file, |end| Some(end.is_some())).unwrap_or_else(|| self.unknown())
    }
}

impl Shared {
    /// Decides about the lines of a file that is gone. Where its last name can't be told, it counts whether it `was_moved` first,
    /// or may have been.
    pub(super) fn fate(&self, old: &mut Old, was_moved: bool) -> Fate {
        match self.kept(old, was_moved) {
            Kept::All => Fate::default(),
            Kept::Nothing => old.last.all_again(),
            Kept::Unknown => old.last.unknown(),
            Kept::UpTo(taken) => {
                let fate = old.last.decide(&mut *old.file, |end| Some(end? <= taken));
                fate.unwrap_or_else(|| old.last.unknown())
            }
        }
    }

    /// Returns how much of a file is there.
    fn kept(&self, old: &mut Old, was_moved: bool) -> Kept {
        let Some((name, is_removed)) = old.file.last_name() else {
            return match was_moved {
                _ if has_name(&*self.files, &old.last) => Kept::All,
                true => Kept::Unknown,
                false => Kept::Nothing,
            };
        };
        if !is_removed {
            return Kept::All;
        }
        if name == old.last.target {
            return Kept::Nothing;
        }
        made_of(&*self.files, old, &name).unwrap_or(Kept::Unknown)
    }

    /// Returns whether a compressor is at work on the file, which has another name.
    pub(super) fn is_being_packed(&self, file: &dyn AppendFile) -> bool {
        let Some((name, false)) = file.last_name() else { return false };
        let packed = |extension: &&str| name.with_file_name(appended(&name, extension));
        EXTENSIONS.iter().any(|extension| matches!(self.files.find(&packed(extension)), Ok(Some(_))))
    }
}

fn appended(name: &Path, extension: &str) -> std::ffi::OsString {
    let mut longer = name.file_name().unwrap_or_default().to_owned();
    longer.push(".");
    longer.push(extension);
    longer
}

/// Returns whether the file has another name in its directory.
fn has_name(files: &dyn FileSystem, old: &Last) -> bool {
    let names = old.target.parent().and_then(|folder| files.list(folder).ok()).unwrap_or_default();
    names.iter().any(|name| matches!(files.find(name), Ok(Some(found)) if found.id == old.id))
}

/// Returns how much of a file is in what was made of it, which was removed by this name.
fn made_of(files: &dyn FileSystem, old: &mut Old, name: &Path) -> io::Result<Kept> {
    let text = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    let name_text = text(name);
    // With `renamecopy` the copy has any name that begins as the log's does, or it is in another directory.
    let copied = name_text.strip_suffix(b".tmp");
    let stem = copied.map_or_else(|| [name_text.as_slice(), b"."].concat(), <[u8]>::to_vec);
    let mut kept = if copied.is_some() || old.last.is_late { Kept::Unknown } else { Kept::Nothing };
    for path in files.list(name.parent().unwrap_or(name))? {
        let Some(found) = files.find(&path)?.filter(|found| found.is_file) else { continue };
        if found.len == 0 || path == old.last.target || !is_new(&found, old.last.seen.1) {
            continue;
        }
        match (part(files, old, &path, &found)?, text(&path).starts_with(&stem)) {
            (kept @ Kept::UpTo(_), true) => return Ok(kept),
            (Kept::Nothing, false) => {}
            _ => kept = Kept::Unknown,
        }
    }
    Ok(kept)
}

/// Returns whether a file was made since then. Where nobody knows when it was made, it was.
fn is_new(found: &Found, then: SystemTime) -> bool {
    let since =
        then.checked_sub(CLOCK_TICK).and_then(|then| then.duration_since(SystemTime::UNIX_EPOCH).ok());
    found.id.born == 0 || since.is_none_or(|since| u128::from(found.id.born) >= since.as_nanos())
}

/// Returns how much of a file went into this one, if it is a copy of it or compressed by gzip(1); nothing, if it is no copy and
/// not compressed.
fn part(files: &dyn FileSystem, old: &mut Old, path: &Path, found: &Found) -> io::Result<Kept> {
    let (len, (begin, end)) = (old.file.len()?, files.read_ends(path)?);
    if begin.starts_with(PACKED[0]) {
        let size = end.last_chunk().map_or(0, |size| u64::from(u32::from_le_bytes(*size)));
        // Modulo 2^32 (RFC 1952): gzip has read as much as there was, but for a moment.
        let more = len.checked_sub(size).map(|more| more >> 32 << 32);
        return Ok(more.map_or(Kept::Unknown, |more| Kept::UpTo(size + more)));
    }
    if PACKED.iter().any(|magic| begin.starts_with(magic)) {
        return Ok(Kept::Unknown);
    }
    let is_copy = found.len <= len && old.file.bytes_before(found.len)? == end;
    Ok(if is_copy { Kept::UpTo(found.len) } else { Kept::Nothing })
}

/// Looks for lines in a text, in this order. Returns each with the place in the text at which it ends, if it is there.
fn ends_in<'a>(lines: &'a [u8], text: &[u8]) -> Vec<(&'a [u8], Option<usize>)> {
    let mut from = 0;
    let end_of = |line: &'a [u8]| {
        let mut end = from;
        for there in text[from..].split_inclusive(|byte| *byte == b'\n') {
            end += there.len();
            if there == line {
                from = end;
                return (line, Some(end));
            }
        }
        (line, None)
    };
    lines.split_inclusive(|byte| *byte == b'\n').map(end_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_in_order_between_those_of_others() {
        let text = b"rest of one\na\nb\ntorn\x18\nc\na\n";
        let ends =
            |lines: &'static [u8]| ends_in(lines, text).into_iter().map(|(_, end)| end).collect::<Vec<_>>();
        assert_eq!(ends(b"a\nc\na\n"), [Some(14), Some(24), Some(26)]);
        assert_eq!(ends(b"a\nnone\nc\n"), [Some(14), None, Some(24)]);
        assert_eq!(ends(b"c\nb\n"), [Some(24), None]);
    }
}

//! Whether a file holds its lines, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How a line looks: `#` stands for any digit, one `*` for anything.
#[derive(Clone, Copy)]
pub(crate) struct Form(pub(crate) &'static str);

impl Form {
    /// How many bytes so many lines have at least: exactly so many where there is no `*`.
    pub(crate) fn bytes(self, lines: u64) -> u64 {
        let line = self.0.bytes().filter(|&byte| byte != b'*').count() + 1;
        lines * line as u64
    }

    /// Workers number their lines.
    fn is_numbered(self) -> bool {
        self.0.starts_with(WORKER) && self.0.ends_with(NUMBER)
    }

    fn is(self, line: &[u8]) -> bool {
        match self.0.split_once('*') {
            None => fits(self.0.as_bytes(), line),
            Some((start, end)) => {
                line.len() >= start.len() + end.len()
                    && fits(start.as_bytes(), &line[..start.len()])
                    && fits(end.as_bytes(), &line[line.len() - end.len()..])
            }
        }
    }

    /// An error if the files of a folder whose names begin with that of the log don't hold so many of these lines, or hold
    /// anything else.
    pub(crate) fn check(self, log: &Path, lines: u64) -> io::Result<()> {
        let mut found = 0;
        for path in files(log)? {
            let bytes = fs::read(path)?;
            if bytes.last().is_some_and(|&last| last != b'\n') {
                return Err(io::Error::other("the last line isn't whole"));
            }
            for line in bytes.split_inclusive(|&byte| byte == b'\n') {
                found += 1;
                if !self.is(&line[..line.len() - 1]) {
                    let line = String::from_utf8_lossy(line);
                    return Err(io::Error::other(format!("line {found} is not {:?} but {line:?}", self.0)));
                }
            }
        }
        if self.is_numbered() {
            check_order(log)?;
        }
        if found == lines { Ok(()) } else { Err(io::Error::other(format!("{found} lines of {lines}"))) }
    }
}

const WORKER: &str = "[worker-#]";
const NUMBER: &str = "number=*";

/// An error if the lines of a worker aren't in order, or one of them is missing in between.
fn check_order(log: &Path) -> io::Result<()> {
    let text = fs::read_to_string(log)?;
    let mut next = [0; 10];
    for line in text.lines() {
        let worker = usize::from(line.as_bytes()[WORKER.len() - 2] - b'0');
        if line.rsplit('=').next() != Some(&next[worker].to_string()) {
            return Err(io::Error::other(format!("{line:?} instead of number {}", next[worker])));
        }
        next[worker] += 1;
    }
    Ok(())
}

/// Compares byte by byte, with `#` for any digit.
fn fits(form: &[u8], text: &[u8]) -> bool {
    let is_right = |(form, byte): (&u8, &u8)| form == byte || (*form == b'#' && byte.is_ascii_digit());
    form.len() == text.len() && form.iter().zip(text).all(is_right)
}

/// The bytes of the log and its backups.
pub(crate) fn length(log: &Path) -> io::Result<u64> {
    files(log)?.iter().map(|path| Ok(fs::metadata(path)?.len())).sum()
}

/// The log and its backups, in no order.
fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (folder, name) =
        (log.parent().expect("a file is in a folder"), log.file_name().expect("it has a name"));
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
            files.push(entry.path());
        }
    }
    Ok(files)
}

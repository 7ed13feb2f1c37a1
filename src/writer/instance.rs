//! `InstanceFile`: one file per process, which rotates by itself.
//!
//! # The order of a rotation, and why it loses nothing
//!
//! 1. Backups are renamed from the first free number down: `.2` to `.3`, then `.1` to `.2`. Stopped anywhere, this
//!    leaves a gap, and the next rotation begins at the gap. Only the oldest backup is ever renamed over, and only
//!    if all numbers are taken.
//! 2. The live file, its last line whole or closed, is renamed to `.1`, which is free by now. It stays open, so
//!    lines still have a place. If somebody has deleted it, there is nothing to rename.
//! 3. A new live file is opened. Until that succeeds lines go to the old one, now `.1`.
//!
//! A step that fails ends the rotation: the line is written to the file that is open, the size limit is exceeded,
//! and a second later the next line tries again from the step that failed.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{Gather, LineWriter, Stats, TakeLines, lines, path};
use crate::{
    Error, clock,
    error::{Trouble, report},
    file::{AppendFile, FileSystem, Opened, RealFileSystem},
    handoff, rotation, sys,
};

/// How long a rotation that failed waits for its next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What closes a fragment: CAN LF.
const CLOSE_FRAGMENT: &[u8] = b"\x18\n";

/// A log file of this process alone, which rotates by itself when it has reached a size.
///
/// `tasks.log` keeps its name; `tasks.log.1` is the newest backup. A line is never split over two files. Every line
/// is with the operating system when the log call returns: whatever happens to the process, it is in the file.
///
/// Give each process a path of its own, best by a placeholder: two processes that rotate one path overwrite each
/// other's backups, and this version doesn't notice.
///
/// Clones share the file. Threads take turns for each line.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskLayer, writer::InstanceFile};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().display();
/// let file = InstanceFile::builder(format!("{dir}/tasks-{{instance}}.log"))
///     .max_bytes(50 * 1024 * 1024)
///     .backups(3)
///     .build()?;
/// tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();
///
/// tracing::info!("hello");
/// assert_eq!(file.stats().written_lines, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct InstanceFile {
    shared: Arc<Shared>,
    /// What was written to this very clone, as an `io::Write`, without LF.
    gather: Gather,
}

/// Sets up an [`InstanceFile`]: what [`InstanceFile::builder`] returns.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct InstanceFileBuilder {
    path: PathBuf,
    max_bytes: u64,
    backups: usize,
    mode: Option<u32>,
}

struct Shared {
    path: PathBuf,
    max_bytes: u64,
    backups: usize,
    mode: Option<u32>,
    files: Box<dyn FileSystem>,
    state: Mutex<State>,
}

/// What changes from line to line.
struct State {
    file: Box<dyn AppendFile>,
    /// The file's length, as far as this process wrote it.
    len: u64,
    /// Whether the file ends in a fragment.
    is_torn: bool,
    /// Whether the open file has been renamed away, and no new one is open yet.
    is_renamed: bool,
    /// When a rotation that failed may be tried again.
    retry_at: Option<Instant>,
    stats: Stats,
}

impl InstanceFile {
    /// Returns a builder for the file at `path`, with every option at its default.
    ///
    /// `{pid}` in the path stands for the number of the process, `{host}` for the name of the machine, `{env:NAME}`
    /// for an environment variable, `{instance}` for `$TASKLOG_INSTANCE` or, if that is unset, the number of the
    /// process; `{{` is a brace.
    pub fn builder(path: impl AsRef<Path>) -> InstanceFileBuilder {
        InstanceFileBuilder {
            path: path.as_ref().to_owned(),
            max_bytes: 10 * 1024 * 1024,
            backups: 5,
            mode: None,
        }
    }

    /// Returns the path of the live file from the root on, placeholders replaced.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// Returns the counters as they are now: one snapshot.
    pub fn stats(&self) -> Stats {
        self.shared.state().stats
    }
}

impl InstanceFileBuilder {
    /// Sets the size, in bytes, that the file doesn't exceed (default: 10 MiB). 0 is an error.
    ///
    /// A line that would take it over the limit goes into the next file; only a single line that is larger than the
    /// limit makes a larger file.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets how many backups are kept beside the live file (default: 5). 0 is an error: it would throw lines away.
    pub fn backups(mut self, backups: usize) -> Self {
        self.backups = backups;
        self
    }

    /// Sets the mode of the live file, exactly, whatever the umask (default: what the umask leaves of 0666).
    ///
    /// Backups keep the mode that they had as the live file.
    #[cfg(unix)]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// - A placeholder is unknown, has no end, or stands for a variable that is unset or empty.
    /// - `max_bytes` or `backups` is 0, `file_mode` is more than 0o7777.
    /// - The path is a directory, a FIFO or a device, or can't be opened, or the directory can't be made.
    ///
    /// Nothing is changed on disk then, but that parent directories may have been made.
    pub fn build(self) -> Result<InstanceFile, Error> {
        self.build_on(Box::new(RealFileSystem))
    }

    fn build_on(self, files: Box<dyn FileSystem>) -> Result<InstanceFile, Error> {
        let path = path::expand(&self.path)?;
        if self.max_bytes == 0 {
            return Err(Error::invalid(format!("max_bytes of {path:?} is 0: expected at least 1")));
        }
        if self.backups == 0 {
            return Err(Error::invalid(format!(
                "backups of {path:?} is 0, which would throw lines away: expected at least 1"
            )));
        }
        if let Some(mode) = self.mode.filter(|&mode| mode > 0o7777) {
            return Err(Error::invalid(format!(
                "file_mode of {path:?} is {mode:#o}: expected at most 0o7777"
            )));
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files.create_dir_all(parent).map_err(|cause| Error::io("make the directory", parent, cause))?;
        }
        let opened =
            files.open(&path, self.mode).map_err(|cause| Error::io("open the log file", &path, cause))?;
        let state = Mutex::new(State::new(opened));
        let (max_bytes, backups, mode) = (self.max_bytes, self.backups, self.mode);
        let shared = Arc::new(Shared { path, max_bytes, backups, mode, files, state });
        Ok(InstanceFile { shared, gather: Gather::default() })
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the state; while the process ends, only within a limit.
    fn state_for_line(&self) -> Option<MutexGuard<'_, State>> {
        if sys::is_exiting() { sys::lock_at_exit(&self.state) } else { Some(self.state()) }
    }

    /// Writes lines to the files that they belong into: as many with one call as fit.
    fn write_lines(&self, state: &mut State, mut lines: &[u8]) {
        while !lines.is_empty() {
            let room = self.max_bytes.saturating_sub(state.len_when_closed());
            let mut fitting = lines::fitting(lines, room);
            if fitting == 0 {
                let has_rotated = state.len == 0 || self.rotate(state);
                let room = if has_rotated { self.max_bytes } else { u64::MAX };
                fitting = lines::fitting(lines, room).max(lines::first(lines));
            }
            let (now, later) = lines.split_at(fitting);
            state.append(now, &self.path);
            lines = later;
        }
    }

    /// Rotates, or goes on with a rotation that failed. Returns whether a new live file is open.
    fn rotate(&self, state: &mut State) -> bool {
        if state.retry_at.is_some_and(|at| clock::instant() < at) {
            return false;
        }
        let closed = state.close_fragment();
        match closed.and_then(|()| self.try_rotate(state).map_err(|error| state.failed(error))) {
            Ok(opened) => {
                let stats = Stats { rotations: state.stats.rotations + 1, ..state.stats };
                *state = State { stats, ..State::new(opened) };
                true
            }
            Err(error) => {
                state.retry_at = Some(clock::instant() + RETRY_AFTER);
                let path = self.path.display();
                report(
                    Trouble::Rotation,
                    format_args!("{path} grows beyond its limit, it could not be rotated: {error}"),
                );
                false
            }
        }
    }

    fn try_rotate(&self, state: &mut State) -> io::Result<Opened> {
        if !state.is_renamed {
            let backup = |number| rotation::backup(&self.path, number);
            for (from, to) in rotation::shifts(self.backups, |number| self.files.exists(&backup(number)))? {
                self.files.rename(&backup(from), &backup(to))?;
            }
            match self.files.rename(&self.path, &backup(1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => state.is_renamed = true,
            }
        }
        match self.files.open(&self.path, self.mode) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // The directory is gone: it is made again, and the file in it.
                self.path.parent().map_or(Ok(()), |parent| self.files.create_dir_all(parent))?;
                self.files.open(&self.path, self.mode)
            }
            opened => opened,
        }
    }
}

impl State {
    fn new(opened: Opened) -> Self {
        State {
            file: opened.file,
            len: opened.len,
            is_torn: opened.is_torn,
            is_renamed: false,
            retry_at: None,
            stats: Stats::default(),
        }
    }

    /// The file's length once its last line is whole or closed.
    fn len_when_closed(&self) -> u64 {
        self.len + if self.is_torn { CLOSE_FRAGMENT.len() as u64 } else { 0 }
    }

    /// Closes the fragment that the file ends in, if it does.
    fn close_fragment(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.append_bytes(CLOSE_FRAGMENT).map_err(|(_, error)| error)?;
        }
        Ok(())
    }

    /// Appends whole lines: with one call, unless the operating system takes less at a time.
    fn append(&mut self, lines: &[u8], path: &Path) {
        let count = lines::count(lines);
        let result = if self.is_torn {
            let closed = [CLOSE_FRAGMENT, lines].concat();
            self.append_bytes(&closed)
                .map_err(|(taken, error)| (taken.saturating_sub(CLOSE_FRAGMENT.len()), error))
        } else {
            self.append_bytes(lines)
        };
        match result {
            Ok(()) => self.stats.written_lines += count,
            Err((taken, error)) => {
                let written = lines::count(&lines[..taken]);
                self.stats.written_lines += written;
                self.stats.dropped_lines += count - written;
                report(
                    Trouble::Write,
                    format_args!("lines are lost, {} could not be written: {error}", path.display()),
                );
            }
        }
    }

    /// Appends bytes. On an error says how many were taken.
    fn append_bytes(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.file.append(&bytes[taken..]) {
                Ok(0) => return Err((taken, self.failed(ErrorKind::WriteZero.into()))),
                Ok(n) => {
                    taken += n;
                    self.len += n as u64;
                    self.stats.bytes += n as u64;
                    self.is_torn = bytes[taken - 1] != b'\n';
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => drop(self.failed(error)),
                Err(error) => return Err((taken, self.failed(error))),
            }
        }
        Ok(())
    }

    fn failed(&mut self, error: io::Error) -> io::Error {
        self.stats.errors += 1;
        error
    }
}

impl TakeLines for InstanceFile {
    fn take_lines(&self, lines: &[u8]) {
        let was_cut = handoff::take();
        let count = lines::count(lines);
        let Some(mut state) = self.shared.state_for_line() else {
            let path = self.path().display();
            return report(
                Trouble::Write,
                format_args!("{count} lines are lost: {path} was busy at the end"),
            );
        };
        state.stats.accepted_lines += count;
        state.stats.cut_lines += u64::from(was_cut);
        self.shared.write_lines(&mut state, lines);
    }
}

impl<'a> MakeWriter<'a> for InstanceFile {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter::new(self)
    }
}

/// Writing never fails: what becomes of a line is in the [`Stats`]. A line without LF waits for it in this clone, and
/// is completed when the clone is dropped.
impl io::Write for InstanceFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut gather = std::mem::take(&mut self.gather);
        gather.write(bytes, self);
        self.gather = gather;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // every whole line is with the operating system already
    }
}

impl Drop for InstanceFile {
    fn drop(&mut self) {
        let mut gather = std::mem::take(&mut self.gather);
        gather.finish(self);
    }
}

impl Clone for InstanceFile {
    fn clone(&self) -> Self {
        InstanceFile { shared: Arc::clone(&self.shared), gather: Gather::default() }
    }
}

impl fmt::Debug for InstanceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstanceFile").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

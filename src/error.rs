//! Errors: one opaque type for what can fail while things are set up, and the one way out, to stderr, for what
//! fails while nobody can be told.

use std::{
    error, fmt,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{clock, line::Escaped, sys};

/// What went wrong while something was set up: it names the input and what to do about it.
///
/// The operating system's own words, if there are any, are the [`source`](error::Error::source), which `Display` does not print:
/// print both, as `Debug` does. Converts into an [`io::Error`] of the cause's kind.
///
/// Control characters in what it quotes (a path, a setting, the error of a sink) are escaped as in a [line](crate::line).
///
/// ```
/// use std::error::Error as _;
/// use tracing_tasklog::writer::InstanceFile;
///
/// let dir = tempfile::tempdir().unwrap();
/// let error = InstanceFile::builder(dir.path()).build().unwrap_err();
/// let why = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
/// assert!(format!("{error}{why}").starts_with("could not open the log file \"/"));
///
/// let error = tracing_tasklog::parse_level("loud").unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "\"loud\" is no level: expected one of off, error, warn (or warning), info, debug, trace"
/// );
/// ```
pub struct Error(Box<Kind>);

#[derive(Debug)]
enum Kind {
    /// A text or number that can't be used as it is.
    Invalid { what: String },
    /// A path that another process has.
    InUse { path: PathBuf, pid: Option<u32>, advice: &'static str },
    /// What this crate itself refuses to do with a path.
    Refused { path: PathBuf, kind: ErrorKind, what: String },
    /// A file system call that failed. `detail` is what this crate knows of the reason, with the remedy.
    Io { what: &'static str, path: PathBuf, detail: Option<String>, cause: io::Error },
    /// The same, where nobody knows the path.
    #[cfg(any(feature = "queue", feature = "rolling"))]
    IoSomewhere { what: &'static str, cause: io::Error },
    /// Something was not done in time.
    #[cfg(feature = "queue")]
    TimedOut { what: String },
    /// Lines that were lost.
    #[cfg(feature = "queue")]
    Dropped { lines: u64, why: String },
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Error(Box::new(Kind::Invalid { what: what.into() }))
    }

    /// `what` reads on as "could not `what` `path`". Of a cause that is a text of this crate `Display` prints that text, remedy
    /// included, and the source keeps only its kind: a caller that prints both prints nothing twice.
    pub(crate) fn io(what: &'static str, path: &Path, cause: io::Error) -> Self {
        let detail = cause.get_ref().map(ToString::to_string);
        let cause = if detail.is_some() { cause.kind().into() } else { cause };
        Error(Box::new(Kind::Io { what, path: path.to_owned(), detail, cause }))
    }

    /// `what` reads on as "could not `what`".
    #[cfg(any(feature = "queue", feature = "rolling"))]
    pub(crate) fn io_somewhere(what: &'static str, cause: io::Error) -> Self {
        Error(Box::new(Kind::IoSomewhere { what, cause }))
    }

    #[cfg(feature = "queue")]
    pub(crate) fn timed_out(what: impl Into<String>) -> Self {
        Error(Box::new(Kind::TimedOut { what: what.into() }))
    }

    #[cfg(feature = "queue")]
    pub(crate) fn dropped(lines: u64, why: impl Into<String>) -> Self {
        Error(Box::new(Kind::Dropped { lines, why: why.into() }))
    }

    pub(crate) fn in_use(path: &Path, pid: Option<u32>) -> Self {
        let advice = "give each process a path of its own, with {instance} or {pid} in it ({host} in containers, where each \
                      has the pid 1), or set if_in_use(InUse::NextFree)";
        Error(Box::new(Kind::InUse { path: path.to_owned(), pid, advice }))
    }

    /// What is done with `path` would put trust in the wrong user. `what` names the path.
    pub(crate) fn refused(path: &Path, what: impl Into<String>) -> Self {
        let kind = ErrorKind::PermissionDenied;
        Error(Box::new(Kind::Refused { path: path.to_owned(), kind, what: what.into() }))
    }

    /// The file system can't lock `path`. `advice` says what to do.
    pub(crate) fn without_locks(path: &Path, cause: &io::Error, advice: &str) -> Self {
        let what = format!("the file system of {path:?} has no locks ({cause}): {advice}");
        Error(Box::new(Kind::Refused { path: path.to_owned(), kind: ErrorKind::Unsupported, what }))
    }

    /// The error that `cause` wraps, or else that `what` could not be done with `path`.
    pub(crate) fn own_or_io(what: &'static str, path: &Path, cause: io::Error) -> Self {
        cause.downcast().unwrap_or_else(|cause| Error::io(what, path, cause))
    }

    /// A directory has a collector.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(crate) fn is_collected(path: &Path, pid: Option<u32>) -> Self {
        let advice = "a queue has one collector: end that one first, or set if_running(Running::Wait(..))";
        Error(Box::new(Kind::InUse { path: path.to_owned(), pid, advice }))
    }

    /// A directory has another collector, instead of this one.
    #[cfg(all(feature = "multiprocess", unix))]
    pub(crate) fn is_collected_by_another(path: &Path, pid: Option<u32>) -> Self {
        let advice = "collector.lock was removed and is that one's now, this collector writes nothing until it has ended";
        Error(Box::new(Kind::InUse { path: path.to_owned(), pid, advice }))
    }

    /// Returns whether a path can't be had because another process, or another writer of this one, has it.
    pub fn is_in_use(&self) -> bool {
        matches!(*self.0, Kind::InUse { .. })
    }

    /// Returns whether something was not done within the time that it was given.
    pub fn is_timeout(&self) -> bool {
        match &*self.0 {
            #[cfg(feature = "queue")]
            Kind::TimedOut { .. } => true,
            Kind::Io { cause, .. } => cause.kind() == ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Returns the path that the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match &*self.0 {
            Kind::Io { path, .. } | Kind::InUse { path, .. } | Kind::Refused { path, .. } => Some(path),
            _ => None,
        }
    }
}

/// The same as `Display`, and the cause behind it: what `main` prints of an error that it returns.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Io { detail: Some(_), .. } => write!(f, "{self}"),
            _ => match error::Error::source(self) {
                Some(cause) => write!(f, "{self}: {}", Escaped(cause)),
                None => write!(f, "{self}"),
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&*self.0).fmt(f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Invalid { what } | Kind::Refused { what, .. } => f.write_str(what),
            Kind::InUse { path, pid, advice } => {
                let who = pid.map_or("another process".to_owned(), |pid| format!("process {pid}"));
                write!(f, "{path:?} is in use by {who}: {advice}")
            }
            Kind::Io { what, path, detail: Some(detail), .. } => {
                write!(f, "could not {what} {path:?}: {detail}")
            }
            Kind::Io { what, path, cause, .. } => write!(f, "could not {what} {path:?}{}", advice(cause)),
            #[cfg(any(feature = "queue", feature = "rolling"))]
            Kind::IoSomewhere { what, cause } => write!(f, "could not {what}{}", advice(cause)),
            #[cfg(feature = "queue")]
            Kind::TimedOut { what } => f.write_str(what),
            #[cfg(feature = "queue")]
            Kind::Dropped { lines, why } => write!(f, "{lines} lines dropped: {why}"),
        }
    }
}

/// What to do about a file system call that failed, where that can be said and the error itself doesn't say it.
pub(crate) fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        _ if cause.get_ref().is_some() => "",
        ErrorKind::IsADirectory => ": it is a directory, give the path of a file",
        ErrorKind::InvalidInput => ": give the path of a regular file",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            ": a part of it is a file, give a path whose parents are directories"
        }
        ErrorKind::NotFound => ": a part of it is missing, a dangling link perhaps",
        ErrorKind::PermissionDenied => ": allow this user to write there, or give another path",
        ErrorKind::ReadOnlyFilesystem => ": the file system is read-only, give another path",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ": make room, or give another path",
        ErrorKind::FileTooLarge => {
            ": the limit on the size of files (RLIMIT_FSIZE, ulimit -f) is reached, raise it"
        }
        _ if is_one_of(cause, Unix::TooLong) => ": the name is too long, give another path",
        _ if is_one_of(cause, Unix::TooManyFiles) => {
            ": too many files are open, raise the limit (RLIMIT_NOFILE, ulimit -n)"
        }
        _ => "",
    }
}

/// Errors of Unix that have no kind, or none that Rust 1.85 knows.
enum Unix {
    TooLong,
    TooManyFiles,
}

#[cfg(unix)]
fn is_one_of(cause: &io::Error, what: Unix) -> bool {
    use rustix::io::Errno;

    let numbers: &[Errno] = match what {
        Unix::TooLong => &[Errno::NAMETOOLONG],
        Unix::TooManyFiles => &[Errno::MFILE, Errno::NFILE],
    };
    numbers.iter().any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(not(unix))]
fn is_one_of(_cause: &io::Error, _what: Unix) -> bool {
    false
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &*self.0 {
            // "other error" would say nothing.
            Kind::Io { detail: Some(_), cause, .. } if cause.kind() == ErrorKind::Other => None,
            Kind::Io { cause, .. } => Some(cause),
            #[cfg(any(feature = "queue", feature = "rolling"))]
            Kind::IoSomewhere { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &*error.0 {
            Kind::Io { cause, .. } => cause.kind(),
            #[cfg(any(feature = "queue", feature = "rolling"))]
            Kind::IoSomewhere { cause, .. } => cause.kind(),
            Kind::Invalid { .. } => ErrorKind::InvalidInput,
            Kind::Refused { kind, .. } => *kind,
            Kind::InUse { .. } => ErrorKind::ResourceBusy,
            #[cfg(feature = "queue")]
            Kind::TimedOut { .. } => ErrorKind::TimedOut,
            #[cfg(feature = "queue")]
            Kind::Dropped { .. } => ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// What can go wrong while nobody is there to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A writer returned an error for a line.
    Write,
    /// A writer, timer or value panicked.
    Panic,
    /// A file could not be rotated.
    Rotation,
    /// A file could not be given its mode, or its list is not believed.
    Trust,
    /// Lines had no room.
    #[cfg(feature = "queue")]
    Dropped,
    /// Lines wait at the end for a sink that takes nothing.
    #[cfg(feature = "queue")]
    Pending,
    /// A ring could not be read or removed.
    #[cfg(all(feature = "multiprocess", unix))]
    Rings,
    /// A path could not be followed.
    #[cfg(feature = "watch")]
    Follow,
    /// A directory could not be watched.
    #[cfg(feature = "watch")]
    Watch,
    /// Lines may be lost: another program removed the file or cut it short, or other code closed its descriptor.
    Risk,
    /// `task.status` was none of the three.
    Status,
    /// The exit hook could not be had.
    ExitHook,
    /// Lines were lost in all.
    Total,
}

/// How often one kind of trouble is told at most; [`Trouble::Status`] is told once.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// Tells stderr about trouble, one line for each kind every 10 s.
pub(crate) fn report(trouble: Trouble, what: fmt::Arguments<'_>) {
    /// For each kind when it was told last: milliseconds of the process's own time, plus 1; 0 for never.
    static TOLD: [AtomicU64; 13] = [const { AtomicU64::new(0) }; 13];
    let told = &TOLD[trouble as usize];
    let now = clock::uptime_millis() + 1;
    let last = told.load(Ordering::Relaxed);
    let too_soon =
        last != 0 && (trouble == Trouble::Status || now.saturating_sub(last) < TOLD_EVERY.as_millis() as u64);
    let too_soon = too_soon && !(trouble == Trouble::Total && sys::is_exiting());
    // Whoever wins the exchange tells it; the others would tell the same.
    if too_soon || told.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let line = format!("tracing-tasklog: {}\n", Escaped(what));
    // stderr is the last resort: if it fails, there is nobody left to tell.
    let _ = say(line.as_bytes());
}

/// Writes a line to stderr. Not by way of its lock: in a child of fork(2) that could be held for ever.
#[cfg(unix)]
fn say(line: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(io::stderr(), line)?)
}

/// Writes a line to stderr.
#[cfg(not(unix))]
fn say(line: &[u8]) -> io::Result<usize> {
    use io::Write as _;

    io::stderr().write_all(line).map(|()| line.len())
}

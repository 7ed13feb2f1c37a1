//! `TaskWriter`: the writer that a text from configuration asks for.

#[cfg(feature = "queue")]
mod queued;
mod spec;

use std::{io, path::Path};

use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

#[cfg(feature = "queue")]
pub(crate) use self::queued::EndQueue;
#[cfg(feature = "queue")]
use self::queued::Queued;
use self::spec::{EXPECTED, is_meant_for_a_kind, split, trimmed, unknown, usable};

#[cfg(feature = "watch")]
use super::WatchedFile;
use super::{
    InstanceFile, LineWriter, Stats,
    stdout::{self, Stdout},
};
use crate::Error;

/// What a worker's queue needs.
#[cfg(all(unix, not(feature = "multiprocess")))]
const NEEDED: &str = "the feature `multiprocess` of tracing-tasklog";
#[cfg(not(unix))]
const NEEDED: &str = "Unix: a worker's queue is a file that is locked as only Unix does";

/// An [`InstanceFile`], a `WatchedFile` or standard output, each also behind a `SharedQueue` of its own, or the worker's end of a
/// `SharedQueue` for many processes; chosen at run time: by [`open`](TaskWriter::open), or by `From`.
///
/// It promises [what every writer does](crate::writer), standard output included: a line that can't be written, to
/// a pipe that nobody reads any more, say, is counted, and neither an error nor a panic. Clones share the counters,
/// and the file.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::prelude::*;
/// use tracing_tasklog::{TaskLayer, writer::TaskWriter};
///
/// # let dir = tempfile::tempdir()?;
/// # std::env::set_current_dir(&dir)?;
/// let spec = std::env::var("LOG_TO").unwrap_or_else(|_| "instance:logs/tasks-{instance}.log".to_owned());
/// let writer = TaskWriter::open(&spec)?;
/// tracing_subscriber::registry().with(TaskLayer::new(writer.clone())).init();
///
/// tracing::info!("hello");
/// assert_eq!(writer.stats().written_lines, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskWriter(Chosen);

#[derive(Clone, Debug)]
enum Chosen {
    Instance(InstanceFile),
    #[cfg(feature = "watch")]
    Watched(WatchedFile),
    Stdout(Stdout),
    #[cfg(feature = "queue")]
    Shared(super::SharedQueue),
    #[cfg(feature = "queue")]
    Queued(Box<Queued>),
}

impl TaskWriter {
    /// Opens the writer that `spec` asks for.
    ///
    /// | spec | writer |
    /// |---|---|
    /// | `instance:logs/tasks-{instance}.log` | an [`InstanceFile`] with every option at its default; the path may have [placeholders](InstanceFile::builder) |
    /// | `logs/tasks-{instance}.log` | the same: a bare path |
    /// | `watched:/var/log/app/tasks.log` | a `WatchedFile` with every option at its default (feature `watch`) |
    /// | `queue:/run/app/q` | a `SharedQueue` that is connected to the `Collector` of that directory, with every option at its default (feature `multiprocess`, on Unix): another process writes. There need not be one yet |
    /// | `stdout` | standard output, for containers: whole lines, each written before the log call returns |
    /// | `queued+instance:…`, `queued+watched:…`, `queued+stdout` | the same behind a `SharedQueue` with every option at its default (feature `queue`): a thread of its own writes. It ends with the last clone, or with the guard of [`try_init`](crate::try_init); lines that are logged later are written directly. What the process leaves in it is written when it exits |
    ///
    /// White space around the whole is trimmed: a line feed behind a setting, say. What looks like a kind of writer before the
    /// first colon (two ASCII letters or more; digits, `+`, `-`, `_` and white space among them) is taken for one. Put `instance:`
    /// before a path that looks so; `C:\logs\tasks.log` doesn't. The directory of a queue has no placeholders, because all
    /// processes of the queue name the same; what has a brace is refused.
    ///
    /// On Unix a line goes past the buffer of `io::stdout`: a line that the program has begun to print, and not
    /// ended or flushed yet, follows it. A standard output that was closed before the program began is the null
    /// device for every Rust program, and what is written there counts as written. In a file it stays below RLIMIT_FSIZE as it was when
    /// the writer was opened: what has no room is counted, and no signal ends the program.
    ///
    /// # Errors
    ///
    /// - The spec is empty, or has nothing after `instance:`, `watched:` or `queue:`.
    /// - It asks for a writer that isn't there, or for one whose feature is off. A bare word that looks like a writer is refused
    ///   too, rather than taken for the name of a file: `stderr`, `STDOUT`, `sdtout`, `queue+stdout`, `syslog`, `-`, a kind
    ///   without its path. So is a bare path behind `queued+`.
    /// - It has a control character or a double quote in it, another quote around it or around its path, or white space before
    ///   its path.
    /// - It asks for `queued+queue:`. What waits in the first queue dies with its process: that would take away what the second
    ///   one is for.
    /// - The directory of a queue has a brace, as a placeholder has.
    /// - The file can't be opened: see [`InstanceFile`](super::InstanceFileBuilder::build) and `WatchedFile`.
    /// - The thread of the queue can't be started; the directory of the queue can't be used: see `SharedQueueBuilder::connect`.
    ///
    /// ```
    /// use tracing_tasklog::writer::TaskWriter;
    ///
    /// let error = TaskWriter::open("syslog:local0").unwrap_err();
    /// assert!(error.to_string().starts_with("\"syslog:local0\" asks for \"syslog\", which is no writer: "));
    /// ```
    pub fn open(spec: &str) -> Result<TaskWriter, Error> {
        let spec = trimmed(spec)?;
        match spec.strip_prefix("queued+") {
            Some(behind) => TaskWriter::behind_a_queue(spec, behind),
            None => TaskWriter::at_once(spec, spec),
        }
    }

    /// Opens what a part of `spec` asks for, without a queue.
    fn at_once(spec: &str, part: &str) -> Result<TaskWriter, Error> {
        match split(part) {
            (None, "stdout") => Ok(TaskWriter(Chosen::Stdout(Stdout::new()))),
            (None, word) if is_meant_for_a_kind(word) => Err(unknown(spec, word)),
            (Some("instance" | "watched" | "queue"), "") => {
                Err(Error::invalid(format!("{spec:?} has no path after the colon: {EXPECTED}")))
            }
            (None | Some("instance"), path) => {
                InstanceFile::builder(usable(path, spec)?).build().map(TaskWriter::from)
            }
            #[cfg(not(feature = "watch"))]
            (Some("watched"), _) => Err(Error::invalid(format!(
                "{spec:?} asks for \"watched\", which needs the feature `watch` of tracing-tasklog"
            ))),
            #[cfg(feature = "watch")]
            (Some("watched"), path) => WatchedFile::open(usable(path, spec)?).map(TaskWriter::from),
            #[cfg(not(all(feature = "multiprocess", unix)))]
            (Some("queue"), _) => {
                Err(Error::invalid(format!("{spec:?} asks for \"queue\", which needs {NEEDED}")))
            }
            #[cfg(all(feature = "multiprocess", unix))]
            (Some("queue"), directory) if directory.contains(['{', '}']) => Err(Error::invalid(format!(
                "{spec:?} has a brace in its directory: all processes of a queue share one, so there are no placeholders"
            ))),
            #[cfg(all(feature = "multiprocess", unix))]
            (Some("queue"), directory) => {
                super::SharedQueue::connect(usable(directory, spec)?).map(TaskWriter::from)
            }
            (Some(kind), _) => Err(unknown(spec, kind)),
        }
    }

    /// Opens what the part of `spec` behind `queued+` asks for, behind a queue.
    fn behind_a_queue(spec: &str, behind: &str) -> Result<TaskWriter, Error> {
        match split(behind) {
            (Some("instance" | "watched"), _) | (None, "stdout") => {}
            (Some("queue"), _) => {
                return Err(Error::invalid(format!(
                    "{spec:?} puts a queue before a queue: what waits in the first one is lost when this process is killed. \
                     Leave \"queued+\" out: a log call doesn't wait for the sink without it either"
                )));
            }
            (Some(kind), _) => return Err(unknown(spec, &format!("queued+{kind}"))),
            (None, _) => {
                return Err(Error::invalid(format!(
                    "{spec:?} doesn't say what is behind the queue: {EXPECTED}; \
                     if it is the path of a file, write \"instance:\" before it"
                )));
            }
        }
        #[cfg(not(feature = "queue"))]
        return Err(Error::invalid(format!(
            "{spec:?} asks for a queue, which needs the feature `queue` of tracing-tasklog"
        )));
        #[cfg(feature = "queue")]
        Ok(TaskWriter(Chosen::Queued(Box::new(Queued::new(TaskWriter::at_once(spec, behind)?)?))))
    }

    /// Returns the counters as they are now: one snapshot.
    pub fn stats(&self) -> Stats {
        match &self.0 {
            Chosen::Instance(file) => file.stats(),
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => file.stats(),
            Chosen::Stdout(stdout) => stdout.stats(),
            #[cfg(feature = "queue")]
            Chosen::Shared(queue) => queue.stats(),
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.stats(),
        }
    }

    /// Returns the path of the live file, if the writer has one: from the root on, placeholders replaced.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Chosen::Instance(file) => Some(file.path()),
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => Some(file.path()),
            Chosen::Stdout(_) => None,
            #[cfg(feature = "queue")]
            Chosen::Shared(_) => None,
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.path(),
        }
    }

    /// Returns when every line written so far is on the disk: [`InstanceFile::sync`]. A standard output that is a pipe
    /// or a terminal has no disk to wait for; of a `SharedQueue` with a sink of its own nobody knows, so that is flushed. With
    /// `queue:` there is nothing to wait for: a line is with the kernel when its log call returns, and safe there whatever becomes of
    /// this process. On the disk it is after the collector has written it, and its own `sync`.
    ///
    /// # Errors
    ///
    /// - A file can't be synchronized, with fsync(2)'s error as the source.
    /// - Lines are still in the queue after 5 s ([`Error::is_timeout`]).
    pub fn sync(&self) -> Result<(), Error> {
        match &self.0 {
            Chosen::Instance(file) => file.sync(),
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => file.sync(),
            Chosen::Stdout(_) => stdout::sync(),
            #[cfg(feature = "queue")]
            Chosen::Shared(queue) => queue.hand_over(),
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.sync(),
        }
    }

    /// Returns whether it is a file of this crate, with nothing before it.
    #[cfg(feature = "queue")]
    pub(super) fn is_file(&self) -> bool {
        match &self.0 {
            Chosen::Instance(_) => true,
            #[cfg(feature = "watch")]
            Chosen::Watched(_) => true,
            _ => false,
        }
    }

    fn bytes(&mut self) -> &mut dyn io::Write {
        match &mut self.0 {
            Chosen::Instance(file) => file,
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => file,
            Chosen::Stdout(stdout) => stdout,
            #[cfg(feature = "queue")]
            Chosen::Shared(queue) => queue,
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.bytes(),
        }
    }

    /// Returns what ends the writer's queue when it is dropped, if there is one.
    #[cfg(feature = "queue")]
    pub(crate) fn end_queue(&self) -> Option<EndQueue> {
        match &self.0 {
            Chosen::Queued(queued) => Some(queued.end()),
            _ => None,
        }
    }
}

impl From<InstanceFile> for TaskWriter {
    fn from(file: InstanceFile) -> Self {
        TaskWriter(Chosen::Instance(file))
    }
}

#[cfg(feature = "watch")]
impl From<WatchedFile> for TaskWriter {
    fn from(file: WatchedFile) -> Self {
        TaskWriter(Chosen::Watched(file))
    }
}

#[cfg(feature = "queue")]
impl From<super::SharedQueue> for TaskWriter {
    /// The guard stays with its owner.
    fn from(queue: super::SharedQueue) -> Self {
        TaskWriter(Chosen::Shared(queue))
    }
}

impl<'a> MakeWriter<'a> for TaskWriter {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        match &self.0 {
            Chosen::Instance(file) => file.make_writer(),
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => file.make_writer(),
            Chosen::Stdout(stdout) => stdout.make_writer(),
            #[cfg(feature = "queue")]
            Chosen::Shared(queue) => queue.make_writer(),
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.queue().make_writer(),
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        match &self.0 {
            Chosen::Instance(file) => file.make_writer_for(meta),
            #[cfg(feature = "watch")]
            Chosen::Watched(file) => file.make_writer_for(meta),
            Chosen::Stdout(stdout) => stdout.make_writer_for(meta),
            #[cfg(feature = "queue")]
            Chosen::Shared(queue) => queue.make_writer_for(meta),
            #[cfg(feature = "queue")]
            Chosen::Queued(queued) => queued.queue().make_writer_for(meta),
        }
    }
}

/// Writing never fails: what becomes of a line is in the [`Stats`]. A line without LF waits for it in this clone, and
/// is completed when the clone is dropped.
impl io::Write for TaskWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bytes().flush()
    }
}

//! What a collector can be told before it starts.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use super::{CollectorGuard, lock, registry, run, shared::Shared};
use crate::{
    Error,
    notice::Notice,
    sys,
    writer::{
        queue::{
            Announce, Overflow,
            core::Mode,
            for_children::ForChildren,
            inner::{self, Options},
            outlet::Outlet,
        },
        ring::directory::Directory,
    },
};

/// How many bytes of lines are on their way from the rings to the sink at most, but for a longer line.
pub(super) const BATCH: usize = 64 * 1024;

/// What happens if another collector runs for the same directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Running {
    /// [`spawn`](CollectorBuilder::spawn) returns an error that names the directory and the process (the default).
    #[default]
    Refuse,
    /// `spawn` waits until that one has ended, so long at most.
    Wait(Duration),
}

/// Options of a [`Collector`](super::Collector); made by [`Collector::builder`](super::Collector::builder).
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct CollectorBuilder {
    directory: PathBuf,
    if_running: Running,
    options: Options,
}

impl CollectorBuilder {
    pub(super) fn new(directory: &Path) -> Self {
        CollectorBuilder {
            directory: directory.to_owned(),
            if_running: Running::default(),
            options: Options {
                capacity: 4 * BATCH,
                overflow: Overflow::default(),
                stall_timeout: Duration::from_secs(5),
                announce: Announce::default(),
                notice: Notice::default(),
                any_file_system: false,
            },
        }
    }

    /// Says what happens if another collector runs for the same directory (default: [`Running::Refuse`]).
    pub fn if_running(mut self, running: Running) -> Self {
        self.if_running = running;
        self
    }

    /// Says how the log itself tells of lines that a worker had to drop, and of those that the sink has lost (default:
    /// [`Announce::Line`]).
    pub fn announce(mut self, announce: Announce) -> Self {
        self.options.announce = announce;
        self
    }

    /// Sets how long the end of the collector, and of the process, waits for a sink that takes nothing (default: 5 s).
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.options.stall_timeout = limit;
        self
    }

    /// Has `hook` called with each error that nobody who logs can be told (default: one line on stderr for each kind of
    /// trouble in 10 s).
    ///
    /// It is called on the collector's thread, without any lock: it may log. Trouble that this makes in turn goes to stderr.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.options.notice = Notice::hook(hook);
        self
    }

    /// Starts the thread that writes what is logged by all processes of the queue to `sink`.
    ///
    /// The sink may be a file, a socket, a [writer of this crate](crate::writer). It is touched by one thread at a time. It
    /// may fail, panic, be slow and log: see [`SharedQueue`](super::super::SharedQueue).
    ///
    /// # Errors
    ///
    /// - Another collector runs for this directory ([`Error::is_in_use`]).
    /// - The directory can't be made, belongs to another user, or others may write to it.
    /// - No thread can be made.
    pub fn spawn(self, sink: impl io::Write + Send + 'static) -> Result<CollectorGuard, Error> {
        let directory = Directory::open(&self.directory)?;
        sys::watch_forks();
        let pipe = directory.open_pipe()?;
        let lock = lock::lock(&directory, self.if_running)?;
        let outlet = Box::new(Outlet::new(Box::new(sink)));
        let queue = Arc::new(inner::make(self.options, Mode::Direct, outlet, ForChildren::default())?);
        let shared = Arc::new(Shared::new(directory, pipe, queue));
        let for_thread = Arc::clone(&shared);
        let collect = move || run::run(for_thread, lock);
        let builder = thread::Builder::new().name("tasklog-collector".to_owned());
        sys::with_signals_blocked(|| builder.spawn(collect))
            .map_err(|cause| Error::io_somewhere("start the thread of a collector", cause))?;
        registry::register(&shared);
        Ok(CollectorGuard::new(shared))
    }
}

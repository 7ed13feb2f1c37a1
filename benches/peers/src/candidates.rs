//! The pipelines: each takes a log call to a file.

mod floor;
mod fmt;
mod log;
mod spdlog;
mod tasklog;

use std::{fs::File, io, path::Path};

use tracing::Subscriber;

use crate::{lines::Form, work::Voice};

/// A pipeline.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) line: Form,
    /// It gets one event of so many where nothing pauses, because it takes longer. Figures are for one event.
    pub(crate) one_of: u64,
    pub(crate) voice: Voice,
    /// Has all events of this process go into a file with this path.
    pub(crate) open: fn(&Path) -> io::Result<Finish>,
}

/// Has the file completed, when everything is logged.
pub(crate) type Finish = Box<dyn FnOnce() -> io::Result<()>>;

pub(crate) const QUEUE: [Candidate; 12] = [
    tasklog::QUEUE,
    floor::WHOLE,
    floor::QUEUE,
    fmt::NON_BLOCKING,
    fmt::MUTEX,
    spdlog::ASYNC,
    spdlog::SYNC,
    log::LOGFORTH,
    log::FTLOG,
    log::FAST_LOG,
    log::FLEXI,
    log::LOG4RS,
];

/// The peer that most goals are about.
pub(crate) const P1: &str = fmt::NON_BLOCKING.name;
pub(crate) const OURS: &str = tasklog::QUEUE.name;

pub(crate) fn find(name: &str) -> io::Result<&'static Candidate> {
    let found = QUEUE.iter().find(|candidate| candidate.name == name);
    found.ok_or_else(|| io::Error::other(format!("there is no candidate {name:?}")))
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn install(subscriber: impl Subscriber + Send + Sync) -> io::Result<()> {
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)
}

//! The pipelines: each takes a log call to a file.

pub(crate) mod floor;
pub(crate) mod fmt;
pub(crate) mod levels;
pub(crate) mod log;
pub(crate) mod spdlog;
pub(crate) mod stat;
pub(crate) mod tasklog;

use std::{fs::File, io, path::Path};

use tracing::Subscriber;
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::TaskLayer;

use crate::{
    lines::Form,
    processes::{self, Way},
    run,
    work::{Voice, Work},
};

/// A pipeline.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// How a line looks, if anything comes into a file.
    pub(crate) line: Option<Form>,
    /// It gets one event of so many where nothing pauses, because it takes longer. Figures are for one event.
    pub(crate) one_of: u64,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// The threads of one process log, all into one file.
    Threads(Voice, fn(&Path) -> io::Result<Finish>),
    /// Each thread is a process of its own.
    Processes(Way),
    /// A program in Python does it all. It never pauses.
    Python(&'static str),
}

impl Candidate {
    /// Returns whether it is to do such work, and can do it here.
    pub(crate) fn does(&self, work: &Work) -> bool {
        let is_asked = work.only.is_empty() || work.only.contains(&self.name);
        is_asked && (!matches!(self.how, How::Python(_)) || (!work.in_bursts && run::has_python()))
    }
}

/// Has the file completed, when so many events are logged.
pub(crate) type Finish = Box<dyn FnOnce(u64) -> io::Result<()>>;

pub(crate) const PYTHON: &str = "python_queue";
pub(crate) const QUEUE: [Candidate; 14] = [
    tasklog::QUEUE,
    floor::WHOLE,
    floor::QUEUE,
    fmt::NON_BLOCKING,
    fmt::DEFAULT_TIMER,
    fmt::MUTEX,
    spdlog::ASYNC,
    spdlog::SYNC,
    log::LOGFORTH,
    log::FTLOG,
    log::FAST_LOG,
    log::FLEXI,
    log::LOG4RS,
    Candidate {
        name: PYTHON,
        what: "Python: QueueHandler, QueueListener, FileHandler",
        line: tasklog::QUEUE.line,
        one_of: 160,
        how: How::Python(include_str!("python/threads.py")),
    },
];
pub(crate) const FILES: [Candidate; 7] = [
    tasklog::INSTANCE,
    fmt::ROLLING,
    log::LOG4RS_ROLLING,
    tasklog::WATCHED,
    tasklog::UNWATCHED,
    tasklog::MUTEX,
    stat::EACH_LINE,
];
pub(crate) const LEVELS: [Candidate; 4] = [levels::WRITTEN, levels::BELOW, levels::FILTERED, levels::LOOP];

pub(crate) fn find(name: &str) -> io::Result<&'static Candidate> {
    let all = [QUEUE.as_slice(), &FILES, &LEVELS, &processes::ALL];
    let found = all.into_iter().flatten().find(|candidate| candidate.name == name);
    found.ok_or_else(|| io::Error::other(format!("there is no candidate {name:?}")))
}

pub(crate) fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).open(path)
}

fn install(subscriber: impl Subscriber + Send + Sync) -> io::Result<()> {
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)
}

/// Has our layer write to a writer.
pub(crate) fn install_layer(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> io::Result<()> {
    install(tracing_subscriber::registry().with(TaskLayer::new(writer)))
}

/// Of those that have written each line when its call returns.
fn nothing_to_finish() -> Finish {
    Box::new(|_| Ok(()))
}

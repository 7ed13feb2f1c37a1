//! Ours: one layer over several writers.

use std::{io, path::Path, sync::Mutex};

use tracing_tasklog::writer::{InstanceFile, SharedQueue, WatchedFile};

use super::{Candidate, Finish, How, append_to, install_layer, nothing_to_finish};
use crate::{lines::Form, work::Voice};

pub(crate) const LINE: Form = Form(
    "[abc12345] [send_email] ####-##-##T##:##:## Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

const fn ours(
    name: &'static str,
    what: &'static str,
    one_of: u64,
    open: fn(&Path) -> io::Result<Finish>,
) -> Candidate {
    Candidate { name, what, line: Some(LINE), one_of, how: How::Threads(Voice::Tracing, open) }
}

pub(crate) const QUEUE: Candidate = ours("tasklog", "TaskLayer, SharedQueue", 1, |path| {
    let (queue, guard) = SharedQueue::builder().spawn(append_to(path)?).map_err(io::Error::other)?;
    install_layer(queue)?;
    Ok(Box::new(|_| {
        drop(guard);
        Ok(())
    }))
});

pub(crate) const INSTANCE: Candidate =
    ours("instance_file", "TaskLayer, InstanceFile, 10 MiB a file", 1, |path| {
        install_layer(InstanceFile::builder(path).backups(100).build().map_err(io::Error::other)?)?;
        Ok(nothing_to_finish())
    });

pub(crate) const WATCHED: Candidate = ours("watched_file", "TaskLayer, WatchedFile", 1, |path| {
    install_layer(WatchedFile::open(path).map_err(io::Error::other)?)?;
    Ok(nothing_to_finish())
});

/// The nearest that there is to a `WatchedFile` that isn't watched: it has the same account, and the same care for fragments.
pub(crate) const UNWATCHED: Candidate =
    ours("unwatched", "TaskLayer, InstanceFile, unlimited: as WatchedFile, but not watched", 1, |path| {
        install_layer(InstanceFile::builder(path).unlimited().build().map_err(io::Error::other)?)?;
        Ok(nothing_to_finish())
    });

pub(crate) const MUTEX: Candidate = ours("mutex_file", "TaskLayer, Mutex<File>", 1, |path| {
    install_layer(Mutex::new(append_to(path)?))?;
    Ok(nothing_to_finish())
});

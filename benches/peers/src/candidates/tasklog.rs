//! Ours.

use std::{io, path::Path};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, writer::SharedQueue};

use super::{Candidate, Finish, append_to, install};
use crate::{lines::Form, work::Voice};

pub(super) const LINE: Form = Form(
    "[abc12345] [send_email] ####-##-##T##:##:## Connecting to SMTP server host=\"smtp.example.com\" port=25",
);

pub(super) const QUEUE: Candidate = Candidate {
    name: "tasklog",
    what: "TaskLayer, SharedQueue",
    line: LINE,
    one_of: 1,
    voice: Voice::Tracing,
    open: queue,
};

fn queue(path: &Path) -> io::Result<Finish> {
    let (queue, guard) = SharedQueue::builder().spawn(append_to(path)?).map_err(io::Error::other)?;
    install(tracing_subscriber::registry().with(TaskLayer::new(queue)))?;
    Ok(Box::new(|| {
        drop(guard);
        Ok(())
    }))
}

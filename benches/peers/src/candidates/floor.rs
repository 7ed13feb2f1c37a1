//! The honest lower bound: the same line through a pipeline that has nothing a product needs.

use std::{io, path::Path, sync::OnceLock};

use floor::{Queue, Sink as _};

use super::{Candidate, Finish, How, append_to, tasklog::LINE};
use crate::work::Voice;

pub(crate) const WHOLE: Candidate = Candidate {
    name: "floor",
    what: "the floor: straight-line formatter, bare queue",
    line: Some(LINE),
    one_of: 1,
    how: How::Threads(Voice::Tracing, whole),
};

fn whole(path: &Path) -> io::Result<Finish> {
    let (subscriber, guard) = floor::start(append_to(path)?);
    tracing::dispatcher::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(Box::new(|_| {
        drop(guard);
        Ok(())
    }))
}

pub(crate) const QUEUE: Candidate = Candidate {
    name: "floor_queue",
    what: "the floor's queue alone, with lines that are ready",
    line: Some(LINE),
    one_of: 1,
    how: How::Threads(Voice::Ready(hand_over), queue),
};

/// What the threads of a run hand their lines to.
static TAKER: OnceLock<Queue> = OnceLock::new();

fn hand_over() {
    let line = "[abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server host=\"smtp.example.com\" port=25\n";
    TAKER.get().expect("the candidate is open").take(line.as_bytes());
}

fn queue(path: &Path) -> io::Result<Finish> {
    let (queue, guard) = floor::spawn(append_to(path)?);
    TAKER.set(queue).map_err(|_| io::Error::other("it is open already"))?;
    Ok(Box::new(|_| {
        drop(guard);
        Ok(())
    }))
}

//! What an event costs that nobody wants to see.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::TaskLayer;

use super::{Candidate, Finish, How, install, nothing_to_finish};
use crate::work::Voice;

pub(crate) const WRITTEN: Candidate = Candidate {
    name: "written",
    what: "TaskLayer into a writer that only counts",
    line: None,
    one_of: 4,
    how: How::Threads(Voice::Tracing, written),
};

pub(crate) const BELOW: Candidate = Candidate {
    name: "below_min_level",
    what: "the same with min_level WARN",
    line: None,
    one_of: 1,
    how: How::Threads(Voice::Tracing, below),
};

pub(crate) const FILTERED: Candidate = Candidate {
    name: "filtered",
    what: "the same under LevelFilter::WARN",
    line: None,
    one_of: 1,
    how: How::Threads(Voice::Tracing, filtered),
};

pub(crate) const LOOP: Candidate = Candidate {
    name: "no_event",
    what: "the loop that logs the events, without them",
    line: None,
    one_of: 1,
    how: How::Threads(Voice::Silent, |_| Ok(nothing_to_finish())),
};

/// Counts lines, and forgets them.
#[derive(Clone, Default)]
struct Count(Arc<AtomicU64>);

impl<'a> MakeWriter<'a> for Count {
    type Writer = &'a Count;

    fn make_writer(&'a self) -> &'a Count {
        self
    }
}

impl io::Write for &Count {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed); // there is one thread
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Count {
    fn expect(&self, lines: u64) -> io::Result<()> {
        match self.0.load(Ordering::Relaxed) {
            found if found == lines => Ok(()),
            found => Err(io::Error::other(format!("{found} lines of {lines}"))),
        }
    }
}

fn written(_: &Path) -> io::Result<Finish> {
    let count = Count::default();
    install(tracing_subscriber::registry().with(TaskLayer::new(count.clone())))?;
    Ok(Box::new(move |events| count.expect(events)))
}

fn below(_: &Path) -> io::Result<Finish> {
    let count = Count::default();
    let layer = TaskLayer::new(count.clone()).with_min_level(Level::WARN);
    install(tracing_subscriber::registry().with(layer))?;
    Ok(Box::new(move |_| count.expect(0)))
}

fn filtered(_: &Path) -> io::Result<Finish> {
    let count = Count::default();
    install(tracing_subscriber::registry().with(TaskLayer::new(count.clone())).with(LevelFilter::WARN))?;
    Ok(Box::new(move |_| count.expect(0)))
}

//! What becomes of what the sink was given.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use super::{Flow, Outlet, Source, Troubles, Turn};
use crate::{
    Error,
    error::Trouble,
    writer::{
        lines,
        queue::{
            duty,
            failure::{Failure, calmly},
            inner::Inner,
        },
        tail,
    },
};

/// How soon an error is followed by the next try, at first and at most.
const RETRY_AFTER: Duration = Duration::from_millis(1);
const RETRY_AT_MOST: Duration = Duration::from_millis(500);

/// How often a line meets an error that nothing suggests will heal, before it is given up.
const TRIES: u32 = 3;

/// How often in a row a call that was interrupted is made again at once.
const INTERRUPTIONS: u32 = 1000;

impl Outlet {
    /// The sink has taken so many bytes.
    pub(super) fn took(&mut self, queue: &Inner, source: Source, bytes: usize) {
        let flow = self.flow(source);
        let written = lines::count(&flow.bytes[flow.at..flow.at + bytes]);
        flow.at += bytes;
        let mut core = queue.lock();
        core.bytes += bytes as u64;
        match source {
            Source::Main => {
                core.settle(bytes);
                core.written += written;
            }
            Source::Side => {
                queue.side.took(bytes, self.side.is_done());
                core.written += written;
                core.moved();
            }
            Source::Own => {
                core.announcements += written;
                core.moved();
                if self.closes_to.is_some_and(|end| self.own.at >= end) {
                    (self.is_torn, self.closes_to) = (false, None);
                }
                if self.own.is_done() {
                    self.announced = self.announcing;
                }
            }
        }
        queue.tell_of_progress(core);
    }

    /// The sink has returned an error.
    pub(super) fn failed(
        &mut self,
        queue: &Inner,
        source: Source,
        error: io::Error,
        bytes: usize,
        troubles: &mut Troubles,
    ) -> Turn {
        queue.lock().errors += 1;
        self.failures += 1;
        if error.kind() == ErrorKind::Interrupted && self.failures < INTERRUPTIONS {
            return Turn::More;
        }
        let (error, heals) = Failure::Error(error).into_error();
        let is_given_up = !heals && self.failures >= TRIES;
        if is_given_up {
            self.reason = tail::reason(&error);
            self.give_up_a_line(queue, source, bytes);
        }
        if error.kind() != ErrorKind::WouldBlock {
            let error = Error::io_somewhere("write to the sink of the queue", error);
            troubles.push(Trouble::Write, error, source != Source::Main);
        }
        if is_given_up { Turn::More } else { self.wait() }
    }

    /// The sink has panicked: what it has taken can't be told. With several lines, each is tried alone; one is given up.
    pub(super) fn panicked(
        &mut self,
        queue: &Inner,
        source: Source,
        bytes: usize,
        troubles: &mut Troubles,
    ) -> Turn {
        queue.lock().errors += 1;
        let error = io::Error::other("it panicked");
        let flow = self.flow(source);
        if source == Source::Own || lines::first(&flow.bytes[flow.at..]) == bytes {
            self.reason = "the sink panicked".to_owned();
            self.give_up_a_line(queue, source, bytes);
        }
        self.is_careful = true;
        let error = Error::io_somewhere("write to the sink of the queue", error);
        troubles.push(Trouble::Panic, error, source != Source::Main);
        Turn::More
    }

    /// Gives up the first line of what the sink was given.
    fn give_up_a_line(&mut self, queue: &Inner, source: Source, bytes: usize) {
        self.is_torn |= self.flow(source).is_within_a_line();
        let flow = self.flow(source);
        let line = lines::first(&flow.bytes[flow.at..flow.at + bytes]);
        flow.at += line;
        let could_close = source == Source::Own && self.closes_to.is_some();
        let mut core = queue.lock();
        match source {
            // An announcement: it is made anew when other lines have been tried. Alone it would be tried for ever.
            Source::Own => {
                (self.own, self.announcing, self.closes_to) = (Flow::default(), self.announced, None);
            }
            Source::Side => {
                core.drops.sink_failed += 1;
                core.moved();
                queue.side.took(line, self.side.is_done());
            }
            Source::Main => {
                core.drops.sink_failed += 1;
                core.settle(line);
                let settled = core.settled;
                core.gap.get_or_insert(settled);
            }
        }
        queue.tell_of_progress(core);
        if could_close {
            self.give_up_the_next(queue);
        }
    }

    /// A fragment could not be closed: the line that would follow it can't be written either.
    fn give_up_the_next(&mut self, queue: &Inner) {
        for source in [Source::Side, Source::Main] {
            let flow = self.flow(source);
            if !flow.is_done() {
                let rest = flow.bytes.len() - flow.at;
                return self.give_up_a_line(queue, source, rest);
            }
        }
    }

    /// Returns when to try again.
    fn wait(&mut self) -> Turn {
        let pause = RETRY_AFTER.saturating_mul(1 << self.failures.clamp(1, 10)).min(RETRY_AT_MOST);
        let at = Instant::now() + pause;
        self.retry_at = Some(at);
        Turn::Wait(at)
    }

    /// Has the sink pass on what it may keep.
    pub(super) fn flush(&mut self, queue: &Inner, troubles: &mut Troubles) -> Turn {
        if self.is_dirty {
            let on_duty = duty::write(queue.id(), !self.has_lines);
            let flushed = calmly(|| self.sink.flush());
            drop(on_duty);
            if let Err(failure) = flushed {
                queue.lock().errors += 1;
                self.failures += 1;
                let (error, heals) = failure.into_error();
                let error = Error::io_somewhere("flush the sink of the queue", error);
                troubles.push(Trouble::Write, error, !self.has_lines);
                if heals || self.failures < TRIES {
                    return self.wait();
                }
            }
            self.failures = 0;
            (self.is_dirty, self.has_lines) = (false, false);
        }
        let mut core = queue.lock();
        core.flushed = queue.mark_of_settled(&core);
        queue.tell_of_progress(core);
        Turn::Idle
    }
}

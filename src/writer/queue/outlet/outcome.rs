//! What becomes of what the sink was given.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use super::{Outlet, Own, Source, Troubles, Turn};
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
        let flow = self.flow_mut(source);
        let written = lines::count(&flow.rest()[..bytes]);
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
                core.moved();
                self.told();
            }
        }
        queue.tell_of_progress(core);
    }

    /// The first of the own lines may be written now.
    fn told(&mut self) {
        if self.own.front().is_some_and(|own| own.flow.is_done())
            && let Some(own) = self.own.pop_front()
        {
            self.is_torn &= !own.closes_a_fragment();
            self.ledger.told(&own.tells);
        }
    }

    /// The sink has returned an error.
    pub(super) fn failed(
        &mut self,
        queue: &Inner,
        source: Source,
        error: io::Error,
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
            self.ledger.reason = tail::reason(&error);
            self.give_up_a_line(queue, source);
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
        len: usize,
        troubles: &mut Troubles,
    ) -> Turn {
        queue.lock().errors += 1;
        if lines::first(self.flow(source).rest()) == len {
            self.ledger.reason = "the sink panicked".to_owned();
            self.give_up_a_line(queue, source);
        }
        self.is_careful = true;
        let error = Error::io_somewhere("write to the sink of the queue", io::Error::other("it panicked"));
        troubles.push(Trouble::Panic, error, source != Source::Main);
        Turn::More
    }

    /// Gives up the first line of a source, or the rest of it.
    fn give_up_a_line(&mut self, queue: &Inner, source: Source) {
        let flow = self.flow_mut(source);
        let (is_torn, line) = (flow.is_within_a_line(), lines::first(flow.rest()));
        flow.at += line;
        self.is_torn |= is_torn;
        let mut core = queue.lock();
        match source {
            // An announcement: it is made anew when other lines have been tried. Alone it would be tried for ever.
            Source::Own => {
                let could_close = self.own.front().is_some_and(Own::closes_a_fragment);
                self.own.clear();
                drop(core);
                if could_close {
                    self.give_up_the_next(queue);
                }
                return;
            }
            Source::Side => {
                queue.side.took(line, self.side.is_done());
                core.moved();
            }
            Source::Main => {
                core.settle(line);
                let settled_to = core.settled_to;
                core.gap.get_or_insert(settled_to); // at its place
            }
        }
        core.drops.sink_failed += 1;
        queue.tell_of_progress(core);
    }

    /// A fragment could not be closed: the line that would follow it can't be written either.
    fn give_up_the_next(&mut self, queue: &Inner) {
        let next = [Source::Side, Source::Main].into_iter().find(|source| !self.flow(*source).is_done());
        if let Some(source) = next {
            self.give_up_a_line(queue, source);
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
    pub(in crate::writer::queue) fn flush(&mut self, queue: &Inner, troubles: &mut Troubles) -> Turn {
        let mut failed = None;
        if self.is_dirty {
            let on_duty = duty::write(queue.id(), !self.has_lines);
            let flushed = calmly(|| self.sink.flush());
            drop(on_duty);
            if queue.is_parents() {
                return Turn::Forked;
            }
            if let Err(failure) = flushed {
                queue.lock().errors += 1;
                self.failures += 1;
                let (error, heals) = failure.into_error();
                failed = Some((error.kind(), error.to_string()));
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
        core.flushed_bytes = core.settled;
        core.cleans = false;
        if failed.is_some() {
            core.flush_failed = failed;
        }
        queue.tell_of_progress(core);
        Turn::Idle
    }
}

//! The sink, and what is on its way into it: whole lines, whatever part of them it takes at a time.
//!
//! One thread has it at a time: it takes it out of the [`Slot`](super::slot::Slot), has one turn, and puts it back. Errors that heal (a full
//! disk) keep what is there for the next turn; any other is tried three times, and then costs one line.

mod outcome;

use std::{
    io::{ErrorKind, Write},
    mem,
    time::{Duration, Instant},
};

use super::{
    core::Mode,
    drops::Drops,
    duty,
    failure::{Failure, calmly},
    inner::Inner,
    side::SideLine,
};
use crate::{
    Error,
    error::Trouble,
    writer::{lines, tail},
};

/// Losses are announced so often at most, while there is much to write.
const ANNOUNCE_EVERY: Duration = Duration::from_millis(250);

/// Bytes of whole lines, and how many of them the sink has taken.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    at: usize,
}

impl Flow {
    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Returns whether the sink has taken the beginning of a line, and not its end.
    fn is_within_a_line(&self) -> bool {
        self.at > 0 && self.bytes[self.at - 1] != b'\n'
    }
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// What this crate says itself.
    Own,
    /// A line of the side buffer.
    Side,
    /// A batch of the queue.
    Main,
}

/// How much is taken out of the queue in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// Full batches.
    Full,
    /// What is there.
    All,
    /// What is there, and it has been quiet for a while: time for what could wait.
    Quiet,
}

/// What a turn has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// There may be more to do.
    More,
    /// Everything was written that there was to write, and the sink was flushed.
    Idle,
    /// The sink has failed, and may be tried again then.
    Wait(Instant),
}

/// What is told when nobody has the sink.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    pub(super) list: Vec<(Trouble, Error)>,
    /// They come from the writing of what the writing has caused.
    pub(super) is_echo: bool,
}

impl Troubles {
    fn push(&mut self, trouble: Trouble, error: Error, is_echo: bool) {
        self.list.push((trouble, error));
        self.is_echo |= is_echo;
    }
}

/// The sink.
pub(super) struct Outlet {
    sink: Box<dyn Write + Send>,
    main: Flow,
    side: Flow,
    side_position: u64,
    own: Flow,
    /// What the sink has taken ends in a fragment, whose line was given up. If `own` closes it, up to where.
    is_torn: bool,
    closes_to: Option<usize>,
    /// One line at a time, because the sink panicked with several.
    is_careful: bool,
    /// Failures in a row, and when the next try may be.
    failures: u32,
    retry_at: Option<Instant>,
    /// The losses that the log knows of, those that `own` tells of, and when they were announced.
    announced: Drops,
    announcing: Drops,
    announced_at: Option<Instant>,
    /// The last losses before the end were announced: what that causes is not.
    has_said_all: bool,
    /// There was an announcement when so much was settled: the next one has to wait until more is.
    muted_at: Option<u64>,
    /// What the sink said when it lost a line.
    reason: String,
    /// What was written since the last flush: lines, and anything.
    has_lines: bool,
    is_dirty: bool,
}

impl Outlet {
    pub(super) fn new(sink: Box<dyn Write + Send>) -> Self {
        Outlet {
            sink,
            main: Flow::default(),
            side: Flow::default(),
            side_position: 0,
            own: Flow::default(),
            is_torn: false,
            closes_to: None,
            is_careful: false,
            failures: 0,
            retry_at: None,
            announced: Drops::default(),
            announcing: Drops::default(),
            announced_at: None,
            has_said_all: false,
            muted_at: None,
            reason: String::new(),
            has_lines: false,
            is_dirty: false,
        }
    }

    /// The sink of a child made by fork(2): what its parent is about to write is not its own.
    pub(super) fn in_child(self) -> Self {
        let is_torn = self.is_torn || self.is_within_a_line() || self.own.is_within_a_line();
        Outlet { is_torn, ..Outlet::new(self.sink) }
    }

    /// Has the sink pass on what it may keep, as far as it can now.
    pub(super) fn clean(&mut self, queue: &Inner) {
        if self.is_dirty {
            let _duty = duty::write(queue.id(), false);
            // If that fails it is tried again by the next flush, which tells of it.
            let _ = calmly(|| self.sink.flush());
        }
    }

    /// Does one thing: a write or a flush.
    pub(super) fn turn(&mut self, queue: &Inner, pace: Pace, troubles: &mut Troubles) -> Turn {
        if let Some(at) = self.retry_at.filter(|&at| Instant::now() < at) {
            return Turn::Wait(at);
        }
        self.retry_at = None;
        self.refill(queue, pace, troubles);
        match self.next(queue) {
            None => self.flush(queue, troubles),
            Some(Source::Main) if !self.main.is_within_a_line() && queue.is_flush_due() => {
                self.flush(queue, troubles)
            }
            Some(source) => self.write(queue, source, troubles),
        }
    }

    /// Fetches what is to be written.
    fn refill(&mut self, queue: &Inner, pace: Pace, troubles: &mut Troubles) {
        if self.main.is_done() {
            let next = queue.batches.next().or_else(|| {
                let mut core = queue.lock();
                // Lines may have come into a full batch just now.
                let next = queue.batches.next();
                next.or_else(|| (pace > Pace::Full).then(|| core.take_open(&queue.batches)).flatten())
            });
            self.is_careful &= next.is_none();
            let before = mem::replace(&mut self.main, Flow { bytes: next.unwrap_or_default(), at: 0 });
            if before.bytes.capacity() > 0 {
                queue.batches.give_back(before.bytes);
            }
        }
        // Afterwards: a line that comes into the side buffer only now was logged before all that is not in the batch.
        if self.side.is_done()
            && let Some(SideLine { position, bytes }) = queue.side.pop()
        {
            (self.side, self.side_position) = (Flow { bytes, at: 0 }, position);
        }
        if self.own.is_done() {
            self.announce(queue, pace, troubles);
        }
    }

    /// Has the log say what was lost, when that is due.
    fn announce(&mut self, queue: &Inner, pace: Pace, troubles: &mut Troubles) {
        let mut core = queue.lock();
        let all = Drops { nested: queue.side.lost(), ..core.drops };
        let is_end = core.mode == Mode::Closing && core.is_settled() && self.side.is_done();
        let is_last = is_end && !self.has_said_all;
        // What the writing has caused is told along with other lines, or at the end: else it would cause more for ever.
        let is_due = match core.gap {
            Some(gap) => gap <= core.settled,
            None => !self.main.is_done() || is_last,
        };
        let is_muted = self.muted_at == Some(core.settled) && !is_last;
        let is_soon = pace != Pace::Quiet
            && core.mode == Mode::Threaded
            && !core.is_flush_wanted()
            && self.announced_at.is_some_and(|at| at.elapsed() < ANNOUNCE_EVERY);
        if all == self.announced || !is_due || is_soon || is_muted || self.is_within_a_line() {
            return;
        }
        self.has_said_all = is_end;
        core.gap = None;
        self.muted_at = Some(core.settled);
        drop(core);
        let lost = all.since(&self.announced);
        (self.announced_at, self.announcing) = (Some(Instant::now()), all);
        self.own = Flow::default();
        queue.options.announce.push(&lost, &self.reason, &mut self.own.bytes);
        if self.own.bytes.is_empty() {
            self.announced = all; // it is not to be announced
        }
        if lost.total() > lost.sink_failed {
            let reasons = Drops { sink_failed: 0, ..lost };
            let reason = reasons.reasons("").map(|(_, reason)| reason).next().unwrap_or_default();
            troubles.push(Trouble::Dropped, Error::dropped(reasons.total(), reason), lost.nested > 0);
        }
    }

    fn has_any(&self) -> bool {
        !self.main.is_done() || !self.side.is_done() || !self.own.is_done()
    }

    fn is_within_a_line(&self) -> bool {
        self.main.is_within_a_line() || self.side.is_within_a_line()
    }

    /// Returns what is to be written next: the rest of a line first.
    fn next(&mut self, queue: &Inner) -> Option<Source> {
        if self.main.is_within_a_line() {
            return Some(Source::Main);
        }
        if self.side.is_within_a_line() {
            return Some(Source::Side);
        }
        if self.own.is_within_a_line() {
            return Some(Source::Own);
        }
        if self.is_torn && self.closes_to.is_none() && self.has_any() {
            if self.own.is_done() {
                self.own = Flow::default();
            }
            let at = self.own.at;
            self.own.bytes.splice(at..at, tail::CLOSE_FRAGMENT.iter().copied());
            self.closes_to = Some(at + tail::CLOSE_FRAGMENT.len());
        }
        if !self.own.is_done() {
            return Some(Source::Own);
        }
        if !self.side.is_done() && self.side_position <= queue.lock().settled {
            return Some(Source::Side);
        }
        (!self.main.is_done()).then_some(Source::Main)
    }

    /// What the sink is given of a source: whole lines.
    fn piece(&self, queue: &Inner, source: Source) -> (usize, usize) {
        let flow = match source {
            Source::Own => &self.own,
            Source::Side => &self.side,
            Source::Main => &self.main,
        };
        let rest = &flow.bytes[flow.at..];
        let mut end = rest.len();
        if source == Source::Main && !self.side.is_done() {
            // Up to the place where the line of the side buffer belongs.
            let before = self.side_position.saturating_sub(queue.lock().settled);
            end = end.min(usize::try_from(before).unwrap_or(usize::MAX)).max(lines::first(rest));
        }
        if self.is_careful {
            end = end.min(lines::first(rest));
        }
        (flow.at, flow.at + end)
    }

    fn flow(&mut self, source: Source) -> &mut Flow {
        match source {
            Source::Own => &mut self.own,
            Source::Side => &mut self.side,
            Source::Main => &mut self.main,
        }
    }

    /// Has the sink take what it will of a source.
    fn write(&mut self, queue: &Inner, source: Source, troubles: &mut Troubles) -> Turn {
        let (from, to) = self.piece(queue, source);
        let on_duty = duty::write(queue.id(), source != Source::Main);
        let piece = match source {
            Source::Own => &self.own.bytes[from..to],
            Source::Side => &self.side.bytes[from..to],
            Source::Main => &self.main.bytes[from..to],
        };
        let written = calmly(|| self.sink.write(piece));
        drop(on_duty);
        self.is_dirty = true;
        self.has_lines |= source == Source::Main;
        match written {
            Ok(0) => self.failed(queue, source, ErrorKind::WriteZero.into(), to - from, troubles),
            Ok(taken) => {
                self.failures = 0;
                self.took(queue, source, taken.min(to - from));
                Turn::More
            }
            Err(Failure::Panic) => self.panicked(queue, source, to - from, troubles),
            Err(Failure::Error(error)) => self.failed(queue, source, error, to - from, troubles),
        }
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

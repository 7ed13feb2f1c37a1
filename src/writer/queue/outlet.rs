//! The sink, and what is on its way into it: whole lines, whatever part of them it takes at a time.
//!
//! One thread has it at a time: it takes it out of the [`Slot`](super::slot::Slot), has one turn, and puts it back. Errors that heal (a full
//! disk) keep what is there for the next turn; any other is tried three times, and then costs one line.

mod outcome;

use std::{
    collections::VecDeque,
    io::{ErrorKind, Write},
    mem,
    sync::atomic::Ordering,
    time::Instant,
};

use super::{
    drops::Drops,
    duty,
    failure::{Failure, calmly},
    inner::Inner,
    lanes::{Local, shape},
    ledger::Ledger,
    side::SideLine,
};
use crate::{
    Error,
    error::Trouble,
    sys::stamp,
    writer::{lines, tail},
};

/// As many bytes as are written with one call, of single lines that are larger apart.
pub(super) const LARGEST_BATCH: usize = 64 * 1024;

/// Bytes of whole lines, and how many of them the sink has taken.
#[derive(Debug, Default)]
struct Flow {
    bytes: Vec<u8>,
    at: usize,
}

impl Flow {
    fn new(bytes: Vec<u8>) -> Self {
        Flow { bytes, at: 0 }
    }

    fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Returns whether the sink has taken the beginning of a line, and not its end.
    fn is_within_a_line(&self) -> bool {
        self.at > 0 && self.bytes[self.at - 1] != b'\n'
    }
}

/// A line that this crate itself writes.
#[derive(Debug)]
struct Own {
    flow: Flow,
    /// The losses that it tells of; none, if it closes a fragment.
    tells: Drops,
}

impl Own {
    fn closes_a_fragment(&self) -> bool {
        self.tells == Drops::default()
    }
}

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// What this crate says itself.
    Own,
    /// A line of the side buffer.
    Side,
    /// Lines of the lanes.
    Main,
}

/// How much is taken out of the queue in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pace {
    /// As much as goes into one write, or nothing.
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
    /// The sink has forked, and this is the child: all of it is the parent's.
    Forked,
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
    /// How far the lanes were read.
    local: Local,
    main: Flow,
    /// The stamp up to which that has all lines.
    main_to: u64,
    side: Flow,
    side_stamp: u64,
    own: VecDeque<Own>,
    ledger: Ledger,
    /// What the sink has taken ends in a fragment, whose line was given up.
    is_torn: bool,
    /// One line at a time, because the sink panicked with several.
    is_careful: bool,
    /// Failures in a row, and when the next try may be.
    failures: u32,
    retry_at: Option<Instant>,
    /// What was written since the last flush: lines, and anything.
    has_lines: bool,
    is_dirty: bool,
}

impl Outlet {
    pub(super) fn new(sink: Box<dyn Write + Send>) -> Self {
        Outlet {
            sink,
            local: Local::default(),
            main: Flow::default(),
            main_to: 0,
            side: Flow::default(),
            side_stamp: 0,
            own: VecDeque::new(),
            ledger: Ledger::default(),
            is_torn: false,
            is_careful: false,
            failures: 0,
            retry_at: None,
            has_lines: false,
            is_dirty: false,
        }
    }

    /// The sink of a child made by fork(2): what its parent is about to write is not its own.
    pub(super) fn in_child(self) -> Self {
        let is_torn = self.is_torn || self.within_a_line().is_some();
        Outlet { is_torn, ..Outlet::new(self.sink) }
    }

    /// Returns whether the sink keeps nothing that it was given.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_dirty
    }

    /// Does one thing: a write or a flush.
    pub(super) fn turn(&mut self, queue: &Inner, pace: Pace, troubles: &mut Troubles) -> Turn {
        if let Some(at) = self.retry_at.filter(|&at| Instant::now() < at) {
            return Turn::Wait(at);
        }
        self.retry_at = None;
        self.refill(queue, pace, troubles);
        match self.next() {
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
            self.gather(queue, pace);
        }
        if self.own.is_empty() && self.within_a_line().is_none() {
            self.announce(queue, pace, troubles);
        }
    }

    /// Gathers lines of the lanes: those that come before the next line of the side buffer.
    fn gather(&mut self, queue: &Inner, pace: Pace) {
        let mut bytes = mem::take(&mut self.main).bytes;
        bytes.clear();
        let mut core = queue.lock();
        core.settled_to = core.settled_to.max(self.main_to);
        if let Some(batch) = core.batch.take() {
            core.empty = mem::replace(&mut bytes, batch);
            self.main_to = stamp::now();
        }
        let has_large = core.large.is_some();
        drop(core);
        // The clock first: what comes into the lanes or the side buffer only now has a later stamp, and so has all that depends on it.
        if bytes.is_empty() && (pace > Pace::Full || queue.has_full_batch() || has_large) {
            let urgent = queue.lanes.number(shape::URGENT);
            let is_urgent = urgent.swap(0, Ordering::Acquire) > 0; // before the look: it sees the line
            self.local.look(&queue.lanes);
            self.next_of_side(queue);
            let large = queue.lock().large.as_ref().map(|(stamp, _)| *stamp);
            let side = (!self.side.is_done()).then_some(self.side_stamp);
            let to = large.into_iter().chain(side).min().unwrap_or(u64::MAX);
            bytes.shrink_to(2 * LARGEST_BATCH); // what a long line has made larger
            self.main_to = self.local.gather(&queue.lanes, to, LARGEST_BATCH, &mut bytes);
            if is_urgent && self.main_to < self.local.looked_at() {
                urgent.store(1, Ordering::Release); // it may be among those that are left
            }
            if bytes.is_empty() {
                self.take_large(queue, &mut bytes);
            }
        }
        self.next_of_side(queue);
        self.is_careful &= bytes.is_empty();
        self.main = Flow::new(bytes);
    }

    /// Takes the next line of the side buffer, if there is none already.
    fn next_of_side(&mut self, queue: &Inner) {
        if self.side.is_done()
            && let Some(SideLine { stamp, bytes }) = queue.side.pop()
        {
            (self.side, self.side_stamp) = (Flow::new(bytes), stamp);
        }
    }

    /// Takes the line that is larger than all lanes, if its turn has come.
    fn take_large(&mut self, queue: &Inner, into: &mut Vec<u8>) {
        let mut core = queue.lock();
        core.settled_to = core.settled_to.max(self.main_to);
        let is_due = |(stamp, _): &mut (u64, Vec<u8>)| *stamp <= self.main_to;
        if let Some((_, line)) = core.large.take_if(is_due) {
            *into = line;
        }
    }

    /// Has the log say what was lost, when that is due.
    fn announce(&mut self, queue: &Inner, pace: Pace, troubles: &mut Troubles) {
        let mut core = queue.lock();
        let has_more = !self.main.is_done() || !self.side.is_done();
        let (has_lines, is_quiet) = (queue.has_lines(&core), pace == Pace::Quiet);
        let due = self.ledger.due(&mut core, queue.side.lost(), has_more, has_lines, is_quiet);
        let Some(lost) = due else { return };
        drop(core);
        for lost in lost.by_cause() {
            let line = queue.options.announce.line(&lost, &self.ledger.reason, &[]);
            if line.is_empty() {
                self.ledger.told(&lost); // it is not to be told
            } else {
                self.own.push_back(Own { flow: Flow::new(line.into_bytes()), tells: lost });
            }
            if lost.sink_failed == 0 {
                let error = Error::dropped(lost.total(), lost.reason(""));
                troubles.push(Trouble::Dropped, error, lost.nested > 0);
            }
        }
    }

    /// Returns what was begun with a line that has to be ended first.
    fn within_a_line(&self) -> Option<Source> {
        let own = self.own.front().is_some_and(|own| own.flow.is_within_a_line());
        let begun = [
            (Source::Main, self.main.is_within_a_line()),
            (Source::Side, self.side.is_within_a_line()),
            (Source::Own, own),
        ];
        begun.into_iter().find(|(_, is_begun)| *is_begun).map(|(source, _)| source)
    }

    /// Returns what is to be written next: the rest of a line first.
    fn next(&mut self) -> Option<Source> {
        if let Some(source) = self.within_a_line() {
            return Some(source);
        }
        let is_side_due = self.main.is_done() && !self.side.is_done() && self.side_stamp <= self.main_to;
        let has_any = is_side_due || !self.main.is_done() || !self.own.is_empty();
        if self.is_torn && has_any && !self.own.front().is_some_and(Own::closes_a_fragment) {
            let flow = Flow::new(tail::CLOSE_FRAGMENT.to_vec());
            self.own.push_front(Own { flow, tells: Drops::default() });
        }
        if !self.own.is_empty() {
            return Some(Source::Own);
        }
        if is_side_due {
            return Some(Source::Side);
        }
        (!self.main.is_done()).then_some(Source::Main)
    }

    /// How much of a source the sink is given: whole lines.
    fn piece_len(&self, source: Source) -> usize {
        let rest = self.flow(source).rest();
        if self.is_careful { lines::first(rest) } else { rest.len() }
    }

    fn flow(&self, source: Source) -> &Flow {
        match source {
            Source::Own => &self.own[0].flow,
            Source::Side => &self.side,
            Source::Main => &self.main,
        }
    }

    fn flow_mut(&mut self, source: Source) -> &mut Flow {
        match source {
            Source::Own => &mut self.own[0].flow,
            Source::Side => &mut self.side,
            Source::Main => &mut self.main,
        }
    }

    /// Has the sink take what it will of a source.
    fn write(&mut self, queue: &Inner, source: Source, troubles: &mut Troubles) -> Turn {
        let len = self.piece_len(source);
        let on_duty = duty::write(queue.id(), source != Source::Main);
        let flow = match source {
            Source::Own => &self.own[0].flow,
            Source::Side => &self.side,
            Source::Main => &self.main,
        };
        let written = calmly(|| self.sink.write(&flow.rest()[..len]));
        drop(on_duty);
        if queue.is_parents() {
            return Turn::Forked;
        }
        self.is_dirty = true;
        self.has_lines |= source == Source::Main;
        match written {
            Ok(0) => self.failed(queue, source, ErrorKind::WriteZero.into(), troubles),
            Ok(taken) => {
                self.failures = 0;
                self.took(queue, source, taken.min(len));
                Turn::More
            }
            Err(Failure::Panic) => self.panicked(queue, source, len, troubles),
            Err(Failure::Error(error)) => self.failed(queue, source, error, troubles),
        }
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

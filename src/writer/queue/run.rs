//! Who writes: the writer's thread, and whoever logs when there is none.

use std::{
    io, mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    core::{Core, Mark, Mode},
    duty,
    inner::Inner,
    lanes::protocol,
    outlet::{LARGEST_BATCH, Pace, Troubles, Turn},
    waiting::Limit,
};
use crate::{
    error::{Trouble, report},
    sys::stamp,
};

/// How long a line waits for company at most, and how long it must have been quiet before the writer's thread sleeps.
const LINGER: Duration = Duration::from_millis(20);

/// How long somebody who logs without a writer's thread pauses at a time while the sink fails.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the end of a queue waits for its thread, which has nothing more to do.
const THREAD_ENDS_WITHIN: Duration = Duration::from_secs(1);

/// When the writer's thread looks again.
#[derive(Debug, Default)]
struct Wait {
    /// Until then lines wait for company. Afterwards what there is is written; then it sleeps.
    lingers_until: Option<Instant>,
    /// The sink has failed, and isn't tried before.
    retries_at: Option<Instant>,
    /// What was logged up to this stamp has waited long enough.
    takes_to: u64,
    /// The last turn may have left something to do.
    has_more: bool,
    /// The queue ends; and everything was done, with that known.
    is_closing: bool,
    is_done: bool,
}

/// What the writer's thread does next.
#[derive(Debug)]
enum Next {
    Turn(Pace),
    /// It sleeps until it is woken, but not longer than that.
    Park(Option<Duration>),
    End,
}

/// The writer's thread.
pub(super) fn run(queue: &Arc<Inner>) {
    // What is logged on this thread goes aside, whatever it is doing.
    let _duty = duty::write(queue.id(), false);
    let mut wait = Wait::default();
    while let Some(pace) = queue.wait_for_work(&mut wait) {
        let mut outlet = queue.slot.take();
        let mut troubles = Troubles::default();
        let turn = outlet.turn(queue, pace, &mut troubles);
        if turn == Turn::Forked {
            return mem::forget(outlet);
        }
        queue.slot.put_back(outlet);
        queue.tell(troubles);
        if queue.is_parents() {
            return; // the error hook has forked
        }
        wait.has_more = turn == Turn::More;
        wait.is_done = turn == Turn::Idle && wait.is_closing;
        match turn {
            Turn::More | Turn::Forked => {}
            Turn::Idle => wait.lingers_until = (pace != Pace::Quiet).then(|| Instant::now() + LINGER),
            Turn::Wait(at) => wait.retries_at = Some(at),
        }
    }
}

impl Inner {
    /// Waits until there is something to do, and says how much. `None` when the queue has ended.
    fn wait_for_work(&self, wait: &mut Wait) -> Option<Pace> {
        loop {
            let mut core = self.lock();
            self.set_state(protocol::AWAKE);
            match self.next(&mut core, wait) {
                Next::Turn(pace) => return Some(pace),
                Next::End => {
                    core.mode = Mode::Direct;
                    self.tell_of_progress(core);
                    return None;
                }
                Next::Park(limit) => {
                    drop(core);
                    limit.map_or_else(thread::park, thread::park_timeout);
                }
            }
        }
    }

    /// Decides what is next for the writer's thread.
    fn next(&self, core: &mut Core, wait: &mut Wait) -> Next {
        let now = Instant::now();
        if let Some(at) = wait.retries_at.filter(|&at| now < at) {
            return Next::Park(Some(at - now));
        }
        let may_retry = wait.retries_at.take().is_some();
        wait.is_closing = core.mode == Mode::Closing;
        if wait.is_closing {
            // What was logged later is the business of those who logged it: they wait for it.
            let has_later = self.has_lines(core);
            // What the sink has logged in its last flush is still written.
            let is_done = wait.is_done && self.side.is_clear();
            let is_over = core.flushed.has(core.closes_at) && (is_done || has_later);
            return if is_over { Next::End } else { Next::Turn(Pace::Quiet) };
        }
        let has_side = !self.side.is_clear();
        let has_lines = self.has_lines(core);
        let is_pressed = self.is_pressing(core) && (has_lines || core.is_flush_wanted());
        if may_retry || wait.has_more || has_side || is_pressed || self.has_full_batch() {
            let takes_all = self.is_pressing(core) || has_side || core.settled_to < wait.takes_to;
            return Next::Turn(if takes_all { Pace::All } else { Pace::Full });
        }
        if has_lines {
            wait.lingers_until.get_or_insert(now + LINGER);
        }
        self.next_when_quiet(core, wait, now)
    }

    /// The same when nothing has to be written at once. Says what the thread is about to do, and looks once more before it does that.
    fn next_when_quiet(&self, core: &Core, wait: &mut Wait, now: Instant) -> Next {
        if wait.lingers_until.is_none() {
            self.set_state(protocol::SLEEPS);
            if !self.has_lines(core) {
                return Next::Park(None);
            }
            wait.lingers_until = Some(now + LINGER);
        }
        let until = wait.lingers_until.unwrap_or(now);
        if until <= now {
            wait.takes_to = stamp::now();
            return Next::Turn(Pace::Quiet);
        }
        self.set_state(protocol::LINGERS);
        if self.is_pressing(core) && (self.has_lines(core) || core.is_flush_wanted()) {
            self.set_state(protocol::AWAKE);
            return Next::Turn(Pace::All);
        }
        Next::Park(Some(until - now))
    }

    /// Returns whether there is as much as goes into one write.
    pub(super) fn has_full_batch(&self) -> bool {
        self.lanes.waiting() >= LARGEST_BATCH as u64
    }

    /// Sees off what was logged so far, where the writer's thread can't be left alone with it: there is none, or it is about to
    /// end. Waits so long at most without anything moving.
    #[cold]
    pub(super) fn see_off(&self, limit: Duration) {
        let (mark, mode) = self.want_flush();
        let is_over = |core: &Core| core.flushed.has(mark) || core.mode == Mode::Direct;
        if mode == Mode::Direct || (!duty::has_a_sink() && self.wait_until(Limit::Progress(limit), is_over)) {
            self.write_here(mark, limit);
        }
    }

    /// Has everything flushed that was logged so far. Returns how much that is, and who does it.
    pub(super) fn want_flush(&self) -> (Mark, Mode) {
        let mut core = self.lock();
        let mark = self.mark_of_now();
        core.want_flush(mark);
        let mode = core.mode;
        drop(core);
        self.wake(); // in any case: a signal may have interrupted a log call that was about to
        (mark, mode)
    }

    /// How far is what was logged so far.
    fn mark_of_now(&self) -> Mark {
        Mark { main: stamp::now(), side: self.side.pushed() }
    }

    /// How much was written or lost.
    pub(super) fn mark_of_settled(&self, core: &Core) -> Mark {
        Mark { main: core.settled_to, side: self.side.gone() }
    }

    /// Returns whether somebody waits for a flush, and all that it is about was handed to the sink.
    pub(super) fn is_flush_due(&self) -> bool {
        let core = self.lock();
        core.cleans || (core.is_flush_wanted() && self.mark_of_settled(&core).has(core.flush_to))
    }

    /// Writes on this thread, unless it was done already. If the sink takes nothing for `limit`, what is there stays for whoever
    /// comes next.
    fn write_here(&self, mut mark: Mark, limit: Duration) {
        let has_sink = duty::has_sink_of(self.id());
        let _duty = duty::write(self.id(), duty::is_echoing());
        let mut waited = Duration::ZERO;
        loop {
            let core = self.lock();
            let is_done = core.flushed.has(mark);
            let limit = if core.is_stalled { Duration::ZERO } else { limit };
            drop(core);
            if is_done && !self.has_echo(&mut mark) {
                return;
            }
            // One who has the sink already would wait for itself, but for its error hook: then it is in its place.
            let patience = if has_sink { Duration::ZERO } else { limit.saturating_sub(waited) };
            let Some(mut outlet) = self.slot.take_as_guest(patience) else { break };
            let mut troubles = Troubles::default();
            let turn = outlet.turn(self, Pace::Quiet, &mut troubles);
            if turn == Turn::Forked {
                return mem::forget(outlet);
            }
            self.slot.put_back(outlet);
            self.tell(troubles);
            match turn {
                Turn::More | Turn::Idle | Turn::Forked => waited = Duration::ZERO,
                Turn::Wait(_) if waited >= limit => break,
                Turn::Wait(at) => {
                    let pause = at.saturating_duration_since(Instant::now()).min(PAUSE);
                    thread::sleep(pause);
                    waited += pause;
                }
            }
        }
        self.lock().is_stalled |= limit >= self.options.stall_timeout && !has_sink;
    }

    /// Returns whether the writing up to a mark has caused lines of its own, for which the mark is moved on. What they cause
    /// in turn is only counted.
    fn has_echo(&self, mark: &mut Mark) -> bool {
        let pushed = self.side.pushed();
        if self.side.is_clear() || mark.side >= pushed {
            return false;
        }
        mark.side = pushed;
        self.lock().want_flush(*mark);
        true
    }

    /// Tells about troubles. Nobody has the sink meanwhile.
    pub(super) fn tell(&self, troubles: Troubles) {
        if troubles.list.is_empty() {
            return;
        }
        let _duty = duty::write(self.id(), troubles.is_echo);
        troubles.list.iter().for_each(|(trouble, error)| self.options.notice.tell(*trouble, error));
    }

    /// Hands everything that was logged so far over.
    pub(super) fn flush(&self, limit: Duration) -> Result<(), NotFlushed> {
        if duty::is_locking() {
            return Err(NotFlushed::InTime);
        }
        self.lock().flush_failed = None;
        let (mark, mode) = self.want_flush();
        if mode == Mode::Direct || duty::has_sink_of(self.id()) {
            self.write_here(mark, limit); // if this thread is not in the sink
        } else {
            let is_over = |core: &Core| core.flushed.has(mark) || core.mode == Mode::Direct;
            self.wait_until(Limit::Time(limit), is_over);
        }
        let mut core = self.lock();
        match core.flush_failed.take() {
            _ if !core.flushed.has(mark) => Err(NotFlushed::InTime),
            Some((kind, text)) => Err(NotFlushed::BySink(io::Error::new(kind, text))),
            None => Ok(()),
        }
    }

    /// Returns whether this thread is in the middle of something for this queue: then it would wait for itself.
    pub(super) fn is_mine(&self) -> bool {
        duty::is_locking() || duty::has_sink_of(self.id())
    }

    /// Begins to end the queue.
    pub(super) fn close(&self) {
        let mut core = self.lock();
        if core.mode == Mode::Threaded {
            core.mode = Mode::Closing;
            self.see_off_from_now();
            let mark = self.mark_of_now();
            core.closes_at = mark;
            core.want_flush(mark);
        }
        drop(core);
        self.wake();
    }

    /// Ends the queue: the writer's thread, when everything is written. Returns whether that was done within the limit.
    pub(super) fn end(&self, limit: Limit) -> bool {
        if duty::is_locking() {
            return false;
        }
        self.close();
        let (mark, mode) = self.want_flush();
        if mode == Mode::Direct || duty::has_sink_of(self.id()) {
            self.write_here(mark, limit.at_most(self.options.stall_timeout));
            return self.lock().flushed.has(mark);
        }
        let is_over = self.wait_until(limit, |core| core.mode == Mode::Direct);
        if is_over {
            self.ended.wait(THREAD_ENDS_WITHIN); // so that the sink can go with the last clone
        }
        is_over
    }

    /// Notes that somebody has waited for the end in vain: the end of the process waits only while the sink moves.
    pub(super) fn give_up(&self) {
        if !duty::is_locking() {
            self.lock().is_given_up = true;
        }
    }

    /// Writes what was left in a queue that had ended already, with nobody to do it.
    pub(super) fn finish(&self) {
        if !duty::is_locking() && self.lock().mode == Mode::Direct {
            self.see_off(self.options.stall_timeout);
        }
    }

    /// Tells about lines that are left in a queue that has ended: nothing will write them, unless the guard `is_kept`.
    pub(super) fn tell_of_the_rest(&self, is_kept: bool) {
        let Some(core) = self.lock_to_look() else { return };
        let lines = if core.mode == Mode::Direct { self.stats_of(&core).queued_lines } else { 0 };
        drop(core);
        if lines > 0 && is_kept {
            report(
                Trouble::Pending,
                format_args!("{lines} lines are still in the queue, its sink takes nothing"),
            );
        } else if lines > 0 {
            report(
                Trouble::Pending,
                format_args!("{lines} lines are lost, the sink of their queue takes nothing"),
            );
        }
    }
}

/// Why something was not flushed.
#[derive(Debug)]
pub(super) enum NotFlushed {
    /// The sink takes too long.
    InTime,
    /// The sink refuses to.
    BySink(io::Error),
}

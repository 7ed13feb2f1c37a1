//! Who writes: the writer's thread, and whoever logs when there is none.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    core::{Mode, Writer},
    duty::{self, Duty},
    inner::{Inner, Limit},
    outlet::{Pace, Troubles, Turn},
};
use crate::sys;

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
    /// What was there up to this position has waited long enough.
    takes_to: u64,
    /// The last turn may have left something to do.
    has_more: bool,
    /// The queue ends; and everything was done, with that known.
    is_closing: bool,
    is_done: bool,
}

/// The writer's thread.
pub(super) fn run(queue: &Arc<Inner>) {
    // What is logged on this thread goes aside, whatever it is doing.
    let _duty = duty::enter(Duty::Writes, queue.id());
    let mut wait = Wait::default();
    while let Some(pace) = queue.wait_for_work(&mut wait) {
        let mut outlet = queue.slot.take();
        let mut troubles = Troubles::default();
        let turn = outlet.turn(queue, pace, &mut troubles);
        if queue.forks != sys::forks() {
            std::mem::forget(outlet); // the sink has forked, and this is the child: all of it is the parent's
            return;
        }
        queue.slot.put_back(outlet);
        queue.tell(troubles);
        wait.has_more = turn == Turn::More;
        wait.is_done = turn == Turn::Idle && wait.is_closing;
        match turn {
            Turn::More => {}
            Turn::Idle => wait.lingers_until = (pace != Pace::Quiet).then(|| Instant::now() + LINGER),
            Turn::Wait(at) => wait.retries_at = Some(at),
        }
    }
}

impl Inner {
    /// Waits until there is something to do, and says how much. `None` when the queue has ended and nothing is left.
    fn wait_for_work(&self, wait: &mut Wait) -> Option<Pace> {
        loop {
            let mut core = self.lock();
            core.writer = Writer::Awake;
            let now = Instant::now();
            if let Some(at) = wait.retries_at.filter(|&at| now < at) {
                drop(core);
                thread::park_timeout(at - now);
                continue;
            }
            let may_retry = wait.retries_at.take().is_some();
            let is_pressed = core.is_pressing() && (core.has_open() || core.flush_to > core.flushed);
            let has_work = may_retry || wait.has_more || !self.batches.is_empty() || !self.side.is_clear();
            wait.is_closing = core.mode == Mode::Closing;
            if wait.is_closing {
                if wait.is_done && !has_work && core.is_settled() {
                    core.mode = Mode::Direct;
                    self.tell_of_progress(core);
                    return None;
                }
                return Some(Pace::Quiet);
            }
            if has_work || is_pressed {
                let takes_all = core.is_pressing() || !self.side.is_clear() || core.settled < wait.takes_to;
                return Some(if takes_all { Pace::All } else { Pace::Full });
            }
            match wait.lingers_until {
                Some(until) if now < until => {
                    core.writer = Writer::Lingers;
                    drop(core);
                    thread::park_timeout(until - now);
                }
                Some(_) => {
                    wait.takes_to = core.position;
                    return Some(Pace::Quiet);
                }
                None if core.has_open() => wait.lingers_until = Some(now + LINGER),
                None => {
                    core.writer = Writer::Sleeps;
                    drop(core);
                    thread::park();
                }
            }
        }
    }

    /// Sees off what was logged up to a position, where the writer's thread can't be left alone with it: there is none, or
    /// the process is about to end.
    #[cold]
    pub(super) fn see_off(&self, position: u64) {
        let mut core = self.lock();
        core.flush_to = core.flush_to.max(position);
        let mode = core.mode;
        drop(core);
        if mode == Mode::Direct {
            self.write_here(position);
        } else if duty::current() <= Duty::Locks {
            self.wait_until(Limit::Progress, |core| core.flushed >= position);
        }
    }

    /// Writes on this thread. If the sink takes nothing for long, what is there stays for whoever comes next.
    fn write_here(&self, position: u64) {
        let _duty = duty::enter(Duty::Writes, self.id());
        let mut waited = Duration::ZERO;
        loop {
            let core = self.lock();
            let is_done = core.flushed >= position && self.side.is_clear();
            let limit = if core.is_stalled { Duration::ZERO } else { self.options.stall_timeout };
            drop(core);
            if is_done {
                return;
            }
            let Some(mut outlet) = self.slot.take_as_guest(limit.saturating_sub(waited)) else { break };
            let mut troubles = Troubles::default();
            let turn = outlet.turn(self, Pace::Quiet, &mut troubles);
            self.slot.put_back(outlet);
            self.tell(troubles);
            match turn {
                Turn::More | Turn::Idle => waited = Duration::ZERO,
                Turn::Wait(_) if waited >= limit => break,
                Turn::Wait(at) => {
                    let pause = at.saturating_duration_since(Instant::now()).min(PAUSE);
                    thread::sleep(pause);
                    waited += pause;
                }
            }
        }
        self.lock().is_stalled = true;
    }

    /// Tells about troubles. Nobody has the sink meanwhile.
    fn tell(&self, troubles: Troubles) {
        let duty = if troubles.is_echo { Duty::WritesEcho } else { Duty::Writes };
        let _duty = duty::enter(duty, self.id());
        troubles.list.iter().for_each(|(trouble, error)| self.options.notice.tell(*trouble, error));
    }

    /// Hands everything that was logged so far over. Returns whether that was done within the limit.
    pub(super) fn flush(&self, limit: Limit) -> bool {
        let mut core = self.lock();
        let position = core.position;
        core.flush_to = core.flush_to.max(position);
        let mode = core.mode;
        let wakes = core.wakes_writer();
        drop(core);
        if wakes {
            self.wake();
        }
        if self.is_mine() {
            return false;
        }
        if mode == Mode::Direct {
            self.write_here(position);
            return self.lock().flushed >= position;
        }
        self.wait_until(limit, |core| core.flushed >= position && self.side.is_clear())
    }

    /// Returns whether this thread is in the middle of something for this queue: then it would wait for itself.
    pub(super) fn is_mine(&self) -> bool {
        duty::is_busy_with(self.id())
    }

    /// Begins to end the queue.
    pub(super) fn close(&self) {
        let mut core = self.lock();
        if core.mode == Mode::Threaded {
            core.mode = Mode::Closing;
        }
        let wakes = core.wakes_writer();
        drop(core);
        if wakes {
            self.wake();
        }
    }

    /// Ends the queue: the writer's thread, when everything is written. Returns whether that was done within the limit.
    pub(super) fn end(&self, limit: Limit) -> bool {
        self.close();
        let core = self.lock();
        let (position, mode) = (core.position, core.mode);
        drop(core);
        if self.is_mine() {
            return false;
        }
        if mode == Mode::Direct {
            self.write_here(position);
            return self.lock().is_settled();
        }
        let is_over = self.wait_until(limit, |core| core.mode == Mode::Direct);
        if is_over {
            self.ended.wait(THREAD_ENDS_WITHIN); // so that the sink can go with the last clone
        }
        is_over
    }
}

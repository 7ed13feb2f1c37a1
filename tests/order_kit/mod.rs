//! Threads that hand a token on: the holder logs a line with the token's number, and then passes it on. Every number must stand
//! in the log in its order, because each log call had returned before the next one began.

// Each test binary uses a part of it. And `pub` says "for the tests".
#![allow(dead_code, unreachable_pub)]

pub mod check;

use std::{
    hint,
    io::Write as _,
    sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, Scope, ScopedJoinHandle},
    time::Duration,
};

use tracing::{Dispatch, dispatcher, error, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracing_tasklog::{TaskLayer, writer::SharedQueue};

use crate::support::child::{Child, role};

/// How many threads hand the token on, as a rule.
pub const THREADS: usize = 8;

/// How late something may be on a machine that is busy with other tests.
pub const LATEST: Duration = Duration::from_secs(60);

/// Runs the body of the test `name` in a process of its own, which must end in time: a queue that is broken may wait for ever. To
/// be called by that very test.
pub fn alone(name: &str, limit: Duration, body: impl FnOnce()) {
    if role(name) {
        return body();
    }
    Child::of_test(name).limit(limit).spawn().wait().assert_success();
}

/// Logs into a queue: through a layer, and directly.
#[derive(Clone, Debug)]
pub struct Pen {
    queue: SharedQueue,
    dispatch: Dispatch,
}

impl Pen {
    pub fn of(queue: &SharedQueue) -> Self {
        let layer = TaskLayer::new(queue.clone()).with_lifecycle(true);
        Pen { queue: queue.clone(), dispatch: Dispatch::new(Registry::default().with(layer)) }
    }

    /// Logs the line of a token's number: 10 to 5,000 bytes, some of level ERROR, some directly.
    pub fn token(&self, number: u64) {
        self.line(&format!("token={number} "), number);
    }

    /// Logs the `number`th line of a thread that has no token.
    pub fn noise(&self, thread: usize, number: u64) {
        self.line(&format!("noise={thread}:{number} "), number);
    }

    fn line(&self, begin: &str, number: u64) {
        let padding = "x".repeat(length(number).saturating_sub(begin.len() + 1));
        match number % 50 {
            7 => self.under(|| error!("{begin}{padding}")),
            n if n % 3 == 0 => {
                let line = format!("{begin}{padding}\n");
                self.queue.clone().write_all(line.as_bytes()).expect("writing never fails");
            }
            _ => self.under(|| info!("{begin}{padding}")),
        }
    }

    /// Runs `f` under the layer.
    pub fn under<R>(&self, f: impl FnOnce() -> R) -> R {
        dispatcher::with_default(&self.dispatch, f)
    }
}

/// How long a line is: most are short.
fn length(number: u64) -> usize {
    match number % 100 {
        50 => 5_000,
        10 | 30 | 70 => 1_500,
        _ => 10 + (number * 7_919 % 190) as usize,
    }
}

/// How a thread passes the token on.
#[derive(Clone, Copy, Debug)]
pub enum HandOver {
    /// Any other thread that runs takes it: threads that are on a processor don't wait for those that are not.
    Spin,
    /// The next thread is woken by a channel.
    Channel,
    /// The thread ends, and is joined; a new one takes the token.
    Join,
}

/// Who hands the token on, and how.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    pub by: HandOver,
    pub threads: usize,
    /// How often the token is passed on.
    pub count: u64,
    /// Threads that log as fast as they can, two lines for each hand-over.
    pub noise: usize,
    /// A thread ends after so many turns, and a new one takes its place; 0: none ends.
    pub turns: u64,
    /// A thread has all written again and again: what writes looks at all threads all the time.
    pub flushed: bool,
    /// Threads that log one line each, and live on: half of those that hand the token on have logged before they come, half of
    /// them after that. What looks at all threads in turn then takes its time between the two halves.
    pub crowd: usize,
}

impl Scene {
    pub fn of(by: HandOver, count: u64) -> Self {
        Scene { by, threads: THREADS, count, noise: 0, turns: 0, flushed: false, crowd: 0 }
    }

    /// Plays the scene. The thread of number `slot` logs with `pens[slot % pens.len()]`; `flush` has all written.
    pub fn play(self, pens: &[Pen], flush: impl Fn() + Sync) {
        let gate = Barrier::new(self.crowd + 1);
        let (spun, reached) = (AtomicU64::new(FREE | HELD), AtomicU64::new(0));
        let played = Played { scene: self, pens, spun, reached, arrived: AtomicUsize::new(0), gate };
        thread::scope(|scope| {
            let played = &played;
            (0..self.noise).for_each(|thread| drop(scope.spawn(move || played.make_noise(thread))));
            if self.flushed {
                scope.spawn(|| {
                    while !played.is_over() {
                        flush();
                    }
                });
            }
            match self.by {
                HandOver::Spin => played.start_spinning(scope),
                HandOver::Channel => played.start_channels(scope),
                HandOver::Join => {
                    for number in 0..self.count {
                        let slot = number as usize % self.threads;
                        scope.spawn(move || played.log(slot, number)).join().expect("no call panics");
                    }
                }
            }
        });
    }
}

/// At the beginning the token has no last holder.
const FREE: u64 = SLOTS - 1;
const SLOTS: u64 = 0x100;
const HELD: u64 = 1 << 63;

/// The numbers of the threads that log a first line, as those of threads that make noise.
const CROWD: usize = 1_000;

/// A scene that is being played.
struct Played<'a> {
    scene: Scene,
    pens: &'a [Pen],
    /// The next number, and the slot that has held the token last; [`HELD`] while a thread holds it.
    spun: AtomicU64,
    /// How many numbers were logged, for those who make noise. It hands nothing over.
    reached: AtomicU64,
    /// How many threads have logged a first line.
    arrived: AtomicUsize,
    /// Where the crowd waits until the token has gone round often enough.
    gate: Barrier,
}

impl<'env> Played<'env> {
    fn is_over(&self) -> bool {
        self.reached.load(Ordering::Relaxed) >= self.scene.count
    }

    fn log(&self, slot: usize, number: u64) {
        self.pens[slot % self.pens.len()].token(number);
        self.reached.store(number + 1, Ordering::Relaxed);
    }

    /// Starts all threads that spin: those with an even slot, the crowd, the others. Then the token is there.
    fn start_spinning<'scope>(&'scope self, scope: &'scope Scope<'scope, 'env>) {
        let Scene { threads, crowd, turns, .. } = self.scene;
        assert!(crowd == 0 || turns == 0, "the crowd waits for threads that it knows");
        let mut spinning: Vec<_> = (0..threads).step_by(2).map(|slot| self.spin(scope, slot)).collect();
        let before = if crowd > 0 { spinning.len() } else { 0 };
        self.wait_for_arrivals(before);
        for member in 0..crowd {
            scope.spawn(move || {
                self.arrive(threads + member);
                self.gate.wait();
            });
        }
        self.wait_for_arrivals(before + crowd);
        spinning.extend((1..threads).step_by(2).map(|slot| self.spin(scope, slot)));
        self.spun.fetch_and(!HELD, Ordering::Release);
        if crowd > 0 {
            spinning.into_iter().for_each(|thread| thread.join().expect("no call panics"));
            self.gate.wait();
        }
    }

    /// Logs a first line, which makes the thread known to the queue.
    fn arrive(&self, member: usize) {
        self.pens[member % self.pens.len()].noise(CROWD + member, 0);
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    fn wait_for_arrivals(&self, count: usize) {
        while self.arrived.load(Ordering::Relaxed) < count {
            thread::yield_now();
        }
    }

    /// Starts a thread that takes the token whenever another one has put it down.
    fn spin<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        slot: usize,
    ) -> ScopedJoinHandle<'scope, ()> {
        scope.spawn(move || {
            let mut turns = 0;
            if self.scene.crowd > 0 {
                self.arrive(slot);
            }
            loop {
                let Some(number) = self.take(slot) else { return };
                self.log(slot, number);
                self.spun.store((number + 1) * SLOTS + slot as u64, Ordering::Release);
                turns += 1;
                if turns == self.scene.turns {
                    drop(self.spin(scope, slot));
                    return;
                }
            }
        })
    }

    /// Waits for the token. `None` when it has gone round often enough.
    fn take(&self, slot: usize) -> Option<u64> {
        for tries in 1_u64.. {
            let seen = self.spun.load(Ordering::Acquire);
            let number = (seen & !HELD) / SLOTS;
            if number >= self.scene.count {
                return None;
            }
            let is_mine = seen & HELD == 0 && seen % SLOTS != slot as u64;
            let taken =
                || self.spun.compare_exchange(seen, seen | HELD, Ordering::Acquire, Ordering::Relaxed);
            if is_mine && taken().is_ok() {
                return Some(number);
            }
            if tries.is_multiple_of(20) { thread::yield_now() } else { hint::spin_loop() }
        }
        unreachable!("it has tried long enough")
    }

    fn start_channels<'scope>(&'scope self, scope: &'scope Scope<'scope, 'env>) {
        let (mut senders, receivers): (Vec<_>, Vec<_>) =
            (0..self.scene.threads).map(|_| mpsc::channel()).unzip();
        senders[0].send(0).expect("its receiver is here");
        senders.rotate_left(1); // each thread has the sender of the next one
        for (slot, (receiver, next)) in receivers.into_iter().zip(senders).enumerate() {
            self.wait_in_line(scope, slot, receiver, next);
        }
    }

    /// Starts a thread that takes the token when it is sent to it. When one ends for good, the next one ends too.
    fn wait_in_line<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, 'env>,
        slot: usize,
        receiver: Receiver<u64>,
        next: Sender<u64>,
    ) {
        scope.spawn(move || {
            let mut turns = 0;
            while let Ok(number) = receiver.recv() {
                self.log(slot, number);
                if number + 1 == self.scene.count {
                    return;
                }
                next.send(number + 1).expect("the next thread waits");
                turns += 1;
                if turns == self.scene.turns {
                    return self.wait_in_line(scope, slot, receiver, next);
                }
            }
        });
    }

    /// Logs while the token goes round, and not many more lines than that has.
    fn make_noise(&self, thread: usize) {
        let mut number = 0;
        loop {
            let reached = self.reached.load(Ordering::Relaxed);
            if reached >= self.scene.count {
                return;
            }
            if number < 2 * reached + 100 {
                self.pens[thread % self.pens.len()].noise(thread, number);
                number += 1;
            } else {
                thread::yield_now();
            }
        }
    }
}

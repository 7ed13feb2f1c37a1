//! What is logged, by how many threads, and how often.

use std::{
    hint,
    sync::{
        Barrier,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::figures::{Metric, quantile};

const BURST: u64 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);

/// What the threads of a run do.
pub(crate) struct Work {
    /// Behind the last comma: how many threads.
    pub(crate) name: &'static str,
    /// Of all processes together.
    pub(crate) threads: u64,
    /// Of each process, where there is more than one.
    pub(crate) threads_each: u64,
    /// Who does it. All of the group if it names none.
    pub(crate) only: &'static [&'static str],
    /// Of each thread.
    pub(crate) events: u64,
    /// With a pause before each burst, and each call of every second burst timed. Else without a pause.
    pub(crate) in_bursts: bool,
}

impl Work {
    pub(crate) const fn saturated(name: &'static str, threads: u64, events: u64) -> Self {
        Work { name, threads, threads_each: 1, only: &[], events, in_bursts: false }
    }

    pub(crate) const fn bursts(name: &'static str, threads: u64, bursts: u64) -> Self {
        Work { in_bursts: true, ..Work::saturated(name, threads, bursts * BURST) }
    }

    /// Only these do it.
    pub(crate) const fn only(self, names: &'static [&'static str]) -> Self {
        Work { only: names, ..self }
    }

    /// Each process has so many of the threads.
    pub(crate) const fn threads_each(self, threads_each: u64) -> Self {
        Work { threads_each, ..self }
    }

    pub(crate) fn processes(&self) -> u64 {
        self.threads / self.threads_each
    }

    /// How many threads it has, in words.
    pub(crate) fn heading(name: &'static str) -> &'static str {
        name.rsplit(", ").next().unwrap_or(name)
    }

    /// How many events a thread logs if it gets one of so many.
    pub(crate) fn share(&self, one_of: u64, is_quick: bool) -> u64 {
        match (self.in_bursts, is_quick) {
            (true, true) => 2 * BURST,
            (true, false) => self.events,
            (false, true) => 4_000,
            (false, false) => self.events / one_of,
        }
    }
}

/// Whose macros are called.
#[derive(Clone, Copy)]
pub(crate) enum Voice {
    Tracing,
    /// The macros of the `log` crate.
    Log,
    Spdlog,
    /// Nobody's: a line that is ready is handed over.
    Ready(fn()),
    /// Nobody's.
    Silent,
}

impl Voice {
    /// Logs the same event again and again. What has no spans has their texts in its message.
    pub(crate) fn log(self, bursts: Bursts<'_>) -> Used {
        let (id, name, host, port) = ("abc12345", "send_email", "smtp.example.com", 25);
        match self {
            Voice::Tracing => {
                let _entered = tracing::info_span!("send_email", task.id = id).entered();
                bursts.log(|| tracing::info!(host, port, "Connecting to SMTP server"))
            }
            Voice::Log => bursts
                .log(|| log::info!("[{id}] [{name}] Connecting to SMTP server host={host:?} port={port}")),
            Voice::Ready(hand_over) => bursts.log(hand_over),
            Voice::Spdlog => bursts
                .log(|| spdlog::info!("[{id}] [{name}] Connecting to SMTP server host={host:?} port={port}")),
            Voice::Silent => bursts.log(|| {
                hint::black_box((host, port));
            }),
        }
    }
}

/// Threads run at the same time if each has looked at the clock within so many nanoseconds.
const FRESH: u64 = 2_000;
/// How long threads wait for a moment in which every processor runs one of them: on a busy machine there may be none.
const IN_VAIN: u64 = 20_000_000;

/// Has threads begin each burst at the same time.
pub(crate) struct Together {
    threads: u64,
    over: Barrier,
    /// How many threads have a place, how often a thread has come to a burst, and how many bursts have begun.
    placed: AtomicUsize,
    arrived: AtomicU64,
    begun: AtomicU64,
    /// When a thread that waits has looked at the clock: for each processor, if there are as many threads.
    looked: Vec<AtomicU64>,
    clock: Instant,
    /// Other processes begin at the same time.
    with_others: bool,
}

impl Together {
    pub(crate) fn new(threads: u64, with_others: bool) -> Self {
        let at_once = thread::available_parallelism().map_or(1, usize::from).min(threads as usize);
        Together {
            threads,
            over: Barrier::new(threads as usize),
            placed: AtomicUsize::new(0),
            arrived: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            looked: (0..at_once).map(|_| AtomicU64::new(0)).collect(),
            clock: Instant::now(),
            with_others,
        }
    }

    /// Gives the thread a number, and keeps threads apart that burst: on a system with other work two of them are on one processor
    /// as a rule, and never run at the same time.
    fn place(&self, in_bursts: bool) -> usize {
        let place = self.placed.fetch_add(1, Ordering::Relaxed);
        if in_bursts && self.threads > 1 {
            stay_on_processor(place);
        }
        place
    }

    /// Sleeps, from the end of the last thread's burst on.
    fn pause(&self) {
        self.over.wait();
        let sleep = if self.with_others { until_next(PAUSE) } else { PAUSE };
        thread::sleep(sleep);
    }

    /// Waits until all threads have come to their `nth` burst, and every processor runs one of them. Without sleep: threads that are
    /// woken up begin one after the other.
    fn meet(&self, place: usize, nth: u64) {
        if self.threads == 1 {
            return;
        }
        let all = self.threads * (nth + 1);
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let came = self.now();
        for tries in 1_u64.. {
            if self.begun.load(Ordering::Acquire) > nth {
                return;
            }
            let now = self.now();
            self.looked[place % self.looked.len()].store(now, Ordering::Relaxed);
            let are_here = self.arrived.load(Ordering::Acquire) >= all;
            if are_here && (self.run_at_once(now) || now - came > IN_VAIN) {
                self.begun.store(nth + 1, Ordering::Release);
            } else if tries.is_multiple_of(100) {
                thread::yield_now();
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    fn run_at_once(&self, now: u64) -> bool {
        let runs = |looked: &AtomicU64| now.saturating_sub(looked.load(Ordering::Relaxed)) < FRESH;
        self.looked.iter().all(runs)
    }
}

/// Has this thread run only on the `nth` processor of those that it may run on, round and round.
#[cfg(target_os = "linux")]
fn stay_on_processor(nth: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
    let mut one = CpuSet::new();
    one.set(processors[nth % processors.len()]);
    let _ = sched_setaffinity(None, &one); // it is only a request
}

#[cfg(not(target_os = "linux"))]
fn stay_on_processor(_: usize) {}

/// How long it takes until the clock shows a multiple of `step`, which is the same moment for all processes: from half a step to
/// one and a half.
fn until_next(step: Duration) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let step = step.as_nanos() as u64;
    let rest = step - now % step;
    Duration::from_nanos(if rest < step / 2 { rest + step } else { rest })
}

/// The part of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Bursts<'a> {
    pub(crate) events: u64,
    pub(crate) in_bursts: bool,
    /// Tells what CPU time the caller has used.
    pub(crate) cpu_time: fn() -> f64,
    /// All threads of the process.
    pub(crate) together: &'a Together,
}

impl Bursts<'_> {
    pub(crate) fn log(self, one: impl Fn()) -> Used {
        let mut used = Used::default();
        let burst = if self.in_bursts { BURST } else { self.events };
        let place = self.together.place(self.in_bursts);
        for n in 0..self.events / burst {
            if self.in_bursts {
                self.together.pause();
            }
            let cpu = (self.cpu_time)();
            self.together.meet(place, n);
            used.waited += (self.cpu_time)() - cpu;
            if n % 2 == 0 {
                used.all(burst, self.cpu_time, &one);
            } else {
                used.each(burst, &one);
            }
        }
        used
    }
}

/// What a thread has used, and how long its calls took, in nanoseconds.
#[derive(Default)]
pub(crate) struct Used {
    cpu: f64,
    wall: f64,
    /// CPU time of waiting for the other threads.
    pub(crate) waited: f64,
    /// The events that these are about.
    events: u64,
    calls: Vec<f64>,
}

impl Used {
    /// Measures a burst as a whole.
    fn all(&mut self, events: u64, cpu_time: fn() -> f64, one: impl Fn()) {
        let (start, cpu) = (Instant::now(), cpu_time());
        (0..events).for_each(|_| one());
        self.cpu += cpu_time() - cpu;
        self.wall += start.elapsed().as_nanos() as f64;
        self.events += events;
    }

    /// Measures each call of a burst.
    fn each(&mut self, events: u64, one: impl Fn()) {
        self.calls.reserve(events as usize);
        let mut last = Instant::now();
        for _ in 0..events {
            one();
            let now = Instant::now();
            self.calls.push((now - last).as_nanos() as f64);
            last = now;
        }
    }

    /// What it has cost those who log.
    pub(crate) fn figures(mut all: Vec<Used>) -> Vec<(Metric, f64)> {
        let sum = |of: fn(&Used) -> f64| all.iter().map(of).sum::<f64>();
        let events = sum(|used| used.events as f64);
        let (cpu, wall) = (sum(|used| used.cpu) / events, sum(|used| used.wall) / events);
        let mut figures = vec![(Metric::Caller, cpu), (Metric::Wall, wall)];
        let mut calls: Vec<f64> = all.iter_mut().flat_map(|used| used.calls.drain(..)).collect();
        if !calls.is_empty() {
            let parts = [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)];
            figures.extend(parts.map(|(metric, part)| (metric, quantile(&mut calls, part))));
        }
        figures
    }
}

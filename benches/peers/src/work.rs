//! What is logged, by how many threads, and how often.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::figures::thread_time;

const BURST: u64 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);

/// What the threads of a run do.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) threads: u64,
    /// Of each thread.
    pub(crate) events: u64,
    /// With a pause before each burst, and each call of every second burst timed. Else without a pause.
    pub(crate) in_bursts: bool,
}

pub(crate) const SATURATED: &str = "saturated, 1 thread";
pub(crate) const SATURATED_4: &str = "saturated, 4 threads";
pub(crate) const BURSTS: &str = "bursts, 1 thread";
pub(crate) const BURSTS_4: &str = "bursts, 4 threads";

pub(crate) const QUEUE: [Work; 4] = [
    Work { name: SATURATED, threads: 1, events: 1_600_000, in_bursts: false },
    Work { name: SATURATED_4, threads: 4, events: 400_000, in_bursts: false },
    Work { name: BURSTS, threads: 1, events: 30 * BURST, in_bursts: true },
    Work { name: BURSTS_4, threads: 4, events: 20 * BURST, in_bursts: true },
];

impl Work {
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
    /// None: a line that is ready is handed over.
    None(fn()),
}

impl Voice {
    /// Logs the same event again and again, in one span if there are spans.
    pub(crate) fn log(self, bursts: Bursts) -> Used {
        // What has no spans has their texts in its message.
        let (id, name, host, port) = ("abc12345", "send_email", "smtp.example.com", 25);
        match self {
            Voice::Tracing => {
                let _entered = tracing::info_span!("send_email", task.id = id).entered();
                bursts.log(|| {
                    tracing::info!(host, port, "Connecting to SMTP server");
                })
            }
            Voice::Log => bursts
                .log(|| log::info!("[{id}] [{name}] Connecting to SMTP server host={host:?} port={port}")),
            Voice::None(hand_over) => bursts.log(hand_over),
            Voice::Spdlog => bursts
                .log(|| spdlog::info!("[{id}] [{name}] Connecting to SMTP server host={host:?} port={port}")),
        }
    }
}

/// What a thread has used, and how long its calls took, in nanoseconds.
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
    /// The events that these are about.
    pub(crate) events: u64,
    pub(crate) calls: Vec<f64>,
}

/// The part of one thread.
#[derive(Clone, Copy)]
pub(crate) struct Bursts {
    pub(crate) events: u64,
    pub(crate) in_bursts: bool,
}

impl Bursts {
    fn log(self, one: impl Fn()) -> Used {
        let mut used = Used::default();
        let burst = if self.in_bursts { BURST } else { self.events };
        for n in 0..self.events / burst {
            if self.in_bursts {
                thread::sleep(PAUSE);
            }
            if n % 2 == 0 {
                used.all(burst, &one);
            } else {
                used.each(burst, &one);
            }
        }
        used
    }
}

impl Used {
    /// Measures a burst as a whole.
    fn all(&mut self, events: u64, one: impl Fn()) {
        let (start, cpu) = (Instant::now(), thread_time());
        (0..events).for_each(|_| one());
        self.cpu += thread_time() - cpu;
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
}

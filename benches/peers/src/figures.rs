//! What a run has come to: numbers, and what is made of the numbers of many runs.

use std::{fmt, io};

use rustix::time::{ClockId, clock_gettime};

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Metric {
    /// CPU and wall time of those who log, in nanoseconds an event.
    Caller,
    Wall,
    /// CPU of all threads, in nanoseconds an event.
    All,
    /// Million lines a second, until the file is complete.
    Rate,
    /// Of one call, in nanoseconds.
    P50,
    P99,
    P999,
}

impl Metric {
    pub(crate) const ALL: [Metric; 7] =
        [Metric::Caller, Metric::Wall, Metric::All, Metric::Rate, Metric::P50, Metric::P99, Metric::P999];

    pub(crate) fn what(self) -> &'static str {
        match self {
            Metric::Caller => "caller ns",
            Metric::Wall => "wall ns",
            Metric::All => "all CPU ns",
            Metric::Rate => "M lines/s",
            Metric::P50 => "p50 ns",
            Metric::P99 => "p99 ns",
            Metric::P999 => "p99.9 ns",
        }
    }
}

/// A number for each metric, NaN for what wasn't measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures([f64; Metric::ALL.len()]);

impl Figures {
    pub(crate) fn new(measured: &[(Metric, f64)]) -> Self {
        let mut figures = Figures([f64::NAN; Metric::ALL.len()]);
        measured.iter().for_each(|&(metric, number)| figures.0[metric as usize] = number);
        figures
    }

    pub(crate) fn of(&self, metric: Metric) -> f64 {
        self.0[metric as usize]
    }

    pub(crate) fn with(mut self, metric: Metric, number: f64) -> Self {
        self.0[metric as usize] = number;
        self
    }

    /// The mean of each metric.
    pub(crate) fn mean(all: &[Figures]) -> Self {
        let mean = |at: usize| all.iter().map(|figures| figures.0[at]).sum::<f64>() / all.len() as f64;
        Figures(std::array::from_fn(mean))
    }

    /// What a process that was measured has printed.
    pub(crate) fn heard(text: &str) -> io::Result<Self> {
        numbers(text).map(Figures)
    }
}

/// As `heard` understands it.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, "{number} "))
    }
}

pub(crate) fn numbers<const N: usize>(text: &str) -> io::Result<[f64; N]> {
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| io::Error::other(format!("{text:?} instead of {N} numbers")))
}

pub(crate) fn quantile(numbers: &mut [f64], part: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get((numbers.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut numbers.collect::<Vec<_>>(), 0.5)
}

/// Nanoseconds that this thread has run.
pub(crate) fn thread_time() -> f64 {
    nanoseconds(ClockId::ThreadCPUTime)
}

/// Nanoseconds that all threads of this process have run.
pub(crate) fn process_time() -> f64 {
    nanoseconds(ClockId::ProcessCPUTime)
}

fn nanoseconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

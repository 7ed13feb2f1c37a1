//! A watch that leaves out the time for which the machine stood still.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often the watch looks whether it is let run.
const TICK: Duration = Duration::from_millis(5);

/// A longer time without a look is one for which the machine stood still; a busy one takes that long for nothing else.
const STILL: Duration = Duration::from_millis(20);

/// Measures how long something takes. A limit on that is one on the code under test, not on a machine that lets nobody run
/// for half a second: a thread that wants to run every few milliseconds notices what it misses. What it misses is taken off
/// twice, as the code under test may wait once more behind all the others that were held up.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    missed: Arc<Mutex<Missed>>,
}

#[derive(Debug)]
struct Missed {
    looked: Instant,
    total: Duration,
}

impl Missed {
    /// Counts what is missing since the last look.
    fn look(missed: &Mutex<Missed>) -> Duration {
        let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gap = now - std::mem::replace(&mut missed.looked, now);
        missed.total += if gap > STILL { gap } else { Duration::ZERO };
        missed.total
    }
}

impl Stopwatch {
    pub fn start() -> Self {
        let start = Instant::now();
        let missed = Arc::new(Mutex::new(Missed { looked: start, total: Duration::ZERO }));
        let held = Arc::downgrade(&missed);
        drop(thread::spawn(move || {
            while let Some(missed) = Weak::upgrade(&held) {
                Missed::look(&missed);
                drop(missed);
                thread::sleep(TICK);
            }
        }));
        Self { start, missed }
    }

    /// How long it took, but for what the machine stood still.
    pub fn elapsed(&self) -> Duration {
        let missed = Missed::look(&self.missed);
        self.start.elapsed().saturating_sub(2 * missed)
    }
}

//! What the tests stand on: an oracle that knows nothing of the crate.
//!
//! Nothing in here uses `tracing_tasklog`, but for [`capture`], which runs code under a layer. The
//! verifier reads log files with its own few lines of parsing, so that a mistake in the crate's
//! grammar can't hide itself.
//!
//! * [`verify`] says whether a family of log files holds exactly the lines that it should hold.
//! * [`ledger`] remembers over a SIGKILL which lines were begun and which are promised.
//! * [`child`] runs processes that may be killed and can't hang a test.
//! * [`dir`] is a folder of a test's own.
//! * [`example`] runs an example.
//! * [`fork`] makes children without exec.
//! * [`capture`] is a writer that remembers, and the lines that a layer writes while code runs.
//! * [`futures`] polls futures by hand.
//! * [`json`] tells whole JSON objects from torn ones.
//! * [`stopwatch`] measures code, and not how long the machine stood still.

// Every test binary compiles all of this and uses a part. And `pub` in here says "for the tests",
// which no compiler can see from inside one binary.
#![allow(dead_code, unreachable_pub, unused_imports)]

use std::fmt::Display;
use std::time::{Duration, Instant};

use stopwatch::Stopwatch;

pub mod capture;
pub mod child;
pub mod dir;
pub mod example;
#[cfg(unix)]
pub mod fork;
pub mod futures;
pub mod json;
#[cfg(unix)]
pub mod ledger;
pub mod stopwatch;
pub mod verify;

/// Waits until `cond` holds; panics with `what` when it doesn't within `limit`.
pub fn wait_until(what: &str, limit: Duration, cond: impl FnMut() -> bool) {
    assert!(holds_within(limit, cond), "waited {limit:?} in vain: {what}");
}

/// Waits until `cond` holds; panics with `what` when that takes longer than the limit that is promised. For what the machine
/// itself stood still nobody is blamed.
pub fn wait_within(what: &str, limit: Duration, mut cond: impl FnMut() -> bool) {
    let (watch, mut is_met) = (Stopwatch::start(), false);
    let _ = holds_within(limit + Duration::from_secs(60), || {
        is_met = cond();
        is_met || watch.elapsed() > limit
    });
    assert!(is_met, "not within {limit:?}: {what}: {:?}", watch.elapsed());
}

/// Whether `cond` comes to hold within `limit`. The only place in the tests that sleeps.
///
/// `cond` is asked at least once, and once more after the limit, so that a machine that was busy
/// elsewhere doesn't fail a condition that holds by now.
pub fn holds_within(limit: Duration, mut cond: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        let last = start.elapsed() >= limit;
        if cond() {
            return true;
        }
        if last {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Takes what a test has no use for: unlike `drop` it doesn't say that anything is dropped.
pub fn ignore<T>(_: T) {}

/// The value of a step that a test can't do without, or a panic that names the step.
pub(crate) fn must<T, E: Display>(result: Result<T, E>, step: impl Display) -> T {
    result.unwrap_or_else(|error| panic!("{step}: {error}"))
}

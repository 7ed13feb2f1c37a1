//! Rotation by the clock as arithmetic on instants: when the hour, day or week of a file began, and when the next
//! one begins. Knows no files.
//!
//! Periods tile: each ends at the instant at which the next one begins, whatever a local clock does.

use std::time::SystemTime;

#[cfg(feature = "local-time")]
use jiff::tz::TimeZone;

#[cfg(feature = "local-time")]
use crate::Error;
use crate::clock;

#[cfg(feature = "local-time")]
mod local;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;

/// How often a file rotates by the clock: in UTC, or in local time if asked for.
///
/// The first line at or after the end of an hour, day or week goes into the next file. A time without lines makes
/// no file.
///
/// Local time is that of the zone that the system had when the file was set up. On a day on which the clocks change
/// it means:
///
/// - A day has as many hours as it has. It begins once: at its first instant if its midnight is skipped, at the first
///   of two midnights.
/// - An hour that comes twice is two hours. One whose beginning is skipped begins where the clock goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Every {
    /// From minute 0 to the next.
    Hour,
    /// From midnight to the next.
    Day,
    /// From Monday's midnight to the next.
    Week,
}

/// Whose clock it is.
#[derive(Clone, Debug)]
pub(crate) enum Zone {
    Utc,
    /// Local time by the rules of this zone, which is kept: a change of the system's zone would make periods overlap.
    #[cfg(feature = "local-time")]
    Local(TimeZone),
}

/// An hour, day or week: from `start` on, and before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    start: SystemTime,
    end: SystemTime,
}

/// What a line does to the file of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It goes into this file.
    Stay,
    /// It goes into the next file, of this period.
    Rotate(Period),
    /// It goes into this file, which from now on is of this period: the clock had been wrong.
    Reanchor(Period),
}

impl Zone {
    /// Finds the system's zone: that of `$TZ`, else that of the machine.
    ///
    /// # Errors
    ///
    /// There is none, or its rules are not installed. To take UTC instead would rotate at a time nobody asked for.
    #[cfg(feature = "local-time")]
    pub(crate) fn local() -> Result<Self, Error> {
        let unknown = |error| {
            let what = format!("the local time zone could not be found ({error})");
            Error::invalid(format!("{what}: set TZ and install tzdata, or rotate in UTC"))
        };
        TimeZone::try_system().map(Zone::Local).map_err(unknown)
    }
}

impl Period {
    /// Returns the hour, day or week that `now` is in. Times that jiff doesn't know (from the year 10000 on, and
    /// before -9999) count in UTC.
    pub(crate) fn containing(now: SystemTime, every: Every, zone: &Zone) -> Self {
        let second = clock::unix_seconds(now);
        let (start, end) = match zone {
            Zone::Utc => in_utc(second, every),
            #[cfg(feature = "local-time")]
            Zone::Local(zone) => local::bounds(second, every, zone).unwrap_or_else(|| in_utc(second, every)),
        };
        // What the system's clock can't tell it doesn't reach either.
        let instant = |second| clock::start_of(second).unwrap_or(now);
        Period { start: instant(start), end: instant(end) }
    }

    /// Returns the period of a file that holds lines already, the last of them written at `modified`: yesterday's file
    /// rotates at the first line of today. A file from the future is taken for one of now.
    pub(crate) fn of_existing(modified: SystemTime, now: SystemTime, every: Every, zone: &Zone) -> Self {
        Period::containing(modified.min(now), every, zone)
    }

    /// Decides what a line written at `now` does to the file of this period.
    ///
    /// A clock that was set back by less than the period's length changes nothing: the file goes on until its end, so
    /// that one midnight rotates once. Set back further, the file would go on for as long as the clock was wrong.
    pub(crate) fn due(&self, now: SystemTime, every: Every, zone: &Zone) -> Due {
        if now >= self.end {
            return Due::Rotate(Period::containing(now, every, zone));
        }
        let set_back = self.start.duration_since(now).unwrap_or_default();
        let length = self.end.duration_since(self.start).unwrap_or_default();
        if set_back < length { Due::Stay } else { Due::Reanchor(Period::containing(now, every, zone)) }
    }
}

/// Returns the beginning and the end of the period that a second since 1970 is in.
fn in_utc(second: i64, every: Every) -> (i64, i64) {
    let (length, first) = match every {
        Every::Hour => (HOUR, 0),
        Every::Day => (DAY, 0),
        Every::Week => (WEEK, 4 * DAY), // 1970-01-01 was a Thursday
    };
    let elapsed = (second.rem_euclid(length) - first).rem_euclid(length);
    let start = second.saturating_sub(elapsed);
    (start, start.saturating_add(length))
}

#[cfg(test)]
mod tests;

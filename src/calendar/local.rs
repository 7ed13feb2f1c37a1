//! Hours, days and weeks of local time, in seconds since 1970. What jiff can't tell is `None`.
//!
//! A local clock jumps, forwards and back. What "begins" means then:
//!
//! - A day or week begins at the first instant at which the clock shows its date or a later one, and never again.
//! - An hour begins whenever the clock shows minute 0, or jumps forwards into a later hour. So each of two equal hours
//!   is one of its own, and half an hour that is repeated makes its hour longer.

use jiff::{SignedDuration, Timestamp, civil, tz::AmbiguousOffset, tz::TimeZone};

use super::{Every, HOUR};

/// Returns the beginning and the end of the period that `second` is in.
pub(super) fn bounds(second: i64, every: Every, zone: &TimeZone) -> Option<(i64, i64)> {
    let today = || Some(zone.to_datetime(timestamp(second)?).date());
    match every {
        Every::Hour => Some((start_of_hour(second, zone)?, end_of_hour(second, zone)?)),
        Every::Day => days(second, today()?, 1, zone),
        Every::Week => days(second, monday(today()?)?, 7, zone),
    }
}

/// The bounds of the period of so many days that `second` is in, where `first` is the date that its day or week
/// began with, as its clock shows it.
fn days(second: i64, first: civil::Date, number: i64, zone: &TimeZone) -> Option<(i64, i64)> {
    let length = SignedDuration::from_hours(24 * number);
    let (mut date, mut start) = (first, start_of_day(first, zone)?);
    loop {
        date = date.checked_add(length).ok()?;
        let end = start_of_day(date, zone)?;
        if second < end {
            return Some((start, end));
        }
        start = end; // the clock was set from past midnight back to before it: the next day has begun already
    }
}

fn monday(date: civil::Date) -> Option<civil::Date> {
    let days = i64::from(date.weekday().to_monday_zero_offset());
    date.checked_sub(SignedDuration::from_hours(24 * days)).ok()
}

/// When the clock first shows this date or a later one.
fn start_of_day(date: civil::Date, zone: &TimeZone) -> Option<i64> {
    let midnight = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
    let offset = midnight.offset();
    let first = midnight.earlier().ok()?;
    let first = match offset {
        AmbiguousOffset::Gap { .. } => zone.following(first).next()?.timestamp(), // where the skipped time ends
        _ => first,
    };
    Some(first.as_second())
}

/// The last beginning of an hour at or before `second`.
fn start_of_hour(mut second: i64, zone: &TimeZone) -> Option<i64> {
    loop {
        let minute_0 = second - local(second, zone)?.rem_euclid(HOUR);
        let jump = zone.preceding(timestamp(second + 1)?).next().map(|jump| jump.timestamp().as_second());
        let start = jump.map_or(minute_0, |jump| jump.max(minute_0));
        if begins_hour(start, zone)? {
            return Some(start);
        }
        second = start - 1;
    }
}

/// The first beginning of an hour after `second`.
fn end_of_hour(mut second: i64, zone: &TimeZone) -> Option<i64> {
    loop {
        let minute_0 = second + HOUR - local(second, zone)?.rem_euclid(HOUR);
        let jump = zone.following(timestamp(second)?).next().map(|jump| jump.timestamp().as_second());
        second = jump.map_or(minute_0, |jump| jump.min(minute_0));
        if begins_hour(second, zone)? {
            return Some(second);
        }
    }
}

fn begins_hour(second: i64, zone: &TimeZone) -> Option<bool> {
    let (before, now) = (local(second - 1, zone)?, local(second, zone)?);
    Some(now.rem_euclid(HOUR) == 0 || now.div_euclid(HOUR) > before.div_euclid(HOUR))
}

/// What the clock shows, as seconds since it would have shown the beginning of 1970.
fn local(second: i64, zone: &TimeZone) -> Option<i64> {
    Some(second + i64::from(zone.to_offset(timestamp(second)?).seconds()))
}

fn timestamp(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

#[cfg(test)]
mod tests;

//! Whole hours, days and weeks of UTC, and what a line does to a file. Local time: `local/tests.rs`.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;

/// The instant of a text like `2026-01-01T12:00:00Z`.
pub(super) fn at(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().expect("a timestamp").into()
}

/// What `at` takes.
pub(super) fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).expect("a time that jiff knows").to_string()
}

/// The beginning and the end of the period that an instant is in.
pub(super) fn bounds(now: &str, every: Every, zone: &Zone) -> [String; 2] {
    let period = Period::containing(at(now), every, zone);
    [shown(period.start), shown(period.end)]
}

/// Asserts what holds for every period. Returns its length in seconds.
pub(super) fn assert_tiles(now: SystemTime, every: Every, zone: &Zone) -> u64 {
    let period = Period::containing(now, every, zone);
    let case = format!("{} every {every:?} in {zone:?}", shown(now));
    assert!(period.start <= now && now < period.end, "{case}: {period:?}");
    let next = Period::containing(period.end, every, zone);
    assert_eq!(shown(next.start), shown(period.end), "after {case}");
    let last = Period::containing(period.start - Duration::from_nanos(1), every, zone);
    assert_eq!(shown(last.end), shown(period.start), "before {case}");
    for within in [period.start, period.end - Duration::from_nanos(1)] {
        assert_eq!(Period::containing(within, every, zone), period, "{case}");
    }
    (period.end.duration_since(period.start)).expect("it ends after it begins").as_secs()
}

fn day(text: &str) -> Period {
    Period::containing(at(text), Every::Day, &Zone::Utc)
}

fn due_in_utc(period: Period, now: &str) -> Due {
    period.due(at(now), Every::Day, &Zone::Utc)
}

#[test]
fn utc_hours_days_and_weeks_begin_where_the_calendar_says() {
    // 2026-01-01 was a Thursday.
    for (now, every, expected) in [
        ("2026-01-01T12:34:56.7Z", Every::Hour, ["2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"]),
        ("2026-01-01T12:34:56.7Z", Every::Day, ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        ("2026-01-01T12:34:56.7Z", Every::Week, ["2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"]),
        ("2024-02-29T23:59:59.999999999Z", Every::Day, ["2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"]),
        ("2026-01-04T23:59:59.999999999Z", Every::Week, ["2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"]),
        ("2026-01-05T00:00:00Z", Every::Week, ["2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z"]),
        ("1970-01-01T00:00:00Z", Every::Week, ["1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"]),
    ] {
        assert_eq!(bounds(now, every, &Zone::Utc), expected, "{now} {every:?}");
    }
}

#[test]
fn before_1970_periods_begin_before_the_instant_too() {
    for (every, expected) in [
        (Every::Hour, ["1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"]),
        (Every::Day, ["1969-12-31T00:00:00Z", "1970-01-01T00:00:00Z"]),
        (Every::Week, ["1969-12-29T00:00:00Z", "1970-01-05T00:00:00Z"]),
    ] {
        assert_eq!(bounds("1969-12-31T23:59:59.5Z", every, &Zone::Utc), expected, "{every:?}");
    }
    let week = bounds("1969-12-28T23:59:59Z", Every::Week, &Zone::Utc);
    assert_eq!(week, ["1969-12-22T00:00:00Z", "1969-12-29T00:00:00Z"]);
}

#[test]
#[cfg(unix)]
fn the_ends_of_time_are_no_panic() {
    let (first, last) = (i64::MIN.unsigned_abs(), i64::MAX as u64);
    for every in [Every::Hour, Every::Day, Every::Week] {
        for now in [UNIX_EPOCH - Duration::from_secs(first), UNIX_EPOCH + Duration::from_secs(last)] {
            let period = Period::containing(now, every, &Zone::Utc);
            assert!(period.start <= now && now <= period.end, "{now:?} {every:?}: {period:?}");
        }
    }
}

#[test]
fn the_first_line_at_the_end_rotates_into_the_period_of_now() {
    let file = day("2026-01-01T12:00:00Z");
    assert_eq!(due_in_utc(file, "2026-01-01T00:00:00Z"), Due::Stay);
    assert_eq!(due_in_utc(file, "2026-01-01T23:59:59.999999999Z"), Due::Stay);
    assert_eq!(due_in_utc(file, "2026-01-02T00:00:00Z"), Due::Rotate(day("2026-01-02T12:00:00Z")));
    assert_eq!(due_in_utc(file, "2026-01-09T08:00:00Z"), Due::Rotate(day("2026-01-09T12:00:00Z")));
}

#[test]
fn a_midnight_rotates_once_though_the_clock_is_set_back_over_it() {
    let Due::Rotate(file) = due_in_utc(day("2026-01-01T12:00:00Z"), "2026-01-02T00:00:00.5Z") else {
        panic!("a day has ended");
    };
    for now in ["2026-01-01T23:59:59.5Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00.1Z"] {
        assert_eq!(due_in_utc(file, now), Due::Stay, "{now}");
    }
}

#[test]
fn a_clock_that_had_been_wrong_by_a_period_or_more_moves_the_file_into_the_period_of_now() {
    let file = day("2027-01-02T12:00:00Z");
    assert_eq!(due_in_utc(file, "2027-01-01T00:00:00Z"), Due::Reanchor(day("2027-01-01T12:00:00Z")));
    let Due::Reanchor(file) = due_in_utc(file, "2026-01-02T08:00:00Z") else {
        panic!("it is a year too late");
    };
    assert_eq!(file, day("2026-01-02T12:00:00Z"));
    assert_eq!(due_in_utc(file, "2026-01-02T08:00:00Z"), Due::Stay);
    assert!(matches!(due_in_utc(file, "2026-01-03T00:00:00Z"), Due::Rotate(_)));
}

#[test]
fn a_file_that_exists_is_of_the_day_of_its_last_line() {
    let now = "2026-01-02T08:00:00Z";
    let of = |modified| Period::of_existing(at(modified), at(now), Every::Day, &Zone::Utc);
    assert_eq!(due_in_utc(of("2026-01-01T23:59:59.9Z"), now), Due::Rotate(day(now)));
    for modified in ["2026-01-02T00:00:00Z", now, "2026-01-03T00:00:00Z", "2036-01-01T00:00:00Z"] {
        assert_eq!(of(modified), day(now), "{modified}");
    }
}

proptest! {
    #[test]
    fn utc_periods_tile(second in -100_000_000_000_i64..100_000_000_000, nanos in 0_u32..1_000_000_000) {
        let now = clock::start_of(second).expect("a time") + Duration::from_nanos(nanos.into());
        for (every, length) in [(Every::Hour, 3600), (Every::Day, 86_400), (Every::Week, 604_800)] {
            prop_assert_eq!(assert_tiles(now, every, &Zone::Utc), length);
        }
    }
}

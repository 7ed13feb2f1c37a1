//! Days on which the clocks change. The zones are those that jiff brings along, so they are the same on every machine.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZoneDatabase;
use proptest::{prelude::*, sample::select};

use super::super::{
    Due, Every, Period, Zone,
    tests::{assert_tiles, at, bounds, shown},
};
use crate::clock;

fn zone(name: &str) -> Zone {
    Zone::Local(TimeZoneDatabase::bundled().get(name).expect("a zone"))
}

/// Asserts that these, and no others, are the beginnings of the periods from the first of them to the last.
fn assert_begins(name: &str, every: Every, expected: &[&str]) {
    let zone = zone(name);
    let mut begins = vec![expected[0].to_owned()];
    while begins.len() < expected.len() {
        let [start, end] = bounds(&begins[begins.len() - 1], every, &zone);
        assert_eq!(start, begins[begins.len() - 1], "{name}");
        begins.push(end);
    }
    assert_eq!(begins, expected, "{name}");
}

#[test]
fn berlin_in_spring_has_a_day_of_23_hours() {
    let days =
        ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"];
    assert_begins("Europe/Berlin", Every::Day, &days);
    // 01:00, 03:00, 04:00
    let hours = ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
    assert_begins("Europe/Berlin", Every::Hour, &hours);
    let weeks = ["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z", "2026-04-05T22:00:00Z"];
    assert_begins("Europe/Berlin", Every::Week, &weeks);
}

#[test]
fn berlin_in_autumn_has_a_day_of_25_hours_and_one_hour_twice() {
    let days =
        ["2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"];
    assert_begins("Europe/Berlin", Every::Day, &days);
    // 01:00, 02:00, 02:00 again, 03:00
    let hours =
        ["2026-10-24T23:00:00Z", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
    assert_begins("Europe/Berlin", Every::Hour, &hours);
    let weeks = ["2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z", "2026-11-01T23:00:00Z"];
    assert_begins("Europe/Berlin", Every::Week, &weeks);
    let week = bounds("2026-10-25T00:30:00Z", Every::Week, &zone("Europe/Berlin"));
    assert_eq!(week, weeks[..2]);
}

/// A line every minute: as many rotations as hours have begun, though the clock shows one of them twice.
#[test]
fn a_line_every_minute_rotates_once_an_hour_over_the_repeated_hour() {
    let berlin = zone("Europe/Berlin");
    let mut file = Period::containing(at("2026-10-24T23:30:00Z"), Every::Hour, &berlin);
    let mut rotations = Vec::new();
    for minute in 0..150 {
        let now = at("2026-10-24T23:30:00Z") + Duration::from_secs(60 * minute);
        if let Due::Rotate(period) = file.due(now, Every::Hour, &berlin) {
            rotations.push(shown(now));
            file = period;
        }
    }
    assert_eq!(rotations, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"]);
}

#[test]
fn a_clock_set_back_over_a_local_midnight_rotates_once() {
    let berlin = zone("Europe/Berlin");
    let file = Period::containing(at("2026-10-25T23:00:00Z"), Every::Day, &berlin);
    assert_eq!(file.due(at("2026-10-25T22:59:59Z"), Every::Day, &berlin), Due::Stay);
    let yesterday = Period::containing(at("2026-10-25T12:00:00Z"), Every::Day, &berlin);
    assert_eq!(yesterday.due(at("2026-10-25T22:59:59Z"), Every::Day, &berlin), Due::Stay);
    assert_eq!(yesterday.due(at("2026-10-25T23:00:00Z"), Every::Day, &berlin), Due::Rotate(file));
}

#[test]
fn lord_howe_jumps_by_half_an_hour() {
    // 01:00 at +11, 01:30 to 02:00 once more at +10:30, 02:00
    let back = ["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"];
    assert_begins("Australia/Lord_Howe", Every::Hour, &back);
    // 01:00 at +10:30, 02:30 at +11, 03:00
    let forwards = ["2026-10-03T14:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"];
    assert_begins("Australia/Lord_Howe", Every::Hour, &forwards);
    let days = ["2026-10-02T13:30:00Z", "2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z"];
    assert_begins("Australia/Lord_Howe", Every::Day, &days);
}

#[test]
fn clocks_that_jump_at_other_minutes_keep_whole_hours_where_there_are_any() {
    // 23:00, 00:00 until 00:01, then 23:01 to 00:00 of the same hour, 00:00 again, 01:00
    let back =
        ["2006-10-29T01:30:00Z", "2006-10-29T02:30:00Z", "2006-10-29T03:30:00Z", "2006-10-29T04:30:00Z"];
    assert_begins("America/St_Johns", Every::Hour, &back);
    // 23:00 until 23:30, then 00:30, 01:00
    let forwards = ["1919-03-31T04:00:00Z", "1919-03-31T04:30:00Z", "1919-03-31T05:00:00Z"];
    assert_begins("America/Toronto", Every::Hour, &forwards);
}

#[test]
fn a_day_without_midnight_begins_at_its_first_instant() {
    // In Santiago 24:00 of 5 September 2026 is 01:00 of the 6th, a Sunday.
    let days = ["2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"];
    assert_begins("America/Santiago", Every::Day, &days);
    // In Toronto 23:30 of 30 March 1919, a Sunday, was 00:30 of the 31st.
    let weeks = ["1919-03-24T05:00:00Z", "1919-03-31T04:30:00Z", "1919-04-07T04:00:00Z"];
    assert_begins("America/Toronto", Every::Week, &weeks);
    // In Apia 24:00 of 29 December 2011 was 00:00 of the 31st.
    let days = ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"];
    assert_begins("Pacific/Apia", Every::Day, &days);
}

#[test]
fn a_day_with_two_midnights_begins_at_the_first() {
    // In Havana 01:00 of 1 November 2026 is 00:00 again.
    let days = ["2026-10-31T04:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"];
    assert_begins("America/Havana", Every::Day, &days);
    // In Beirut 24:00 of 24 October 2026 is 23:00 again.
    let days = ["2026-10-23T21:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T22:00:00Z"];
    assert_begins("Asia/Beirut", Every::Day, &days);
    // In St John's 00:01 of 29 October 2006 was 23:01 of the 28th: when it is 23:30 again, the 29th has begun.
    let days = ["2006-10-28T02:30:00Z", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"];
    assert_begins("America/St_Johns", Every::Day, &days);
    let again = bounds("2006-10-29T03:00:00Z", Every::Day, &zone("America/St_Johns"));
    assert_eq!(again, ["2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"]);
}

#[test]
fn years_that_jiff_does_not_know_count_in_utc() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000); // in the year 11476
    for every in [Every::Hour, Every::Day, Every::Week] {
        let berlin = Period::containing(now, every, &zone("Europe/Berlin"));
        assert_eq!(berlin, Period::containing(now, every, &Zone::Utc), "{every:?}");
    }
}

#[test]
fn the_systems_zone_is_found_or_the_error_says_what_to_do() {
    match Zone::local() {
        Ok(local) => assert!(matches!(local, Zone::Local(_))),
        Err(error) => assert!(error.to_string().contains("set TZ and install tzdata"), "{error}"),
    }
}

/// Zones with every kind of jump, some of them far from any convention.
const ZONES: [&str; 12] = [
    "Africa/Monrovia",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "America/Toronto",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Kwajalein",
];

/// Any second from 1900 to 2200; every other one within two days of a jump.
fn near_jumps() -> impl Strategy<Value = (&'static str, i64)> {
    let any = (select(&ZONES[..]), -2_208_988_800_i64..7_258_118_400);
    (any, proptest::bool::ANY, -172_800_i64..172_800).prop_map(|((name, second), is_near, away)| {
        let Zone::Local(zone) = zone(name) else { unreachable!("a local zone") };
        let jump = zone.following(super::timestamp(second).expect("a time")).next();
        let near = jump.filter(|_| is_near).map_or(second, |jump| jump.timestamp().as_second() + away);
        (name, near)
    })
}

/// Asserts what holds for the periods around `second`.
///
/// A zone that moves to the other side of the date line skips or repeats a day.
fn assert_local_periods_tile(name: &str, zone: &Zone, second: i64, nanos: u64) {
    let now = clock::start_of(second).expect("a time") + Duration::from_nanos(nanos);
    for (every, shortest, longest) in
        [(Every::Hour, 1, 7200), (Every::Day, 43_200, 172_800), (Every::Week, 518_400, 691_200)]
    {
        let length = assert_tiles(now, every, zone);
        assert!((shortest..=longest).contains(&length), "{} {every:?} {name}: {length} s", shown(now));
    }
}

proptest! {
    #[test]
    fn local_periods_tile((name, second) in near_jumps(), nanos in 0_u64..1_000_000_000) {
        assert_local_periods_tile(name, &zone(name), second, nanos);
    }
}

#[test]
#[ignore = "deep: every jump of every zone"]
fn deep_local_periods_tile_around_every_jump() {
    let first = super::timestamp(-4_102_444_800).expect("the year 1840");
    for name in TimeZoneDatabase::bundled().available() {
        let zone = zone(name.as_str());
        let Zone::Local(rules) = &zone else { unreachable!("a local zone") };
        let jumps = rules.following(first).map(|jump| jump.timestamp().as_second());
        for jump in jumps.take_while(|&jump| jump < 2_300_000_000) {
            for away in [86_400, 40_000, 5000, 3600, 1800, 59, 1, 0] {
                assert_local_periods_tile(name.as_str(), &zone, jump - away, 0);
                assert_local_periods_tile(name.as_str(), &zone, jump + away, 0);
            }
        }
    }
}

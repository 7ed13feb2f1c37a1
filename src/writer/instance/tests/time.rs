//! Rotation by time, with a clock that the test sets: what is in which file.

use std::{
    fs::File,
    io::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    calendar::Every,
    clock::{self, Clock, Manual},
    file::faulty::{Fault, FaultyFileSystem},
};

use crate::support::{dir::Dir, verify::LogFamily};

const EACCES: i32 = 13;

/// A clock that stands still until it is set.
#[derive(Clone)]
struct TestClock(Arc<Mutex<Manual>>);

impl TestClock {
    fn at(text: &str) -> Self {
        TestClock(Arc::new(Mutex::new(Manual { time: at(text), instant: clock::instant() })))
    }

    /// Sets the time of day, as somebody does who sets the clock: durations go on as before.
    fn set(&self, text: &str) {
        self.0.lock().expect("no test panics with it").time = at(text);
    }

    /// Lets time pass.
    fn pass(&self, millis: u64) {
        let mut now = self.0.lock().expect("no test panics with it");
        now.time += Duration::from_millis(millis);
        now.instant += Duration::from_millis(millis);
    }
}

/// The instant of a text like `2026-01-01T12:00:00Z`.
fn at(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().expect("a timestamp").into()
}

fn builder(dir: &Dir, clock: &TestClock, every: Every) -> InstanceFileBuilder {
    let mut builder = InstanceFile::builder(dir.path("tasks.log")).every(every).backups(20);
    builder.clock = Clock::Manual(Arc::clone(&clock.0));
    builder
}

fn write(file: &InstanceFile, line: &str) {
    file.clone().write_all(format!("{line}\n").as_bytes()).expect("writing never fails");
}

/// Writes a line at each of these times that consists of it.
fn write_at(file: &InstanceFile, clock: &TestClock, times: &[&str]) {
    for time in times {
        clock.set(time);
        write(file, time);
    }
}

/// The lines of each file, the oldest first.
fn files(dir: &Dir) -> Vec<Vec<String>> {
    let family = LogFamily::of(dir.path("tasks.log"));
    family.paths().iter().map(|path| LogFamily::files([path]).lines()).collect()
}

/// Writes a line at each time of each group, and asserts that each group has a file of its own.
#[track_caller]
fn assert_parted(every: Every, groups: &[&[&str]], opened: impl FnOnce(InstanceFileBuilder) -> InstanceFile) {
    let (dir, clock) = (Dir::new(), TestClock::at(groups[0][0]));
    let file = opened(builder(&dir, &clock, every));
    groups.iter().for_each(|group| write_at(&file, &clock, group));
    assert_eq!(files(&dir), groups, "{every:?}");
    let stats = file.stats();
    assert_eq!((stats.rotations as usize, stats.errors), (groups.len() - 1, 0));
}

fn built(builder: InstanceFileBuilder) -> InstanceFile {
    builder.build().expect("the file can be opened")
}

#[test]
fn each_hour_day_and_week_of_utc_has_a_file_of_its_own() {
    let hours: &[&[&str]] = &[
        &["2026-01-01T12:00:00Z", "2026-01-01T12:59:59.999Z"],
        &["2026-01-01T13:00:00Z"],
        &["2026-01-01T23:30:00Z"],
        &["2026-01-02T00:00:00Z"],
    ];
    assert_parted(Every::Hour, hours, built);
    let days: &[&[&str]] =
        &[&["2026-01-01T00:00:00Z", "2026-01-01T23:59:59.999Z"], &["2026-01-02T00:00:00Z"]];
    assert_parted(Every::Day, days, built);
    let weeks: &[&[&str]] = &[
        &["2026-01-01T12:00:00Z", "2026-01-04T23:59:59.999Z"],
        &["2026-01-05T00:00:00Z", "2026-01-11T23:59:59Z"],
        &["2026-02-01T00:00:00Z"],
    ];
    assert_parted(Every::Week, weeks, built);
}

#[test]
fn rotated_by_time_alone_a_file_has_no_limit() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:00:00Z"));
    let file = built(builder(&dir, &clock, Every::Day));
    let megabyte = "x".repeat(1024 * 1024);
    (0..11).for_each(|_| write(&file, &megabyte));
    assert_eq!(file.stats().rotations, 0);
}

#[test]
fn whichever_of_size_and_time_comes_first_rotates() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:00:00Z"));
    let file = built(builder(&dir, &clock, Every::Hour).max_bytes(6));
    ["a1", "a2", "a3"].iter().for_each(|line| write(&file, line));
    clock.set("2026-01-01T13:00:00Z");
    ["b1", "b2", "b3"].iter().for_each(|line| write(&file, line));
    assert_eq!(files(&dir), [vec!["a1", "a2"], vec!["a3"], vec!["b1", "b2"], vec!["b3"]]);
    assert_eq!(file.stats().rotations, 3);
}

#[test]
fn a_file_that_is_full_at_the_end_of_its_hour_rotates_once() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:00:00Z"));
    let file = built(builder(&dir, &clock, Every::Hour).max_bytes(6));
    ["a1", "a2"].iter().for_each(|line| write(&file, line));
    clock.set("2026-01-01T13:00:00Z");
    write(&file, "b1");
    assert_eq!(files(&dir), [vec!["a1", "a2"], vec!["b1"]]);
}

#[test]
fn an_empty_file_is_not_rotated() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:00:00Z"));
    let file = built(builder(&dir, &clock, Every::Hour));
    write_at(&file, &clock, &["2026-01-01T15:30:00Z", "2026-01-01T15:59:00Z"]);
    assert_eq!(files(&dir), [["2026-01-01T15:30:00Z", "2026-01-01T15:59:00Z"]]);
    write_at(&file, &clock, &["2026-01-01T16:00:00Z"]);
    assert_eq!(file.stats().rotations, 1, "but then it is of the hour of its first line");
}

#[test]
fn an_empty_file_of_yesterday_is_not_rotated() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-02T12:00:00Z"));
    dir.write("tasks.log", "");
    modified_at(&dir, "2026-01-01T12:00:00Z");
    let file = built(builder(&dir, &clock, Every::Day));
    write(&file, "today");
    assert_eq!(files(&dir), [["today"]]);
}

fn modified_at(dir: &Dir, time: &str) {
    let file = File::options().append(true).open(dir.path("tasks.log")).expect("it is there");
    file.set_modified(at(time)).expect("it is the test's own");
}

/// What becomes of a file that was last written at `modified`, with a line of today, 2026-01-02T12:00:00Z.
fn with_a_line_of_today(modified: &str) -> Vec<Vec<String>> {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-02T12:00:00Z"));
    dir.write("tasks.log", "before\n");
    modified_at(&dir, modified);
    let file = built(builder(&dir, &clock, Every::Day));
    assert_eq!(files(&dir), [["before"]], "nothing happens before there is a line");
    write(&file, "today");
    files(&dir)
}

#[test]
fn a_file_of_yesterday_rotates_at_the_first_line_of_today() {
    let parted = [["before"], ["today"]];
    assert_eq!(with_a_line_of_today("2026-01-01T23:59:59Z"), parted);
    assert_eq!(with_a_line_of_today("2025-06-01T00:00:00Z"), parted);
}

#[test]
fn a_file_of_today_or_of_the_future_is_gone_on_with() {
    let together = [["before", "today"]];
    assert_eq!(with_a_line_of_today("2026-01-02T00:00:00Z"), together);
    assert_eq!(with_a_line_of_today("2026-01-09T00:00:00Z"), together);
}

#[test]
fn a_clock_that_is_set_back_rotates_nothing_twice() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:30:00Z"));
    let file = built(builder(&dir, &clock, Every::Hour));
    let (first, second) = (["2026-01-01T12:30:00Z"], ["2026-01-01T13:00:00Z", "2026-01-01T12:59:50Z"]);
    write_at(&file, &clock, &first);
    write_at(&file, &clock, &second);
    write_at(&file, &clock, &["2026-01-01T13:00:00Z"]);
    let second = [second[0], second[1], "2026-01-01T13:00:00Z"];
    assert_eq!(files(&dir), [first.to_vec(), second.to_vec()]);
}

#[test]
fn a_clock_that_is_set_back_far_rotates_at_the_ends_that_it_shows_from_then_on() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-05T12:30:00Z"));
    let file = built(builder(&dir, &clock, Every::Hour));
    let groups: &[&[&str]] = &[
        &["2026-01-05T12:30:00Z", "2026-01-01T12:30:00Z", "2026-01-01T12:59:59Z"],
        &["2026-01-01T13:00:00Z"],
        &["2026-01-05T12:30:00Z", "2026-01-05T12:59:00Z"], // and it is set right again
    ];
    groups.iter().for_each(|group| write_at(&file, &clock, group));
    assert_eq!(files(&dir), groups);
}

#[test]
fn a_restart_with_a_clock_that_was_set_back_overwrites_no_backup() {
    let (dir, clock) = (Dir::new(), TestClock::at("2026-01-05T00:00:00Z"));
    for _ in 0..2 {
        let file = built(builder(&dir, &clock, Every::Day));
        write_at(&file, &clock, &["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]);
        drop(file);
        clock.set("2026-01-05T00:00:00Z");
        modified_at(&dir, "2026-01-06T00:00:00Z");
    }
    let parted: [&[&str]; 3] = [
        &["2026-01-05T00:00:00Z"],
        &["2026-01-06T00:00:00Z", "2026-01-05T00:00:00Z"],
        &["2026-01-06T00:00:00Z"],
    ];
    assert_eq!(files(&dir), parted);
}

#[test]
fn a_rotation_that_fails_at_the_end_of_an_hour_is_tried_again_a_second_later() {
    let mut calls = 2; // behind those of the look
    loop {
        let (dir, clock) = (Dir::new(), TestClock::at("2026-01-01T12:00:00Z"));
        let files_of_test = FaultyFileSystem::healthy();
        let builder = builder(&dir, &clock, Every::Hour).on_error(|_| {});
        let file = builder.build_on(Box::new(files_of_test.clone())).expect("the file can be opened");
        write(&file, "a");
        clock.set("2026-01-01T13:00:00Z");
        files_of_test.fail_after(calls, 1, Fault::Os(EACCES));
        write(&file, "b1");
        if file.stats().rotations > 0 {
            assert!(calls > 6, "a rotation has more calls than {calls}");
            return; // it was the write of the line
        }
        clock.pass(999);
        write(&file, "b2");
        assert_eq!(file.stats().rotations, 0, "call {calls}");
        clock.pass(1);
        write(&file, "b3");
        assert_eq!(files(&dir), [vec!["a", "b1", "b2"], vec!["b3"]], "call {calls}");
        write(&file, "b4");
        assert_eq!(file.stats().rotations, 1, "call {calls}");
        calls += 1;
    }
}

#[cfg(feature = "local-time")]
mod berlin {
    use super::*;
    use crate::calendar::Zone;

    /// Opens the file as a machine in Berlin does.
    fn in_berlin(mut builder: InstanceFileBuilder) -> InstanceFile {
        let zone = jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").expect("a zone");
        builder.zone = Some(Zone::Local(zone));
        built(builder)
    }

    #[test]
    fn in_spring_the_day_has_23_hours() {
        let days: &[&[&str]] = &[
            &["2026-03-28T22:59:59Z"],
            &["2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"],
            &["2026-03-29T22:00:00Z"],
        ];
        assert_parted(Every::Day, days, in_berlin);
        let hours: &[&[&str]] = &[
            &["2026-03-29T00:00:00Z", "2026-03-29T00:59:59Z"],
            &["2026-03-29T01:00:00Z"],
            &["2026-03-29T02:00:00Z"],
        ];
        assert_parted(Every::Hour, hours, in_berlin);
    }

    #[test]
    fn in_autumn_the_day_has_25_hours_and_the_hour_that_comes_twice_two_files() {
        let days: &[&[&str]] = &[
            &["2026-10-24T21:59:59Z"],
            &["2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"],
            &["2026-10-25T23:00:00Z"],
        ];
        assert_parted(Every::Day, days, in_berlin);
        let hours: &[&[&str]] = &[
            &["2026-10-25T00:00:00Z", "2026-10-25T00:59:59Z"], // 02:00 to 02:59
            &["2026-10-25T01:00:00Z"],                         // 02:00 again
            &["2026-10-25T02:00:00Z"],
        ];
        assert_parted(Every::Hour, hours, in_berlin);
        let weeks: &[&[&str]] =
            &[&["2026-10-18T22:00:00Z", "2026-10-25T22:59:59Z"], &["2026-10-25T23:00:00Z"]];
        assert_parted(Every::Week, weeks, in_berlin);
    }

    #[test]
    fn a_clock_that_is_set_back_over_midnight_rotates_one_midnight_once() {
        let days: &[&[&str]] = &[
            &["2026-06-01T21:59:59Z"],
            &["2026-06-01T22:00:00Z", "2026-06-01T21:59:50Z", "2026-06-01T22:00:00Z", "2026-06-02T21:59:59Z"],
            &["2026-06-02T22:00:00Z"],
        ];
        assert_parted(Every::Day, days, in_berlin);
    }
}

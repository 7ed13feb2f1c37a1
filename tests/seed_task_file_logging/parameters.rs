//! "Log level filtering" and the table "FileLogger parameters".

use std::io::Write as _;

use tracing::{level_filters::LevelFilter, subscriber::with_default};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, parse_level, task_span, writer::InstanceFile};

use super::{bodies, open, send_email};
use crate::support::dir::Dir;

/// The default of `max_bytes`.
const MAX_BYTES: usize = 10_485_760;

fn log_at_all_levels() {
    tracing::trace!("trace");
    tracing::debug!("debug");
    tracing::info!("info");
    tracing::warn!("warning");
    tracing::error!("error");
}

/// The messages that get through with this level, or with the default.
fn messages_with(min_level: Option<&str>) -> Vec<String> {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir));
    let layer = match min_level {
        Some(level) => layer.with_min_level(parse_level(level).expect("a valid level")),
        None => layer,
    };
    with_default(tracing_subscriber::registry().with(layer), || {
        task_span!("send", 7).run_task(log_at_all_levels);
    });
    bodies(&dir).iter().map(|line| line.replace("[7] [send] ", "")).collect()
}

// "Set min_level= to suppress entries below a certain severity"
#[test]
fn min_level_suppresses_entries_below_a_severity() {
    assert_eq!(messages_with(Some("warning")), ["warning", "error"]);
}

// "Valid levels from lowest to highest: "debug", "info", "warning", "error"."
#[test]
fn valid_levels_from_lowest_to_highest_are_debug_info_warning_error() {
    let levels = ["debug", "info", "warning", "error"];
    for (place, level) in levels.iter().enumerate() {
        assert_eq!(messages_with(Some(level)), levels[place..], "{level}");
        assert_eq!(messages_with(Some(&level.to_uppercase())), levels[place..], "{level}");
    }
    let error = parse_level("verbose").expect_err("no level").to_string();
    assert!(error.starts_with("\"verbose\" is no level: expected one of "), "{error}");
}

// | min_level | str | "info" | Minimum log level to write. |
#[test]
fn min_level_is_info_by_default() {
    assert_eq!(messages_with(None), ["info", "warning", "error"]);
    assert_eq!(parse_level("info").expect("a valid level"), LevelFilter::INFO);
}

// | path | str | required | File path to write to. Created if it does not exist. |
#[test]
fn the_path_is_created_if_it_does_not_exist_and_appended_to_if_it_does() {
    let dir = Dir::new();
    assert!(!dir.path("tasks.log").exists());
    for lives in 1..=2 {
        with_default(tracing_subscriber::registry().with(TaskLayer::new(open(&dir))), send_email);
        assert_eq!(dir.lines("tasks.log").len(), lives);
    }
}

/// Writes lines of exactly this many bytes together, none longer than a quarter of the limit.
fn fill(file: &mut InstanceFile, bytes: usize) {
    let line = |len: usize| "x".repeat(len - 1) + "\n";
    let quarter = line(MAX_BYTES / 4);
    (0..bytes / quarter.len()).for_each(|_| file.write_all(quarter.as_bytes()).expect("writing never fails"));
    if !bytes.is_multiple_of(quarter.len()) {
        file.write_all(line(bytes % quarter.len()).as_bytes()).expect("writing never fails");
    }
}

// | max_bytes | int | 10485760 | Maximum file size (10 MB) before rotating. Ignored in watched mode. |
#[test]
fn max_bytes_is_10485760_by_default() {
    let dir = Dir::new();
    let mut file = open(&dir);
    fill(&mut file, MAX_BYTES);
    assert_eq!((file.stats().bytes, file.stats().rotations), (10_485_760, 0));
    file.write_all(b"\n").expect("writing never fails");
    assert_eq!(file.stats().rotations, 1);
    let size = |name| dir.path(name).metadata().expect("it is there").len();
    assert_eq!((size("tasks.log.1"), size("tasks.log")), (10_485_760, 1));
}

// | backup_count | int | 5 | Number of rotated backup files to keep. Ignored in watched mode. |
#[test]
fn backup_count_is_5_by_default() {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).max_bytes(1).build();
    let mut file = file.expect("the file can be opened");
    (0..8).for_each(|n| file.write_all(format!("{n}\n").as_bytes()).expect("writing never fails"));
    let backups = (1..=5).map(|number| dir.read(&format!("tasks.log.{number}"))).collect::<String>();
    assert_eq!((dir.read("tasks.log").as_str(), backups.as_str()), ("7\n", "6\n5\n4\n3\n2\n"));
    assert_eq!(dir.names().len(), 6);
}

// | mode | str | "rotate" | "rotate" for automatic rotation; "watched" for external rotation. |
// "- Close tasks.log - Rename tasks.log to tasks.log.1 - Open a new tasks.log - Write the line"
#[test]
fn rotation_is_automatic_and_the_line_goes_to_the_new_file() {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).max_bytes(100).build();
    let file = file.expect("the file can be opened");
    with_default(tracing_subscriber::registry().with(TaskLayer::new(file)), || {
        (0..2).for_each(|_| send_email())
    });
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1"]);
    for name in dir.names() {
        assert!(dir.read(&name).ends_with(" Connecting to SMTP server\n"), "{name}");
        assert_eq!(dir.lines(&name).len(), 1, "{name}");
    }
}

// | log_lifecycle | bool | False | Write a line on each task status transition. |
#[test]
fn log_lifecycle_is_false_by_default() {
    let dir = Dir::new();
    with_default(tracing_subscriber::registry().with(TaskLayer::new(open(&dir))), send_email);
    assert_eq!(bodies(&dir), ["[abc12345] [send_email] Connecting to SMTP server"]);
}

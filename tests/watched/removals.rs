//! Files that are removed: lines that were written after that are there, and none twice.

use std::{fs, time::Duration};

use tracing_tasklog::writer::WatchedFile;

use super::{LATEST, Steady, builder, file, write};
use crate::support::{
    child::{Child, role},
    dir::Dir,
    wait_until,
};

/// How late a path may be followed while lines are written.
const LIMIT: Duration = Duration::from_millis(250);

#[test]
fn removed_is_made_at_once_and_only_lines_before_it_are_gone() {
    for round in 0..10 {
        let dir = Dir::new();
        let file = builder(&dir).create_after(Duration::from_secs(60)).build().expect("it can be opened");
        let steady = Steady::start(&file);
        let mut before = 0;
        steady.followed_within(LIMIT, || {
            before = file.stats().accepted_lines;
            fs::remove_file(dir.path("tasks.log")).expect("it can be removed");
        });
        let lines = steady.stop();
        let left = dir.lines("tasks.log");
        let first: u64 =
            left[0].split(' ').nth(1).and_then(|n| n.strip_prefix("n=")?.parse().ok()).expect("a number");
        // The very line that was being written when the file was removed may be in neither.
        assert!(first <= before + 2, "round {round}: {before} lines before, {first} is the first after");
        assert_eq!(left.len() as u64, lines - first + 1, "each once");
        let stats = file.stats();
        assert_eq!(
            (stats.accepted_lines, stats.written_lines, stats.at_risk_lines),
            (lines, lines, 0),
            "{stats:?}"
        );
        assert!(stats.rewritten_lines < 5_000, "{stats:?}");
    }
}

#[test]
fn its_folder_removed_is_made_again() {
    let dir = Dir::new();
    let file = WatchedFile::open(dir.path("a/logs/tasks.log")).expect("it can be opened");
    let steady = Steady::start(&file);
    let mut before = 0;
    steady.followed_within(LATEST, || {
        // It fails when the file is made again before its folder is removed.
        wait_until("it is removed", LATEST, || {
            before = file.stats().accepted_lines;
            fs::remove_dir_all(dir.path("a")).is_ok()
        });
    });
    wait_until("it is made again", LIMIT, || dir.path("a/logs/tasks.log").exists());
    let lines = steady.stop();
    let left = dir.lines("a/logs/tasks.log").len() as u64;
    // What is removed again before its folder is watched again is counted.
    let at_risk = file.stats().at_risk_lines;
    assert!(
        left + before + 2 + at_risk >= lines,
        "{before} lines before, {at_risk} at risk, {left} of {lines} left"
    );
}

#[test]
fn what_is_written_after_a_removal_is_there_when_the_last_clone_goes() {
    for round in 0..5 {
        let dir = Dir::new();
        let file = file(&dir);
        write(&file, "before\n");
        fs::remove_file(dir.path("tasks.log")).expect("it can be removed");
        (0..200).for_each(|_| write(&file, "after\n"));
        drop(file);
        let left = dir.lines("tasks.log").iter().filter(|line| *line == "after").count();
        assert_eq!(left, 200, "round {round}");
    }
}

#[test]
fn child_exits_after_a_removal() {
    if !role("removals::child_exits_after_a_removal") {
        return;
    }
    let path = std::path::PathBuf::from(std::env::var_os("LOG").expect("the parent says where"));
    let file = WatchedFile::open(&path).expect("it can be opened");
    use tracing_subscriber::prelude::*;
    let layer = tracing_tasklog::TaskLayer::new(file).with_lifecycle(true).with_timer(());
    tracing_subscriber::registry().with(layer).init();
    let task = tracing::error_span!("send", task.id = 7).entered();
    tracing::info!("before");
    fs::remove_file(&path).expect("it can be removed");
    (0..20).for_each(|n| tracing::info!(n, "after"));
    drop(task.exit());
    let _open = tracing::error_span!("send", task.id = 8).entered();
    tracing::info!("open");
    std::process::exit(0);
}

#[test]
fn what_is_written_after_a_removal_is_there_when_the_process_exits() {
    for _ in 0..5 {
        let dir = Dir::new();
        let child = Child::of_test("removals::child_exits_after_a_removal").env("LOG", dir.path("tasks.log"));
        child.spawn().wait();
        let lines = dir.lines("tasks.log");
        assert_eq!(lines.iter().filter(|line| line.contains(" after n=")).count(), 20, "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("[8] [send] -- INTERRUPTED"), "{lines:?}");
    }
}

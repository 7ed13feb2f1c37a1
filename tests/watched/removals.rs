//! Files that are removed: lines that were written after that are there, and none twice.

use std::{fs, sync::mpsc, thread, time::Duration};

use tracing_tasklog::writer::WatchedFile;

use super::{LATEST, Steady, builder, file, write};
use crate::support::{
    child::{Child, role},
    dir::Dir,
    stopwatch::Stopwatch,
    wait_until, wait_within,
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
    wait_within("it is made again", LIMIT, || dir.path("a/logs/tasks.log").exists());
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

#[test]
fn child_opens_while_the_thread_that_looks_is_in_a_hook() {
    if !role("removals::child_opens_while_the_thread_that_looks_is_in_a_hook") {
        return;
    }
    let dir = Dir::new();
    let (held, is_held) = mpsc::channel();
    let (third, second) = (dir.path("third.log"), dir.path("second.log"));
    let hook = move |_: &tracing_tasklog::Error| {
        let start = Stopwatch::start();
        drop(WatchedFile::open(&third).expect("it can be opened in a hook"));
        let took = start.elapsed();
        assert!(held.send(took).is_ok());
        wait_until("the other is about to be opened", LATEST, || second.exists());
        thread::sleep(Duration::from_millis(100)); // longer than opening takes
    };
    let path = dir.path("tasks.log");
    let _first = builder(&dir).on_error(hook).build().expect("it can be opened");
    fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).expect("it can be spoilt");
    let took = is_held.recv_timeout(LATEST).expect("the hook is called");
    assert!(took < Duration::from_millis(500), "it waited for itself: {took:?}");

    let second = WatchedFile::open(dir.path("second.log")).expect("it can be opened");
    write(&second, "before\n");
    fs::remove_file(second.path()).expect("it can be removed");
    (0..200).for_each(|_| write(&second, "after\n"));
    drop(second);
    let left = dir.lines("second.log");
    assert_eq!(left.iter().filter(|line| *line == "after").count(), 200, "{left:?}");
}

/// What happens to a file is told from the moment on that it was opened, however late the thread that looks comes.
#[test]
fn what_is_opened_while_the_thread_that_looks_is_busy_is_looked_after_from_the_first_line_on() {
    Child::of_test("removals::child_opens_while_the_thread_that_looks_is_in_a_hook")
        .spawn()
        .wait()
        .assert_success();
}

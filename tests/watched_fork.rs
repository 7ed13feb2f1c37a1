//! Children that fork(2) made, and that write to a watched file while the parent's threads do, and somebody rotates it.

#![cfg(all(unix, feature = "watch"))]

mod support;

use std::{fs, io::Write as _, path::PathBuf};

use support::{
    child::{role, say},
    dir::Dir,
    fork::{PATIENCE, THREADS, forked, log_path, run, said, wait_for, while_others_log},
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing_tasklog::writer::WatchedFile;

/// The lines of each child, before and after a rotation.
const LINES: u64 = 100;

const ROUNDS: u32 = 20;

fn write(file: &WatchedFile, worker: u32, n: u64) {
    let line = numbered(worker, n, (n % 60) as usize) + "\n";
    file.clone().write_all(line.as_bytes()).expect("writing never fails");
}

fn rotate(round: u32) {
    let backup = log_path().with_file_name(format!("tasks.log-{:08}", round + 1));
    fs::rename(log_path(), backup).expect("the path leads to a file");
    // On a machine that stands still here a writer makes it.
    drop(fs::File::options().append(true).create(true).open(log_path()).expect("it can be made"));
}

#[test]
fn child_forks_while_others_log() {
    if !role("child_forks_while_others_log") {
        return;
    }
    let file = WatchedFile::open(log_path()).expect("the file can be opened");
    while_others_log(
        |worker, n| write(&file, worker, n),
        || {
            for round in 0..ROUNDS {
                let before = file.stats().reopens;
                wait_for(forked(|| {
                    (1..=LINES).for_each(|n| write(&file, THREADS + round, n));
                    rotate(round);
                    (LINES + 1..=2 * LINES).for_each(|n| write(&file, THREADS + round, n));
                    let stats = file.stats();
                    let own = (stats.accepted_lines, stats.written_lines, stats.dropped_lines, stats.reopens);
                    assert_eq!(own, (2 * LINES, 2 * LINES, 0, 1), "its own, and it follows");
                    let live = fs::read_to_string(log_path()).expect("it is there");
                    let first = numbered(THREADS + round, LINES + 1, ((LINES + 1) % 60) as usize);
                    assert!(
                        live.lines().any(|line| line == first),
                        "the first line after it is in the new file"
                    );
                    file.sync().and_then(|()| file.reopen()).expect("nothing is to be done");
                }));
                wait_until("the parent follows", PATIENCE, || file.stats().reopens > before);
            }
        },
    );
    let stats = file.stats();
    assert_eq!((stats.dropped_lines, stats.errors), (0, 0));
    say(&format!("written={}", stats.written_lines));
}

#[test]
fn children_forked_while_others_log_hang_never_and_every_line_is_there_once() {
    let (dir, output) = run("child_forks_while_others_log");
    let written = (0..THREADS).map(|worker| said(&output, &format!("w{worker}"))).collect::<Vec<_>>();
    assert_eq!(written.iter().sum::<u64>(), said(&output, "written"), "the parent counts its own lines only");
    let parent = (0..).zip(&written).fold(Expect::new(), |expect, (worker, &n)| expect.worker(worker, n));
    let all = (THREADS..THREADS + ROUNDS).fold(parent, |expect, worker| expect.worker(worker, 2 * LINES));
    LogFamily::of(dir.path("tasks.log")).verify(&all.bare_lines()).assert_clean();
}

#[test]
fn child_forks_while_names_change() {
    if !role("child_forks_while_names_change") {
        return;
    }
    let file = WatchedFile::open(log_path()).expect("the file can be opened");
    let names = ["one", "two"].map(|name| log_path().with_file_name(name));
    drop(fs::File::create_new(&names[0]).expect("it is free"));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        // So the kernel has always something to tell, and the thread that is told is always busy.
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&names[0], &names[1]).and_then(|()| fs::rename(&names[1], &names[0]));
            }
        });
        for round in 0..3 * ROUNDS {
            wait_for(forked(|| (1..=LINES).for_each(|n| write(&file, round, n))));
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_child_waits_for_nothing_that_the_parents_threads_had() {
    let (dir, _output) = run("child_forks_while_names_change");
    let expect = (0..3 * ROUNDS).fold(Expect::new(), |expect, worker| expect.worker(worker, LINES));
    LogFamily::of(dir.path("tasks.log")).verify(&expect.bare_lines()).assert_clean();
}

#[test]
fn child_opens_a_file_of_its_own() {
    if !role("child_opens_a_file_of_its_own") {
        return;
    }
    let file = WatchedFile::open(log_path()).expect("the file can be opened");
    write(&file, 0, 1);
    let other: PathBuf = log_path().with_file_name("other.log");
    wait_for(forked(|| {
        // The thread that looks isn't here; a file that is opened here has one of its own.
        let own = WatchedFile::open(&other).expect("the file can be opened");
        write(&own, 0, 1);
        fs::rename(&other, other.with_extension("old")).expect("it is there");
        wait_until("it is made again", PATIENCE, || own.stats().reopens == 1);
        write(&own, 0, 2);
        drop(own);
        drop(file.clone());
    }));
    rotate(0);
    wait_until("the parent follows", PATIENCE, || file.stats().reopens == 1);
    write(&file, 0, 2);
}

#[test]
fn a_child_can_watch_a_file_of_its_own_and_the_parent_goes_on() {
    let (dir, _output): (Dir, _) = run("child_opens_a_file_of_its_own");
    let expect = || Expect::new().worker(0, 2).bare_lines();
    LogFamily::of(dir.path("tasks.log")).verify(&expect()).assert_clean();
    LogFamily::files(["other.old", "other.log"].map(|name| dir.path(name))).verify(&expect()).assert_clean();
}

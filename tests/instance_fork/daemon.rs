//! Programs that open the log first and become a daemon then: the process that has opened it is gone, and a child goes on.

use std::{
    env, fs,
    path::PathBuf,
    process,
    time::{Duration, Instant},
};

use super::{verify, write};
use crate::support::{
    child::{Child, role},
    dir::Dir,
    fork::{PATIENCE, close_all, daemonized, kill_hard, lives, log_path},
    holds_within,
    verify::{Expect, LogFamily},
    wait_until, wait_within,
};
use tracing_tasklog::writer::InstanceFile;

const MAX_BYTES: u64 = 2000;

/// A file beside the log, by which the processes of a test tell each other something.
fn beside(name: &str) -> PathBuf {
    log_path().with_file_name(name)
}

/// Makes such a file, whole at once.
fn tell(name: &str, text: impl ToString) {
    let new = beside(&format!("{name}.new"));
    fs::write(&new, text.to_string()).expect("the folder is the test's own");
    fs::rename(new, beside(name)).expect("the folder is the test's own");
}

fn case() -> String {
    env::var("CASE").expect("the parent says which")
}

fn opened() -> InstanceFile {
    let builder = InstanceFile::builder(log_path()).max_bytes(MAX_BYTES).backups(10_000);
    let builder = builder.on_error(|error| {
        let told = fs::read_to_string(beside("told")).unwrap_or_default();
        tell("told", format!("{told}{error}\n"));
    });
    #[cfg(feature = "gzip")]
    let builder = builder.compress(case() == "compresses");
    builder.build().expect("the file can be opened")
}

#[test]
fn child_becomes_a_daemon() {
    if !role("daemon::child_becomes_a_daemon") {
        return;
    }
    let (file, opener) = (opened(), process::id());
    (1..=10).for_each(|n| write(&file, 0, n));
    daemonized(|| {
        if case() == "closes" {
            close_all();
        }
        (1..=200).for_each(|n| write(&file, 1, n));
        assert_eq!(file.stats().rotations, 0, "the opener lives");
        tell("written", "");
        wait_until("the opener is gone", PATIENCE, || !lives(opener));
        let mut n = 200;
        wait_within("it rotates", Duration::from_millis(1_050), || {
            n += 1;
            write(&file, 1, n);
            file.stats().rotations > 0
        });
        (n + 1..=n + 500).for_each(|n| write(&file, 1, n));
        file.sync().expect("it can be synchronized");
        let stats = file.stats();
        assert!(stats.rotations > 10, "{stats:?}");
        assert_eq!((stats.written_lines, stats.dropped_lines, stats.errors), (n + 500, 0, 0));
        tell("daemon", n + 500);
        wait_until("the test has seen that", PATIENCE, || beside("seen").exists());
    });
    wait_until("the daemon has written", PATIENCE, || beside("written").exists());
}

/// Lets a program become a daemon, and returns what the hook was told.
fn daemon_takes_over(case: &str) -> String {
    let dir = Dir::new();
    let child = Child::of_test("daemon::child_becomes_a_daemon").env("CASE", case);
    child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    wait_until("the daemon is done", PATIENCE, || dir.path("daemon").exists());
    let written: u64 = dir.read("daemon").parse().expect("a number");
    verify(dir.path("tasks.log"), Expect::new().worker(0, 10).worker(1, written));
    assert!(dir.read("tasks.log").len() as u64 <= MAX_BYTES, "the live file is within its limit");
    let again = || InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).build();
    assert!(again().expect_err("the daemon has it").is_in_use());
    dir.write("seen", "");
    wait_until("the path is free again", PATIENCE, || again().is_ok());
    if dir.path("told").exists() { dir.read("told") } else { String::new() }
}

#[test]
fn a_daemon_takes_the_rotation_over_when_the_opener_is_gone() {
    assert_eq!(daemon_takes_over(""), "");
}

#[test]
fn a_daemon_that_has_closed_all_descriptors_takes_over_too() {
    assert_eq!(daemon_takes_over("closes"), "");
}

#[cfg(feature = "gzip")]
#[test]
fn a_daemon_tells_once_that_backups_are_not_compressed() {
    let told = daemon_takes_over("compresses");
    assert!(told.starts_with("could not compress the backups of ") && told.lines().count() == 1, "{told}");
}

#[test]
fn child_leaves_two_daemons() {
    if !role("daemon::child_leaves_two_daemons") {
        return;
    }
    let (file, opener) = (opened(), process::id());
    for worker in 1..=2 {
        let (own, other) = (format!("owner{worker}"), format!("owner{}", 3 - worker));
        daemonized(|| {
            tell(&format!("ready{worker}"), "");
            wait_until("the opener is gone", PATIENCE, || !lives(opener));
            let (mut n, mut others) = (0, None::<Instant>);
            holds_within(PATIENCE * 2, || {
                n += 1;
                write(&file, worker, n);
                if file.stats().rotations > 0 && !beside(&own).exists() {
                    tell(&own, process::id());
                }
                if beside(&other).exists() {
                    let waited = others.get_or_insert_with(Instant::now).elapsed();
                    if waited > Duration::from_millis(2_500) && !beside(&format!("waited{worker}")).exists() {
                        tell(&format!("waited{worker}"), "");
                    }
                }
                beside("stop").exists()
            });
            tell(&format!("done{worker}"), n);
        });
    }
    wait_until("both are there", PATIENCE, || beside("ready1").exists() && beside("ready2").exists());
}

#[test]
fn of_two_surviving_children_one_takes_over_and_the_other_when_that_is_killed() {
    let dir = Dir::new();
    let child = Child::of_test("daemon::child_leaves_two_daemons").env("CASE", "");
    child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    let there = |name: &str, worker: u32| dir.path(&format!("{name}{worker}")).exists();
    wait_until("one takes over", PATIENCE, || there("owner", 1) || there("owner", 2));
    let first = if there("owner", 1) { 1 } else { 2 };
    let second = 3 - first;
    wait_until("the other has had its chance", PATIENCE, || {
        there("waited", second) || there("owner", second)
    });
    assert!(!there("owner", second), "one of them rotates");
    kill_hard(dir.read(&format!("owner{first}")).parse().expect("a number"));
    wait_until("the other takes over", PATIENCE, || there("owner", second));
    dir.write("stop", "");
    wait_until("it is done", PATIENCE, || there("done", second));
    let written: u64 = dir.read(&format!("done{second}")).parse().expect("a number");
    let expect = Expect::new()
        .bare_lines()
        .worker(second, written)
        .allowed(first, u64::from(u32::MAX))
        .open_fragments();
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&expect);
    assert!(verdict.faults.is_empty() && verdict.missing == 0, "{verdict}");
    assert!(!dir.path("told").exists(), "{}", dir.read("told"));
}

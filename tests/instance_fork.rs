//! Children that fork(2) made and that never call exec(2), while other threads of the parent log.

#![cfg(unix)]

#[path = "instance_fork/daemon.rs"]
mod daemon;
mod support;

use std::{io::Write as _, path::Path, time::Duration};

use support::{
    child::{Child, hang, role, say},
    dir::Dir,
    fork::{PATIENCE, THREADS, forked, log_path, run, said, wait_for, while_others_log},
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing_tasklog::writer::InstanceFile;

/// The lines of each child.
const LINES: u64 = 100;

const ROUNDS: u32 = 20;

fn write(file: &InstanceFile, worker: u32, n: u64) {
    let line = numbered(worker, n, (n % 60) as usize) + "\n";
    file.clone().write_all(line.as_bytes()).expect("writing never fails");
}

fn verify(path: impl AsRef<Path>, expect: Expect) {
    LogFamily::of(path).verify(&expect.bare_lines()).assert_clean();
}

#[test]
fn child_forks_while_others_log() {
    if !role("child_forks_while_others_log") {
        return;
    }
    let file = InstanceFile::builder(log_path()).max_bytes(64 * 1024).backups(10_000);
    let file = file.build().expect("the file can be opened");
    while_others_log(
        |worker, n| write(&file, worker, n),
        || {
            for round in 0..ROUNDS {
                let before = file.stats().rotations;
                wait_for(forked(|| {
                    (1..=LINES).for_each(|n| write(&file, THREADS + round, n));
                    let stats = file.stats();
                    let own =
                        (stats.accepted_lines, stats.written_lines, stats.dropped_lines, stats.rotations);
                    assert_eq!(own, (LINES, LINES, 0, 0));
                }));
                wait_until("the parent goes on rotating", PATIENCE, || file.stats().rotations > before);
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
    let all = (THREADS..THREADS + ROUNDS).fold(parent, |expect, worker| expect.worker(worker, LINES));
    verify(dir.path("tasks.log"), all);
}

#[test]
fn child_never_rotates_in_a_fork() {
    if !role("child_never_rotates_in_a_fork") {
        return;
    }
    let file = InstanceFile::builder(log_path()).max_bytes(1000).build().expect("the file can be opened");
    write(&file, 0, 1);
    let (first_backup, go) = (log_path().with_file_name("tasks.log.1"), log_path().with_file_name("go"));
    let pid = forked(|| {
        (1..=LINES).for_each(|n| write(&file, 1, n));
        assert!(!first_backup.exists(), "only the owner rotates");
        std::fs::write(&go, "").expect("the folder is the test's own");
        wait_until("the parent has rotated", PATIENCE, || !go.exists());
        write(&file, 1, LINES + 1);
    });
    wait_until("the child has written", PATIENCE, || go.exists());
    say(&format!("size={}", std::fs::metadata(log_path()).expect("it is there").len()));
    (2..=30).for_each(|n| write(&file, 0, n));
    assert!(first_backup.exists(), "and it does");
    std::fs::remove_file(&go).expect("the child has made it");
    wait_for(pid);
}

#[test]
fn a_child_lets_the_file_grow_and_the_parent_rotates_it() {
    let (dir, output) = run("child_never_rotates_in_a_fork");
    assert!(said(&output, "size") > 2000, "{output}");
    verify(dir.path("tasks.log"), Expect::new().worker(0, 30).worker(1, LINES + 1));
    let live = dir.read("tasks.log");
    assert!(live.contains("w=1 n=101 "), "the child writes to the file that is live: {live}");
}

#[test]
fn child_has_grandchildren() {
    if !role("child_has_grandchildren") {
        return;
    }
    let file = InstanceFile::builder(log_path()).max_bytes(4096).backups(1000);
    let file = file.build().expect("the file can be opened");
    while_others_log(
        |worker, n| write(&file, worker, n),
        || {
            for round in 0..5 {
                wait_for(forked(|| {
                    let own = THREADS + 2 * round;
                    (1..=LINES).for_each(|n| write(&file, own, n));
                    wait_for(forked(|| {
                        (1..=LINES).for_each(|n| write(&file, own + 1, n));
                        assert!([LINES, 2 * LINES].contains(&file.stats().written_lines));
                    }));
                    (LINES + 1..=2 * LINES).for_each(|n| write(&file, own, n));
                    file.sync().expect("it can be synchronized");
                }));
            }
        },
    );
}

#[test]
fn a_child_of_a_child_writes_as_a_child_does() {
    let (dir, output) = run("child_has_grandchildren");
    let mut expect = Expect::new();
    for worker in 0..THREADS {
        expect = expect.worker(worker, said(&output, &format!("w{worker}")));
    }
    for round in 0..5 {
        let own = THREADS + 2 * round;
        expect = expect.worker(own, 2 * LINES).worker(own + 1, LINES);
    }
    verify(dir.path("tasks.log"), expect);
}

#[test]
fn child_exits_in_a_fork() {
    if !role("child_exits_in_a_fork") {
        return;
    }
    let builder = InstanceFile::builder(log_path()).max_bytes(4096).backups(1000);
    #[cfg(feature = "gzip")]
    let builder = builder.compress(true);
    let file = builder.build().expect("the file can be opened");
    while_others_log(
        |worker, n| write(&file, worker, n),
        || {
            for round in 0..ROUNDS {
                let clone = file.clone();
                wait_for(forked(|| {
                    write(&clone, THREADS + round, 1);
                    // What a process does that ends in an orderly way: no clone is left, also not that of the parent's frame.
                    // SAFETY: the value is not used again in this process, and the parent has its own memory.
                    #[allow(unsafe_code)]
                    drop((clone, unsafe { std::ptr::read(&raw const file) }));
                    std::process::exit(0);
                }));
            }
        },
    );
}

#[test]
fn a_child_that_drops_the_log_and_exits_leaves_the_parents_alone() {
    let (dir, output) = run("child_exits_in_a_fork");
    let mut expect =
        (THREADS..THREADS + ROUNDS).fold(Expect::new(), |expect, worker| expect.worker(worker, 1));
    for worker in 0..THREADS {
        expect = expect.worker(worker, said(&output, &format!("w{worker}")));
    }
    verify(dir.path("tasks.log"), expect);
}

#[test]
fn child_dies_before_its_fork() {
    if !role("child_dies_before_its_fork") {
        return;
    }
    let file = InstanceFile::builder(log_path()).build().expect("the file can be opened");
    write(&file, 0, 1);
    let pid = forked(|| {
        let go = log_path().with_file_name("go");
        wait_until("the parent says so", PATIENCE, || go.exists());
        write(&file, 1, 1);
        hang();
    });
    say(&format!("pid={pid}"));
    hang();
}

#[test]
fn the_lock_lives_as_long_as_any_child_of_a_fork() {
    let dir = Dir::new();
    let child = Child::of_test("child_dies_before_its_fork").env("LOG", dir.path("tasks.log"));
    let mut child = child.limit(Duration::from_secs(30)).spawn();
    let pid = child.wait_for_stdout_line(|line| line.starts_with("pid="));
    child.kill();
    assert!(!child.wait().status.success());
    let builder = || InstanceFile::builder(dir.path("tasks.log")).build();
    assert!(builder().expect_err("the child of the fork has it").is_in_use());
    dir.write("go", "");
    wait_until("the orphan has written", PATIENCE, || dir.read("tasks.log").contains("w=1 n=1"));
    let pid: i32 = pid["pid=".len()..].parse().expect("a number");
    let killed = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status();
    assert!(killed.expect("kill can be run").success());
    wait_until("the lock is to be had", PATIENCE, || builder().is_ok());
    verify(dir.path("tasks.log"), Expect::new().worker(0, 1).worker(1, 1));
}

//! A child that takes the log over from a process that is gone, and that may be killed at it.

use super::{
    super::{family::Family, lock::Terms},
    *,
};
use crate::file::{FileSystem as _, RealFileSystem};

/// More than any process has.
const GONE: &str = "pid 999999999\n";

const TERMS: Terms = Terms { locks: true, trusts: false };

/// A log whose process is gone, and whose lock its children have.
fn orphaned() -> (Dir, crate::file::Opened) {
    let dir = Dir::new();
    let file = builder(&dir, BACKUPS).build().expect("the file can be opened");
    (1..=LINES).for_each(|n| write(&file, line(n)));
    drop(file);
    dir.append(".tasks.log.lock", GONE);
    let mut lock = RealFileSystem.open(&dir.path(".tasks.log.lock"), None).expect("it is there");
    assert!(lock.file.try_lock().expect("it can be locked"));
    (dir, lock)
}

fn take_over(dir: &Dir, files: &FaultyFileSystem) -> std::io::Result<Option<Family>> {
    Family::take_over(files, &dir.path("tasks.log"), "tasks.log", TERMS)
}

fn own_lines(dir: &Dir) -> Vec<String> {
    let lines = dir.lines(".tasks.log.lock").into_iter().filter(|line| line.starts_with("own "));
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn killed_at_any_call_a_take_over_leaves_one_whole_list_and_another_child_succeeds() {
    for from in 1.. {
        let (dir, _lock) = orphaned();
        let (own, files) = (own_lines(&dir), FaultyFileSystem::new(from, u64::MAX, Fault::Os(EIO)));
        let taken = take_over(&dir, &files);
        if files.fired() == 0 {
            assert!(taken.expect("nothing failed").is_some(), "nobody else is there");
            assert!(from > 8, "a take-over has more calls than {from}");
            return;
        }
        assert!(taken.is_err(), "call {from}");
        assert_eq!(own_lines(&dir), own, "call {from}");
        let healthy = FaultyFileSystem::healthy();
        // The first attempt may have to remove what the one that was killed has left.
        let taken = (0..2).find_map(|_| take_over(&dir, &healthy).expect("nothing fails"));
        assert!(taken.is_some_and(|family| family.has_lock_file()), "call {from}");
        assert_eq!(own_lines(&dir), own, "call {from}");
        assert_eq!(dir.all_names().iter().filter(|name| name.contains(".lock")).count(), 1, "call {from}");
    }
}

#[test]
fn what_one_child_has_taken_over_no_other_takes() {
    let (dir, _lock) = orphaned();
    let healthy = FaultyFileSystem::healthy();
    let first = take_over(&dir, &healthy).expect("nothing fails").expect("nobody has it");
    for _ in 0..2 {
        assert!(take_over(&dir, &healthy).expect("nothing fails").is_none());
    }
    assert!(builder(&dir, BACKUPS).build().expect_err("it is held").is_in_use());
    drop(first);
}

#[test]
fn of_two_children_that_take_over_at_once_one_does() {
    let (dir, _lock) = orphaned();
    let (files, healthy) = (FaultyFileSystem::healthy(), FaultyFileSystem::healthy());
    for call in ["open_lock", "find", "replace"] {
        let (other, path) = (healthy.clone(), dir.path("tasks.log"));
        let found = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&found);
        files.meanwhile(call, move || {
            let taken = Family::take_over(&other, &path, "tasks.log", TERMS).expect("nothing fails");
            *theirs.lock().expect("no test panics with it") = Some(taken);
        });
        let own = take_over(&dir, &files).expect("nothing fails");
        let theirs = found.lock().expect("no test panics with it").take().expect("it was called");
        assert!(own.is_some() != theirs.is_some(), "before {call}");
        dir.append(".tasks.log.lock", GONE); // and whoever it was is gone
    }
}

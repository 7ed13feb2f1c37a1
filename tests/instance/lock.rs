//! One process on a path: who is refused, what it is told, and when the path is free again.

use std::{env, fs};

use tracing_tasklog::{
    Error,
    writer::{InUse, InstanceFile},
};

use super::{builder, file, write};
use crate::support::{
    child::{Child, hang, role, say},
    dir::Dir,
};

#[test]
fn child_holds() {
    if !role("lock::child_holds") {
        return;
    }
    let path = env::var_os("LOG").expect("the parent says where");
    let file = InstanceFile::builder(path).if_in_use(InUse::NextFree).build().expect("a name is free");
    write(&file, "from the child\n");
    say(&format!("holds {}", file.path().display()));
    hang();
}

/// Starts a process that holds the log, and returns which path it has.
fn holder(dir: &Dir) -> (Child, String) {
    let mut child = Child::of_test("lock::child_holds").env("LOG", dir.path("tasks.log")).spawn();
    let said = child.wait_for_stdout_line(|line| line.starts_with("holds "));
    (child, said.trim_start_matches("holds ").to_owned())
}

fn assert_refused(error: &Error, dir: &Dir, pid: u32) {
    assert!(error.is_in_use(), "{error}");
    assert_eq!(error.path(), Some(dir.path("tasks.log").as_path()));
    let wanted = format!(
        "{:?} is in use by process {pid}: give each process a path of its own, with {{instance}} or {{pid}} in it \
         ({{host}} in containers, where each has the pid 1), \
         or set if_in_use(InUse::NextFree)",
        dir.path("tasks.log")
    );
    assert_eq!(error.to_string(), wanted);
}

#[test]
fn a_second_process_is_refused_by_name_and_changes_nothing() {
    let dir = Dir::new();
    let (child, path) = holder(&dir);
    assert_eq!(path, dir.path("tasks.log").display().to_string());
    let before = (dir.all_names(), dir.read(".tasks.log.lock"));
    let error = builder(&dir).build().expect_err("the child has it");
    assert_refused(&error, &dir, child.id());
    assert_eq!((dir.all_names(), dir.read(".tasks.log.lock")), before);
    assert_eq!(dir.read("tasks.log"), "from the child\n");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ResourceBusy);
}

#[test]
fn a_second_log_of_one_process_is_refused_until_the_last_clone_is_gone() {
    let dir = Dir::new();
    let first = file(&dir);
    let clone = first.clone();
    assert_refused(&builder(&dir).build().expect_err("it is held"), &dir, std::process::id());
    drop(first);
    assert_refused(&builder(&dir).build().expect_err("it is held"), &dir, std::process::id());
    drop(clone);
    write(&file(&dir), "again\n");
    assert_eq!(dir.read("tasks.log"), "again\n");
}

#[test]
fn a_path_through_a_link_is_the_same_path() {
    let dir = Dir::new();
    let _first = file(&dir);
    std::os::unix::fs::symlink("tasks.log", dir.path("link.log")).expect("a link can be made");
    let error = InstanceFile::builder(dir.path("link.log")).build().expect_err("it is held");
    assert!(error.is_in_use() && error.path() == Some(&dir.path("link.log")), "{error}");
    assert_eq!(dir.all_names(), [".tasks.log.lock", "link.log", "tasks.log"]);
}

#[test]
fn a_path_is_free_when_its_process_was_killed() {
    let dir = Dir::new();
    let (mut child, _) = holder(&dir);
    child.kill();
    assert!(!child.wait().status.success());
    write(&file(&dir), "from the parent\n");
    assert_eq!(dir.read("tasks.log"), "from the child\nfrom the parent\n");
}

#[test]
fn next_free_takes_the_next_name_and_the_first_again_when_it_is_free() {
    let dir = Dir::new();
    let next = || builder(&dir).if_in_use(InUse::NextFree).build().expect("a name is free");
    let (first, second, third) = (next(), next(), next());
    assert_eq!(
        [&first, &second, &third].map(|file| file.path().to_owned()),
        ["tasks.log", "tasks-2.log", "tasks-3.log"].map(|name| dir.path(name))
    );
    let (_child, path) = holder(&dir);
    assert_eq!(path, dir.path("tasks-4.log").display().to_string());
    drop(second);
    let again = next();
    assert_eq!(again.path(), dir.path("tasks-2.log"));
    write(&again, "second\n");
    assert_eq!(
        (dir.read("tasks-2.log"), dir.read("tasks-4.log")),
        ("second\n".into(), "from the child\n".into())
    );
}

#[test]
fn next_free_puts_the_number_before_the_last_extension() {
    let dir = Dir::new();
    for (name, next) in [("a.b.log", "a.b-2.log"), ("plain", "plain-2"), (".hidden", ".hidden-2")] {
        let build = || InstanceFile::builder(dir.path(name)).if_in_use(InUse::NextFree).build();
        let _first = build().expect("it is free");
        assert_eq!(build().expect("a name is free").path(), dir.path(next));
    }
}

#[test]
fn child_may_write_the_file_and_not_the_folder() {
    if !role("lock::child_may_write_the_file_and_not_the_folder") {
        return;
    }
    let path = env::var_os("LOG").expect("the parent says where");
    let build = || InstanceFile::builder(&path).max_bytes(16).build();
    let file = build().expect("the file can be written");
    assert!(build().expect_err("the log itself is locked").is_in_use());
    (1..=9).for_each(|n| write(&file, format!("line {n}\n")));
    let stats = file.stats();
    assert_eq!((stats.written_lines, stats.dropped_lines, stats.rotations), (9, 0, 0));
    assert!(stats.errors >= 1, "the rotation failed");
}

#[test]
fn where_the_folder_can_not_be_written_the_log_is_locked_and_grows() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = Dir::new();
    dir.write("logs/tasks.log", "before\n");
    let mode = |name: &str, mode| {
        fs::set_permissions(dir.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let child = Child::of_test_as_nobody("lock::child_may_write_the_file_and_not_the_folder", dir.root());
    mode("logs/tasks.log", 0o666);
    mode("logs", 0o555);
    let output = child.env("LOG", dir.path("logs/tasks.log")).spawn().wait();
    mode("logs", 0o755);
    let stderr = output.assert_success().stderr;
    assert_eq!(stderr.matches("could not rotate, so that it grows beyond its limit").count(), 1, "{stderr}");
    assert_eq!(dir.lines("logs/tasks.log").len(), 10);
    assert_eq!(fs::read_dir(dir.path("logs")).expect("it is there").count(), 1, "nothing was made beside it");
}

#[test]
fn something_else_at_the_name_of_the_lock_is_an_error() {
    let dir = Dir::new();
    dir.write(".tasks.log.lock/inside", "somebody's");
    let error = builder(&dir).build().expect_err("it can't be locked");
    assert!(!error.is_in_use());
    assert_eq!(dir.all_names(), [".tasks.log.lock"], "no log was made");
}

#[test]
fn a_lock_that_somebody_removed_is_made_again_with_its_list_by_the_next_rotation() {
    let dir = Dir::new();
    let log = builder(&dir).max_bytes(10).build().expect("the folder is the test's own");
    write(&log, "one\n");
    fs::remove_file(dir.path(".tasks.log.lock")).expect("it is there");
    write(&log, "the second\n");
    assert!(builder(&dir).build().expect_err("it is held again").is_in_use());
    drop(log);
    let next = builder(&dir).max_bytes(10).build().expect("nobody has it any more");
    write(&next, "the third\n");
    assert_eq!(dir.read("tasks.log.2"), "one\n", "the backup of the first life is known as its own");
}

#[test]
fn who_has_lost_its_path_to_another_process_rotates_nothing_and_says_so() {
    let dir = Dir::new();
    let log = builder(&dir).max_bytes(10).build().expect("the folder is the test's own");
    write(&log, "one\n");
    fs::remove_file(dir.path(".tasks.log.lock")).expect("it is there");
    let other = builder(&dir).max_bytes(1000).build().expect("the lock is gone");
    write(&log, "the second\n");
    assert_eq!((log.stats().rotations, log.stats().errors), (0, 1));
    write(&other, "the third\n");
    assert_eq!(dir.read("tasks.log"), "one\nthe second\nthe third\n");
}

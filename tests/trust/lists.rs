//! Which list is believed, whose files are removed, and what has a lock's name and is none.

use std::os::unix::fs::{FileTypeExt as _, chown};

use super::*;

/// The name of the family in a folder.
fn family(dir: &Dir) -> std::path::PathBuf {
    dir.path("tasks-{instance}.log")
}

/// A file that is not of the log, and a list that says that it is.
fn victim(dir: &Dir, name: &str, lock_mode: u32) {
    dir.write(name, "precious");
    let log = name.trim_end_matches(".1");
    let lock = format!(".{log}.lock");
    dir.write(&lock, list(family(dir), &own_line(dir.path(name))));
    set_mode(dir.path(&lock), lock_mode);
}

fn keeps_one(dir: &Dir) -> String {
    said(logs(&[], family(dir), "keep").env("TASKLOG_INSTANCE", "me"))
}

#[test]
fn a_list_is_believed_only_if_nobody_else_may_write_it_and_its_name_is_the_familys() {
    let dir = Dir::new();
    victim(&dir, "tasks-a.log", 0o666);
    victim(&dir, "tasks-b.log.1", 0o620);
    victim(&dir, "thesis.txt", 0o600);
    victim(&dir, "tasks-d.log", 0o600);
    dir.write("elsewhere", list(family(&dir), &own_line(dir.path("tasks-a.log"))));
    set_mode(dir.path("elsewhere"), 0o600);
    std::os::unix::fs::symlink("elsewhere", dir.path(".tasks-a.log.2.lock")).expect("a link can be made");
    assert_eq!(keeps_one(&dir), "built\n");
    for name in ["tasks-a.log", "tasks-b.log.1", "thesis.txt"] {
        assert_eq!(dir.read(name), "precious", "{name}");
    }
    assert!(!dir.path("tasks-d.log").exists(), "that list was the user's own");
}

#[test]
#[ignore = "needs root and setpriv"]
fn a_list_of_another_user_removes_nothing() {
    let dir = Dir::new();
    set_mode(dir.root(), 0o1777);
    sh(&USER, &dir, "echo precious >tasks-a.log");
    let forged = list(family(&dir), &own_line(dir.path("tasks-a.log")));
    sh(&OTHER, &dir, &format!("printf '%s' '{forged}' >.tasks-a.log.lock; chmod 644 .tasks-a.log.lock"));
    let home = Dir::new();
    let child = Child::of_test_under(&USER, "child_logs", Some(home.root())).env("TASKLOG_INSTANCE", "me");
    assert_eq!(said(child.env("LOG", family(&dir)).env("OPTIONS", "keep")), "built\n");
    assert_eq!(dir.read("tasks-a.log"), "precious\n");
}

#[test]
#[ignore = "needs root"]
fn a_file_of_another_user_is_left_and_told_even_if_the_list_is_right() {
    let dir = Dir::new();
    victim(&dir, "tasks-a.log", 0o600);
    chown(dir.path("tasks-a.log"), Some(4711), None).expect("root may");
    let said = keeps_one(&dir);
    assert!(said.contains("tasks-a.log\" belongs to user 4711: remove it as that user"), "{said}");
    assert!(dir.path("tasks-a.log").exists() && dir.path(".tasks-a.log.lock").exists());
}

#[test]
fn what_has_the_name_of_another_lock_and_is_no_file_hangs_nobody() {
    let dir = Dir::new();
    sh(&[], &dir, "mkfifo .tasks-a.log.lock; mkdir .tasks-b.log.lock; ln -s nowhere .tasks-c.log.lock");
    sh(&[], &dir, "mkfifo fifo; ln -s fifo .tasks-d.log.lock; ln -s .tasks-e.log.lock .tasks-e.log.lock");
    let _listener = std::os::unix::net::UnixListener::bind(dir.path(".tasks-f.log.lock")).expect("a socket");
    assert_eq!(keeps_one(&dir), "built\n");
    assert!(fs::symlink_metadata(dir.path(".tasks-a.log.lock")).expect("it stays").file_type().is_fifo());
    assert_eq!(dir.all_names().iter().filter(|name| name.ends_with(".lock")).count(), 7);
}

#[test]
#[ignore = "needs root and mknod"]
fn a_device_with_the_name_of_a_lock_is_not_opened() {
    let dir = Dir::new();
    sh(&[], &dir, "mknod .tasks-a.log.lock c 1 5; mknod .tasks-b.log.lock b 7 250");
    assert_eq!(keeps_one(&dir), "built\n");
}

#[test]
fn what_has_the_name_of_the_own_lock_and_is_no_file_is_an_error_that_says_what_to_do() {
    for make in ["mkfifo", "mkdir", "ln -s nowhere", "ln -s tasks.txt"] {
        let dir = Dir::new();
        dir.write("tasks.txt", "precious");
        sh(&[], &dir, &format!("{make} .tasks.log.lock"));
        let said = said(logs(&[], dir.path("tasks.log"), ""));
        assert!(said.starts_with("refused ") && said.contains(".tasks.log.lock"), "{make}: {said}");
        assert!(said.contains("move it away, or give another path"), "{make}: {said}");
        assert_eq!((dir.read("tasks.txt").as_str(), dir.path("tasks.log").exists()), ("precious", false));
    }
}

#[test]
fn a_fifo_in_the_place_of_a_file_that_a_writer_makes_hangs_nobody() {
    let dir = Dir::new();
    sh(&[], &dir, "mkfifo .tasks.log.gz.tmp .tasks.log.lock.new tasks.log.1 other.log");
    assert_eq!(said(logs(&[], dir.path("tasks.log"), "")), "built\n");
    for options in ["", "watched"] {
        let said = said(logs(&[], dir.path("other.log"), options));
        assert!(said.starts_with("refused ") && said.contains("regular file"), "{said}");
    }
}

#[test]
fn a_list_that_others_could_write_is_begun_anew_and_that_is_told() {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    assert_eq!(said(logs(&[], &path, "")), "built\n");
    let backup = dir.read("tasks.log.1");
    dir.write("tasks.log.2", "precious");
    dir.append(".tasks.log.lock", own_line(dir.path("tasks.log.2")));
    set_mode(dir.path(".tasks.log.lock"), 0o666);
    let said = said(logs(&[], &path, ""));
    assert!(said.contains("other users could write to") && said.ends_with("built\n"), "{said}");
    assert_eq!((dir.read("tasks.log.1"), dir.read("tasks.log.2")), (backup, "precious".to_owned()));
    assert_eq!(mode(dir.path(".tasks.log.lock")), 0o600);
    assert!(!dir.read(".tasks.log.lock").contains(&own_line(dir.path("tasks.log.2"))));
    assert_eq!(super::said(logs(&[], &path, "")), "built\n", "now it is believed");
}

#[test]
#[ignore = "needs root and setpriv"]
fn the_lock_of_another_user_is_refused_by_name() {
    let dir = Dir::new();
    set_mode(dir.root(), 0o1777);
    sh(&OTHER, &dir, "echo 'tracing-tasklog 1' >.tasks.log.lock; chmod 666 .tasks.log.lock");
    let said = said_as(&USER, dir.path("tasks.log"), "");
    assert!(said.contains("belongs to user 4712, and this process is user 4711: move it away"), "{said}");
    assert_eq!(
        (dir.read(".tasks.log.lock").as_str(), dir.path("tasks.log").exists()),
        ("tracing-tasklog 1\n", false)
    );
    assert_eq!(said_as(&USER, dir.path("tasks.log"), "trust"), "built\n");
}

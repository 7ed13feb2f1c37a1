//! Whose files they are: what this log did not write stays as it is, what it did write goes on.

use std::{fs, path::PathBuf, time::Duration};

use super::{builder, write};
use crate::support::{dir::Dir, wait_until};

/// A log that rotates before every line after the first.
fn rotating(dir: &Dir) -> tracing_tasklog::writer::InstanceFile {
    builder(dir).max_bytes(4).backups(2).build().expect("the file can be opened")
}

fn write_numbers(file: &tracing_tasklog::writer::InstanceFile, from: u32, to: u32) {
    (from..=to).for_each(|n| write(file, format!("{n:03}\n")));
}

#[test]
fn files_of_others_keep_their_names_and_bytes_over_rotations_and_a_restart() {
    let dir = Dir::new();
    let others =
        ["tasks.log.1", "tasks.log.3.gz", "tasks.log.bak", "tasks.log-1", "other.log.1", "tasks.log.6"];
    others.iter().for_each(|name| dir.write(name, format!("somebody's {name}")));
    for (from, to) in [(1, 5), (6, 8)] {
        let file = rotating(&dir);
        write_numbers(&file, from, to);
        assert_eq!((file.stats().errors, file.stats().dropped_lines), (0, 0));
        others.iter().for_each(|name| assert_eq!(dir.read(name), format!("somebody's {name}")));
        assert_eq!(dir.read("tasks.log"), format!("{to:03}\n"));
        assert_eq!(dir.read("tasks.log.2"), format!("{:03}\n", to - 1));
        assert_eq!(dir.read("tasks.log.4"), format!("{:03}\n", to - 2), "1 and 3 are somebody's");
        assert_eq!(dir.names().len(), others.len() + 3);
    }
}

#[cfg(unix)]
#[test]
fn directories_links_and_fifos_at_backup_names_are_left_out() {
    use std::os::unix::fs::{FileTypeExt as _, symlink};

    let dir = Dir::new();
    dir.write("tasks.log.1/inside", "somebody's");
    symlink("nowhere", dir.path("tasks.log.2")).expect("a link can be made");
    let made = std::process::Command::new("mkfifo").arg(dir.path("tasks.log.3")).status();
    assert!(made.expect("mkfifo runs").success());
    dir.write("target", "somebody's");
    symlink("target", dir.path("tasks.log.5")).expect("a link can be made");
    for (from, to) in [(1, 6), (7, 9)] {
        let file = rotating(&dir);
        write_numbers(&file, from, to);
        assert_eq!((file.stats().errors, file.stats().dropped_lines), (0, 0));
        assert_eq!(
            (dir.read("tasks.log.1/inside"), dir.read("target")),
            ("somebody's".into(), "somebody's".into())
        );
        assert_eq!(fs::read_link(dir.path("tasks.log.2")).expect("a link"), PathBuf::from("nowhere"));
        assert_eq!(fs::read_link(dir.path("tasks.log.5")).expect("a link"), PathBuf::from("target"));
        assert!(fs::metadata(dir.path("tasks.log.3")).expect("it is there").file_type().is_fifo());
        assert_eq!(dir.read("tasks.log.4"), format!("{:03}\n", to - 1));
        assert_eq!(dir.read("tasks.log.6"), format!("{:03}\n", to - 2));
        assert_eq!(dir.names().len(), 8, "{:?}", dir.names());
    }
}

#[test]
fn backups_of_an_earlier_life_are_shifted_and_removed_when_their_time_has_come() {
    let dir = Dir::new();
    write_numbers(&rotating(&dir), 1, 3);
    let file = rotating(&dir);
    write_numbers(&file, 4, 4);
    let contents = |name: &str| dir.read(name);
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
    assert_eq!((contents("tasks.log.1"), contents("tasks.log.2")), ("003\n".into(), "002\n".into()));
    write_numbers(&file, 5, 6);
    assert_eq!((contents("tasks.log.1"), contents("tasks.log.2")), ("005\n".into(), "004\n".into()));
}

#[test]
fn backups_whose_list_is_lost_are_somebody_elses() {
    let dir = Dir::new();
    write_numbers(&rotating(&dir), 1, 3);
    fs::remove_file(dir.path(".tasks.log.lock")).expect("the list is there");
    let file = rotating(&dir);
    write_numbers(&file, 4, 8);
    let content = |number: u32| dir.read(&format!("tasks.log.{number}"));
    assert_eq!((content(1), content(2)), ("002\n".into(), "001\n".into()), "they stay for good");
    assert_eq!((content(3), content(4)), ("007\n".into(), "006\n".into()));
    assert_eq!(dir.names().len(), 5);
}

#[test]
fn a_file_that_has_the_name_of_the_lock_and_is_none_is_an_error_and_left_alone() {
    let dir = Dir::new();
    dir.write(".tasks.log.lock", "something else\n");
    let error = builder(&dir).build().expect_err("it is somebody's");
    assert!(error.to_string().contains(".tasks.log.lock\" is no lock of this crate"), "{error}");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::InvalidData);
    assert_eq!(dir.read(".tasks.log.lock"), "something else\n");
}

#[test]
fn a_lock_whose_header_a_crash_has_torn_begins_anew() {
    for torn in ["", "tracing-tas", "tracing-tasklog 1"] {
        let dir = Dir::new();
        dir.write(".tasks.log.lock", torn);
        write_numbers(&rotating(&dir), 1, 2);
        write_numbers(&rotating(&dir), 3, 4);
        // The first life's backups are known as its own: they have moved on, and the oldest is gone.
        assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"], "{torn:?}");
        assert_eq!(dir.read("tasks.log.2"), "002\n", "{torn:?}");
    }
}

#[test]
fn a_list_that_has_become_long_is_replaced_and_forgets_nothing_that_is_there() {
    let dir = Dir::new();
    write_numbers(&rotating(&dir), 1, 2);
    dir.append(".tasks.log.lock", "own 0 1 1\n".repeat(7_000));
    let file = rotating(&dir);
    write_numbers(&file, 3, 4);
    assert!(dir.read(".tasks.log.lock").len() < 1_000);
    assert_eq!(dir.read("tasks.log.2"), "002\n");
    assert!(builder(&dir).build().expect_err("the new list is locked").is_in_use());
    drop(file);
    write_numbers(&rotating(&dir), 5, 5);
    assert_eq!((dir.read("tasks.log.2"), dir.names().len()), ("003\n".into(), 3));
}

#[test]
fn a_live_file_that_somebody_moved_is_left_where_it_is() {
    let dir = Dir::new();
    let file = rotating(&dir);
    write_numbers(&file, 1, 1);
    fs::rename(dir.path("tasks.log"), dir.path("moved.log")).expect("it is there");
    write_numbers(&file, 2, 3);
    assert_eq!((dir.read("moved.log"), dir.read("tasks.log.1")), ("001\n".into(), "002\n".into()));
    assert_eq!((dir.read("tasks.log"), file.stats().dropped_lines), ("003\n".into(), 0));
}

#[test]
fn a_file_put_in_the_place_of_the_live_one_is_gone_on_with_and_never_emptied() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(8).backups(2).build().expect("the file can be opened");
    write_numbers(&file, 1, 2);
    dir.write("new.log", "put");
    fs::rename(dir.path("new.log"), dir.path("tasks.log")).expect("it is there");
    write_numbers(&file, 3, 3);
    assert_eq!(dir.read("tasks.log"), "put\u{18}\n003\n");
    assert_eq!((dir.names().len(), file.stats().dropped_lines), (1, 0), "{:?}", dir.names());
}

#[test]
fn a_folder_that_was_removed_is_made_again_with_the_next_rotation() {
    let dir = Dir::new();
    let file =
        tracing_tasklog::writer::InstanceFile::builder(dir.path("logs/tasks.log")).max_bytes(8).build();
    let file = file.expect("the file can be opened");
    write_numbers(&file, 1, 1);
    fs::remove_dir_all(dir.path("logs")).expect("it is there");
    write_numbers(&file, 2, 4);
    assert_eq!(dir.read("logs/tasks.log"), "003\n004\n");
    let stats = file.stats();
    assert_eq!((stats.written_lines, stats.dropped_lines, stats.errors), (4, 0, 0));
}

#[test]
fn a_new_file_with_the_inode_of_one_that_was_ours_is_somebody_elses() {
    let dir = Dir::new();
    let file = rotating(&dir);
    write_numbers(&file, 1, 2);
    let born = |name: &str| fs::metadata(dir.path(name)).and_then(|meta| meta.created()).ok();
    let ours = born("tasks.log.1");
    // The clock of the file system ticks some hundred times a second.
    wait_until("a file that is made now is younger", Duration::from_secs(20), || {
        dir.write("probe", "");
        let young = born("probe");
        fs::remove_file(dir.path("probe")).expect("it is there");
        young != ours || ours.is_none()
    });
    fs::remove_file(dir.path("tasks.log.1")).expect("it is there");
    dir.write("tasks.log.1", "somebody's"); // ext4 gives it the same inode
    dir.write("tasks.log.2", "somebody's");
    write_numbers(&file, 3, 6);
    if ours.is_some() {
        assert_eq!(dir.read("tasks.log.1"), "somebody's");
    }
    assert_eq!(dir.read("tasks.log.2"), "somebody's");
}

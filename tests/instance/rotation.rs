//! Rotation at a size: where the boundary is, what is kept, and in which order.

use super::{builder, file, write};
use crate::support::{dir::Dir, verify::LogFamily};

/// The contents of the log's files, the oldest first.
fn contents(dir: &Dir) -> Vec<String> {
    LogFamily::of(dir.path("tasks.log")).names().iter().map(|name| dir.read(name)).collect()
}

#[test]
fn a_file_takes_exactly_max_bytes() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(10).build().expect("the file can be opened");
    write(&file, "1234\n");
    write(&file, "6789\n");
    assert_eq!(dir.names(), ["tasks.log"], "ten bytes are within the limit");
    write(&file, "\n");
    assert_eq!(contents(&dir), ["1234\n6789\n", "\n"], "the eleventh is not");
}

#[test]
fn a_line_that_would_pass_the_limit_goes_to_the_next_file_whole() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(10).build().expect("the file can be opened");
    write(&file, "12345\n");
    write(&file, "1234\n");
    assert_eq!(contents(&dir), ["12345\n", "1234\n"]);
    assert_eq!(file.stats().rotations, 1);
}

#[test]
fn what_a_file_held_before_counts() {
    let dir = Dir::new();
    dir.write("tasks.log", "12345678\n");
    let file = builder(&dir).max_bytes(10).build().expect("the file can be opened");
    write(&file, "a\n");
    assert_eq!(contents(&dir), ["12345678\n", "a\n"]);
}

#[test]
fn lines_of_one_write_are_parted_between_lines_only() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(10).build().expect("the file can be opened");
    write(&file, "1\n22\n333\n4444\n55555\n666666\n");
    assert_eq!(contents(&dir), ["1\n22\n333\n", "4444\n", "55555\n", "666666\n"]);
    assert_eq!((file.stats().written_lines, file.stats().rotations), (6, 3));
}

#[test]
fn a_line_larger_than_max_bytes_has_a_file_of_its_own() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(10).build().expect("the file can be opened");
    write(&file, "a line that is larger than ten bytes\n");
    assert_eq!(file.stats().rotations, 0, "an empty file is not rotated");
    write(&file, "short\nanother line of more than ten bytes\n");
    write(&file, "short\n");
    let wanted = [
        "a line that is larger than ten bytes\n",
        "short\n",
        "another line of more than ten bytes\n",
        "short\n",
    ];
    assert_eq!(contents(&dir), wanted);
}

#[test]
fn as_many_backups_as_asked_for_are_kept_the_newest_with_number_1() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(4).backups(3).build().expect("the file can be opened");
    for n in 1..=9 {
        write(&file, format!("{n:03}\n"));
        let newest: Vec<_> = (1..=n).rev().take(4).collect();
        for (number, line) in newest.iter().enumerate() {
            let name = if number == 0 { "tasks.log".to_owned() } else { format!("tasks.log.{number}") };
            assert_eq!(dir.read(&name), format!("{line:03}\n"), "{name} after line {n}");
        }
        assert_eq!(dir.names().len(), newest.len(), "after line {n}: {:?}", dir.names());
    }
}

#[test]
fn by_default_five_backups_are_kept() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(4).build().expect("the file can be opened");
    (1..=9).for_each(|n| write(&file, format!("{n:03}\n")));
    assert_eq!(contents(&dir), ["004\n", "005\n", "006\n", "007\n", "008\n", "009\n"]);
}

#[test]
fn a_file_that_ends_without_lf_is_closed_before_the_first_line() {
    let dir = Dir::new();
    dir.write("tasks.log", "whole\nhalf of a li");
    write(&file(&dir), "next\n");
    assert_eq!(dir.read("tasks.log"), "whole\nhalf of a li\u{18}\nnext\n");
    let stats = {
        let file = file(&dir);
        write(&file, "last\n");
        file.stats()
    };
    assert_eq!(dir.read("tasks.log"), "whole\nhalf of a li\u{18}\nnext\nlast\n", "closed once");
    assert_eq!((stats.accepted_lines, stats.written_lines), (1, 1));
}

#[test]
fn an_open_file_that_nobody_writes_to_stays_as_it_is() {
    let dir = Dir::new();
    dir.write("tasks.log", "half of a li");
    drop(file(&dir));
    assert_eq!(dir.read("tasks.log"), "half of a li");
}

#[cfg(unix)]
mod modes {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use crate::{
        builder,
        support::{
            child::{Child, role, say},
            dir::Dir,
        },
        write,
    };

    fn mode(dir: &Dir, name: &str) -> u32 {
        fs::metadata(dir.path(name)).expect("it is there").permissions().mode() & 0o7777
    }

    #[test]
    fn child_writes_with_a_mode() {
        if !role("rotation::modes::child_writes_with_a_mode") {
            return;
        }
        let path = std::env::var_os("LOG").expect("the parent says where");
        let mode = std::env::var("MODE").expect("the parent says how");
        let mut builder = tracing_tasklog::writer::InstanceFile::builder(path).max_bytes(4);
        if mode != "default" {
            builder = builder.file_mode(u32::from_str_radix(&mode, 8).expect("an octal number"));
        }
        let file = builder.build().expect("the file can be opened");
        (0..3).for_each(|n| write(&file, format!("{n:03}\n")));
        say("done");
    }

    /// Has a child rotate twice under a umask, and returns the modes of its three files.
    fn modes_under(umask: &str, mode_asked: &str) -> [u32; 3] {
        let dir = Dir::new();
        let child =
            Child::of_test_after("rotation::modes::child_writes_with_a_mode", &format!("umask {umask}"));
        let output = child.env("LOG", dir.path("tasks.log")).env("MODE", mode_asked).spawn().wait();
        output.assert_success();
        ["tasks.log", "tasks.log.1", "tasks.log.2"].map(|name| mode(&dir, name))
    }

    #[test]
    fn file_mode_is_exact_whatever_the_umask_and_after_rotation() {
        assert_eq!(modes_under("077", "640"), [0o640; 3]);
        assert_eq!(modes_under("000", "640"), [0o640; 3]);
        assert_eq!(modes_under("022", "666"), [0o666; 3]);
        assert_eq!(modes_under("777", "600"), [0o600; 3]);
    }

    #[test]
    fn without_file_mode_the_umask_decides() {
        assert_eq!(modes_under("077", "default"), [0o600; 3]);
        assert_eq!(modes_under("022", "default"), [0o644; 3]);
    }

    #[test]
    fn file_mode_holds_for_a_file_that_was_there() {
        let dir = Dir::new();
        dir.write("tasks.log", "before\n");
        fs::set_permissions(dir.path("tasks.log"), fs::Permissions::from_mode(0o604)).expect("it is ours");
        drop(builder(&dir).file_mode(0o640).build().expect("the file can be opened"));
        assert_eq!(mode(&dir, "tasks.log"), 0o640);
        drop(builder(&dir).build().expect("the file can be opened"));
        assert_eq!(mode(&dir, "tasks.log"), 0o640, "not asked for, not changed");
    }
}

#[test]
fn backups_beyond_a_lowered_number_go_at_the_next_start_and_nothing_else() {
    let dir = Dir::new();
    let life = |backups: usize, lines: std::ops::Range<u32>| {
        let file = builder(&dir).max_bytes(4).backups(backups).build().expect("the file can be opened");
        lines.for_each(|n| write(&file, format!("{n:03}\n")));
        assert_eq!(file.stats().errors, 0);
    };
    life(8, 1..10);
    dir.write("tasks.log.11", "somebody's");
    std::fs::rename(dir.path("tasks.log.8"), dir.path("tasks.log.12")).expect("it is there");
    life(2, 0..0);
    assert_eq!(contents(&dir)[1..], ["007\n", "008\n", "009\n"], "{:?}", dir.names());
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.11", "tasks.log.2"]);
    life(3, 10..13);
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.11", "tasks.log.2", "tasks.log.3"]);
    assert_eq!((dir.read("tasks.log.3"), dir.read("tasks.log.11")), ("009\n".into(), "somebody's".into()));
}

#[cfg(unix)]
#[test]
fn the_new_live_file_never_has_the_inode_of_the_backup_that_goes() {
    use std::os::unix::fs::MetadataExt as _;

    let dir = Dir::new();
    let file = builder(&dir).max_bytes(4).backups(2).build().expect("the file can be opened");
    let inode = |name: &str| std::fs::metadata(dir.path(name)).expect("it is there").ino();
    (1..=3).for_each(|n| write(&file, format!("{n:03}\n")));
    for n in 4..=100 {
        let oldest = inode("tasks.log.2");
        write(&file, format!("{n:03}\n"));
        assert_ne!(inode("tasks.log"), oldest, "rotation {n}");
    }
}

#[cfg(unix)]
mod attributes {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    };

    use super::*;

    /// The owner, the group and the mode of a file.
    fn of(dir: &Dir, name: &str) -> (u32, u32, u32) {
        let meta = fs::metadata(dir.path(name)).expect("it is there");
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    }

    fn set_mode(dir: &Dir, mode: u32) {
        fs::set_permissions(dir.path("tasks.log"), Permissions::from_mode(mode)).expect("it is ours");
    }

    #[test]
    fn the_new_live_file_has_the_mode_that_somebody_gave_the_old_one_unless_the_builder_has_set_it() {
        for (set, expected) in [(None, 0o626), (Some(0o604), 0o604)] {
            let dir = Dir::new();
            let builder = builder(&dir).max_bytes(4);
            let builder = match set {
                Some(mode) => builder.file_mode(mode),
                None => builder,
            };
            let file = builder.build().expect("the file can be opened");
            write(&file, "001\n");
            set_mode(&dir, 0o626);
            (2..=4).for_each(|n| write(&file, format!("{n:03}\n")));
            let modes = ["tasks.log.3", "tasks.log.2", "tasks.log"].map(|name| of(&dir, name).2);
            assert_eq!(modes, [0o626, expected, expected]);
            assert_eq!(file.stats().errors, 0);
        }
    }

    #[test]
    #[ignore = "needs root: chown"]
    fn the_new_live_file_has_the_owner_and_the_group_of_the_old_one() {
        let dir = Dir::new();
        let file = builder(&dir).max_bytes(4).build().expect("the file can be opened");
        write(&file, "001\n");
        chown(dir.path("tasks.log"), Some(12_345), Some(23_456)).expect("this is root");
        set_mode(&dir, 0o640);
        (2..=4).for_each(|n| write(&file, format!("{n:03}\n")));
        for name in ["tasks.log.3", "tasks.log.1", "tasks.log"] {
            assert_eq!(of(&dir, name), (12_345, 23_456, 0o640), "{name}");
        }
        assert_eq!(file.stats().errors, 0);
    }
}

//! The look at the path, once a second: a live file that is gone, and a descriptor that is of no use any more.

use super::*;

const EBADF: i32 = 9;
const ESTALE: i32 = 116;

fn opened(dir: &Dir) -> (FaultyFileSystem, InstanceFile) {
    let files = FaultyFileSystem::healthy();
    let file = on(&files, builder(dir, 3)).expect("the file can be opened");
    (files, file)
}

/// The calls to the file system that a line makes.
fn calls_of_line(files: &FaultyFileSystem, file: &InstanceFile, n: u64) -> Vec<&'static str> {
    let before = files.calls().len();
    write(file, line(n));
    files.calls().split_off(before)
}

#[test]
fn a_line_looks_once_a_second_and_at_no_other_time() {
    let dir = Dir::new();
    let (files, file) = opened(&dir);
    assert_eq!(calls_of_line(&files, &file, 1), ["append"]);
    a_second_passes(&file);
    assert_eq!(calls_of_line(&files, &file, 2), ["check", "find", "append"]);
    assert_eq!(calls_of_line(&files, &file, 3), ["append"]);
    assert_eq!(file.stats().reopens, 0);
}

#[test]
fn a_live_file_that_was_deleted_is_made_anew_by_a_line_of_the_next_second() {
    let dir = Dir::new();
    let (_, file) = opened(&dir);
    write(&file, line(1));
    fs::remove_file(dir.path("tasks.log")).expect("it is there");
    write(&file, line(2));
    assert_eq!(dir.names(), [""; 0], "not in the same second");
    a_second_passes(&file);
    write(&file, line(3));
    let (told, rest) =
        dir.read("tasks.log").split_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two lines");
    assert!(
        told.ends_with(" up to 2 lines may be lost reason=\"file removed by another program\""),
        "{told}"
    );
    assert_eq!(rest, line(3));
    let stats = file.stats();
    assert_eq!((stats.reopens, stats.rotations, stats.errors, stats.written_lines), (1, 0, 0, 3));
    assert_eq!(stats.at_risk_lines, 2);
}

#[test]
fn a_live_file_that_was_moved_is_left_alone_and_the_new_one_rotates() {
    let dir = Dir::new();
    let (_, file) = opened(&dir);
    write(&file, line(1));
    fs::rename(dir.path("tasks.log"), dir.path("moved.log")).expect("it is there");
    a_second_passes(&file);
    (2..=5).for_each(|n| write(&file, line(n)));
    assert_eq!(dir.read("moved.log"), line(1));
    assert_eq!((dir.lines("tasks.log.1").len(), dir.lines("tasks.log").len()), (3, 1));
    assert_eq!((file.stats().rotations, file.stats().at_risk_lines), (1, 0));
}

#[test]
fn a_folder_that_was_removed_is_made_again_with_the_lock() {
    let dir = Dir::new();
    let path = dir.path("logs/tasks.log");
    let file = builder_at(path.clone(), 3).build().expect("the file can be opened");
    write(&file, line(1));
    fs::remove_dir_all(dir.path("logs")).expect("it is there");
    a_second_passes(&file);
    (2..=5).for_each(|n| write(&file, line(n)));
    assert!(file.stats().rotations >= 1, "{:?}", file.stats());
    let names = ["logs/tasks.log.2", "logs/tasks.log.1", "logs/tasks.log"];
    let there = names.iter().filter(|name| dir.path(name).exists());
    let content: String = there.map(|name| dir.read(name)).collect();
    let lines: String = (2..=5).map(line).collect();
    let is_told = content.contains(" up to 1 lines may be lost reason=\"file removed by another program\"\n");
    assert!(is_told && content.ends_with(&lines), "{content}");
    assert!(InstanceFile::builder(path).build().expect_err("it is held").is_in_use());
}

#[test]
fn something_else_at_the_path_bars_no_line() {
    let dir = Dir::new();
    let (_, file) = opened(&dir);
    fs::rename(dir.path("tasks.log"), dir.path("moved.log")).expect("it is there");
    dir.write("tasks.log/inside", "somebody's");
    a_second_passes(&file);
    write(&file, line(1));
    assert_eq!(dir.read("moved.log"), line(1));
    assert_eq!((file.stats().dropped_lines, file.stats().reopens), (0, 0));
}

#[test]
fn a_line_that_a_dead_descriptor_refuses_goes_to_the_file_at_the_path() {
    for code in [EBADF, ESTALE] {
        let dir = Dir::new();
        let (files, file) = opened(&dir);
        write(&file, line(1));
        files.fail_next(1, Fault::Os(code));
        (2..=3).for_each(|n| write(&file, line(n)));
        assert_eq!(found_and_missing(&dir, 3, "a dead descriptor"), (3, 0), "error {code}");
        let stats = file.stats();
        assert_eq!((stats.reopens, stats.dropped_lines, stats.errors), (1, 0, 1), "error {code}");
    }
}

#[test]
fn a_descriptor_that_is_closed_between_two_lines_puts_none_at_risk() {
    let dir = Dir::new();
    let (files, file) = opened(&dir);
    write(&file, line(1));
    a_second_passes(&file);
    files.fail_next(1, Fault::Os(EBADF));
    write(&file, line(2));
    assert_eq!(dir.read("tasks.log"), line(1) + &line(2));
    let stats = file.stats();
    assert_eq!((stats.reopens, stats.at_risk_lines, stats.dropped_lines), (1, 0, 0));
}

#[test]
fn a_descriptor_that_stays_dead_is_opened_again_once_a_second() {
    let dir = Dir::new();
    let (files, file) = opened(&dir);
    files.fail_next(u64::MAX, Fault::Os(ESTALE));
    (1..=9).for_each(|n| write(&file, line(n)));
    let opens = files.calls().iter().filter(|call| **call == "create_new").count();
    assert_eq!(opens, 1, "nine lines and one attempt");
    files.heal();
    a_second_passes(&file);
    write(&file, line(10));
    assert_eq!(found_and_missing(&dir, 10, "nine lost"), (1, 9));
}

#[test]
fn a_descriptor_that_fails_for_any_reason_is_replaced_within_a_second_but_not_for_a_full_disk() {
    for (code, reopens) in [(EIO, 1), (EACCES, 1), (ENOSPC, 0)] {
        let dir = Dir::new();
        let (files, file) = opened(&dir);
        files.fail_next(1, Fault::Os(code));
        write(&file, line(1));
        write(&file, line(2));
        assert_eq!(file.stats().reopens, 0, "error {code}: not at once");
        a_second_passes(&file);
        write(&file, line(3));
        assert_eq!(file.stats().reopens, reopens, "error {code}");
        assert_eq!(found_and_missing(&dir, 3, "one lost"), (2, 1), "error {code}");
    }
}

#[test]
fn a_dead_descriptor_with_a_fragment_bars_no_rotation() {
    let dir = Dir::new();
    dir.write("tasks.log", line(1) + &line(2) + &line(3)[..20]);
    let (files, file) = opened(&dir);
    files.fail_next(1, Fault::Os(EBADF));
    write(&file, line(4));
    assert_eq!((dir.read("tasks.log"), file.stats().rotations), (line(4), 1));
}

#[cfg(unix)]
#[test]
fn a_live_file_that_is_made_anew_has_the_mode_of_the_one_that_was_deleted() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = Dir::new();
    let (_, file) = opened(&dir);
    let path = dir.path("tasks.log");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))
        .and_then(|()| fs::remove_file(&path))
        .expect("it is ours");
    a_second_passes(&file);
    write(&file, line(1));
    assert_eq!(fs::metadata(&path).expect("it is there again").permissions().mode() & 0o7777, 0o640);
}

//! What others do between two steps.

use super::*;

#[test]
fn a_number_that_is_taken_right_before_the_rename_is_not_replaced() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 3)).expect("the file can be opened");
    (1..=3).for_each(|n| write(&file, line(n)));
    let taken = dir.path("tasks.log.1");
    files.meanwhile("rename", move || fs::write(taken, "somebody's").expect("the folder is there"));
    write(&file, line(4));
    assert_eq!((dir.lines("tasks.log").len(), file.stats().rotations), (4, 0), "the rotation failed");
    a_second_passes(&file);
    write(&file, line(5));
    assert_eq!(dir.read("tasks.log.1"), "somebody's");
    assert_eq!((dir.lines("tasks.log.2").len(), dir.lines("tasks.log").len()), (4, 1));
    assert_eq!(file.stats().dropped_lines, 0);
}

#[test]
fn a_lock_that_is_pruned_while_it_is_taken_is_taken_anew() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let lock = dir.path(".tasks.log.lock");
    files.meanwhile("try_lock", move || fs::remove_file(lock).expect("it was just made"));
    let _first = on(&files, builder(&dir, 3)).expect("the file can be opened");
    assert!(builder(&dir, 3).build().expect_err("it is held").is_in_use());
}

#[test]
fn what_a_life_that_ends_just_now_has_written_is_known_to_the_next() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = builder(&dir, 2).build().expect("the file can be opened");
    let path = dir.path("tasks.log");
    files.meanwhile("try_lock", move || {
        (1..=7).for_each(|n| write(&file, line(n)));
        assert_eq!(file.stats().rotations, 2);
    });
    let next =
        on(&files, InstanceFile::builder(path).max_bytes(MAX_BYTES).backups(2)).expect("it is free now");
    (8..=10).for_each(|n| write(&next, line(n)));
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"], "the oldest went");
    assert_eq!(dir.lines("tasks.log.2"), [4, 5, 6].map(|n| numbered(0, n, 9)));
}

#[test]
fn a_list_that_can_not_be_read_is_an_error_and_not_an_empty_one() {
    let dir = Dir::new();
    let first = builder(&dir, 2).build().expect("the file can be opened");
    (1..=7).for_each(|n| write(&first, line(n)));
    drop(first);
    let before = (dir.all_names(), dir.read(".tasks.log.lock"));
    let healthy = FaultyFileSystem::healthy();
    drop(on(&healthy, builder(&dir, 2)).expect("nothing fails"));
    let reads = healthy.calls().iter().position(|call| *call == "read").expect("the list is read") as u64;
    dir.write(".tasks.log.lock", &before.1);
    let files = FaultyFileSystem::new(reads + 1, 1, Fault::Os(EIO));
    let error = on(&files, builder(&dir, 2)).expect_err("whose the backups are can't be known");
    assert!(!error.is_in_use());
    assert_eq!((dir.all_names(), dir.read(".tasks.log.lock")), before);
}

//! Single steps of a rotation that fail, and fragments.

use super::{super::shared::RETRY_AFTER, *};

/// The number of the first call of this name in a healthy life of a few lines.
fn first_call(name: &str) -> u64 {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 3)).expect("nothing fails");
    let built = files.calls().len();
    (1..=5).for_each(|n| write(&file, line(n)));
    let at = files.calls()[built..].iter().position(|call| *call == name).expect("it is called");
    (built + at + 1) as u64
}

#[test]
fn a_failed_rotation_is_tried_again_after_a_second_and_not_before() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(first_call("rename"), 1, Fault::Os(EACCES)));
    let file = on(&files, builder(&dir, 3)).expect("the file can be opened");
    (1..=3).for_each(|n| write(&file, line(n)));
    let now = file.0.shared.clock.instant();
    write(&file, line(4));
    assert_eq!(
        (files.calls()[files.calls().len() - 2..].to_vec(), files.fired()),
        (vec!["rename", "append"], 1)
    );
    let retry_at = file.0.shared.state().retry_at.expect("a retry is due");
    assert_eq!(retry_at, now + RETRY_AFTER);
    let calls = files.calls().len();
    write(&file, line(5));
    assert_eq!(
        (&files.calls()[calls..], file.stats().rotations),
        (&["append"][..], 0),
        "a line and no rename"
    );
    assert_eq!(dir.lines("tasks.log").len(), 5, "the file grows beyond its limit meanwhile");
    a_second_passes(&file);
    write(&file, line(6));
    assert_eq!(file.stats().rotations, 1);
    assert_eq!((dir.lines("tasks.log.1").len(), dir.lines("tasks.log").len()), (5, 1));
}

#[test]
fn while_no_new_file_can_be_opened_lines_go_to_the_renamed_one() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(first_call("create_new"), 1, Fault::Os(EMFILE)));
    let file = on(&files, builder(&dir, 3)).expect("the file can be opened");
    (1..=5).for_each(|n| write(&file, line(n)));
    assert_eq!(dir.names(), ["tasks.log.1"]);
    assert_eq!(dir.lines("tasks.log.1").len(), 5);
    a_second_passes(&file);
    write(&file, line(6));
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1"], "nothing is renamed twice");
    assert_eq!(found_and_missing(&dir, 6, "all six"), (6, 0));
}

#[test]
fn a_file_that_could_not_be_listed_when_it_was_made_is_listed_before_it_is_renamed() {
    let after_open = first_call("create_new") + 2;
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(after_open, 1, Fault::Os(ENOSPC)));
    let file = on(&files, builder(&dir, 3)).expect("the file can be opened");
    (1..=4).for_each(|n| write(&file, line(n)));
    let listed = |list: &str| list.lines().filter(|line| line.starts_with("own ")).count();
    assert_eq!((file.stats().rotations, files.fired()), (1, 1));
    assert_eq!(listed(&dir.read(".tasks.log.lock")), 1, "the second file is not on the list");
    let (list, copy) = (dir.path(".tasks.log.lock"), dir.path("list"));
    files.meanwhile("rename", move || assert!(fs::copy(list, copy).is_ok()));
    (5..=7).for_each(|n| write(&file, line(n)));
    assert_eq!((file.stats().rotations, listed(&dir.read("list"))), (2, 2));
}

#[test]
fn a_fragment_is_closed_before_its_file_becomes_a_backup() {
    let dir = Dir::new();
    dir.write("tasks.log", line(1) + &line(2) + &line(3)[..20]);
    let file = builder(&dir, 3).build().expect("the file can be opened");
    write(&file, line(4));
    assert_eq!(dir.read("tasks.log.1"), line(1) + &line(2) + &line(3)[..20] + "\u{18}\n");
    assert_eq!(dir.read("tasks.log"), line(4));
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.rotations), (1, 1, 1));
}

#[test]
fn closing_a_fragment_counts_for_the_limit() {
    let dir = Dir::new();
    let room = MAX_BYTES as usize - line(1).len();
    dir.write("tasks.log", &"fragment ".repeat(20)[..room]);
    let file = builder(&dir, 3).build().expect("the file can be opened");
    write(&file, line(1));
    assert_eq!(dir.read("tasks.log"), line(1), "with CAN LF it would have been two bytes too many");
}

#[test]
fn a_live_file_that_was_deleted_comes_back_with_the_next_rotation() {
    let dir = Dir::new();
    let file = builder(&dir, 3).build().expect("the file can be opened");
    (1..=3).for_each(|n| write(&file, line(n)));
    fs::remove_file(dir.path("tasks.log")).expect("it is there");
    write(&file, line(4));
    assert_eq!(dir.read("tasks.log"), line(4));
    assert_eq!(file.stats().errors, 0);
}

#[test]
fn the_new_live_file_is_there_before_the_oldest_backup_goes() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
    (1..=9).for_each(|n| write(&file, line(n)));
    let (root, names) = (dir.root().to_owned(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&names);
    files.meanwhile("remove", move || {
        let names = fs::read_dir(root).expect("it is there").map(|entry| entry.expect("a name").file_name());
        seen.lock().expect("no test panics with it").extend(names);
    });
    write(&file, line(10));
    let names = names.lock().expect("no test panics with it");
    assert!(names.contains(&"tasks.log".into()) && names.contains(&"tasks.log.3".into()), "{names:?}");
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
    assert_eq!(file.stats().errors, 0);
}

#[test]
fn where_there_is_no_room_for_a_new_file_the_oldest_backup_goes_first() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
    (1..=9).for_each(|n| write(&file, line(n)));
    let before = files.calls().len();
    write(&file, line(10));
    let rotation = files.calls().split_off(before);
    let open = rotation.iter().position(|call| *call == "create_new");
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
    (1..=9).for_each(|n| write(&file, line(n)));
    files.fail_after(open.expect("a rotation opens a file") as u64, 1, Fault::Os(ENOSPC));
    write(&file, line(10));
    assert_eq!((file.stats().rotations, file.stats().errors, files.fired()), (3, 1, 1));
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
}

#[test]
fn an_oldest_backup_that_can_not_be_removed_goes_with_the_next_rotation() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
    (1..=9).for_each(|n| write(&file, line(n)));
    let before = files.calls().len();
    write(&file, line(10));
    let remove = files.calls().split_off(before).iter().position(|call| *call == "remove");
    (11..=12).for_each(|n| write(&file, line(n)));
    files.fail_after(remove.expect("the oldest was removed") as u64, 1, Fault::Os(EACCES));
    write(&file, line(13));
    assert_eq!((files.fired(), dir.names().len(), file.stats().rotations), (1, 4, 4));
    (14..=16).for_each(|n| write(&file, line(n)));
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
    assert_eq!((file.stats().errors, file.stats().rotations), (1, 5));
}

//! `sync`: what is written to the disk, and what becomes of an error.

use std::error::Error as _;

use super::*;

/// The calls that `sync` makes.
fn calls_of_sync(files: &FaultyFileSystem, file: &InstanceFile) -> Vec<&'static str> {
    let before = files.calls().len();
    file.sync().expect("the disk is there");
    files.calls()[before..].iter().copied().filter(|call| call.starts_with("sync")).collect()
}

#[test]
fn sync_writes_the_live_file_the_new_backups_and_the_folder_to_the_disk() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
    write(&file, line(1));
    assert_eq!(calls_of_sync(&files, &file), ["sync_file", "sync"], "live file and folder");
    (2..=4).for_each(|n| write(&file, line(n)));
    assert_eq!(file.stats().rotations, 1);
    assert_eq!(calls_of_sync(&files, &file), ["sync_file", "sync", "sync"], "and the backup");
    assert_eq!(calls_of_sync(&files, &file), ["sync_file", "sync"], "once");
    (5..=LINES).for_each(|n| write(&file, line(n)));
    assert_eq!(calls_of_sync(&files, &file), ["sync_file", "sync", "sync", "sync"], "as many as there are");
}

#[test]
fn a_sync_that_fails_says_why_and_is_made_good_by_the_next() {
    let mut failed = 0;
    for at in 0.. {
        let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
        let file = on(&files, builder(&dir, 2)).expect("the file can be opened");
        (1..=4).for_each(|n| write(&file, line(n)));
        files.fail_after(at, 1, Fault::Os(EIO));
        let Err(error) = file.sync() else { break };
        let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>());
        assert_eq!(cause.and_then(std::io::Error::raw_os_error), Some(EIO), "{error}");
        assert_eq!(error.to_string(), format!("could not synchronize with the disk {:?}", file.path()));
        write(&file, line(5));
        assert_eq!(calls_of_sync(&files, &file), ["sync_file", "sync", "sync"], "the backup is still due");
        assert_eq!((file.stats().dropped_lines, file.stats().written_lines), (0, 5));
        failed += 1;
    }
    assert!(failed >= 3, "only {failed} calls failed");
}

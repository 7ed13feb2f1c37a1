//! `sync` whose n-th call fails: it says so, and the next one does the rest.

use std::error::Error as _;

use super::*;
use crate::file::faulty::{Fault, FaultyFileSystem};

use crate::support::{
    dir::Dir,
    verify::{Expect, LogFamily, write_numbered},
};

const EIO: i32 = 5;

/// Room for three of the lines.
const MAX_BYTES: u64 = 110;

fn opened(dir: &Dir, files: &FaultyFileSystem) -> InstanceFile {
    let builder = InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).backups(3);
    builder.build_on(Box::new(files.clone())).expect("the file can be opened")
}

/// The calls that `act` makes and that write something to the disk.
fn synced(files: &FaultyFileSystem, act: impl FnOnce()) -> Vec<&'static str> {
    let before = files.calls().len();
    act();
    files.calls().split_off(before).into_iter().filter(|name| name.starts_with("sync")).collect()
}

fn sync(file: &InstanceFile) {
    file.sync().expect("nothing fails");
}

#[test]
fn the_live_file_new_backups_and_the_folder_are_synchronized() {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    let file = opened(&dir, &files);
    write_numbered(&file, 1, 3);
    assert_eq!(synced(&files, || sync(&file)), ["sync_file", "sync"], "live file and folder");
    write_numbered(&file, 4, 9);
    assert_eq!(synced(&files, || sync(&file)), ["sync_file", "sync", "sync", "sync"], "and two backups");
    assert_eq!(synced(&files, || sync(&file)), ["sync_file", "sync"], "once");
    write_numbered(&file, 10, 30);
    assert_eq!(synced(&files, || sync(&file)).len(), 5, "no more backups than there are");
}

#[test]
fn whichever_call_fails_sync_says_so_and_the_next_one_does_the_rest() {
    for call in 0.. {
        let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
        let file = opened(&dir, &files);
        write_numbered(&file, 1, 9);
        files.fail_after(call, 1, Fault::Os(EIO));
        let result = file.sync();
        if files.fired() == 0 {
            result.expect("nothing failed");
            assert!(call > 4, "only {call} calls");
            return;
        }
        let error = result.expect_err("a call failed");
        assert_eq!(error.path(), Some(dir.path("tasks.log").as_path()), "call {call}");
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        assert!(cause.contains("os error 5"), "call {call}: {cause}");
        assert_eq!(synced(&files, || sync(&file)), ["sync_file", "sync", "sync", "sync"], "call {call}");
        write_numbered(&file, 10, 12);
        assert_eq!((file.stats().dropped_lines, file.stats().written_lines), (0, 12), "call {call}");
        let expect = Expect::new().worker(0, 12).bare_lines();
        LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
    }
}

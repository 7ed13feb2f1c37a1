//! Compression that is let down: by any call to the file system, or by a process that ended half-way.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use super::*;
use crate::file::{
    FileSystem as _, RealFileSystem,
    faulty::{Fault, FaultyFileSystem},
};

use crate::support::{
    dir::Dir,
    verify::{Expect, LogFamily, write_numbered},
};

const EIO: i32 = 5;

/// Room for three of the lines.
const MAX_BYTES: u64 = 110;

fn builder(dir: &Dir) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).backups(20)
}

#[track_caller]
fn assert_all_compressed(dir: &Dir, lines: u64, context: &str) {
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().worker(0, lines).bare_lines());
    assert!(verdict.faults.is_empty(), "{context}: {verdict}");
    let is_left = |name: &String| *name != "tasks.log" && (!name.ends_with(".gz") || name.starts_with('.'));
    assert_eq!(dir.names().into_iter().find(is_left), None, "{context}");
}

/// Two plain backups and a live file, as a process leaves them that doesn't compress.
fn plain_backups() -> (Dir, u64) {
    let dir = Dir::new();
    let file = builder(&dir).build().expect("the file can be opened");
    write_numbered(&file, 1, 7);
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
    (dir, 7)
}

/// How many calls open the file, before the thread that compresses is there.
fn calls_to_open() -> u64 {
    let (dir, _) = plain_backups();
    let files = FaultyFileSystem::healthy();
    drop(builder(&dir).build_on(Box::new(files.clone())));
    files.calls().len() as u64
}

/// Compresses while the calls from the `from`-th on fail, `times` of them. Returns whether one did.
fn survives(from: u64, times: u64, fault: Fault, calls_to_open: u64) -> bool {
    let context = format!("{fault:?} at call {from}, {times} times");
    let (dir, lines) = plain_backups();
    let (told, files) = (Arc::new(Mutex::new(Vec::new())), FaultyFileSystem::new(from, times, fault));
    let hook = Arc::clone(&told);
    let compressing = builder(&dir)
        .compress(true)
        .on_error(move |error| hook.lock().expect("no hook panics").push(error.to_string()));
    if let Ok(file) = compressing.build_on(Box::new(files.clone())) {
        drop(file);
        let told = told.lock().expect("no hook panics");
        let expected = [
            "could not compress the backups",
            "could not write the list",
            "could not remove the surplus backups",
        ];
        let is_expected = |error: &String| expected.iter().any(|start| error.starts_with(start));
        assert!(told.iter().all(is_expected), "{context}: {told:?}");
        let call = files.calls().get(from as usize - 1).copied();
        let is_harmless = from <= calls_to_open
            || matches!(call, Some("take_after" | "set_modified"))
            || files.fired() < 2 && matches!(fault, Fault::ShortThenFull)
            || files.fired() == 0;
        assert!(is_harmless || !told.is_empty(), "{context}: nobody was told");
    }
    let left = LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().worker(0, lines).bare_lines());
    let twice = dir.names().iter().any(|name| dir.names().contains(&format!("{name}.gz")));
    assert!(twice || left.faults.is_empty(), "{context}: {left}");

    // The next process rotates once, and finds the rest.
    let next = builder(&dir).compress(true).build_on(Box::new(FaultyFileSystem::healthy()));
    let file = next.expect("the file can be opened");
    write_numbered(&file, lines + 1, lines + 3);
    assert_eq!((file.stats().rotations, file.stats().errors), (1, 0), "{context}");
    drop(file);
    assert_all_compressed(&dir, lines + 3, &context);
    files.fired() > 0
}

#[test]
fn whichever_call_fails_a_backup_is_there_plain_or_compressed_and_compressed_later() {
    let calls_to_open = calls_to_open();
    for (fault, times) in [(Fault::Os(EIO), 1), (Fault::Os(EIO), u64::MAX), (Fault::ShortThenFull, 2)] {
        let calls = (1..).take_while(|&from| survives(from, times, fault, calls_to_open)).count();
        assert!(calls > 30, "only {calls} calls failed: no two compressions were seen");
    }
}

/// Puts a file on the list, as a process does before it is killed.
fn list_as_own(dir: &Dir, name: &str) {
    let id = RealFileSystem.find(&dir.path(name)).expect("the folder can be read").expect("it is there").id;
    dir.append(".tasks.log.lock", format!("own {} {} {}\n", id.device, id.inode, id.born));
}

#[test]
fn a_copy_that_a_crash_has_left_goes_at_the_start() {
    let (dir, lines) = plain_backups();
    drop(builder(&dir).compress(true).build().expect("the file can be opened"));
    dir.write(".tasks.log.gz.tmp", "half of a copy");
    list_as_own(&dir, ".tasks.log.gz.tmp");
    drop(builder(&dir).compress(true).build().expect("the file can be opened"));
    assert_all_compressed(&dir, lines, "nothing was left to compress");
}

#[test]
fn a_pair_that_a_crash_has_left_is_not_parted_by_a_rotation() {
    for from in 1.. {
        let (dir, lines) = plain_backups();
        drop(builder(&dir).compress(true).build_on(Box::new(FaultyFileSystem::healthy())));
        let packed = fs::read(dir.path("tasks.log.1.gz")).expect("it is compressed");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed.as_slice()), &mut plain)
            .expect("it can be unpacked");
        // A crash before the plain half was removed; the list of own files names both.
        dir.write("tasks.log.1", &plain);
        list_as_own(&dir, "tasks.log.1");
        // One that doesn't compress rotates meanwhile, and is stopped at any call.
        let files = FaultyFileSystem::new(from, u64::MAX, Fault::Os(EIO));
        if let Ok(file) = builder(&dir).on_error(|_| {}).build_on(Box::new(files.clone())) {
            write_numbered(&file, lines + 1, lines + 3);
        }
        let next = builder(&dir).compress(true).build_on(Box::new(FaultyFileSystem::healthy()));
        let file = next.expect("the file can be opened");
        let stopped = files.fired() > 0;
        drop(file);
        let family = LogFamily::of(dir.path("tasks.log"));
        let verdict = family.verify(&Expect::new().worker(0, lines).allowed(0, 3).bare_lines());
        assert!(verdict.faults.is_empty(), "stopped at call {from}: {verdict}");
        if !stopped {
            assert!(from > 15, "a rotation has more calls than {from}");
            return;
        }
    }
}

#[test]
fn the_error_hook_may_drop_the_last_clone() {
    let (dir, _) = plain_backups();
    let (slot, told) = (Arc::new(Mutex::new(None::<InstanceFile>)), Arc::new(Mutex::new(false)));
    let (of_hook, was_told) = (Arc::clone(&slot), Arc::clone(&told));
    let hook = move |_: &Error| {
        let file = of_hook.lock().expect("no hook panics").take();
        let was_last = file.is_some();
        drop(file);
        *was_told.lock().expect("no hook panics") |= was_last;
    };
    let mut from = 20;
    while !*told.lock().expect("no hook panics") {
        let files = FaultyFileSystem::new(from, u64::MAX, Fault::Os(EIO));
        let file = builder(&dir).compress(true).on_error(hook.clone()).build_on(Box::new(files));
        *slot.lock().expect("no hook panics") = file.ok();
        crate::support::holds_within(std::time::Duration::from_millis(300), || {
            *told.lock().expect("no hook panics")
        });
        let left = slot.lock().expect("no hook panics").take();
        drop(left);
        from = from.checked_sub(1).expect("the hook was called at last");
    }
}

#[test]
fn somebody_elses_file_in_the_place_of_the_copy_stays_and_is_told() {
    let (dir, lines) = plain_backups();
    dir.write(".tasks.log.gz.tmp", "not ours");
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    let file = builder(&dir)
        .compress(true)
        .on_error(move |error| hook.lock().expect("no hook panics").push(error.to_string()))
        .build();
    drop(file.expect("the file can be opened"));
    let told = told.lock().expect("no hook panics");
    assert!(told[0].ends_with(".tasks.log.gz.tmp\" is in the way, which this log has not made"), "{told:?}");
    assert_eq!(dir.read(".tasks.log.gz.tmp"), "not ours");
    assert_eq!(dir.names(), [".tasks.log.gz.tmp", "tasks.log", "tasks.log.1", "tasks.log.2"]);
    let expect = Expect::new().worker(0, lines).bare_lines();
    LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
}

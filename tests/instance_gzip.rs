//! Compressed backups of an `InstanceFile` on real files.
#![cfg(all(feature = "gzip", unix))]

mod support;

use std::{fs, io::Write as _, thread, time::Duration};

use support::{
    child::{Child, role, say},
    dir::Dir,
    ledger::Ledger,
    verify::{Expect, LogFamily, numbered, write_numbered},
    wait_until,
};
use tracing_tasklog::writer::{InstanceFile, InstanceFileBuilder};

/// Room for three of the lines.
const MAX_BYTES: u64 = 110;

fn builder(dir: &Dir) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).backups(20).compress(true)
}

fn file(dir: &Dir) -> InstanceFile {
    builder(dir).build().expect("the file can be opened")
}

#[track_caller]
fn assert_there(dir: &Dir, expect: Expect) {
    LogFamily::of(dir.path("tasks.log")).verify(&expect.bare_lines()).assert_clean();
}

/// The bytes of a compressed backup, unpacked.
fn unpacked(dir: &Dir, name: &str) -> String {
    LogFamily::files([dir.path(name)]).lines().join("\n")
}

#[test]
fn when_the_last_clone_is_gone_every_backup_is_compressed_and_every_line_there_once() {
    let dir = Dir::new();
    let file = file(&dir);
    let clone = file.clone();
    write_numbered(&file, 1, 25);
    drop(file);
    write_numbered(&clone, 26, 40);
    drop(clone);
    let mut expected: Vec<_> = (1..=13).map(|number| format!("tasks.log.{number}.gz")).collect();
    expected.push("tasks.log".to_owned());
    expected.sort();
    assert_eq!(dir.names(), expected);
    assert_there(&dir, Expect::new().worker(0, 40));
    assert_eq!(
        unpacked(&dir, "tasks.log.13.gz"),
        (1..=3).map(|n| numbered(0, n, 9)).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn a_backup_is_compressed_while_the_log_is_open() {
    let dir = Dir::new();
    let file = file(&dir);
    for (from, to, backups) in [(1, 4, 1), (5, 7, 2), (8, 10, 3)] {
        write_numbered(&file, from, to);
        wait_until("the backups are compressed", Duration::from_secs(20), || {
            (1..=backups).all(|number| dir.names().contains(&format!("tasks.log.{number}.gz")))
                && dir.names().len() == backups + 1
        });
    }
    assert_there(&dir, Expect::new().worker(0, 10));
    assert_eq!((file.stats().rotations, file.stats().errors), (3, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_of_its_own_compresses() {
    let is_there = || {
        let threads = fs::read_dir("/proc/self/task").expect("/proc is mounted").filter_map(Result::ok);
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        threads.map(name).any(|name| name == "tasklog-gzip\n")
    };
    let dir = Dir::new();
    let file = file(&dir);
    wait_until("the thread has its name", Duration::from_secs(20), is_there);
    drop(file);
}

#[test]
fn as_many_backups_as_asked_for_are_kept_plain_and_compressed_together() {
    let dir = Dir::new();
    let file = builder(&dir).backups(3).build().expect("the file can be opened");
    for n in 1..=60 {
        write_numbered(&file, n, n);
        let backup = |name: &String| name.trim_end_matches(".gz").to_owned();
        let mut backups: Vec<_> =
            dir.names().iter().filter(|name| name.starts_with("tasks.log.")).map(backup).collect();
        backups.dedup();
        assert!(backups.len() <= 4, "after line {n}: {backups:?}"); // 4: listed while they were renamed
    }
    drop(file);
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1.gz", "tasks.log.2.gz", "tasks.log.3.gz"]);
    let lines = LogFamily::of(dir.path("tasks.log")).lines();
    assert_eq!(lines, (49..=60).map(|n| numbered(0, n, 9)).collect::<Vec<_>>());
}

#[test]
fn without_compression_backups_stay_plain_beside_compressed_ones() {
    let dir = Dir::new();
    write_numbered(&file(&dir), 1, 7);
    let file = builder(&dir).compress(false).build().expect("the file can be opened");
    write_numbered(&file, 8, 12);
    drop(file);
    let expected = ["tasks.log", "tasks.log.1", "tasks.log.2.gz", "tasks.log.3.gz"];
    assert_eq!(dir.names(), expected);
    assert_there(&dir, Expect::new().worker(0, 12));
}

#[test]
fn what_a_process_without_compression_has_left_is_compressed_at_the_start() {
    let dir = Dir::new();
    write_numbered(&builder(&dir).compress(false).build().expect("the file can be opened"), 1, 7);
    assert_eq!(dir.names(), ["tasks.log", "tasks.log.1", "tasks.log.2"]);
    let file = file(&dir);
    wait_until("the backups are compressed", Duration::from_secs(20), || {
        dir.names() == ["tasks.log", "tasks.log.1.gz", "tasks.log.2.gz"]
    });
    assert_eq!(file.stats().rotations, 0);
    assert_there(&dir, Expect::new().worker(0, 7));
}

#[test]
fn a_compressed_file_of_somebody_else_stays_and_its_number_is_left_out() {
    let dir = Dir::new();
    dir.write("tasks.log.1.gz", "not ours");
    let file = file(&dir);
    write_numbered(&file, 1, 10);
    drop(file);
    assert_eq!(dir.read("tasks.log.1.gz"), "not ours");
    let expected = ["tasks.log", "tasks.log.1.gz", "tasks.log.2.gz", "tasks.log.3.gz", "tasks.log.4.gz"];
    assert_eq!(dir.names(), expected);
    let own = ["tasks.log.4.gz", "tasks.log.3.gz", "tasks.log.2.gz", "tasks.log"].map(|name| dir.path(name));
    LogFamily::files(own).verify(&Expect::new().worker(0, 10).bare_lines()).assert_clean();
}

#[test]
fn a_compressed_backup_has_the_mode_that_the_live_file_had() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |dir: &Dir, name: &str| {
        fs::metadata(dir.path(name)).expect("it is there").permissions().mode() & 0o7777
    };
    let dir = Dir::new();
    let file = builder(&dir).file_mode(0o640).build().expect("the file can be opened");
    write_numbered(&file, 1, 4);
    drop(file);
    assert_eq!(mode(&dir, "tasks.log.1.gz"), 0o640);
    // Not that of the log that happens to compress it.
    let plain = builder(&dir).file_mode(0o600).compress(false).build().expect("the file can be opened");
    write_numbered(&plain, 5, 7);
    drop(plain);
    let file = builder(&dir).file_mode(0o666).build().expect("the file can be opened");
    drop(file);
    assert_eq!((mode(&dir, "tasks.log.1.gz"), mode(&dir, "tasks.log.2.gz")), (0o600, 0o640));
}

#[test]
fn many_threads_log_while_their_backups_are_compressed() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(16 * 1024).backups(1000).build().expect("the file can be opened");
    thread::scope(|scope| {
        for worker in 0..4 {
            let file = file.clone();
            scope.spawn(move || {
                for n in 1..=2000 {
                    let line = numbered(worker, n, 9) + "\n";
                    file.clone().write_all(line.as_bytes()).expect("writing never fails");
                }
            });
        }
    });
    let stats = file.stats();
    drop(file);
    assert_eq!((stats.errors, stats.dropped_lines, stats.written_lines), (0, 0, 8000));
    assert_there(&dir, (0..4).fold(Expect::new(), |expect, worker| expect.worker(worker, 2000)));
    let compressed = dir.names().iter().filter(|name| name.ends_with(".gz")).count();
    assert_eq!((compressed as u64, dir.names().len() as u64), (stats.rotations, stats.rotations + 1));
}

#[test]
fn child_compresses_at_full_speed() {
    if !role("child_compresses_at_full_speed") {
        return;
    }
    let path = std::env::var_os("LOG").expect("the parent says where");
    let ledger = Ledger::open(std::env::var_os("LEDGER").expect("the parent has a ledger"));
    let first = ledger.read()[0].0.max(ledger.read()[0].1) + 1;
    let file = InstanceFile::builder(path).max_bytes(2048).backups(1000).compress(true).build();
    let file = file.expect("the file can be opened");
    say("ready");
    for n in first..1_000_000 {
        ledger.around(0, n, || {
            let line = numbered(0, n, (n % 60) as usize) + "\n";
            file.clone().write_all(line.as_bytes()).expect("writing never fails");
        });
    }
}

#[test]
fn killed_at_full_speed_everything_is_there_once_and_compressed_by_the_next_process() {
    assert_compressed_after_sigkill(5);
}

#[test]
#[ignore = "deep: a hundred processes killed"]
fn deep_killed_at_full_speed_everything_is_compressed_by_the_next_process() {
    assert_compressed_after_sigkill(100);
}

fn assert_compressed_after_sigkill(rounds: u64) {
    for round in 0..rounds {
        let dir = Dir::new();
        let ledger = Ledger::create(dir.path("ledger"), 1);
        let child = Child::of_test("child_compresses_at_full_speed");
        let mut child = child.env("LOG", dir.path("tasks.log")).env("LEDGER", dir.path("ledger")).spawn();
        child.wait_for_stdout_line(|line| line == "ready");
        let wanted = 300 + round % 10 * 37;
        wait_until("lines are written and backups compressed", Duration::from_secs(20), || {
            ledger.read()[0].1 > wanted && dir.names().iter().any(|name| name.ends_with("1.gz"))
        });
        assert!(child.is_running(), "it was to be killed in full speed");
        child.kill();
        assert!(!child.wait().status.success());
        drop(builder(&dir).backups(1000).build().expect("the file can be opened again"));
        let is_left =
            |name: &String| !name.ends_with(".gz") && !["ledger", "tasks.log"].contains(&name.as_str());
        assert_eq!(dir.names().into_iter().find(is_left), None, "round {round}");
        assert_there(&dir, Expect::from_ledger(&ledger).open_fragments());
    }
}

/// Compresses a backup that has these attributes, and asserts that the copy has them.
fn assert_attributes_are_kept(give: impl Fn(&std::path::Path)) {
    use std::os::unix::fs::MetadataExt as _;

    let dir = Dir::new();
    let plain = InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).build();
    write_numbered(&plain.expect("the file can be opened"), 1, 4);
    let backup = dir.path("tasks.log.1");
    give(&backup);
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options()
        .append(true)
        .open(&backup)
        .and_then(|file| file.set_modified(long_ago))
        .expect("it is ours");
    let of = |meta: fs::Metadata| (meta.uid(), meta.gid(), meta.mode(), meta.mtime(), meta.mtime_nsec());
    let before = of(fs::metadata(&backup).expect("it is there"));
    drop(file(&dir));
    assert_eq!(of(fs::metadata(dir.path("tasks.log.1.gz")).expect("it is compressed")), before);
}

#[test]
fn a_compressed_backup_has_the_mode_and_the_time_of_the_plain_one() {
    use std::os::unix::fs::PermissionsExt as _;

    assert_attributes_are_kept(|path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o626)).expect("it is ours");
    });
}

#[test]
#[ignore = "needs root: chown"]
fn a_compressed_backup_has_the_owner_of_the_plain_one() {
    assert_attributes_are_kept(|path| {
        std::os::unix::fs::chown(path, Some(12_345), Some(23_456)).expect("this is root");
    });
}

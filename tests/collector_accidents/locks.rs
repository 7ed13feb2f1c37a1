//! The lock of a collector that is removed, taken by another program, or opened and closed by its own process.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use tracing_tasklog::writer::{Collector, CollectorGuard, SharedQueue};

use crate::{
    support::{
        child::{Child, hang, role, say},
        fork::forked,
        holds_within,
        verify::{Expect, numbered},
        wait_until,
    },
    workers_kit::{
        LATEST, Place, Work,
        children::{place, variable, write_line},
    },
};

fn lock_path(place: &Place) -> PathBuf {
    place.queue().join("collector.lock")
}

fn appending(path: &Path) -> File {
    File::options().append(true).create(true).open(path).expect("the folder is the test's own")
}

/// What a collector's hook was told.
type Told = Arc<Mutex<Vec<String>>>;

/// A collector in this process.
fn collect(place: &Place) -> (CollectorGuard, Told) {
    let told = Told::default();
    let by_hook = Arc::clone(&told);
    let hook = move |error: &_| by_hook.lock().expect("no panic").push(format!("{error:?}"));
    let guard = Collector::builder(place.queue()).on_error(hook).spawn(appending(&place.log()));
    (guard.expect("no other one"), told)
}

fn told(told: &Told) -> Vec<String> {
    told.lock().expect("no panic").clone()
}

fn write(queue: &SharedQueue, n: u64) {
    queue.clone().write_all((numbered(0, n, 9) + "\n").as_bytes()).expect("writing never fails");
}

/// Whether another program could lock a file, as flock(1) does.
fn can_be_locked(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| flock(file, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[test]
fn child_tries_to_collect() {
    if !role("locks::child_tries_to_collect") {
        return;
    }
    match Collector::builder(place("q")).spawn(std::io::sink()) {
        Ok(_guard) => say("collects"),
        Err(error) => say(&format!("refused {}: {error}", error.is_in_use())),
    }
}

/// Another process is refused, and told whose the directory is.
fn assert_another_is_refused(place: &Place) {
    let output = place.child("locks::child_tries_to_collect").spawn().wait().assert_success();
    assert!(output.stdout.contains("refused true: "), "{output}");
    assert!(output.stdout.contains(&format!("process {}", process::id())), "{output}");
}

/// A cleaner removes the lock again and again; another collector tries to begin at once each time.
#[test]
fn a_lock_that_is_removed_is_taken_again_and_no_other_collector_begins() {
    let place = Place::new();
    let (guard, hook) = collect(&place);
    let queue = SharedQueue::connect(place.queue()).expect("a ring");
    for n in 1..=5 {
        fs::remove_file(lock_path(&place)).expect("it is there");
        write(&queue, n);
        assert_another_is_refused(&place);
        wait_until("it is there again, and locked", LATEST, || {
            lock_path(&place).exists() && !can_be_locked(&lock_path(&place))
        });
        guard.flush(LATEST).expect("it goes on");
        assert_eq!(place.dir.lines("tasks.log").len() as u64, n);
        let pid = fs::read_to_string(lock_path(&place)).expect("it is there");
        assert_eq!((pid, told(&hook)), (format!("{}\n", process::id()), Vec::new()));
    }
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (5, 0, 0));
}

/// All files that a cleaner takes for old ones, in a directory whose rings are drained.
#[test]
fn a_directory_that_was_emptied_is_furnished_again() {
    let place = Place::new();
    let (guard, hook) = collect(&place);
    let inode = |name: &str| place.queue().join(name).metadata().ok().map(|meta| meta.ino());
    let before = [inode("wake"), inode("collector.lock")];
    let kept = ["wake", "collector.lock"].map(|name| File::open(place.queue().join(name)));
    ["wake", "collector.lock"].iter().for_each(|name| {
        fs::remove_file(place.queue().join(name)).expect("it is there");
    });
    wait_until("both are there again", LATEST, || {
        let now = [inode("wake"), inode("collector.lock")];
        now.iter().all(Option::is_some) && now.iter().zip(&before).all(|(now, before)| now != before)
    });
    drop(kept);
    let queue = SharedQueue::connect(place.queue()).expect("a ring");
    write(&queue, 1);
    wait_until("it is written", LATEST, || place.dir.lines("tasks.log").len() == 1);
    assert_eq!((guard.shutdown(LATEST).pending, told(&hook)), (0, Vec::new()));
}

/// While another program has the lock the collector writes nothing, says so once, and reports what is left.
#[test]
fn a_lock_that_another_program_has_taken_stops_the_collector_until_it_is_released() {
    let place = Place::new();
    let ledger = place.ledger(1);
    let (guard, hook) = collect(&place);
    let queue = SharedQueue::connect(place.queue()).expect("a ring");
    write_line(&queue, &ledger, 0, 1);
    guard.flush(LATEST).expect("it collects");
    let taken = place.queue().join("other");
    fs::write(&taken, "").expect("the folder is the test's own");
    let other = File::open(&taken).expect("it is there");
    flock(&other, FlockOperation::NonBlockingLockExclusive).expect("its own");
    fs::rename(&taken, lock_path(&place)).expect("it is replaced"); // and so it is locked from the first moment on
    (2..=9).for_each(|n| write_line(&queue, &ledger, 0, n));
    let error = guard.flush(Duration::from_millis(700)).expect_err("it must not write");
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(place.dir.lines("tasks.log").len(), 1, "it writes nothing");
    assert!(
        matches!(told(&hook).as_slice(), [only] if only.contains("collector.lock was removed")),
        "{hook:?}"
    );
    drop(other);
    guard.flush(LATEST).expect("it goes on");
    assert_eq!(place.dir.lines("tasks.log").len(), 9);
    assert_eq!(told(&hook).len(), 1, "{hook:?}");
    let other = File::open(lock_path(&place)).expect("it is there");
    fs::remove_file(lock_path(&place)).expect("it is there");
    drop(other);
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.pending), (9, 0), "{report:?}");
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

#[test]
fn the_end_of_a_collector_without_its_lock_reports_what_is_left() {
    let place = Place::new();
    let (guard, _hook) = collect(&place);
    let queue = SharedQueue::connect(place.queue()).expect("a ring");
    let taken = place.queue().join("other");
    fs::write(&taken, "").expect("the folder is the test's own");
    let other = File::open(&taken).expect("it is there");
    flock(&other, FlockOperation::NonBlockingLockExclusive).expect("its own");
    fs::rename(&taken, lock_path(&place)).expect("it is replaced");
    (1..=7).for_each(|n| write(&queue, n));
    let report = guard.shutdown(Duration::from_millis(300));
    assert_eq!((report.written, report.dropped, report.pending), (0, 0, 7), "{report:?}");
    drop(other);
    let (guard, _hook) = collect(&place);
    assert_eq!(guard.shutdown(LATEST).written, 7);
}

/// A health check, a backup: fcntl(2) would take it for the end of the lock.
#[test]
fn the_lock_stays_when_its_own_process_reads_and_closes_the_file() {
    let place = Place::new();
    let (guard, _hook) = collect(&place);
    fs::read(lock_path(&place)).expect("it is there");
    drop(File::options().write(true).open(lock_path(&place)).expect("its own"));
    assert_another_is_refused(&place);
    assert!(!can_be_locked(&lock_path(&place)), "the lock is one that other programs see");
    drop(guard);
    let (guard, _hook) = collect(&place);
    drop(guard);
}

/// Who can read the directory can lock it: that is no collector, and stops none for long.
#[test]
fn a_lock_on_the_directory_alone_stops_nobody() {
    let place = Place::new();
    drop(SharedQueue::connect(place.queue()).expect("it makes the directory"));
    let other = File::open(place.queue()).expect("it is there");
    flock(&other, FlockOperation::NonBlockingLockExclusive).expect("nobody has it");
    let (guard, hook) = collect(&place);
    assert_another_is_refused(&place);
    drop(guard);
    assert_eq!(told(&hook), Vec::<String>::new());
}

#[test]
fn child_collects_and_leaves_a_child() {
    if !role("locks::child_collects_and_leaves_a_child") {
        return;
    }
    let log = appending(&place("tasks.log"));
    let guard = Collector::builder(place("q")).spawn(log).expect("no other one");
    wait_until("it has the ring", LATEST, || place("tasks.log").metadata().is_ok_and(|meta| meta.len() > 0));
    forked(|| {
        say("child lives");
        hang();
    });
    if variable("END") == "shutdown" {
        let report = guard.shutdown(LATEST);
        say(&format!("pending {}", report.pending));
    } else {
        std::mem::forget(guard);
    }
    hang();
}

/// A lock of flock(2) is the child's too, unless that closes it.
#[test]
fn a_child_that_lives_on_keeps_neither_the_directory_nor_a_ring() {
    for end in ["shutdown", "kill"] {
        let place = Place::new();
        let _ledger = place.ledger(1);
        let worker = Work { end: "hang", ..Work::of(0, 10) }.spawn(&place);
        let child = place.child("locks::child_collects_and_leaves_a_child").env("END", end);
        let mut collector = child.spawn();
        collector.wait_for_stdout_line(|line| line == "child lives");
        match end {
            "shutdown" => drop(collector.wait_for_stdout_line(|line| line == "pending 0")),
            _ => {
                collector.kill();
                wait_until("it is dead", LATEST, || !collector.is_running());
            }
        }
        let (guard, _hook) = collect(&place);
        // Nobody reads the ring but this collector: with it, the last one is gone.
        let ring = place.queue().join(&place.rings()[0]);
        let file = File::open(&ring).expect("it is there");
        assert!(guard.flush(LATEST).is_ok() && !can_be_locked(&ring), "{end}: this collector reads it");
        drop(guard);
        assert!(can_be_locked(&ring), "{end}: the child says that a collector reads");
        drop((file, worker, collector));
    }
}

/// A worker that is idle, and whose process reads and closes its own ring, has lost the lock that says that it lives.
#[test]
fn child_reads_its_own_ring() {
    if !role("locks::child_reads_its_own_ring") {
        return;
    }
    let queue = SharedQueue::builder().on_error(|_| ()).connect(place("q")).expect("a ring");
    write(&queue, 1);
    wait_until("it is taken", LATEST, || queue.stats().queued_lines == 0);
    let rings = || {
        fs::read_dir(place("q"))
            .expect("there")
            .filter(|e| e.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|e| e == "ring")))
    };
    rings().for_each(|entry| drop(fs::read(entry.expect("listed").path())));
    wait_until("the collector takes it for dead", LATEST, || rings().count() == 0);
    (2..=5).for_each(|n| write(&queue, n));
    wait_until("it has another one", LATEST, || rings().count() == 1);
    process::abort(); // as after kill -9: nothing is looked after any more
}

#[test]
fn a_worker_that_lost_its_lock_goes_on_with_its_next_line() {
    let place = Place::new();
    let collector = place.collector();
    let child = place.child_after("locks::child_reads_its_own_ring", "ulimit -c 0").spawn();
    assert!(!child.wait().status.success());
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 5);
    place.verify(&Expect::new().bare_lines().worker(0, 5)).assert_clean();
}

/// Two collectors that want the directory at the same moment as the lock is removed, in processes of their own.
#[test]
fn a_waiting_collector_does_not_begin_when_the_lock_is_removed() {
    let place = Place::new();
    let ledger = place.ledger(1);
    let first = place.collector();
    let mut second =
        place.child("workers_kit::children::child_collects").env("LOG", "second.log").env("WAIT", "").spawn();
    second.wait_for_stdout_line(|line| line == "begins");
    let worker: Child = Work { rest_after: 20, ..Work::of(0, 0) }.spawn(&place);
    for _ in 0..10 {
        wait_until("it is locked", LATEST, || {
            lock_path(&place).exists() && !can_be_locked(&lock_path(&place))
        });
        fs::remove_file(lock_path(&place)).expect("it is there");
    }
    assert!(
        !holds_within(Duration::from_millis(100), || !place.dir.lines("second.log").is_empty()),
        "it waits"
    );
    place.give("stop");
    drop(worker.wait().assert_success());
    place.wait_for_no_rings();
    let report = place.end(first);
    second.wait_for_stdout_line(|line| line == "collects");
    assert_eq!(place.end_of("second.log", second).written, 0);
    assert_eq!(report.written, ledger.read()[0].1);
    place.verify(&Expect::from_ledger(&ledger).bare_lines()).assert_clean();
}

//! Every call to the file system fails once, in every way that it can, while the path is led elsewhere: what becomes of the
//! lines? The test is the clock, the one who rotates, and the thread that looks.

use std::{
    fs,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, SystemTime},
};

use super::{shared::Shared, *};
use crate::{
    clock::{self, Clock, Manual},
    file::faulty::{Fault, FaultyFileSystem},
    support::{
        dir::Dir,
        verify::{Expect, LogFamily, numbered},
    },
};

mod fates;
mod looks;

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// A log whose looks and whose time are the test's own.
struct Scene {
    dir: Dir,
    files: FaultyFileSystem,
    clock: Arc<Mutex<Manual>>,
    shared: Arc<Shared>,
    /// What the error hook was told.
    told: Arc<Mutex<Vec<String>>>,
    /// The number of the last line.
    lines: u64,
}

impl Scene {
    /// Opens the log; `None` if it can't be.
    fn open(dir: Dir, files: FaultyFileSystem) -> Option<Self> {
        let clock = Arc::new(Mutex::new(Manual { time: SystemTime::now(), instant: clock::instant() }));
        let told = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&told);
        let hook = move |error: &Error| to.lock().expect("no test panics with it").push(error.to_string());
        let mut builder = WatchedFile::builder(dir.path("tasks.log")).on_error(hook);
        builder.clock = Clock::Manual(Arc::clone(&clock));
        let (shared, is_watched) = builder.build_on(Box::new(files.clone())).ok()?;
        assert!(is_watched);
        shared.hints.is_told.store(true, Ordering::Relaxed);
        shared.tick();
        Some(Scene { dir, files, clock, shared, told, lines: 0 })
    }

    fn healthy() -> Self {
        Self::open(Dir::new(), FaultyFileSystem::healthy()).expect("nothing fails")
    }

    fn write(&mut self, lines: u64) {
        for _ in 0..lines {
            self.lines += 1;
            self.shared.take_lines((numbered(0, self.lines, 9) + "\n").as_bytes());
        }
    }

    /// Time passes, and whoever looks does so when it is due.
    fn pass(&self, millis: u64) {
        for _ in 0..millis / 5 {
            self.clock.lock().expect("no test panics with it").instant += Duration::from_millis(5);
            self.shared.tick();
        }
    }

    /// Something happened in the folder.
    fn hint(&self) {
        self.shared.hints.hint();
        self.shared.tick();
    }

    fn rename(&self, to: &str) {
        // Where the file could not be made again there is nothing to rename.
        let _ = fs::rename(self.dir.path("tasks.log"), self.dir.path(to));
    }

    fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Every line must be there once, in order over these files, or be announced as lost; and the account says the same.
    #[track_caller]
    fn verify(&self, files: &[&str], first: u64, context: &str) {
        let stats = self.stats();
        assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{context}: {stats:?}");
        assert_eq!((stats.accepted_lines, stats.queued_lines), (self.lines, 0), "{context}: {stats:?}");
        let there: Vec<_> =
            files.iter().map(|name| self.dir.path(name)).filter(|path| path.exists()).collect();
        let expect = Expect::new().worker(0, self.lines).bare_lines().announced_losses();
        let verdict = LogFamily::files(there).verify(&expect);
        let is_expected =
            |fault: &&crate::support::verify::Fault| first > 1 && fault.text.contains("announced");
        let faults = verdict.faults.iter().filter(|fault| !is_expected(fault)).count();
        assert_eq!(faults, 0, "{context}: {verdict}");
        assert_eq!(verdict.announced_dropped, stats.dropped_lines, "{context}: {verdict}");
        assert!(verdict.missing < stats.dropped_lines + first, "{context}: {verdict}");
    }
}

/// Everything that leads the path elsewhere and leaves every file there, one after the other.
fn rotate_in_every_way(scene: &mut Scene) {
    scene.write(3);
    scene.rename("1");
    let _ = fs::File::create_new(scene.dir.path("tasks.log"));
    scene.hint();
    scene.write(2);
    scene.rename("2");
    scene.hint();
    scene.write(1);
    scene.pass(150);
    scene.write(2);
    scene.dir.append("tasks.log", "half");
    scene.pass(1000); // it may take some tries
    scene.write(2);
    scene.rename("3");
    let _ = fs::create_dir(scene.dir.path("tasks.log"));
    scene.hint();
    scene.write(2);
    scene.pass(200);
    let _ = fs::remove_dir(scene.dir.path("tasks.log"));
    scene.pass(300);
    scene.write(2);
}

/// Rotates while `times` calls from the `from`-th on fail, then goes on. Returns whether any call failed.
fn survives(from: u64, times: u64, fault: Fault) -> bool {
    let context = format!("{fault:?} at call {from}, {times} times");
    let files = FaultyFileSystem::new(from, times, fault);
    let Some(mut scene) = Scene::open(Dir::new(), files.clone()) else { return true };
    rotate_in_every_way(&mut scene);
    files.heal();
    scene.pass(300);
    let before = scene.stats().dropped_lines;
    scene.write(3);
    let stats = scene.stats();
    assert_eq!(stats.dropped_lines, before, "{context}: later lines get through");
    let live = scene.dir.read("tasks.log");
    let last = numbered(0, scene.lines, 9) + "\n";
    assert!(live.ends_with(&last), "{context}: the last line is in the live file: {live}");
    scene.verify(&["1", "2", "3", "tasks.log"], 1, &context);
    assert!(
        !matches!(fault, Fault::Short | Fault::Os(EINTR)) || stats.dropped_lines == 0,
        "{context}: {stats:?}"
    );
    files.fired() > 0
}

fn sweep(fault: Fault) {
    for times in [1, 10] {
        let calls = (1..).take_while(|&from| survives(from, times, fault)).count();
        assert!(calls > 60, "only {calls} calls failed: the sweep didn't see every rotation");
    }
}

#[test]
fn a_call_that_fails_leaves_whole_lines_and_an_exact_account() {
    [EACCES, ENOSPC, EIO, EMFILE].into_iter().for_each(|code| sweep(Fault::Os(code)));
}

#[test]
fn an_interrupted_call_or_a_short_write_loses_nothing() {
    [Fault::Os(EINTR), Fault::Short].into_iter().for_each(sweep);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_line_leaves_a_closed_fragment() {
    sweep(Fault::ShortThenFull);
}

/// The file is removed, and the path can't be followed for a while; `is_taken`: because of a folder.
fn survives_removal(from: u64, times: u64, fault: Fault, is_taken: bool) -> bool {
    let context = format!("{fault:?} at call {from}, {times} times");
    let files = FaultyFileSystem::healthy();
    let mut scene = Scene::open(Dir::new(), files.clone()).expect("nothing fails");
    scene.write(3);
    scene.pass(120);
    scene.write(2);
    fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
    if is_taken {
        fs::create_dir(scene.dir.path("tasks.log")).expect("it is free");
    }
    files.fail_after(from - 1, times, fault);
    scene.write(1);
    scene.hint();
    scene.write(2);
    scene.pass(120);
    scene.write(1);
    scene.pass(300);
    let _ = fs::remove_dir(scene.dir.path("tasks.log"));
    scene.pass(300);
    let has_failed = files.fired() > 0;
    files.heal();
    scene.pass(300);
    scene.write(1);
    // The first three were gone with the file.
    scene.verify(&["tasks.log"], 4, &context);
    let stats = scene.stats();
    // Where an open descriptor can't be asked what it is, the file is opened again.
    assert!((1..=1 + files.fired()).contains(&stats.reopens), "{context}: {stats:?}");
    assert_eq!(stats.at_risk_lines, 0, "{context}");
    has_failed
}

#[test]
fn what_was_written_since_the_last_look_survives_a_removal() {
    for fault in [EACCES, ENOSPC, EIO, EMFILE].map(Fault::Os).into_iter().chain([Fault::ShortThenFull]) {
        for times in [1, 5, 40] {
            for is_taken in [false, true] {
                let calls = (1..).take_while(|&from| survives_removal(from, times, fault, is_taken)).count();
                assert!(calls > 8, "only {calls} calls failed");
            }
        }
    }
}

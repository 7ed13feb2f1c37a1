//! Every call to the file system fails once, in every way that it can: what becomes of the lines?

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};

use super::*;
use crate::{
    clock::{self, Clock, Manual},
    file::faulty::{Fault, FaultyFileSystem},
};

#[cfg(all(feature = "gzip", unix))]
mod gzip;
mod kill;
mod look;
mod meanwhile;
mod outages;
mod steps;
mod sync;
#[cfg(unix)]
mod take_over;
mod time;

use crate::support::{
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};

/// Room for three of the lines.
const MAX_BYTES: u64 = 110;

/// Enough for five rotations.
const LINES: u64 = 16;

/// How many lines come after the trouble is over: enough for one more rotation.
const LATER: u64 = 3;

/// More than there will be.
const BACKUPS: usize = 9;

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn line(n: u64) -> String {
    numbered(0, n, 9) + "\n"
}

fn builder(dir: &Dir, backups: usize) -> InstanceFileBuilder {
    builder_at(dir.path("tasks.log"), backups)
}

/// A builder whose clock stands still.
fn builder_at(path: PathBuf, backups: usize) -> InstanceFileBuilder {
    let mut builder = InstanceFile::builder(path).max_bytes(MAX_BYTES).backups(backups);
    let now = Manual { time: UNIX_EPOCH + Duration::from_secs(1_767_268_800), instant: clock::instant() };
    builder.clock = Clock::Manual(Arc::new(Mutex::new(now)));
    builder
}

fn on(files: &FaultyFileSystem, builder: InstanceFileBuilder) -> Result<InstanceFile, Error> {
    builder.build_on(Box::new(files.clone()))
}

fn write(file: &InstanceFile, text: impl AsRef<[u8]>) {
    file.clone().write_all(text.as_ref()).expect("writing never fails");
}

/// How many calls it takes to open the log in a new folder.
fn calls_of_build() -> u64 {
    let (dir, files) = (Dir::new(), FaultyFileSystem::healthy());
    drop(on(&files, builder(&dir, BACKUPS)).expect("nothing fails"));
    files.calls().len() as u64
}

/// The second passes after which a failed rotation is tried again, and the next line looks at the path.
fn a_second_passes(file: &InstanceFile) {
    let Clock::Manual(clock) = &file.0.shared.clock else { panic!("the clock of a test stands still") };
    let mut now = clock.lock().expect("no test panics with it");
    now.time += Duration::from_secs(1);
    now.instant += Duration::from_secs(1);
}

/// Writes the numbered lines `from..=to`, now one, now two or three with one call.
fn write_lines(file: &InstanceFile, from: u64, to: u64) {
    let mut n = from;
    while n <= to {
        let last = (n + n % 3).min(to);
        write(file, (n..=last).map(line).collect::<String>());
        a_second_passes(file);
        n = last + 1;
    }
}

/// The lines that are there must be whole, in order, each once, and exactly those that are not must be announced.
/// Returns how many there are and how many not.
#[track_caller]
fn found_and_missing(dir: &Dir, lines: u64, context: &str) -> (u64, u64) {
    let expect = Expect::new().worker(0, lines).bare_lines().announced_losses();
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&expect);
    assert!(verdict.faults.is_empty(), "{context}: {verdict}");
    assert_eq!(verdict.announced_dropped, verdict.missing, "{context}: {verdict}");
    (verdict.found, verdict.missing)
}

/// Writes while `times` calls from the `from`-th on fail, then a few lines more, and looks at everything. Returns whether
/// any call failed.
fn survives(from: u64, times: u64, fault: Fault) -> bool {
    let context = format!("{fault:?} at call {from}, {times} times");
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(from, times, fault));
    let file = match on(&files, builder(&dir, BACKUPS)) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.path().is_some() && from <= calls_of_build(), "{context}: {error}");
            assert!(times > 1 || dir.all_names().is_empty(), "{context}: {:?} is left", dir.all_names());
            return true;
        }
    };
    let (before, is_harmless) = (files.fired(), matches!(fault, Fault::Short | Fault::Os(EINTR)));
    write_lines(&file, 1, LINES);
    let during = file.stats();
    files.heal();
    write_lines(&file, LINES + 1, LINES + LATER);
    let stats = file.stats();
    assert_eq!(stats.accepted_lines, LINES + LATER, "{context}");
    assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{context}");
    assert_eq!(stats.dropped_lines, during.dropped_lines, "{context}: later lines get through");
    let found = found_and_missing(&dir, LINES + LATER, &context);
    assert_eq!(found, (stats.written_lines, stats.dropped_lines), "{context}");
    assert!(!is_harmless || stats.dropped_lines == 0, "{context}: {stats:?}");
    if matches!(fault, Fault::Os(code) if code != EINTR) {
        assert_eq!(stats.errors, files.fired() - before, "{context}: each failed call is counted");
    }
    assert_tidy(&dir, &stats, &context);
    drop(file);
    // Where the lock file can't be opened, the folder is taken for one that can't be written.
    let had_list = dir.all_names().contains(&".tasks.log.lock".to_owned());
    if had_list {
        assert_goes_on(&dir, &stats, &context);
    }
    files.fired() > 0
}

/// A second life rotates all that the first one left, and knows each of them as its own.
fn assert_goes_on(dir: &Dir, first: &Stats, context: &str) {
    let before = contents(dir);
    let second = builder(dir, BACKUPS).build().expect("the file can be opened again");
    let mut n = LINES + LATER;
    while second.stats().rotations == 0 {
        n += 1;
        write(&second, line(n));
    }
    let after = contents(dir);
    assert_eq!(after.len() as u64, first.rotations + 2, "{context}: {:?}", dir.names());
    let is_there = before.iter().zip(&after).all(|(before, after)| after.1.starts_with(&before.1));
    assert!(is_there, "{context}: each file is one number up");
    found_and_missing(dir, n, context);
}

/// The live file is within its limit again, the backups are numbered without a gap, and the account is right.
fn assert_tidy(dir: &Dir, stats: &Stats, context: &str) {
    let mut names = vec!["tasks.log".to_owned()];
    names.extend((1..=stats.rotations).map(|number| format!("tasks.log.{number}")));
    names.sort();
    assert_eq!(dir.names(), names, "{context}");
    assert!(dir.read("tasks.log").len() as u64 <= MAX_BYTES, "{context}");
    let size = |name: &String| fs::metadata(dir.path(name)).expect("it is there").len();
    assert_eq!(names.iter().map(size).sum::<u64>(), stats.bytes, "{context}");
}

/// Lets every call fail in this way, the first one first.
fn sweep(fault: Fault) {
    for times in [1, 10] {
        let calls = (1..).take_while(|&from| survives(from, times, fault)).count();
        assert!(calls > 80, "only {calls} calls failed: the sweep didn't see five rotations");
    }
}

#[test]
fn permission_denied_at_any_call_leaves_whole_lines_and_an_exact_account() {
    sweep(Fault::Os(EACCES));
}

#[test]
fn a_full_disk_at_any_call_leaves_whole_lines_and_an_exact_account() {
    sweep(Fault::Os(ENOSPC));
}

#[test]
fn an_input_output_error_at_any_call_leaves_whole_lines_and_an_exact_account() {
    sweep(Fault::Os(EIO));
}

#[test]
fn too_many_open_files_at_any_call_leave_whole_lines_and_an_exact_account() {
    sweep(Fault::Os(EMFILE));
}

#[test]
fn an_interrupted_call_loses_nothing() {
    sweep(Fault::Os(EINTR));
}

#[test]
fn a_short_write_loses_nothing() {
    sweep(Fault::Short);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_line_leaves_a_closed_fragment() {
    sweep(Fault::ShortThenFull);
}

/// The files of the log with their contents, the oldest first.
fn contents(dir: &Dir) -> Vec<(String, Vec<u8>)> {
    let family = LogFamily::of(dir.path("tasks.log"));
    let read = |path: &PathBuf| fs::read(path).expect("a file of the log can be read");
    family.names().into_iter().zip(family.paths().iter().map(read)).collect()
}

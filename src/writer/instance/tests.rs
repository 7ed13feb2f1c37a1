//! Every call to the file system fails once, in every way that it can: what becomes of the lines?

use std::{fs, io::Write as _};

use super::*;
use crate::file::faulty::{Fault, FaultyFileSystem};

#[path = "../../../tests/support/mod.rs"]
mod support;

use support::{
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};

/// Room for three of the lines.
const MAX_BYTES: u64 = 110;

/// Enough for seven rotations.
const LINES: u64 = 24;

/// How many lines come after the trouble is over: enough for one more rotation.
const LATER: u64 = 3;

const EINTR: i32 = 4;
const EIO: i32 = 5;
const EACCES: i32 = 13;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn line(n: u64) -> String {
    numbered(0, n, 9) + "\n"
}

fn builder(dir: &Dir, backups: usize) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path("tasks.log")).max_bytes(MAX_BYTES).backups(backups)
}

fn on(files: &FaultyFileSystem, builder: InstanceFileBuilder) -> Result<InstanceFile, Error> {
    builder.build_on(Box::new(files.clone()))
}

fn write(file: &InstanceFile, text: impl AsRef<[u8]>) {
    file.clone().write_all(text.as_ref()).expect("writing never fails");
}

/// The second passes after which a failed rotation is tried again.
fn a_second_passes(file: &InstanceFile) {
    file.shared.state().retry_at = None;
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

/// The lines that are there must be whole, in order, each once; returns how many there are and how many not.
#[track_caller]
fn found_and_missing(dir: &Dir, lines: u64, context: &str) -> (u64, u64) {
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().allowed(0, lines).bare_lines());
    assert!(verdict.faults.is_empty(), "{context}: {verdict}");
    (verdict.found, verdict.missing_allowed)
}

/// Writes while `times` calls from the `from`-th on fail, then a few lines more, and looks at everything. Returns whether
/// any call failed.
fn survives(from: u64, times: u64, fault: Fault) -> bool {
    let context = format!("{fault:?} at call {from}, {times} times");
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(from, times, fault));
    let file = match on(&files, builder(&dir, 20)) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.path().is_some() && from <= 2, "{context}: {error}");
            assert_eq!(dir.names(), [""; 0], "{context}: a failed build leaves nothing");
            return true;
        }
    };
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
    let is_harmless = matches!(fault, Fault::Short | Fault::Os(EINTR));
    assert!(!is_harmless || stats.dropped_lines == 0, "{context}: {stats:?}");
    if let Fault::Os(_) = fault {
        assert_eq!(stats.errors, files.fired(), "{context}: each failed call is counted");
    }
    assert_tidy(&dir, &stats, &context);
    files.fired() > 0
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
        assert!(calls > 40, "only {calls} calls failed: the sweep didn't see seven rotations");
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

/// The counters of the whole lines, in the log's order.
fn counters(dir: &Dir) -> Vec<u64> {
    let counter = |line: String| line.split("n=").nth(1)?.split(' ').next()?.parse().ok();
    LogFamily::of(dir.path("tasks.log")).lines().into_iter().map(|line| counter(line).expect(" n=")).collect()
}

/// Ends a life at the `from`-th call, which is not made or half made, as is no later one, then begins another on the
/// same path. Returns whether there was such a call.
fn goes_on_after_a_kill(from: u64, fault: Fault) -> bool {
    let context = format!("killed at call {from} ({fault:?})");
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(from, u64::MAX, fault));
    let first = on(&files, builder(&dir, 3)).expect("the file can be opened");
    let mut n = 0;
    while files.fired() == 0 && n < LINES {
        n += 1;
        write(&first, line(n));
    }
    let written = first.stats().written_lines;
    drop(first);
    let before = contents(&dir);
    let kept = counters(&dir);
    assert!(
        kept.iter().copied().eq(written + 1 - kept.len() as u64..=written),
        "{context}: {kept:?} of {written}"
    );
    let all_taken = (1..=3).all(|number| dir.path(&format!("tasks.log.{number}")).exists());

    let second = builder(&dir, 3).build().expect("the file can be opened again");
    while second.stats().rotations == 0 {
        n += 1;
        write(&second, line(n));
    }
    let after = contents(&dir);
    let is_gone = |content: &Vec<u8>| !after.iter().any(|(_, now)| now.starts_with(content));
    let gone: Vec<_> = before.iter().filter(|(_, content)| is_gone(content)).map(|(name, _)| name).collect();
    let oldest: &[&str] = if all_taken { &["tasks.log.3"] } else { &[] };
    assert_eq!(gone, oldest, "{context}");
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().allowed(0, n).bare_lines());
    assert!(verdict.faults.is_empty(), "{context}: {verdict}");
    files.fired() > 0
}

#[test]
fn killed_between_any_two_steps_it_loses_nothing_but_the_oldest_backup_when_all_numbers_are_taken() {
    for fault in [Fault::Os(EIO), Fault::ShortThenFull] {
        let calls = (3..).take_while(|&from| goes_on_after_a_kill(from, fault)).count();
        assert!(calls > 40, "only {calls} calls: full rotations were not seen");
    }
}

#[test]
fn a_failed_rotation_is_tried_again_after_a_second_and_not_before() {
    // Calls 1 and 2 open the file, 3 to 5 write three lines, 6 is the first rename.
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(6, 1, Fault::Os(EACCES)));
    let file = on(&files, builder(&dir, 3)).expect("the file can be opened");
    (1..=3).for_each(|n| write(&file, line(n)));
    let before = clock::instant();
    write(&file, line(4));
    let after = clock::instant();
    assert_eq!((files.calls(), files.fired()), (7, 1), "one rename, one line");
    let retry_at = file.shared.state().retry_at.expect("a retry is due");
    assert!((before + RETRY_AFTER..=after + RETRY_AFTER).contains(&retry_at));
    file.shared.state().retry_at = Some(after + Duration::from_secs(3600));
    write(&file, line(5));
    assert_eq!((files.calls(), file.stats().rotations), (8, 0), "a line and no rename");
    assert_eq!(dir.lines("tasks.log").len(), 5, "the file grows beyond its limit meanwhile");
    file.shared.state().retry_at = Some(clock::instant());
    write(&file, line(6));
    assert_eq!(file.stats().rotations, 1);
    assert_eq!((dir.lines("tasks.log.1").len(), dir.lines("tasks.log").len()), (5, 1));
}

#[test]
fn while_no_new_file_can_be_opened_lines_go_to_the_renamed_one() {
    // 6 is the rename, 7 to 16 would open the new file or write a line.
    let (dir, files) = (Dir::new(), FaultyFileSystem::new(7, 1, Fault::Os(EMFILE)));
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

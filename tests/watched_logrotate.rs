//! `WatchedFile` under Debian's logrotate, in a loop, while four processes log 5,000 lines a second each.
//!
//! Each case is one set of directives, and how often they are carried out. In each, every line must be in one of the files,
//! once; logrotate must have nothing to say; and every process must let go of each file that was rotated away.

#![cfg(all(unix, feature = "watch"))]

#[path = "watched_logrotate/busy.rs"]
mod busy;
#[path = "watched_logrotate/lossy.rs"]
mod lossy;
#[path = "watched_logrotate/rounds.rs"]
mod rounds;
mod support;
#[path = "watched_logrotate/tool.rs"]
mod tool;
#[path = "watched_logrotate/workers.rs"]
mod workers;

use std::{
    fs,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rounds::{Rounds, WHILE_IDLE, WHILE_WRITING, rotated};
use support::{
    child::say,
    dir::Dir,
    verify::{Expect, LogFamily, Verdict},
};
use workers::{End, LOG};

/// What is rotated by, whatever the case: no backup is ever removed.
const KEEP_ALL: &str = "rotate 1000";

/// How often logrotate runs.
const SLOW: Duration = Duration::from_millis(500);
const FAST: Duration = Duration::from_millis(50);

/// How often it runs when the names of rotated files tell the second.
const SECONDS: Duration = Duration::from_millis(1_100);

/// Has the tests run one after the other: each needs the whole machine.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rotates a log so many times while it is written to, and once more while all processes rest.
fn rotate(case: &str, every: Duration, rotations: usize) -> Dir {
    let _alone = alone();
    let tried = (0..10).find_map(|_| try_to_rotate(case, every, rotations));
    tried.expect("once in ten times the machine lets logrotate make the file in time")
}

/// `None` if logrotate stood still before its `create`, for as long as a writer waits for it, and had to rename what the writer
/// had made. With `delaycompress` the next rotation waits until every process has left the file.
fn try_to_rotate(case: &str, every: Duration, rotations: usize) -> Option<Dir> {
    let dir = Dir::new();
    let mut rounds = Rounds::start(&dir, &format!("{KEEP_ALL}\n{case}"));
    for _ in 0..rotations {
        rounds.rotate(every, 1);
        if case.contains("compress") {
            rounds.wait_until_left(); // what the next one compresses
        }
    }
    let (writing, busy) = (rounds.wait_until_followed(), rounds.figures());
    rounds.workers.wait_for_lines();

    rounds.workers.rest();
    rounds.rotate(every, 1);
    let idle = rounds.wait_until_followed();
    rounds.workers.go_on();
    rounds.workers.wait_for_lines();

    let what = format!("{} every {every:?}: {busy}{writing}; idle{idle}", case.replace('\n', " "));
    say(&what);
    assert!(busy.lines_a_second() > 1_000, "{what}");
    assert!(writing.are_within(WHILE_WRITING) && idle.are_within(WHILE_IDLE), "{what}");
    if rounds.said.contains("already exists, renaming to") {
        rounds.workers.stop();
        return None;
    }
    assert_eq!(rounds.said, "", "logrotate has something to say");
    let rotations = rounds.figures().rotations;
    let (ends, expect) = rounds.workers.stop();
    assert_followed(&ends, rotations, every);
    // A file that is compressed so soon after it was left may be read while somebody still writes to it.
    if !(case.contains("compress") && every == FAST) {
        assert_no_risk(&ends);
    }
    verify(&dir, &expect).assert_clean();
    Some(dir)
}

/// All rotations were followed by all processes, and none of them has lost a line.
fn assert_followed(ends: &[End], rotations: usize, every: Duration) {
    let least = if every > WHILE_WRITING { rotations as u64 } else { 1 };
    for end in ends {
        assert!((least..=rotations as u64).contains(&end.reopens), "{rotations} rotations: {ends:?}");
        assert_eq!((end.truncations, end.rewritten), (0, 0), "{ends:?}");
    }
}

/// None of the processes has feared for a line.
fn assert_no_risk(ends: &[End]) {
    assert!(ends.iter().all(|end| end.at_risk == 0), "{ends:?}");
}

/// Compares the live file and all rotated ones with what is expected. There must be no other file, and nothing that somebody
/// took for the beginning of a line.
fn verify(dir: &Dir, expect: &Expect) -> Verdict {
    let live = dir.path(LOG);
    let mut files = rotated(&live);
    files.push(live);
    assert_eq!(names_below(&dir.path("logs")), files.len(), "only the log and its backups: {files:?}");
    let verdict = LogFamily::files(files).verify(expect);
    assert_eq!(verdict.closed_fragments, 0, "{verdict}");
    verdict
}

/// How many files there are in a folder and in those in it.
fn names_below(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is listed").path());
    entries.map(|path| if path.is_dir() { names_below(&path) } else { 1 }).sum()
}

#[test]
#[ignore = "needs logrotate"]
fn create_every_half_second() {
    rotate("create", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn create_every_50_ms() {
    rotate("create", FAST, 40);
}

#[test]
#[ignore = "needs logrotate"]
fn nocreate_every_half_second() {
    rotate("nocreate\nmissingok", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn nocreate_every_50_ms() {
    rotate("nocreate\nmissingok", FAST, 20);
}

#[test]
#[ignore = "needs logrotate"]
fn dateext() {
    rotate("create\ndateext\ndateformat -%Y%m%d-%s", SECONDS, 3);
}

fn rotate_into_olddir(every: Duration, rotations: usize) {
    let dir = rotate("create\nolddir old\ncreateolddir 0755", every, rotations);
    let names = dir.path("logs").read_dir().expect("it is there").count();
    assert_eq!(names, 2, "all backups are in the other folder");
}

#[test]
#[ignore = "needs logrotate"]
fn olddir_every_half_second() {
    rotate_into_olddir(SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn olddir_every_50_ms() {
    rotate_into_olddir(FAST, 40);
}

fn rotate_and_compress_later(every: Duration, rotations: usize) {
    let dir = rotate("create\ncompress\ndelaycompress", every, rotations);
    let is_packed = |path: &Path| path.extension().is_some_and(|extension| extension == "gz");
    let backups = rotated(&dir.path(LOG));
    let (last, others) = backups.split_last().expect("there were rotations");
    assert!(!is_packed(last) && others.iter().all(|path| is_packed(path)), "{backups:?}");
}

#[test]
#[ignore = "needs logrotate"]
fn compress_and_delaycompress_every_half_second() {
    rotate_and_compress_later(SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn compress_and_delaycompress_every_50_ms() {
    rotate_and_compress_later(FAST, 40);
}

/// The script leaves a line each time that it runs.
fn rotate_and_run_a_script(every: Duration, rotations: usize) {
    let dir = rotate("create\nsharedscripts\npostrotate\necho ran >> ran\nendscript", every, rotations);
    assert_eq!(dir.lines("ran").len(), rotated(&dir.path(LOG)).len());
}

#[test]
#[ignore = "needs logrotate"]
fn sharedscripts_and_postrotate_every_half_second() {
    rotate_and_run_a_script(SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn sharedscripts_and_postrotate_every_50_ms() {
    rotate_and_run_a_script(FAST, 40);
}

#[test]
#[ignore = "deep: a hundred rotations of every kind, two minutes"]
fn deep_a_hundred_rotations_of_every_kind() {
    rotate("create", SLOW, 60);
    rotate_and_compress_later(SLOW, 60);
    rotate("create", FAST, 100);
    rotate("nocreate\nmissingok", FAST, 100);
    rotate_into_olddir(FAST, 100);
    rotate_and_compress_later(FAST, 100);
    rotate_and_run_a_script(FAST, 100);
    rotate("create\ndateext\ndateformat -%Y%m%d-%s", SECONDS, 20);
}

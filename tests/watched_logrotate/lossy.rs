//! The ways of rotation that read or remove a file while somebody may still write to it. What `copytruncate` loses is counted;
//! nothing else loses a line, says so, or has one there twice.

use std::{fs, time::Duration};

use super::{
    FAST, KEEP_ALL, SLOW, alone,
    rounds::{Figures, Rounds},
    verify,
    workers::{End, LOG},
};
use crate::support::{child::say, dir::Dir, ledger::Ledger, verify::Kind};

/// Rotates a log so many times while it is written to. No more lines may be missing than the processes say, and nothing
/// else may be wrong.
fn rotate(case: &str, every: Duration, rotations: usize) -> (Figures, Vec<End>) {
    let _alone = alone();
    let dir = Dir::new();
    let mut rounds = Rounds::start(&dir, &format!("{KEEP_ALL}\n{case}"));
    rounds.rotate(every, rotations);
    let times = rounds.wait_until_followed();
    rounds.workers.wait_for_lines();
    let (figures, said) = (rounds.figures(), rounds.said);
    let (ends, expect) = rounds.workers.stop();
    let verdict = verify(&dir, &expect);
    let at_risk: u64 = ends.iter().map(|end| end.at_risk).sum();
    let how = format!("{} every {every:?}: {figures}{times}", case.replace('\n', " "));
    let what = format!("{how}: {} lines missing, {at_risk} at risk", verdict.missing);
    say(&what);
    // Who copies or compresses a file in the middle of a write reads the beginning of a line. What is written again comes behind
    // what came meanwhile.
    let is_inherent = |kind: &Kind| matches!(kind, Kind::Lost | Kind::Fragment | Kind::Order);
    assert!(verdict.kinds().iter().all(is_inherent) && dir.read(LOG).ends_with('\n'), "{what}\n{verdict}");
    assert!(verdict.missing <= at_risk, "{what}\n{said}\n{ends:?}\n{verdict}");
    (figures, ends)
}

/// Rotates as [`rotate`] does: no line may be missing or twice, and no process may have feared for one.
fn rotate_without_loss(case: &str, every: Duration, rotations: usize) {
    let (figures, ends) = rotate(case, every, rotations);
    let (at_risk, rewritten): (u64, u64) =
        ends.iter().fold((0, 0), |(risk, again), end| (risk + end.at_risk, again + end.rewritten));
    say(&format!("  {} rotations: {at_risk} lines at risk, {rewritten} written again", figures.rotations));
    assert_eq!(at_risk, 0, "{ends:?}");
}

/// Rotates with `rotate 0`, which removes what was written before. Everything since then must be there, without a gap.
fn rotate_and_keep_none(case: &str, every: Duration, rotations: usize) {
    let _alone = alone();
    let dir = Dir::new();
    let note = "prerotate\ncp ledger before\nendscript";
    let mut rounds = Rounds::start(&dir, &format!("rotate 0\n{note}\n{case}"));
    for round in 0..rotations {
        rounds.round(every);
        let before = Ledger::open(dir.path("before")).read();
        let live = fs::read_to_string(dir.path(LOG)).unwrap_or_default();
        let end = live.rfind('\n').map_or(0, |end| end + 1);
        for (worker, (_, returned)) in before.iter().enumerate() {
            let mut numbers: Vec<u64> = live[..end].lines().filter_map(|line| number(line, worker)).collect();
            numbers.sort_unstable(); // what is written again comes behind what came meanwhile
            let first = *numbers.first().expect("every worker has written since");
            // Between the note and the renaming lines went into the old file: 5 in a millisecond.
            assert!(first <= returned + 300, "round {round}: {first} is the first after {returned}");
            let expected: Vec<u64> = (first..first + numbers.len() as u64).collect();
            assert!(numbers == expected, "round {round}, worker {worker}: a gap behind {first}");
        }
    }
    let (ends, _) = rounds.workers.stop();
    say(&format!("rotate 0, {} every {every:?}, {rotations} times: {ends:?}", case.replace('\n', " ")));
    assert!(ends.iter().all(|end| end.at_risk == 0), "{ends:?}");
}

/// The number of a line of this worker.
fn number(line: &str, worker: usize) -> Option<u64> {
    let (_, rest) = line.split_once(&format!(" w={worker} n="))?;
    rest.split(' ').next()?.parse().ok()
}

fn copy_and_truncate(every: Duration, rotations: usize) {
    let (figures, ends) = rotate("copytruncate", every, rotations);
    let truncations: Vec<_> = ends.iter().map(|end| end.truncations).collect();
    // Two of them between two looks are one.
    assert!(truncations.iter().all(|noticed| *noticed > 0), "{truncations:?}: {figures}");
    assert!(ends.iter().all(|end| end.reopens == 0), "{ends:?}");
}

#[test]
#[ignore = "needs logrotate"]
fn copytruncate_every_half_second() {
    copy_and_truncate(SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn copytruncate_every_50_ms() {
    copy_and_truncate(FAST, 40);
}

#[test]
#[ignore = "needs logrotate"]
fn compress_at_once_every_half_second() {
    rotate_without_loss("create\ncompress", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn nocreate_and_compress_at_once_every_half_second() {
    rotate_without_loss("nocreate\nmissingok\ncompress", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn renamecopy_every_half_second() {
    rotate_without_loss("create\nrenamecopy", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn rotate_0_every_half_second() {
    rotate_and_keep_none("create", SLOW, 6);
}

#[test]
#[ignore = "needs logrotate"]
fn nocreate_and_rotate_0_every_half_second() {
    rotate_and_keep_none("nocreate\nmissingok", SLOW, 6);
}

#[test]
#[ignore = "deep: fifty rotations of each kind, three minutes"]
fn deep_fifty_rotations_that_cost_no_line_and_raise_no_alarm() {
    for every in [SLOW, FAST] {
        rotate_without_loss("create\ncompress", every, 50);
        rotate_without_loss("nocreate\nmissingok\ncompress", every, 50);
        rotate_without_loss("create\nrenamecopy", every, 50);
    }
    rotate_and_keep_none("create", SLOW, 50);
    rotate_and_keep_none("nocreate\nmissingok", SLOW, 50);
}

#[test]
#[ignore = "deep: sixty rotations, a moment"]
fn deep_sixty_rotations_that_may_lose_lines() {
    rotate("copytruncate", FAST, 60);
}

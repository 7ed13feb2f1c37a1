//! The two ways of rotation that lose lines of every program: here they are counted.

use std::time::Duration;

use super::{
    FAST, KEEP_ALL, SLOW, alone,
    rounds::{Figures, Rounds},
    verify,
    workers::{End, LOG},
};
use crate::support::{child::say, dir::Dir, verify::Kind};

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
    // Who copies or compresses a file in the middle of a write reads the beginning of a line.
    let is_inherent = |kind: &Kind| matches!(kind, Kind::Lost | Kind::Fragment);
    assert!(verdict.kinds().iter().all(is_inherent) && dir.read(LOG).ends_with('\n'), "{what}\n{verdict}");
    assert!(verdict.missing <= at_risk, "{what}\n{said}\n{ends:?}\n{verdict}");
    (figures, ends)
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
    rotate("create\ncompress", SLOW, 6);
}

#[test]
#[ignore = "deep: sixty rotations of each kind, a minute"]
fn deep_sixty_rotations_that_may_lose_lines() {
    rotate("create\ncompress", SLOW, 60);
    for case in ["copytruncate", "create\ncompress"] {
        rotate(case, FAST, 60);
    }
}

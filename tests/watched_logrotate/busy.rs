//! A machine with more to do than it can: logrotate is preempted between its rename and its `create`, and no process may
//! make the file then. logrotate would find it, and rename it away as `….backup`.

use std::time::{Duration, Instant};

use super::{FAST, KEEP_ALL, alone, assert_followed, assert_no_risk, rounds::Rounds, verify};
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
};

/// How long a process that does nothing but that lives without its parent.
const LIFE: Duration = Duration::from_secs(120);

/// How long a process may hold an old file on such a machine.
const ON_A_BUSY_MACHINE: Duration = Duration::from_secs(1);

#[test]
fn child_keeps_a_processor_busy() {
    if !role("busy::child_keeps_a_processor_busy") {
        return;
    }
    say("busy");
    let start = Instant::now();
    while start.elapsed() < LIFE {
        std::hint::spin_loop();
    }
}

fn rotate_beside(hogs: usize, every: Duration, rotations: usize) {
    let _alone = alone();
    let is_done = (0..10).any(|_| try_to_rotate_beside(hogs, every, rotations));
    assert!(is_done, "once in ten times the machine lets logrotate make the file in time");
}

/// `false` if logrotate stood still before its `create`, for as long as a writer waits for it.
fn try_to_rotate_beside(hogs: usize, every: Duration, rotations: usize) -> bool {
    let dir = Dir::new();
    let hog = |_| Child::of_test("busy::child_keeps_a_processor_busy").limit(LIFE).spawn();
    let mut hogs: Vec<_> = (0..hogs).map(hog).collect();
    hogs.iter_mut().for_each(|hog| drop(hog.wait_for_stdout_line(|line| line == "busy")));
    let mut rounds = Rounds::start(&dir, &format!("{KEEP_ALL}\ncreate"));
    rounds.rotate(every, rotations);
    let (times, figures) = (rounds.wait_until_followed(), rounds.figures());
    rounds.workers.wait_for_lines();
    say(&format!("create every {every:?} beside {} hogs: {figures}{times}", hogs.len()));
    assert!(times.are_within(ON_A_BUSY_MACHINE), "{figures}{times}");
    assert!(hogs.iter_mut().all(Child::is_running), "they were to be busy all the time");
    drop(hogs);
    if rounds.said.contains("already exists, renaming to") {
        rounds.workers.stop();
        return false;
    }
    assert_eq!(rounds.said, "", "logrotate has something to say");
    let (ends, expect) = rounds.workers.stop();
    assert_followed(&ends, figures.rotations, every);
    assert_no_risk(&ends);
    verify(&dir, &expect).assert_clean();
    true
}

#[test]
#[ignore = "needs logrotate"]
fn no_backup_of_an_innocent_file_every_50_ms_beside_two_hogs() {
    rotate_beside(2, FAST, 40);
}

#[test]
#[ignore = "needs logrotate"]
fn no_backup_of_an_innocent_file_every_20_ms_beside_a_hog() {
    rotate_beside(1, Duration::from_millis(20), 60);
}

#[test]
#[ignore = "deep: six hundred rotations on a busy machine, half a minute"]
fn deep_no_backup_of_an_innocent_file() {
    for hogs in 1..=2 {
        rotate_beside(hogs, FAST, 150);
        rotate_beside(hogs, Duration::from_millis(20), 150);
    }
}

//! A life that ends at any call, and the next one on the same path.

use super::*;

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

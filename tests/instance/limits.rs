//! Limits: none, and those that the operating system sets.

use std::env;

use tracing_tasklog::writer::InstanceFile;

use super::{builder, write};
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};

#[test]
fn an_unlimited_file_is_never_rotated() {
    let dir = Dir::new();
    let file = builder(&dir).unlimited().build().expect("the file can be opened");
    let line = "x".repeat(1024 * 1024) + "\n";
    (0..12).for_each(|_| write(&file, &line));
    assert_eq!((dir.names(), file.stats().rotations), (vec!["tasks.log".to_owned()], 0));
    assert_eq!(dir.path("tasks.log").metadata().expect("it is there").len(), 12 * line.len() as u64);
}

const LINES: u64 = 2_000;

#[test]
fn child_writes_under_a_file_size_limit() {
    if !role("limits::child_writes_under_a_file_size_limit") {
        return;
    }
    let path = env::var_os("LOG").expect("the parent says where");
    let file = InstanceFile::builder(path).unlimited().backups(1000).build().expect("the file can be opened");
    (1..=LINES).for_each(|n| write(&file, numbered(0, n, 60) + "\n"));
    // Larger than the limit, each of them: nothing that could be written whole.
    (1..=3).for_each(|n| write(&file, numbered(0, LINES + n, 300_000) + "\n"));
    (4..=6).for_each(|n| write(&file, numbered(0, LINES + n, 60) + "\n"));
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (LINES + 6, LINES + 3, 3));
    say("done");
}

#[test]
fn under_a_file_size_limit_it_rotates_below_it_and_counts_what_is_too_large() {
    let dir = Dir::new();
    // In blocks of 512 bytes, or of 1024 in some shells.
    let child = Child::of_test_after("limits::child_writes_under_a_file_size_limit", "ulimit -f 64");
    let output = child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    assert!(output.stdout.contains("done\n"));
    let told: Vec<_> = output.stderr.lines().filter(|line| line.starts_with("tracing-tasklog: ")).collect();
    assert_eq!(told.len(), 2, "{}", output.stderr);
    assert!(
        told[0].contains("could not write a line to") && told[0].ends_with("; lines lost so far: 1"),
        "{told:?}"
    );
    assert!(told[1].starts_with("tracing-tasklog: lines lost in all: 3, "), "{told:?}");
    let family = LogFamily::of(dir.path("tasks.log"));
    let expect = Expect::new().worker(0, LINES + 6).bare_lines().announced_losses();
    let verdict = family.verify(&expect).assert_clean();
    assert_eq!((verdict.found, verdict.announced_dropped, verdict.closed_fragments), (LINES + 3, 3, 0));
    let announced = family.lines().into_iter().find(|line| line.starts_with("[-]")).expect("it is announced");
    assert!(announced.ends_with(" 3 lines dropped reason=\"file size limit\""), "{announced}");
    let sizes: Vec<_> =
        family.paths().iter().map(|path| path.metadata().expect("it is there").len()).collect();
    assert!(sizes.len() > 2 && sizes.iter().all(|&size| size <= 64 * 1024), "{sizes:?}");
}

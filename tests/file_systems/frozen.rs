//! A disk that stands still under the file behind a queue, and a fork at that moment.

use std::{
    env,
    io::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use tracing_tasklog::writer::{InstanceFile, SharedQueue};

use crate::{
    LATEST,
    mounted::Mounted,
    support::{
        child::{Child, role, say},
        dir::Dir,
        fork::{forked, wait_for},
        holds_within,
        stopwatch::Stopwatch,
        verify::{Expect, LogFamily},
        wait_until,
    },
    write_lines,
};

const LINES: u64 = 50;

fn path(key: &str) -> PathBuf {
    env::var_os(key).expect("the parent says where").into()
}

#[test]
fn child_forks_while_its_disk_stands_still() {
    if !role("frozen::child_forks_while_its_disk_stands_still") {
        return;
    }
    let file = InstanceFile::builder(path("LOG")).build().expect("the disk is the test's own");
    let (queue, guard) = SharedQueue::builder().spawn(file).expect("a thread can be made");
    write_lines(&queue, 0, 1..=1);
    guard.flush(LATEST).expect("the disk has room");
    say("ready");
    wait_until("the disk stands still", LATEST, || path("FROZEN").exists());
    write_lines(&queue, 0, 2..=2);
    // The thread that writes is in its call now: a process in that state is no proof, time is.
    assert!(!holds_within(Duration::from_millis(300), || queue.stats().written_lines > 1));
    let watch = Stopwatch::start();
    let pid = forked(|| {
        let began = Instant::now();
        write_lines(&queue, 1, 1..=LINES);
        let stats = queue.stats();
        assert_eq!((stats.written_lines, stats.dropped_lines), (LINES, 0), "after {:?}", began.elapsed());
    });
    let took = watch.elapsed();
    say("forked");
    assert!(took < Duration::from_millis(150), "a fork waits for no file of this crate: {took:?}");
    wait_for(pid);
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (2, 0, 0));
    std::io::stdout().flush().expect("somebody reads it");
}

#[test]
#[ignore = "needs root, to mount an ext4 of its own"]
fn a_fork_while_the_file_behind_the_queue_is_in_a_slow_call_costs_no_line() {
    let dir = Dir::new();
    let disk = Mounted::on_image(&dir, "ext4", 64);
    let log = disk.path("tasks.log");
    let child = Child::of_test("frozen::child_forks_while_its_disk_stands_still").env("LOG", &log);
    let mut child = child.env("FROZEN", dir.path("frozen")).spawn();
    child.wait_for_stdout_line(|line| line == "ready");
    let frozen = disk.freeze();
    dir.write("frozen", "");
    child.wait_for_stdout_line(|line| line == "forked");
    drop(frozen);
    let output = child.wait().assert_success();
    assert!(!output.stderr.contains("tracing-tasklog"), "nothing is lost: {output}");
    let expect = Expect::new().bare_lines().worker(0, 2).worker(1, LINES);
    LogFamily::files([log]).verify(&expect).assert_clean();
}

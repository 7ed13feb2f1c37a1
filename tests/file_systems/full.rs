//! A disk that is full under a ring: a log call never hangs, and no line is lost.

use std::{
    env,
    fs::File,
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tracing_tasklog::writer::{Collector, SharedQueue};

use crate::{
    LATEST, assert_lines_go_through,
    mounted::Mounted,
    support::{
        child::{Child, role, say},
        dir::Dir,
        verify::{Expect, LogFamily},
        wait_until,
    },
    write_lines,
};

/// Lines that fill most of a ring of a MiB: so each of its pages is touched, some for the first time.
const FIRST: u64 = 8_000;
const ALL: u64 = 50_000;

fn path(key: &str) -> PathBuf {
    env::var_os(key).expect("the parent says where").into()
}

#[test]
fn child_logs_on_a_full_disk() {
    if !role("full::child_logs_on_a_full_disk") {
        return;
    }
    let queue = SharedQueue::builder().capacity_bytes(1 << 20).connect(path("QUEUE")).expect("it is taken");
    say("connected");
    wait_until("the disk is full", LATEST, || path("FULL").exists());
    write_lines(&queue, 0, 1..=FIRST);
    say("the ring is nearly full");
    write_lines(&queue, 0, FIRST + 1..=ALL);
    let drops = queue.drops();
    assert_eq!((drops.queue_full, drops.queue_stalled), (0, 0));
}

/// A sink that takes nothing until it is opened.
struct Shut {
    is_open: Arc<AtomicBool>,
    log: File,
}

impl Write for Shut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait_until("it is opened", LATEST, || self.is_open.load(Ordering::Relaxed));
        self.log.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The worker is a process of its own: one that hangs fails the test.
fn assert_a_full_disk_costs_no_line(dir: &Dir, disk: &Mounted) {
    let directory = disk.path("q");
    let is_open = Arc::new(AtomicBool::new(false));
    let log = File::options().append(true).create(true).open(dir.path("tasks.log"));
    let sink = Shut { is_open: Arc::clone(&is_open), log: log.expect("the folder is the test's own") };
    let collector = Collector::builder(&directory).stall_timeout(2 * LATEST).spawn(sink);
    let collector = collector.expect("nobody else collects");
    let child = Child::of_test("full::child_logs_on_a_full_disk").env("QUEUE", &directory);
    let mut child = child.env("FULL", dir.path("full")).limit(Duration::from_secs(60)).spawn();
    child.wait_for_stdout_line(|line| line == "connected");
    disk.fill();
    dir.write("full", "");
    child.wait_for_stdout_line(|line| line == "the ring is nearly full");
    is_open.store(true, Ordering::Relaxed);
    child.wait().assert_success();
    collector.flush(LATEST).expect("the sink takes everything");
    LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().bare_lines().worker(0, ALL)).assert_clean();
}

#[test]
#[ignore = "needs root and mkfs.xfs, to mount an XFS of its own"]
fn a_full_xfs_holds() {
    let dir = Dir::new();
    assert_a_full_disk_costs_no_line(&dir, &Mounted::on_image(&dir, "xfs", 320));
}

#[test]
#[ignore = "needs root, to mount an ext4 of its own"]
fn a_full_ext4_holds() {
    let dir = Dir::new();
    assert_a_full_disk_costs_no_line(&dir, &Mounted::on_image(&dir, "ext4", 64));
}

#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_full_tmpfs_holds() {
    let dir = Dir::new();
    assert_a_full_disk_costs_no_line(&dir, &Mounted::tmpfs(&dir, 8));
}

#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_first_collector_starts_on_a_full_disk_and_drains_it() {
    let dir = Dir::new();
    let disk = Mounted::tmpfs(&dir, 8);
    let directory = disk.path("q");
    let queue = SharedQueue::builder().capacity_bytes(1 << 20).connect(&directory).expect("it is taken");
    disk.fill();
    assert_lines_go_through(&queue, &directory);
}

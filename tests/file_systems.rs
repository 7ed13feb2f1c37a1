//! Real file systems, mounted for the test: where a ring may be and where it is refused, full disks under a ring, and a disk that
//! stands still under the file behind a queue.
#![cfg(all(target_os = "linux", feature = "multiprocess"))]

#[path = "file_systems/frozen.rs"]
mod frozen;
#[path = "file_systems/full.rs"]
mod full;
#[path = "file_systems/mounted.rs"]
mod mounted;
mod support;

use std::{fs, io::Write as _, path::Path, time::Duration};

use mounted::Mounted;
use support::{
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};
use tracing_tasklog::writer::{Collector, SharedQueue, TaskWriter};

const LATEST: Duration = Duration::from_secs(20);

fn write_lines(queue: &SharedQueue, worker: u32, lines: std::ops::RangeInclusive<u64>) {
    let mut queue = queue.clone();
    for n in lines {
        let line = numbered(worker, n, (n % 60) as usize) + "\n";
        queue.write_all(line.as_bytes()).expect("writing never fails");
    }
}

/// Has lines go through the ring, and read by a collector.
fn assert_lines_go_through(queue: &SharedQueue, directory: &Path) {
    let dir = Dir::new();
    let file = fs::File::options().append(true).create(true).open(dir.path("tasks.log"));
    let collector = Collector::builder(directory).spawn(file.expect("the folder is the test's own"));
    let collector = collector.expect("nobody else collects");
    write_lines(queue, 0, 1..=100);
    collector.flush(LATEST).expect("the sink takes everything");
    LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().bare_lines().worker(0, 100)).assert_clean();
}

/// Whatever way a worker takes: it is told where the directory is and what to do, and nothing is made.
fn assert_refused(directory: &Path, file_system: &str) {
    let of_queue = SharedQueue::connect(directory).expect_err("it must be refused");
    let spec = format!("queue:{}", directory.display());
    let of_writer = TaskWriter::open(&spec).expect_err("it must be refused");
    assert_eq!(of_queue.to_string(), of_writer.to_string());
    let text = of_queue.to_string();
    for part in [&*format!("{directory:?}"), file_system, "tmpfs", "any_file_system(true)"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

fn rings_in(directory: &Path) -> usize {
    let names = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("listed").path());
    names.filter(|path| path.extension().is_some_and(|end| end == "ring" || end == "new")).count()
}

#[test]
#[ignore = "needs root and mkfs.btrfs, to mount a btrfs of its own"]
fn btrfs_is_refused_by_name_with_a_remedy_and_nothing_is_changed() {
    let dir = Dir::new();
    let disk = Mounted::on_image(&dir, "btrfs", 256);
    let directory = disk.path("run/q");
    assert_refused(&directory, "btrfs");
    assert!(!disk.path("run").exists(), "nothing is made");

    fs::create_dir_all(&directory).expect("the disk is the test's own");
    let status = std::process::Command::new("chattr").arg("+C").arg(&directory).status();
    assert!(status.expect("chattr runs").success());
    assert_refused(&directory, "btrfs");
    assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 0, "nothing is made in it");

    let queue = SharedQueue::builder().any_file_system(true).connect(&directory).expect("it insists");
    assert_lines_go_through(&queue, &directory);
}

#[test]
#[ignore = "needs root and mkfs.btrfs, to mount an overlay of its own"]
fn btrfs_behind_an_overlay_is_refused_too() {
    let dir = Dir::new();
    let disk = Mounted::on_image(&dir, "btrfs", 256);
    let overlay = Mounted::overlay(&dir, &disk);
    let directory = overlay.path("q");
    assert_refused(&directory, "btrfs behind an overlay");
    assert_eq!(rings_in(&directory), 0, "no ring is left");
    let queue = SharedQueue::builder().any_file_system(true).connect(&directory).expect("it insists");
    assert_lines_go_through(&queue, &directory);
}

#[test]
#[ignore = "needs root, to mount an overlay of its own"]
fn ext4_behind_an_overlay_is_taken() {
    let dir = Dir::new();
    let disk = Mounted::on_image(&dir, "ext4", 64);
    let overlay = Mounted::overlay(&dir, &disk);
    let directory = overlay.path("q");
    let queue = SharedQueue::connect(&directory).expect("it is as good as ext4");
    assert_lines_go_through(&queue, &directory);
}

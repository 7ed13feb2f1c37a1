//! A real full disk: a tmpfs of one MiB, filled while two threads log, and freed again.

#![cfg(target_os = "linux")]

mod support;

use std::{
    env,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use support::{
    child::{Child, Output, role, say},
    dir::Dir,
    stopwatch::Stopwatch,
    verify::{Expect, LogFamily, Verdict, numbered},
    wait_until,
};
use tracing_tasklog::writer::{InstanceFile, Stats};

/// Lines of each of the two threads before the disk is full, and again after it is free.
const LINES: u64 = 500;

/// Lines that at least are to be lost.
const LOST: u64 = 200;

/// A tmpfs of one MiB, unmounted when the test is over.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(dir: &Dir) -> Self {
        let place = dir.path("disk");
        fs::create_dir(&place).expect("the folder is new");
        let mut mount = Command::new("mount");
        let status = mount.args(["-t", "tmpfs", "-o", "size=1m", "tasklog-test"]).arg(&place).status();
        assert!(status.expect("mount runs").success(), "only root may mount");
        Tmpfs(place)
    }

    /// Takes all the room that there is.
    fn fill(&self) {
        let mut file =
            File::options().append(true).create(true).open(self.filler()).expect("room for a name");
        for size in [4096, 1] {
            let error = loop {
                if let Err(error) = file.write_all(&vec![0; size]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn log(&self) -> PathBuf {
        self.0.join("tasks.log")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a child that a failed test left may still be in it. The folder under it goes with the test.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn builder(path: &Path) -> tracing_tasklog::writer::InstanceFileBuilder {
    InstanceFile::builder(path).max_bytes(24 * 1024).backups(1000)
}

fn write(file: &InstanceFile, worker: u32, n: u64) {
    let line = numbered(worker, n, (n % 60) as usize) + "\n";
    file.clone().write_all(line.as_bytes()).expect("writing never fails");
}

fn exists(variable: &str) -> bool {
    Path::new(&env::var_os(variable).expect("the parent says where")).exists()
}

/// Logs [`LINES`] lines, then until lines were lost and one was written again (or, if the disk is to stay full, until
/// lines were lost), then [`LINES`] more. Returns how many it were.
fn log_through_an_outage(file: &InstanceFile, worker: u32, [lost, recovered]: &[AtomicBool; 2]) -> u64 {
    (1..=LINES).for_each(|n| write(file, worker, n));
    say("waiting");
    wait_until("the disk is full", Duration::from_secs(20), || exists("FULL"));
    let mut n = LINES;
    let stays_full = env::var_os("STAYS_FULL").is_some();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !recovered.load(Ordering::SeqCst) && Instant::now() < deadline {
        let before = file.stats();
        n += 1;
        write(file, worker, n);
        let after = file.stats();
        let has_lost = before.dropped_lines > LOST;
        if has_lost && !lost.swap(true, Ordering::SeqCst) {
            say("lost");
        }
        let is_enough = has_lost && (stays_full || exists("FREE"));
        if is_enough && (stays_full || after.written_lines > before.written_lines) {
            recovered.store(true, Ordering::SeqCst);
            say("recovered");
        }
    }
    if !stays_full {
        (n + 1..=n + LINES).for_each(|n| write(file, worker, n));
        n += LINES;
    }
    n
}

#[test]
fn child_logs_through_an_outage() {
    if !role("child_logs_through_an_outage") {
        return;
    }
    let path = PathBuf::from(env::var_os("LOG").expect("the parent says where"));
    let file = builder(&path).build().expect("the file can be opened");
    let flags = [AtomicBool::new(false), AtomicBool::new(false)];
    let lines = thread::scope(|scope| {
        [0, 1]
            .map(|worker| {
                scope.spawn({
                    let (file, flags) = (&file, &flags);
                    move || log_through_an_outage(file, worker, flags)
                })
            })
            .map(|thread| thread.join().expect("no thread panics"))
    });
    let Stats { accepted_lines, written_lines, dropped_lines, .. } = file.stats();
    say(&format!("stats {} {} {accepted_lines} {written_lines} {dropped_lines}", lines[0], lines[1]));
}

/// What the child says at its end: the lines of both workers, accepted, written and dropped lines.
fn stats_of(output: &Output) -> [u64; 5] {
    let line = output.stdout.lines().find_map(|line| line.strip_prefix("stats ")).expect("it says so");
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().expect("five numbers")
}

fn expect(lines: [u64; 2]) -> Expect {
    Expect::new().worker(0, lines[0]).worker(1, lines[1]).bare_lines().announced_losses()
}

fn verify(disk: &Tmpfs, expect: &Expect) -> Verdict {
    LogFamily::of(disk.log()).verify(expect)
}

/// Starts the child, and fills the disk while it runs. Returns when lines are lost.
fn run_until_lines_are_lost(dir: &Dir, disk: &Tmpfs, stays_full: bool) -> Child {
    let child = Child::of_test("child_logs_through_an_outage").limit(Duration::from_secs(60));
    let child = child.env("LOG", disk.log()).env("FULL", dir.path("full")).env("FREE", dir.path("free"));
    let child = if stays_full { child.env("STAYS_FULL", "1") } else { child };
    let mut child = child.spawn();
    child.wait_for_stdout_line(|line| line == "waiting");
    disk.fill();
    dir.write("full", "");
    child.wait_for_stdout_line(|line| line == "lost");
    child
}

fn told(output: &Output, what: &str) -> usize {
    output.stderr.matches(&format!("tracing-tasklog: could not {what}")).count()
}

#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_full_disk_that_is_freed_tears_nothing_and_the_gap_is_announced_exactly() {
    let dir = Dir::new();
    let disk = Tmpfs::mount(&dir);
    let started = Instant::now();
    let mut child = run_until_lines_are_lost(&dir, &disk, false);
    disk.free();
    let freed = Stopwatch::start();
    dir.write("free", "");
    child.wait_for_stdout_line(|line| line == "recovered");
    assert!(freed.elapsed() < Duration::from_secs(1), "resumed after {:?}", freed.elapsed());
    let output = child.wait().assert_success();
    let [first, second, accepted, written, dropped] = stats_of(&output);
    let verdict = verify(&disk, &expect([first, second])).assert_clean();
    assert_eq!((accepted, accepted), (first + second, written + dropped));
    assert_eq!((verdict.found, verdict.announced_dropped), (written, dropped));
    assert!(dropped > LOST, "{output}");
    let times = 1 + started.elapsed().as_secs() as usize / 10;
    assert!((1..=times).contains(&told(&output, "write a line to")), "{}", output.stderr);
    assert!(told(&output, "rotate") <= times, "{}", output.stderr);
    assert!(output.stderr.lines().count() <= 2 * times, "{}", output.stderr);
}

#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_disk_that_is_full_at_the_end_harms_nobody_and_nothing_is_glued_later() {
    let dir = Dir::new();
    let disk = Tmpfs::mount(&dir);
    let output = run_until_lines_are_lost(&dir, &disk, true).wait().assert_success();
    let [first, second, accepted, written, dropped] = stats_of(&output);
    assert_eq!((accepted, accepted), (first + second, written + dropped));
    disk.free();
    let file = builder(&disk.log()).build().expect("the file can be opened again");
    write(&file, 2, 1);
    let lines = Expect::new().allowed(0, first).allowed(1, second).worker(2, 1).bare_lines();
    let verdict = verify(&disk, &lines).assert_clean();
    assert_eq!(verdict.found, written + 1, "every line that was counted as written, and the new one");
}

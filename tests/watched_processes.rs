//! Processes that share one path: long lines, processes that are killed, and processes that are stopped.

#![cfg(all(unix, feature = "watch"))]

mod support;

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use support::{
    child::{Child, hang, role, say},
    dir::Dir,
    holds_within,
    ledger::Ledger,
    verify::{Expect, Kind, LogFamily, numbered},
    wait_until, wait_within,
};
use tracing_tasklog::writer::WatchedFile;

const PROCESSES: u32 = 4;

const LATEST: Duration = Duration::from_secs(20);

fn variable(name: &str) -> String {
    std::env::var(name).expect("the parent says so")
}

fn number(name: &str) -> u64 {
    variable(name).parse().expect("a number")
}

fn open() -> WatchedFile {
    WatchedFile::open(variable("LOG")).expect("the file can be opened")
}

/// A file system in memory, where a write that is killed is torn much more often, if there is one.
fn in_memory() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if shm.is_dir() { shm } else { std::env::temp_dir() }
}

/// A long line, which is the same at no two places.
fn long_line(worker: u64, n: u64, length: usize) -> String {
    format!("{worker} {n} ") + &format!("{worker}-{n};").repeat(length / 6) + "\n"
}

#[test]
fn child_writes_long_lines() {
    if !role("child_writes_long_lines") {
        return;
    }
    let (mut file, worker) = (open(), number("WORKER"));
    for n in 1..=number("LINES") {
        let line = long_line(worker, n, number("LENGTH") as usize);
        file.write_all(line.as_bytes()).expect("writing never fails");
    }
    assert_eq!(file.stats().written_lines, number("LINES"));
}

#[test]
fn long_lines_of_four_processes_are_whole() {
    for (length, lines) in [(64 * 1024, 300), (1_000_000, 20)] {
        let dir = Dir::new();
        let spawn = |worker: u64| {
            let child = Child::of_test("child_writes_long_lines").env("LOG", dir.path("tasks.log"));
            let child = child.env("WORKER", worker.to_string()).env("LINES", lines.to_string());
            child.env("LENGTH", length.to_string()).limit(Duration::from_secs(60)).spawn()
        };
        let children: Vec<_> = (0..u64::from(PROCESSES)).map(spawn).collect();
        children.into_iter().for_each(|child| drop(child.wait().assert_success()));
        let mut last = [0; PROCESSES as usize];
        for line in dir.read("tasks.log").split_inclusive('\n') {
            let mut words =
                line.split(' ').map(|word| word.parse::<u64>().expect("it begins with two numbers"));
            let (worker, n) = (words.next().expect("a worker"), words.next().expect("a number"));
            assert!(line == long_line(worker, n, length), "line {n} of {worker} is not whole");
            assert_eq!(n, std::mem::replace(&mut last[worker as usize], n) + 1, "in order, each once");
        }
        assert_eq!(last, [lines; PROCESSES as usize]);
    }
}

/// Writes lines with the ledger's notes around each, in bursts, until it is killed or told to stop.
#[test]
fn child_writes_until_it_is_stopped() {
    if !role("child_writes_until_it_is_stopped") {
        return;
    }
    let (mut file, worker) = (open(), number("WORKER") as u32);
    let ledger = Ledger::open(variable("LEDGER"));
    let (stop, length, rest) = (PathBuf::from(variable("STOP")), number("LENGTH") as usize, number("REST"));
    let first = ledger.read()[worker as usize].0 + 1;
    let filler = format!(" filler={}\n", "x".repeat(length));
    say("ready");
    for n in first.. {
        let line = numbered(worker, n, 9) + &filler;
        ledger.around(worker, n, || file.write_all(line.as_bytes()).expect("writing never fails"));
        if n % 10 == 0 && rest > 0 && holds_within(Duration::from_millis(rest), || stop.exists()) {
            break;
        }
    }
    say(&format!("at_risk {}", file.stats().at_risk_lines));
}

struct Shared<'a> {
    dir: &'a Dir,
    ledger: PathBuf,
}

impl Shared<'_> {
    fn spawn(&self, worker: u32, length: usize, rest: u64) -> Child {
        let child = Child::of_test("child_writes_until_it_is_stopped").env("LOG", self.dir.path("tasks.log"));
        let child = child.env("LEDGER", &self.ledger).env("STOP", self.dir.path("stop"));
        let child = child.env("LENGTH", length.to_string()).env("REST", rest.to_string());
        let mut child = child.env("WORKER", worker.to_string()).limit(Duration::from_secs(120)).spawn();
        child.wait_for_stdout_line(|line| line == "ready");
        child
    }
}

fn wait_for_lines(ledger: &Ledger, worker: u32, more: u64) {
    let returned = || ledger.read()[worker as usize].1;
    let before = returned();
    wait_until("lines are written", LATEST, || returned() >= before + more);
}

/// Opens the file, and does nothing.
#[test]
fn child_is_idle() {
    if !role("child_is_idle") {
        return;
    }
    let _file = open();
    say("ready");
    hang();
}

/// Appends long lines as fast as the kernel takes them, to be killed in the middle of one.
#[test]
fn child_appends_until_it_is_killed() {
    if !role("child_appends_until_it_is_killed") {
        return;
    }
    let line = format!("[-] [tracing_tasklog] 2026-01-01T12:00:00 {}\n", "x".repeat(64 * 1024));
    let mut file = fs::OpenOptions::new().append(true).open(variable("LOG")).expect("it is there");
    while file.write(line.as_bytes()).is_ok() {}
}

fn last_byte(path: &Path) -> u8 {
    let mut file = fs::File::open(path).expect("it is there");
    let mut byte = [b'\n'];
    // An empty file has none, and no fragment.
    let _ = file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut byte));
    byte[0]
}

#[test]
fn the_fragment_of_a_killed_process_is_closed_by_one_that_is_idle() {
    assert_fragments_are_closed(12);
}

#[test]
#[ignore = "deep: two hundred processes killed"]
fn deep_fragments_of_killed_processes_are_closed() {
    assert_fragments_are_closed(200);
}

fn assert_fragments_are_closed(rounds: u64) {
    let dir = Dir::new_in(&in_memory());
    let path = dir.path("tasks.log");
    let spawn = |name| Child::of_test(name).env("LOG", &path).limit(LATEST * 6).spawn();
    let mut idle = ["child_is_idle"; 2].map(spawn);
    idle.iter_mut().for_each(|child| drop(child.wait_for_stdout_line(|line| line == "ready")));
    for round in 0..rounds {
        fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("it is there");
        let mut victim = spawn("child_appends_until_it_is_killed");
        let len = || fs::metadata(&path).expect("it is there").len();
        wait_until("lines are written", LATEST, || len() > 64 * 1024 * (3 + round % 7));
        victim.kill();
        drop(victim.wait());
        wait_within("the fragment is closed", Duration::from_millis(250), || last_byte(&path) == b'\n');
        let text = fs::read(&path).expect("it is there");
        let closed =
            text.split(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\x18")).collect::<Vec<_>>();
        assert!(closed.len() <= 1 && closed.iter().all(|line| line.len() > 1), "round {round}: closed once");
        FOUND.fetch_add(closed.len() as u64, Ordering::Relaxed);
    }
    assert!(FOUND.load(Ordering::Relaxed) > 0, "no kill of {rounds} left a fragment: nothing was tested");
}

/// The fragments that were found closed.
static FOUND: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_process_that_is_killed_takes_no_line_of_the_others_along() {
    let dir = Dir::new_in(&in_memory());
    let shared = Shared { dir: &dir, ledger: dir.path("ledger") };
    let ledger = Ledger::create(&shared.ledger, PROCESSES);
    let others: Vec<_> = (1..PROCESSES).map(|worker| shared.spawn(worker, 300, 1)).collect();
    let kills = 8;
    for _ in 0..kills {
        let mut victim = shared.spawn(0, 3_000, 0);
        wait_for_lines(&ledger, 0, 50);
        victim.kill();
        drop(victim.wait());
    }
    others.iter().enumerate().for_each(|(worker, _)| wait_for_lines(&ledger, worker as u32 + 1, 50));
    dir.write("stop", "");
    others.into_iter().for_each(|child| drop(child.wait().assert_success()));
    let (victim, rest) =
        ledger.read().split_first().map(|(first, rest)| (*first, rest.to_vec())).expect("four");
    let expect = Expect::new().worker(0, 0).allowed(0, victim.0).bare_lines();
    let expect =
        (1..).zip(rest).fold(expect, |expect, (worker, (_, returned))| expect.worker(worker, returned));
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&expect);
    // A line that is written in the moment between the death and the closing is glued to the fragment: one per kill.
    let torn = verdict.faults.iter().filter(|fault| fault.kind == Kind::Torn).count();
    let lost = verdict.missing as usize;
    assert_eq!(
        verdict.faults.iter().filter(|fault| !matches!(fault.kind, Kind::Torn | Kind::Lost)).count(),
        0,
        "{verdict}"
    );
    assert!(lost <= torn && torn <= kills, "{verdict}");
    assert!(verdict.missing_allowed <= 2 * kills as u64, "{verdict}");
}

#[test]
fn a_process_that_is_stopped_while_its_file_is_rotated_away_writes_to_the_new_one() {
    for round in 0..4 {
        let dir = Dir::new();
        let shared = Shared { dir: &dir, ledger: dir.path("ledger") };
        let ledger = Ledger::create(&shared.ledger, 1);
        let mut child = shared.spawn(0, 100, 1);
        wait_for_lines(&ledger, 0, 200);
        child.signal("STOP");
        // `rotate 2`, three times: the file that the child has open is gone for good. A copy of it is kept for the count.
        wait_until("it stands still", LATEST, || {
            let before = dir.read("tasks.log").len();
            !holds_within(Duration::from_millis(20), || dir.read("tasks.log").len() > before)
        });
        fs::copy(dir.path("tasks.log"), dir.path("copy")).expect("it can be copied");
        for rotation in 0..3 {
            fs::rename(dir.path("tasks.log"), dir.path(&format!("tasks.log.{rotation}")))
                .expect("it is there");
            drop(fs::File::create_new(dir.path("tasks.log")));
        }
        fs::remove_file(dir.path("tasks.log.0")).expect("it is there");
        // Long enough for whoever looks to be late.
        assert!(!holds_within(Duration::from_millis(500), || false));
        child.signal("CONT");
        wait_for_lines(&ledger, 0, 200);
        dir.write("stop", "");
        let output = child.wait().assert_success();
        let (_, lines) = ledger.read()[0];
        let expect = Expect::new().worker(0, lines).bare_lines().other_lines();
        let files = ["copy", "tasks.log.1", "tasks.log.2", "tasks.log"].map(|name| dir.path(name));
        let verdict = LogFamily::files(files).verify(&expect);
        let at_risk =
            output.stdout.lines().find_map(|line| line.strip_prefix("at_risk ")).expect("it says so");
        let at_risk: u64 = at_risk.parse().expect("a number");
        // The line that was on its way into the file when the process was stopped went into the old one.
        assert!(verdict.missing <= 1.min(at_risk), "round {round}: at risk {at_risk}, {verdict}");
        assert_eq!(verdict.faults.len() as u64, verdict.missing, "{verdict}");
    }
}

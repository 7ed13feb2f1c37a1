//! What the kernel is asked to tell, and what happens when it tells nothing.

#![cfg(all(target_os = "linux", feature = "watch"))]

mod support;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use support::{
    child::{Child, role, say},
    dir::Dir,
    holds_within,
    stopwatch::Stopwatch,
    verify::{Expect, LogFamily, write_numbered},
    wait_until, wait_within,
};
use tracing_tasklog::writer::WatchedFile;

const LATEST: Duration = Duration::from_secs(20);

fn log_path() -> PathBuf {
    std::env::var_os("LOG").expect("the parent says where").into()
}

/// Runs an entry point of this binary on a log of its own.
fn run(name: &str) -> Dir {
    let dir = Dir::new();
    Child::of_test(name).env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    dir
}

fn rotate(path: &Path, to: &str) {
    fs::rename(path, path.with_file_name(to)).expect("it can be renamed");
    // On a machine that stands still here the writer makes it.
    drop(fs::File::options().append(true).create(true).open(path).expect("it can be made"));
}

/// Rotates, and waits until that is followed. Returns how long that took.
fn followed(file: &WatchedFile, to: &str) -> Duration {
    let (before, start) = (file.stats().reopens, Stopwatch::start());
    rotate(file.path(), to);
    wait_until("it is followed", LATEST, || file.stats().reopens > before);
    start.elapsed()
}

/// For each inotify instance of this process the masks of its watches, from /proc/self/fdinfo.
fn watch_masks() -> Vec<Vec<u32>> {
    let is_inotify =
        |fd: &fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|link| link.ends_with("anon_inode:inotify"));
    let fds =
        fs::read_dir("/proc/self/fd").expect("/proc is mounted").filter_map(Result::ok).filter(is_inotify);
    let mask = |line: &str| {
        let hex = line.split(' ').find_map(|part| part.strip_prefix("mask:")).expect("a watch has a mask");
        u32::from_str_radix(hex, 16).expect("a hexadecimal number")
    };
    // One that has just been closed has none.
    let info =
        |fd: fs::DirEntry| fs::read_to_string(Path::new("/proc/self/fdinfo").join(fd.file_name())).ok();
    fds.filter_map(info)
        .map(|info| info.lines().filter(|line| line.starts_with("inotify ")).map(mask).collect())
        .collect()
}

/// What the kernel says of a thread of this process, by its name, of which it keeps 15 bytes.
fn status_of(thread: &str) -> String {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc is mounted").filter_map(Result::ok);
    let read = |task: &fs::DirEntry, what| fs::read_to_string(task.path().join(what)).unwrap_or_default();
    let mut found = tasks.filter(|task| read(task, "comm").trim_end() == &thread[..thread.len().min(15)]);
    let status = read(&found.next().expect("there is such a thread"), "status");
    assert!(found.next().is_none(), "one for the whole process");
    status
}

/// How often a thread of this process has gone to sleep.
fn sleeps_of(thread: &str) -> u64 {
    let status = status_of(thread);
    let count =
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a count");
    count.trim().parse().expect("a number")
}

#[test]
fn child_watches_three_files() {
    if !role("child_watches_three_files") {
        return;
    }
    let folder = log_path().with_file_name("other");
    let open = |path: PathBuf| WatchedFile::open(path).expect("it can be opened");
    let files = [open(log_path()), open(log_path().with_extension("two")), open(folder.join("tasks.log"))];
    wait_until("two folders are watched", LATEST, || watch_masks().iter().any(|masks| masks.len() == 2));
    let instances = watch_masks();
    assert_eq!(instances.len(), 1, "one watcher for the whole process: {instances:x?}");
    const NAMES: u32 = 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800; // MOVED_FROM MOVED_TO CREATE DELETE DELETE_SELF MOVE_SELF
    assert!(instances[0].iter().all(|mask| mask & 0xfff & !NAMES == 0), "{instances:x?}");

    let told = sleeps_of("notify-rs inotify loop");
    files.iter().for_each(|file| write_numbered(file, 1, 10_000));
    let stranger = fs::OpenOptions::new().append(true).open(log_path());
    (0..1000).for_each(|_| {
        drop(stranger.as_ref().expect("it is there").write_all(b"[-] [tracing_tasklog] other\n"))
    });
    let woken = sleeps_of("notify-rs inotify loop") - told;
    assert!(woken <= 10, "woken {woken} times by 31,000 lines");
    assert!(!holds_within(Duration::from_millis(300), || false), "the last lines are seen");
    let (looked, start) = (sleeps_of("tasklog-watch"), Instant::now());
    assert!(!holds_within(Duration::from_secs(1), || false));
    let (looked, looks) = (sleeps_of("tasklog-watch") - looked, start.elapsed().as_millis() / 120 + 2);
    assert!(u128::from(looked) <= looks, "{looked} looks in {:?} of idleness", start.elapsed());
    assert!(files.iter().all(|file| file.stats().reopens == 0));
    drop(files);
    wait_until("nothing is watched any more", LATEST, || watch_masks().is_empty());
}

#[test]
fn no_signal_is_handled_on_our_threads() {
    let dir = Dir::new();
    let file = WatchedFile::open(dir.path("tasks.log")).expect("it can be opened");
    wait_until("the folder is watched", LATEST, || watch_masks().iter().any(|masks| !masks.is_empty()));
    for thread in ["notify-rs inotify loop", "tasklog-watch"] {
        let status = status_of(thread);
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).expect("a mask").trim();
        let blocked = u64::from_str_radix(blocked, 16).expect("a hexadecimal number");
        const TERM: u64 = 1 << 14;
        const HUP: u64 = 1;
        assert_eq!(blocked & (TERM | HUP), TERM | HUP, "{thread}: {blocked:x}");
    }
    drop(file);
}

#[test]
fn names_are_watched_and_never_writes() {
    drop(run("child_watches_three_files"));
}

/// What the child's hook was told.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn told() -> Vec<String> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn open_with_hook() -> WatchedFile {
    let hook = |error: &tracing_tasklog::Error| {
        TOLD.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:?}"));
    };
    WatchedFile::builder(log_path()).on_error(hook).build().expect("it needs no inotify")
}

#[test]
fn child_has_no_inotify() {
    if !role("child_has_no_inotify") {
        return;
    }
    let limit = std::env::var("LIMIT").expect("the parent says which");
    let file = open_with_hook();
    wait_until("it is told", LATEST, || told().len() == 1);
    let told_first = told()[0].clone();
    assert!(told_first.starts_with("could not watch the directory of "), "{told_first}");
    assert!(told_first.ends_with("; a timer looks at it instead"), "{told_first}");
    write_numbered(&file, 1, 100);
    for round in 1..=5 {
        let took = followed(&file, &format!("tasks.log-2026010{round}"));
        assert!(took <= Duration::from_secs(1), "followed after {took:?}");
        write_numbered(&file, round * 100 + 1, (round + 1) * 100);
    }
    assert_eq!(told().len(), 1, "once per outage: {:?}", told());
    // When it is to be had again, it is taken; and an outage after that is another one.
    fs::write(&limit, "1000").expect("it is this namespace's own");
    wait_until("the folder is watched", LATEST, || watch_masks().iter().any(|masks| masks.len() == 1));
    assert!(followed(&file, "tasks.log-20260106") <= Duration::from_secs(1));
    assert_eq!(file.stats().dropped_lines, 0);
}

fn assert_works_without(what: &str) {
    let dir = Dir::new();
    let limit = format!("/proc/sys/user/{what}");
    let child = Child::of_test_in_namespace("child_has_no_inotify", &format!("echo 0 > {limit}"));
    child.env("LOG", dir.path("tasks.log")).env("LIMIT", limit).spawn().wait().assert_success();
    let expect = Expect::new().worker(0, 600).bare_lines();
    drop(LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean());
}

#[test]
#[ignore = "needs user namespaces"]
fn without_an_inotify_instance_a_timer_does() {
    assert_works_without("max_inotify_instances");
}

#[test]
#[ignore = "needs user namespaces"]
fn without_an_inotify_watch_a_timer_does() {
    assert_works_without("max_inotify_watches");
}

#[test]
fn child_may_not_watch_one_of_two_folders() {
    if !role("child_may_not_watch_one_of_two_folders") {
        return;
    }
    let hidden = open_with_hook();
    let fine =
        WatchedFile::builder(log_path().with_file_name("../fine.log")).on_error(|error| panic!("{error:?}"));
    let fine = fine.build().expect("it can be opened");
    wait_until("it is told", LATEST, || told().len() == 1);
    assert!(told()[0].contains("tasks.log") && told()[0].contains("Permission denied"), "{:?}", told());
    wait_until("the other one is watched", LATEST, || watch_masks().iter().any(|masks| masks.len() == 1));
    assert!(followed(&hidden, "tasks.log.1") <= Duration::from_secs(1), "a timer does");
    assert!(followed(&fine, "fine.log.1") <= Duration::from_secs(1));
    assert_eq!(told().len(), 1, "{:?}", told());
}

#[test]
fn a_folder_that_may_not_be_watched_is_no_trouble_of_another() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = Dir::new();
    let logs = dir.path("logs");
    fs::create_dir_all(logs.join("hidden")).expect("it can be made");
    // Names can be made and used in it, but not read.
    for (path, mode) in [(logs.join("hidden"), 0o333), (logs, 0o777)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }
    let child = Child::of_test_as_nobody("child_may_not_watch_one_of_two_folders", dir.root());
    child.env("LOG", dir.path("logs/hidden/tasks.log")).spawn().wait().assert_success();
}

#[test]
fn child_is_stopped_for_a_while() {
    if !role("child_is_stopped_for_a_while") {
        return;
    }
    let file = WatchedFile::open(log_path()).expect("it can be opened");
    wait_until("the folder is watched", LATEST, || !watch_masks().is_empty());
    write_numbered(&file, 1, 100);
    say("idle");
    wait_until("it is followed", Duration::from_secs(20), || file.stats().reopens == 1);
    write_numbered(&file, 101, 200);
    wait_until("events are told again", LATEST, || file.stats().reopens == 2);
}

#[test]
fn more_events_than_the_kernel_keeps() {
    let dir = Dir::new();
    let child = Child::of_test("child_is_stopped_for_a_while").env("LOG", dir.path("tasks.log"));
    let mut child = child.limit(Duration::from_secs(60)).spawn();
    child.wait_for_stdout_line(|line| line == "idle");
    child.signal("STOP");
    for _ in 0..10_000 {
        fs::write(dir.path("other"), "")
            .and_then(|()| fs::remove_file(dir.path("other")))
            .expect("it is ours");
    }
    rotate(&dir.path("tasks.log"), "tasks.log.1");
    child.signal("CONT");
    wait_within("it is followed", Duration::from_secs(1), || dir.lines("tasks.log").len() == 100);
    rotate(&dir.path("tasks.log"), "tasks.log.0"); // newer than .1, by its number
    child.wait().assert_success();
    let files = ["tasks.log.1", "tasks.log.0"].map(|name| dir.path(name));
    drop(LogFamily::files(files).verify(&Expect::new().worker(0, 200).bare_lines()).assert_clean());
}

#[test]
fn child_has_a_hook_that_logs_and_panics() {
    if !role("child_has_a_hook_that_logs_and_panics") {
        return;
    }
    use tracing_subscriber::prelude::*;
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let hook = |error: &tracing_tasklog::Error| {
        tracing::error!("{error}");
        assert!(CALLS.fetch_add(1, Ordering::Relaxed) > 0, "the first call panics");
    };
    let file = WatchedFile::builder(log_path()).on_error(hook).build().expect("it can be opened");
    tracing_subscriber::registry().with(tracing_tasklog::TaskLayer::new(file.clone())).init();
    for outage in 1..=2 {
        fs::rename(log_path(), log_path().with_extension(format!("{outage}"))).expect("it is there");
        fs::create_dir(log_path()).expect("it is free");
        wait_until("it is told", LATEST, || CALLS.load(Ordering::Relaxed) == outage);
        fs::remove_dir(log_path()).expect("it is empty");
        wait_until("it is made", LATEST, || file.stats().reopens == outage);
    }
    let logged = fs::read_to_string(log_path().with_extension("1")).expect("it is there");
    assert!(logged.contains("could not follow, so that lines go on into the old file, "), "{logged}");
}

#[test]
fn a_hook_that_logs_and_panics_stops_nothing() {
    drop(run("child_has_a_hook_that_logs_and_panics"));
}

#[cfg(feature = "tracing-log")]
#[test]
fn child_logs_what_notify_logs() {
    if !role("child_logs_what_notify_logs") {
        return;
    }
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::prelude::*;
    tracing_log::LogTracer::init().expect("there is no other logger");
    let file = WatchedFile::open(log_path()).expect("it can be opened");
    let layer = tracing_tasklog::TaskLayer::new(file.clone()).with_min_level(LevelFilter::TRACE);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))
        .expect("there is no other");
    for round in 1..=20 {
        assert!(followed(&file, &format!("tasks.log-{:08}", 20_260_100 + round)) <= LATEST);
        tracing::info!("round");
    }
    // Quiet means that no line comes for as long as several looks take.
    let quiet = || {
        let before = file.stats().accepted_lines;
        !holds_within(Duration::from_millis(700), || file.stats().accepted_lines > before)
    };
    wait_until("what notify logs doesn't make it log again", LATEST, quiet);
    let stats = file.stats();
    assert!((20..2_000).contains(&stats.accepted_lines), "{stats:?}");
}

#[cfg(feature = "tracing-log")]
#[test]
fn what_notify_logs_about_its_own_thread_ends() {
    let dir = run("child_logs_what_notify_logs");
    let lines = LogFamily::of(dir.path("tasks.log")).lines();
    assert!(lines.iter().any(|line| line.contains("notify")), "it does log: {lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.ends_with(" round")).count(), 20);
}

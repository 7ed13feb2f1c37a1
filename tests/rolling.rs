//! `Rolling` on real files of tracing-appender: what arrives, what is lost, and how it is counted.
#![cfg(feature = "rolling")]
#![allow(unsafe_code)] // fork(2)

mod support;

use std::{
    ffi::c_int,
    fmt, fs, io,
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use support::{
    child::{Child, role},
    dir::Dir,
    must,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing::subscriber::with_default;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::Rolling};

fn appender(dir: &Dir) -> RollingFileAppender {
    tracing_appender::rolling::never(dir.root(), "tasks.log")
}

/// What a child writes with: its parent says where.
fn file_of_child() -> (PathBuf, Rolling) {
    let dir = PathBuf::from(std::env::var_os("DIR").expect("the parent says where"));
    let file = Rolling::new(tracing_appender::rolling::never(&dir, "tasks.log"));
    (dir.join("tasks.log"), file)
}

fn write(file: &Rolling, text: impl AsRef<[u8]>) {
    file.clone().write_all(text.as_ref()).expect("writing never fails");
}

/// A file that is always full.
#[cfg(target_os = "linux")]
fn full() -> RollingFileAppender {
    tracing_appender::rolling::never("/dev", "full")
}

fn assert_adds_up(file: &Rolling, accepted: u64, dropped: u64) {
    let stats = file.stats();
    assert_eq!(
        (stats.accepted_lines, stats.written_lines, stats.dropped_lines, stats.queued_lines),
        (accepted, accepted - dropped, dropped, 0),
        "{stats:?}"
    );
}

#[test]
fn it_has_the_shape_of_the_other_writers() {
    fn is_a_writer<T: for<'a> MakeWriter<'a> + io::Write + Clone + fmt::Debug + Send + Sync + 'static>() {}
    is_a_writer::<Rolling>();
    let dir = Dir::new();
    let file = Rolling::from(appender(&dir));
    let root = dir.root().to_str().expect("a path in UTF-8").to_owned();
    for text in [format!("{file:?}"), format!("{:?}", file.make_writer())] {
        assert!(text.contains(&root), "{text}");
    }
}

#[test]
fn task_layer_and_fmt_write_through_it() {
    let dir = Dir::new();
    let file = Rolling::new(appender(&dir));
    let layer = TaskLayer::new(file.clone()).with_timer(()).with_lifecycle(true).with_max_line(60);
    with_default(tracing_subscriber::registry().with(layer), || {
        task_span!("send", 7).run_task(|| tracing::info!(host = "mx1", "Connecting"));
        tracing::info!(target: "app", "{}", "x".repeat(300));
    });
    let text = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(file.clone()).finish();
    with_default(text, || tracing::warn!(target: "app", n = 1, "text"));
    let json = tracing_subscriber::fmt().json().without_time().with_writer(file.clone()).finish();
    with_default(json, || tracing::info!(target: "app", "json"));
    let expected = [
        "[7] [send] -- RUNNING",
        "[7] [send] Connecting host=\"mx1\"",
        "[7] [send] -- SUCCESS",
        &format!("[-] [app] {} [cut 267 bytes]", "x".repeat(33)),
        " WARN app: text n=1",
        r#"{"level":"INFO","fields":{"message":"json"},"target":"app"}"#,
    ];
    assert_eq!(dir.lines("tasks.log"), expected);
    assert_adds_up(&file, 6, 0);
    let stats = file.stats();
    assert_eq!((stats.cut_lines, stats.errors, stats.rotations), (1, 0, 0));
    assert_eq!(stats.bytes, dir.read("tasks.log").len() as u64);
}

#[test]
fn names_and_pruning_are_the_appenders() {
    let dir = Dir::new();
    dir.write("tasks.2001-01-01.log", "old\n");
    dir.write("other.2001-01-01.log", "not ours\n");
    let builder = RollingFileAppender::builder().rotation(Rotation::DAILY).max_log_files(1);
    let file = Rolling::new(must(
        builder.filename_prefix("tasks").filename_suffix("log").build(dir.root()),
        "make an appender",
    ));
    write(&file, "new\n");
    let names = dir.names();
    assert_eq!((names.len(), names[0].as_str()), (2, "other.2001-01-01.log"), "{names:?}");
    assert!(names[1].starts_with("tasks.2") && names[1] > "tasks.2001-01-01.log".into(), "{names:?}");
    assert_eq!(dir.read(&names[1]), "new\n");
}

#[test]
fn what_comes_in_pieces_is_gathered_until_lf() {
    let dir = Dir::new();
    let file = Rolling::new(appender(&dir));
    let (mut one, mut two) = (file.make_writer(), file.clone());
    for (a, b) in [("on", "tw"), ("e", "o"), ("\nth", "\n"), ("ree", "")] {
        one.write_all(a.as_bytes()).and_then(|()| two.write_all(b.as_bytes())).expect("writing never fails");
        let text = dir.read("tasks.log");
        assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text:?}");
    }
    assert_eq!(dir.read("tasks.log"), "one\ntwo\n");
    drop(one);
    two.write_all(b"four").and_then(|()| two.flush()).expect("writing never fails");
    assert_eq!(dir.read("tasks.log"), "one\ntwo\nthree\n");
    drop(two);
    assert_eq!(dir.read("tasks.log"), "one\ntwo\nthree\nfour\n");
    assert_adds_up(&file, 4, 0);
}

/// Has each worker log numbered lines until it has written as many as `enough` wants.
fn log_on_threads(file: &Rolling, workers: u32, enough: impl Fn(u64) -> bool + Sync) -> Expect {
    let layer = TaskLayer::new(file.clone());
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    let (dispatch, enough) = (&dispatch, &enough);
    let work = move |worker: u32| {
        let mut n = 0;
        let span = || task_span!("send", format!("job{worker}"));
        tracing::dispatcher::with_default(dispatch, || {
            span().run_task(|| {
                while !enough(n) {
                    n += 1;
                    tracing::info!("{}", numbered(worker, n, (n % 60) as usize));
                }
            });
        });
        (worker, n)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || work(worker))).collect();
        let written = threads.into_iter().map(|thread| thread.join().expect("no worker panics"));
        written.fold(Expect::new(), |expect, (worker, n)| expect.worker(worker, n))
    })
    .tag(|worker, _| (format!("job{worker}"), "send".to_owned()))
}

#[test]
fn lines_of_four_threads_are_all_there_once_and_in_order() {
    let dir = Dir::new();
    let file = Rolling::new(appender(&dir));
    let expect = log_on_threads(&file, 4, |n| n == 2_000);
    LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
    assert_adds_up(&file, 8_000, 0);
    assert_eq!(file.stats().bytes, dir.read("tasks.log").len() as u64);
}

#[test]
#[ignore = "deep: waits for the end of a minute"]
fn deep_a_rotation_happens_between_lines() {
    let dir = Dir::new();
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() % 60);
    wait_until("the last second of a minute", Duration::from_secs(61), || second() == 59);
    let file = Rolling::new(tracing_appender::rolling::minutely(dir.root(), "tasks.log"));
    let expect = log_on_threads(&file, 4, |n| n > 1_000_000 || (n % 500 == 499 && dir.names().len() == 2));
    let names = dir.names();
    assert_eq!(names.len(), 2, "{names:?}");
    LogFamily::files(names.iter().map(|name| dir.path(name))).verify(&expect).assert_clean();
    assert_adds_up(&file, file.stats().accepted_lines, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn lines_that_a_full_disk_does_not_take_are_counted_and_told() {
    let told = Arc::new(AtomicU64::new(0));
    let (count, in_hook) = (Arc::clone(&told), Dir::new());
    let log = Rolling::new(appender(&in_hook));
    let file = Rolling::with_on_error(full(), move |error| {
        count.fetch_add(1, Ordering::Relaxed);
        let cause = std::error::Error::source(error).expect("there is a cause").to_string();
        write(&log, format!("{error}|{cause}|{:?}\n", error.path()));
    });
    for _ in 0..3 {
        write(&file, "lost\nlost too\n");
    }
    assert_adds_up(&file, 6, 6);
    assert_eq!((told.load(Ordering::Relaxed), file.stats().errors, file.stats().bytes), (3, 3, 0));
    let line = "could not write a line to the rolling file: make room, or give another path\
                |No space left on device (os error 28)|None";
    assert_eq!(in_hook.lines("tasks.log"), [line; 3]);
}

#[test]
#[cfg(target_os = "linux")]
fn child_writes_to_a_full_disk() {
    if role("child_writes_to_a_full_disk") {
        let file = Rolling::new(full());
        (0..5).for_each(|_| write(&file, "lost\n"));
        assert_adds_up(&file, 5, 5);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn without_a_hook_stderr_is_told_once() {
    let output = Child::of_test("child_writes_to_a_full_disk").spawn().wait().assert_success();
    let told: Vec<_> = output.stderr.lines().filter(|line| line.starts_with("tracing-tasklog: ")).collect();
    assert_eq!(told.len(), 1, "{output}");
    assert!(told[0].contains("rolling file") && told[0].contains("No space left on device"), "{output}");
}

/// The numbered lines of a child that meets a limit on the size of its file, and those after there is room again.
#[cfg(target_os = "linux")]
const BEFORE_AND_AFTER: (u64, u64) = (40, 44);

#[test]
#[cfg(target_os = "linux")]
fn child_meets_a_limit_on_the_size_of_its_file() {
    if !role("child_meets_a_limit_on_the_size_of_its_file") {
        return;
    }
    let (path, file) = file_of_child();
    let line = |n| format!("{}\n", numbered(0, n, 10));
    let (before, after) = BEFORE_AND_AFTER;
    (1..=before).for_each(|n| write(&file, line(n)));
    let lost = file.stats().dropped_lines;
    assert!(lost > 0 && lost < before, "the limit is somewhere between: {:?}", file.stats());
    // As copytruncate of logrotate does it.
    let text = must(fs::read(&path), "read the file");
    must(fs::write(path.with_extension("log.1"), text), "copy the file");
    must(fs::OpenOptions::new().write(true).truncate(true).open(&path), "empty the file");
    (before + 1..=after).for_each(|n| write(&file, line(n)));
    assert_adds_up(&file, after, lost);
    assert_eq!(file.stats().errors, lost, "one for each line");
}

#[test]
#[cfg(target_os = "linux")]
fn a_torn_line_is_closed_and_lost_lines_are_announced() {
    let dir = Dir::new();
    let child = Child::of_test_after(
        "child_meets_a_limit_on_the_size_of_its_file",
        "trap '' XFSZ; ulimit -f 1", // 512 or 1024 bytes
    );
    child.env("DIR", dir.root()).spawn().wait().assert_success();
    let (before, after) = (dir.read("tasks.log.1"), dir.read("tasks.log"));
    assert!(!before.ends_with('\n'), "the last line was taken in part: {before:?}");
    assert!(after.starts_with("\x18\n[-] [tracing_tasklog] "), "{after:?}");
    assert!(
        after.lines().nth(1).is_some_and(|line| line.ends_with(r#" reason="file size limit""#)),
        "{after:?}"
    );
    dir.write("whole.log", before + &after);
    let expect = Expect::new().worker(0, BEFORE_AND_AFTER.1).bare_lines().announced_losses();
    let verdict = LogFamily::of(dir.path("whole.log")).verify(&expect).assert_clean();
    assert_eq!(verdict.closed_fragments, 1);
}

#[test]
fn child_exits_with_an_open_task() {
    if !role("child_exits_with_an_open_task") {
        return;
    }
    let (_, file) = file_of_child();
    let layer = TaskLayer::new(file).with_timer(()).with_lifecycle(true);
    tracing_subscriber::registry().with(layer).init();
    let span = task_span!("send", 7);
    span.in_scope(|| {
        tracing::info!("x");
        std::process::exit(0);
    });
}

#[test]
#[cfg(unix)]
fn process_exit_interrupts_open_tasks() {
    let dir = Dir::new();
    let child = Child::of_test("child_exits_with_an_open_task").env("DIR", dir.root());
    assert!(child.spawn().wait().status.success());
    assert_eq!(
        dir.lines("tasks.log"),
        ["[7] [send] -- RUNNING", "[7] [send] x", "[7] [send] -- INTERRUPTED"]
    );
}

#[cfg(unix)]
unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(status: c_int) -> !;
}

#[test]
#[cfg(unix)]
fn child_forks() {
    if !role("child_forks") {
        return;
    }
    let (path, file) = file_of_child();
    write(&file, "parent\n");
    // SAFETY: fork(2) of a process whose other threads don't log. The child only writes, and leaves by _exit(2).
    let pid = unsafe { fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        let before = file.stats().accepted_lines;
        write(&file, format!("child {before}\n"));
        let after = file.stats();
        write(&file, format!("child {} {}\n", after.accepted_lines, after.written_lines));
        // SAFETY: takes any status, and doesn't return.
        unsafe { _exit(0) };
    }
    wait_until("the child writes", Duration::from_secs(10), || {
        fs::read_to_string(&path).is_ok_and(|text| text.lines().count() == 3)
    });
    write(&file, "parent\n");
    assert_adds_up(&file, 2, 0);
}

#[test]
#[cfg(unix)]
fn a_child_of_fork_writes_to_the_same_file_and_counts_its_own_lines() {
    let dir = Dir::new();
    Child::of_test("child_forks").env("DIR", dir.root()).spawn().wait().assert_success();
    assert_eq!(dir.lines("tasks.log"), ["parent", "child 0", "child 1 1", "parent"]);
}

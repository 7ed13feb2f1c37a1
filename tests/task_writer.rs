//! `TaskWriter`: every spec, every error, and standard output as other programs see it.

// `dup2` of the C library: libtest needs a standard output that works until the test begins.
#![allow(unsafe_code)]
// Children print beside the writer, and speak to the test on stderr.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod support;

use std::{
    fs,
    io::{self, Write as _},
    process::exit,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
};

use support::{
    capture::unstamped,
    child::{Child, role},
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};
use tracing_subscriber::{fmt::MakeWriter as _, prelude::*};
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{InstanceFile, Stats, TaskWriter},
};

fn stdout() -> TaskWriter {
    TaskWriter::open("stdout").expect("there is one")
}

/// Makes a layer over the writer the global subscriber.
fn log_to(writer: &TaskWriter) {
    tracing_subscriber::registry().with(TaskLayer::new(writer.clone()).with_lifecycle(true)).init();
}

#[track_caller]
fn assert_balanced(stats: &Stats) {
    assert_eq!(stats.accepted_lines, stats.written_lines + stats.dropped_lines, "{stats:?}");
}

#[test]
fn child_opens() {
    if !role("child_opens") {
        return;
    }
    let var = |name| std::env::var(name).expect("the parent says it");
    std::env::set_current_dir(var("DIR")).expect("the folder is there");
    let mut opened = TaskWriter::open(&var("SPEC"));
    if let Ok(writer) = &mut opened {
        writer.write_all(b"written\n").expect("writing never fails");
        assert_eq!(writer.stats().written_lines, 1);
    }
    // On stderr, so that what is on stdout was written by nobody but the writer.
    let said = opened.map(|writer| writer.path().map(|path| path.display().to_string()));
    eprintln!("said {}", said.map_or_else(|error| error.to_string(), |path| path.unwrap_or_default()));
}

/// What a child says about a spec, the file that it leaves (and nothing else), and whether stdout has the line.
fn opened(spec: &str) -> (String, Option<String>, bool) {
    let dir = Dir::new();
    let child = Child::of_test("child_opens").env("DIR", dir.root()).env("SPEC", spec);
    let output = child.env("TASKLOG_INSTANCE", "i7").env("WORKER_ID", "3").spawn().wait().assert_success();
    let said = output.stderr.lines().find_map(|line| line.strip_prefix("said ")).expect("it says something");
    let root = fs::canonicalize(dir.root()).expect("it is there");
    let mut names = dir.names();
    while let Some(folder) = names.first().filter(|name| dir.path(name).is_dir()).cloned() {
        let inner = fs::read_dir(dir.path(&folder)).expect("it is a folder").map(|entry| {
            format!("{folder}/{}", entry.expect("it can be listed").file_name().to_string_lossy())
        });
        names = inner.collect();
    }
    names.retain(|name| !name.ends_with(".lock"));
    assert!(names.len() <= 1, "{names:?}");
    let name = names.pop();
    if let Some(name) = &name {
        assert_eq!(dir.read(name), "written\n");
        assert_eq!(said, root.join(name).display().to_string());
    }
    (said.to_owned(), name, output.stdout.lines().any(|line| line == "written"))
}

#[test]
fn every_spec_leads_to_its_writer() {
    let leads_to = |spec, file: &str| {
        let (said, name, on_stdout) = opened(spec);
        assert_eq!((name.as_deref(), on_stdout), (Some(file), false), "{spec}: {said}");
    };
    leads_to("instance:logs/tasks-{instance}.log", "logs/tasks-i7.log");
    leads_to("logs/tasks-{instance}.log", "logs/tasks-i7.log");
    leads_to("instance:logs/worker-{env:WORKER_ID}.log", "logs/worker-3.log");
    leads_to("tasks.log", "tasks.log");
    leads_to("./stdout", "stdout");
    leads_to("instance:stderr", "stderr");
    leads_to("instances", "instances");
    #[cfg(unix)]
    {
        leads_to("C:tasks.log", "C:tasks.log"); // one letter: a drive
        leads_to("logs/a:b.log", "logs/a:b.log");
        leads_to("instance:watched:x", "watched:x");
        leads_to("12:30.log", "12:30.log");
        leads_to(":x", ":x");
        leads_to("++:x", "++:x");
    }
    assert_eq!(opened("stdout"), (String::new(), None, true));
}

#[test]
fn every_error_names_the_spec_and_what_to_write_and_leaves_nothing() {
    let expected = "expected instance:PATH, a bare PATH, which means the same, or stdout";
    let later = |spec: &str, kind: &str| {
        format!("{spec:?} asks for \"{kind}\", which this version doesn't have yet: {expected}")
    };
    let unknown = |spec: &str, kind: &str| {
        let way_out = "if it is the path of a file, write \"instance:\" before it";
        format!("{spec:?} asks for \"{kind}\", which is no writer: {expected}; {way_out}")
    };
    let refused = |spec: &str, error: String| assert_eq!(opened(spec), (error, None, false), "{spec}");
    refused("", format!("the writer \"\" is empty: {expected}"));
    refused(" \t", format!("the writer \" \\t\" is empty: {expected}"));
    refused("instance:", format!("\"instance:\" has no path after the colon: {expected}"));
    refused("watched:/var/log/tasks.log", later("watched:/var/log/tasks.log", "watched"));
    refused("queue:/run/app/q", later("queue:/run/app/q", "queue"));
    refused("queued+instance:x.log", later("queued+instance:x.log", "queued+instance"));
    refused("queued+watched:x.log", later("queued+watched:x.log", "queued+watched"));
    refused("queued+stdout", later("queued+stdout", "queued+stdout"));
    refused("queued+queue:x", unknown("queued+queue:x", "queued+queue"));
    refused("syslog:local0", unknown("syslog:local0", "syslog"));
    refused("Instance:x.log", unknown("Instance:x.log", "Instance"));
    refused("stdout:", unknown("stdout:", "stdout"));
    refused("STDOUT", unknown("STDOUT", "STDOUT"));
    refused("stderr", unknown("stderr", "stderr"));
    let unset = r#"the environment variable "NOT_SET", which "{env:NOT_SET}" needs, is unset or empty"#;
    refused("instance:{env:NOT_SET}", unset.to_owned());
}

#[test]
fn a_clone_shares_the_account_and_a_file_comes_in_by_from() {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).build().expect("the file can be opened");
    let mut writer = TaskWriter::from(file.clone());
    let clone = writer.clone();
    writer.write_all(b"a").expect("writing never fails");
    clone.make_writer().write_all(b"b\nc").expect("writing never fails"); // its drop ends the line
    writer.write_all(b"d\n").expect("writing never fails");
    writer.flush().expect("flushing never fails");
    assert_eq!(dir.lines("tasks.log"), ["b", "c", "ad"]);
    assert_eq!((writer.stats(), clone.stats().written_lines), (file.stats(), 3));
    assert_eq!(clone.path(), Some(file.path()));
    clone.sync().expect("the file is on a disk, or what stands for one");
}

#[test]
fn it_is_shared_between_threads_and_its_debug_names_the_file() {
    fn shared<T: Send + Sync + 'static + Clone + std::fmt::Debug>() {}
    shared::<TaskWriter>();
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let writer = TaskWriter::open(&path.display().to_string()).expect("the file can be opened");
    for shown in [format!("{writer:?}"), format!("{:?}", writer.make_writer())] {
        assert!(shown.contains(&format!("{path:?}")), "{shown}");
    }
    assert_eq!(format!("{:?}", stdout()), "TaskWriter(Stdout(Stdout { .. }))");
    let error = TaskWriter::open(&dir.root().display().to_string()).expect_err("it is a folder");
    assert_eq!(error.path(), Some(dir.root()));
}

const THREADS: u32 = 4;

/// Four threads that log; meanwhile a fifth prints, and one holds the lock of stdout while it logs.
fn log_from_threads(writer: &TaskWriter, length: usize, lines: u64) {
    log_to(writer);
    let done = AtomicU32::new(0);
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let log = move || (1..=lines).for_each(|n| tracing::info!("{}", numbered(worker, n, length)));
            let done = &done;
            scope.spawn(move || {
                task_span!("send", format!("job{worker}")).run_task(log);
                done.fetch_add(1, Relaxed);
            });
        }
        scope.spawn(|| {
            // As long as the others log.
            let more = |n: &u32| *n < 2 || done.load(Relaxed) < THREADS;
            (0..).take_while(more).for_each(|n| println!("printed {n}"));
        });
        scope.spawn(|| {
            for n in 1..=lines {
                let _lock = io::stdout().lock();
                task_span!("send", "job4").run_task(|| tracing::info!("{}", numbered(THREADS, n, 0)));
            }
        });
    });
    let stats = writer.stats();
    let expected = u64::from(THREADS) * (lines + 2) + 3 * lines;
    assert_eq!((stats.accepted_lines, stats.written_lines), (expected, expected), "{stats:?}");
    assert_eq!(stats.errors, 0);
}

/// Has the verifier judge what such a child printed.
fn assert_all_there(printed: &str, lines: u64) {
    let log: String = printed.split_inclusive('\n').filter(|line| line.starts_with('[')).collect();
    let dir = Dir::new();
    dir.write("tasks.log", log);
    let expect = (0..=THREADS).fold(Expect::new(), |expect, worker| expect.worker(worker, lines));
    let expect = expect.tag(|worker, _| (format!("job{worker}"), "send".to_owned()));
    LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean();
    let others: Vec<_> = printed.lines().filter(|line| line.contains("printed ")).collect();
    assert!(others.len() > 1 && others.iter().zip(0..).all(|(line, n)| *line == format!("printed {n}")));
}

#[test]
fn child_logs_from_threads() {
    if role("child_logs_from_threads") {
        log_from_threads(&stdout(), 40, 500);
    }
}

#[test]
fn child_logs_long_lines_from_threads() {
    if role("child_logs_long_lines_from_threads") {
        log_from_threads(&stdout(), 100_000, 20);
    }
}

#[test]
fn lines_of_threads_are_whole_on_stdout_among_those_that_the_program_prints() {
    let output = Child::of_test("child_logs_from_threads").spawn().wait().assert_success();
    assert_all_there(&output.stdout, 500);
}

// A pipe holds 64 KiB: without the lock, what others print would come into the middle.
#[test]
fn lines_that_no_pipe_takes_at_once_are_whole_too() {
    let output = Child::of_test("child_logs_long_lines_from_threads").spawn().wait().assert_success();
    assert_all_there(&output.stdout, 20);
}

#[test]
fn child_prints_with_unfinished_lines() {
    if !role("child_prints_with_unfinished_lines") {
        return;
    }
    let mut writer = stdout();
    print!("begun, ");
    writer.write_all(b"one, ").expect("writing never fails");
    writer.write_all(b"two\nthree").expect("writing never fails");
    println!("ended");
    let clone = writer.clone();
    clone.sync().expect("a pipe has nothing to wait for");
    drop(writer); // its drop ends the line
    let stats = clone.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.bytes), (2, 2, 15));
}

#[cfg(unix)]
#[test]
fn pieces_are_gathered_and_no_unfinished_line_is_torn() {
    let output = Child::of_test("child_prints_with_unfinished_lines").spawn().wait().assert_success();
    assert!(output.stdout.contains("one, two\nbegun, ended\nthree\n"), "{output}");
}

#[test]
fn child_exits() {
    if !role("child_exits") {
        return;
    }
    let writer = stdout();
    log_to(&writer);
    let cut = TaskLayer::new(writer.clone()).with_max_line(60);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(cut), || {
        tracing::info!("{}", "x".repeat(100));
    });
    assert_eq!(writer.stats().cut_lines, 1);
    let span = task_span!("t", 1);
    span.in_scope(|| tracing::info!("x"));
    std::mem::forget(span);
    exit(0);
}

#[test]
fn open_tasks_read_interrupted_on_stdout_when_the_process_exits() {
    let output = Child::of_test("child_exits").spawn().wait().assert_success();
    let lines = output.stdout.split_inclusive('\n').filter(|line| line.starts_with("[1] ")).map(unstamped);
    let expected = ["-- RUNNING", "x", "-- INTERRUPTED"].map(|body| format!("[1] [t] {body}"));
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::{ffi::c_int, fs::OpenOptions, os::fd::AsRawFd as _, sync::mpsc, time::Duration};

    use support::holds_within;

    unsafe extern "C" {
        fn dup2(from: c_int, to: c_int) -> c_int;
    }

    /// Has stdout lead to the file from now on.
    fn redirect(file: &fs::File) {
        // SAFETY: two numbers; `file` is open. Nothing but `io::stdout`, which owns nothing, uses 1.
        assert_eq!(unsafe { dup2(file.as_raw_fd(), 1) }, 1);
    }

    #[test]
    fn child_exits_while_stdout_is_locked() {
        if !role("unix::child_exits_while_stdout_is_locked") {
            return;
        }
        log_to(&stdout());
        let span = task_span!("t", 1);
        span.in_scope(|| tracing::info!("x"));
        let (holds, held) = mpsc::channel();
        thread::spawn(move || {
            let _lock = io::stdout().lock();
            holds.send(()).expect("the test waits");
            support::child::hang();
        });
        held.recv().expect("the thread locks");
        exit(0);
    }

    #[test]
    fn a_thread_that_holds_stdout_for_ever_delays_no_exit() {
        let child = Child::of_test("unix::child_exits_while_stdout_is_locked");
        let output = child.limit(Duration::from_secs(10)).spawn().wait().assert_success();
        assert!(output.stdout.ends_with(" -- INTERRUPTED\n"), "{output}");
    }

    #[test]
    fn child_writes_to_a_reader_that_goes() {
        if !role("unix::child_writes_to_a_reader_that_goes") {
            return;
        }
        let writer = stdout();
        log_to(&writer);
        let lost = holds_within(Duration::from_secs(10), || {
            tracing::info!("a line");
            writer.stats().dropped_lines >= 10
        });
        let stats = writer.stats();
        assert_balanced(&stats);
        eprintln!("lost {lost}, written {}, {} errors", stats.written_lines > 0, stats.errors);
        std::mem::forget(task_span!("t", 1).entered()); // and INTERRUPTED is lost at the exit
        exit(0);
    }

    // head reads the two lines that libtest prints, and one more, and goes.
    #[test]
    fn a_reader_that_goes_is_no_panic_and_its_lines_are_counted() {
        let dir = Dir::new();
        let pipe = r#"mkfifo "$PIPE"; head -n 3 <"$PIPE" & exec >"$PIPE""#;
        let child = Child::of_test_after("unix::child_writes_to_a_reader_that_goes", pipe);
        let output = child.env("PIPE", dir.path("pipe")).spawn().wait().assert_success();
        assert!(output.stdout.ends_with(" a line\n"), "{output}");
        assert!(output.stderr.contains("lost true, written true, 10 errors\n"), "{output}");
        let told = "tracing-tasklog: lines are lost, stdout could not be written: Broken pipe";
        assert_eq!(output.stderr.matches(told).count(), 1, "{output}");
        assert!(!output.stderr.contains("panicked"), "{output}");
    }

    #[test]
    fn child_writes_without_blocking() {
        if role("unix::child_writes_without_blocking") {
            let flags = rustix::fs::fcntl_getfl(io::stdout()).expect("stdout is open");
            rustix::fs::fcntl_setfl(io::stdout(), flags | rustix::fs::OFlags::NONBLOCK)
                .expect("it is a pipe");
            let writer = stdout();
            log_to(&writer);
            // More than the pipe holds: no write can take the whole line.
            (1..=20).for_each(|n| tracing::info!("{}", numbered(0, n, 300_000)));
            rustix::fs::fcntl_setfl(io::stdout(), flags).expect("it is a pipe"); // for libtest
            let stats = writer.stats();
            assert_eq!((stats.written_lines, stats.dropped_lines, stats.errors), (20, 0, 0));
        }
    }

    #[test]
    fn a_stdout_that_does_not_block_is_waited_for() {
        let output = Child::of_test("unix::child_writes_without_blocking").spawn().wait().assert_success();
        let log: String = output.stdout.split_inclusive('\n').filter(|line| line.starts_with('[')).collect();
        let dir = Dir::new();
        dir.write("tasks.log", log);
        LogFamily::of(dir.path("tasks.log")).verify(&Expect::new().worker(0, 20)).assert_clean();
    }

    #[test]
    fn child_writes_into_a_full_file() {
        if !role("unix::child_writes_into_a_full_file") {
            return;
        }
        let path = std::env::var_os("LOG").expect("the parent says where");
        let file = OpenOptions::new().append(true).create(true).open(path).expect("the folder is there");
        redirect(&file);
        let mut writer = stdout();
        writer.write_all([b"x".repeat(99), b"\n".to_vec()].concat().as_slice()).expect("writing never fails");
        writer.write_all(&b"lost\n".repeat(1_000)).expect("writing never fails");
        let stats = writer.stats();
        assert_balanced(&stats);
        assert!(stats.written_lines > 1 && stats.dropped_lines > 1, "{stats:?}");
        assert_eq!((stats.bytes, stats.errors), (file.metadata().expect("it is open").len(), 1));
        file.set_len(102).expect("it is open"); // room again, behind "lo"
        writer.write_all(b"whole\n").expect("writing never fails");
        assert_eq!(writer.stats().written_lines, stats.written_lines + 1);
        assert_eq!(writer.stats().dropped_lines, stats.dropped_lines);
        writer.write_all(b"and whole\n").expect("writing never fails");
        writer.sync().expect("the file is on a disk, or what stands for one");
        eprintln!("lost {}", stats.dropped_lines);
        exit(0);
    }

    // SIGXFSZ, which a file's limit raises, would kill the child: ignored, write(2) takes what fits, then fails.
    #[test]
    fn what_a_failed_write_has_left_is_closed_before_the_next_line() {
        let dir = Dir::new();
        let full = Child::of_test_after("unix::child_writes_into_a_full_file", "trap '' XFSZ; ulimit -f 1");
        let output = full.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
        let lost =
            output.stderr.lines().find_map(|line| line.strip_prefix("lost ")).expect("the child tells");
        let log = dir.read("tasks.log");
        let lines: Vec<_> = log.split('\n').collect();
        let [first, fragment, announced, "whole", "and whole", ""] = lines[..] else { panic!("{log}") };
        assert_eq!((first.len(), fragment), (99, "lo\x18"));
        assert!(announced.starts_with("[-] [tracing_tasklog] 2"), "{announced}");
        assert!(
            announced.ends_with(&format!(" {lost} lines dropped reason=\"file size limit\"")),
            "{announced}"
        );
    }
}

//! `TaskWriter`: every spec, every error, and standard output as other programs see it.

// `dup2` of the C library: libtest needs a standard output that works until the test begins.
#![allow(unsafe_code)]
// Children print beside the writer, and speak to the test on stderr.
#![allow(clippy::print_stderr, clippy::print_stdout)]

mod support;
#[cfg(unix)]
#[path = "task_writer/unix.rs"]
mod unix;

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
        writer.flush().expect("it takes a moment at most");
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
    for spec in ["tasks.log\n", " \ttasks.log", "\u{a0}instance:tasks.log\r\n"] {
        leads_to(spec, "tasks.log"); // a line feed from a file of settings
    }
    for name in ["my tasks.log", "it's.log", "logs/tasks:1.log", "stdout.log", "router", "a-b"] {
        leads_to(name, name);
    }
    #[cfg(feature = "watch")]
    leads_to("watched:logs/tasks-{env:WORKER_ID}.log", "logs/tasks-3.log");
    #[cfg(feature = "queue")]
    {
        leads_to("queued+instance:logs/tasks-{instance}.log", "logs/tasks-i7.log");
        assert_eq!(opened("queued+stdout"), (String::new(), None, true));
    }
    #[cfg(all(feature = "queue", feature = "watch"))]
    leads_to("queued+watched:logs/tasks.log", "logs/tasks.log");
    #[cfg(unix)]
    {
        leads_to("C:tasks.log", "C:tasks.log"); // one letter: a drive
        leads_to("logs/a:b.log", "logs/a:b.log");
        leads_to("instance:watched:x", "watched:x");
        leads_to("12:30.log", "12:30.log");
        leads_to(":x", ":x");
        leads_to("++:x", "++:x");
    }
    for spec in ["stdout", "stdout ", "stdout\n", "\n stdout\r\n"] {
        assert_eq!(opened(spec), (String::new(), None, true), "{spec:?}");
    }
}

#[test]
fn what_looks_like_a_writer_and_is_none_makes_no_file() {
    let expected = "expected instance:PATH, a bare PATH, ";
    let refused = |spec: &str, parts: &[&str]| {
        let (error, name, on_stdout) = opened(spec);
        assert_eq!((name, on_stdout), (None, false), "{spec:?}");
        let named = format!("{:?}", spec.trim());
        for part in parts.iter().copied().chain([expected, named.as_str()]) {
            assert!(error.contains(part), "{spec:?}: should say {part:?}: {error}");
        }
    };
    let quotes = "has quotes in it, leave them out: ";
    for spec in
        ["\"stdout\"", "'stdout'", "instance:\"x.log\"", "instance:'x.log'", "\"x.log", "x.log\"\n", "`x`"]
    {
        refused(spec, &[quotes]);
    }
    for spec in ["watched:'x.log'", "queue:'q'", "queued+instance:\"x.log\"", "\u{201c}stdout\u{201d}"] {
        refused(spec, &[quotes]);
    }
    for spec in ["std\nout", "x\t.log", "instance:x\u{1b}[31m.log", "stdout\u{202e}", "x.log\n# comment"] {
        refused(spec, &["has a control character in it, leave it out: "]);
    }
    let no_writer = "which is no writer: ";
    let slips = [
        "sdtout",
        "stdou",
        "stdoutt",
        "STDOT",
        "std-out",
        "stdout,",
        "\u{feff}stdout",
        "stder",
        "queue",
        "-",
    ];
    let others =
        ["Instance:x", "file:x", "watched :x", "queued + instance:x", "app-1:x", "http://host/x", "syslog"];
    for spec in slips.iter().chain(&others) {
        refused(spec, &[no_writer, "if it is the path of a file, write \"instance:\" before it"]);
    }
    refused("instance: x.log", &["has white space before its path"]);
    #[cfg(feature = "watch")]
    refused("watched:\u{a0}x.log", &["has white space before its path"]);
}

#[test]
fn every_error_names_the_spec_and_what_to_write_and_leaves_nothing() {
    let expected = "expected instance:PATH, a bare PATH, which means the same, watched:PATH, queue:DIRECTORY, stdout, or, \
                    behind a queue, queued+instance:PATH, queued+watched:PATH, queued+stdout";
    let unknown = |spec: &str, kind: &str| {
        let way_out = "if it is the path of a file, write \"instance:\" before it";
        format!("{spec:?} asks for \"{kind}\", which is no writer: {expected}; {way_out}")
    };
    let refused = |spec: &str, error: String| assert_eq!(opened(spec), (error, None, false), "{spec}");
    refused("", format!("the writer \"\" is empty: {expected}"));
    refused(" \t", format!("the writer \" \\t\" is empty: {expected}"));
    refused("instance:", format!("\"instance:\" has no path after the colon: {expected}"));
    refused("watched:", format!("\"watched:\" has no path after the colon: {expected}"));
    #[cfg(not(feature = "watch"))]
    refused(
        "watched:x.log",
        "\"watched:x.log\" asks for \"watched\", which needs the feature `watch` of tracing-tasklog"
            .to_owned(),
    );
    refused("queue:", format!("\"queue:\" has no path after the colon: {expected}"));
    #[cfg(all(unix, not(feature = "multiprocess")))]
    refused(
        "queue:q",
        "\"queue:q\" asks for \"queue\", which needs the feature `multiprocess` of tracing-tasklog"
            .to_owned(),
    );
    for spec in ["queued+instance:", "queued+watched:"] {
        #[cfg(feature = "queue")]
        refused(spec, format!("{spec:?} has no path after the colon: {expected}"));
        #[cfg(not(feature = "queue"))]
        refused(
            spec,
            format!("{spec:?} asks for a queue, which needs the feature `queue` of tracing-tasklog"),
        );
    }
    for spec in ["queued+", "queued+x.log", "queued+STDOUT", "queued+queued+stdout"] {
        let way_out = "if it is the path of a file, write \"instance:\" before it";
        refused(spec, format!("{spec:?} doesn't say what is behind the queue: {expected}; {way_out}"));
    }
    let twice = "puts a queue before a queue: what waits in the first one is lost when this process is killed. Leave \
                 \"queued+\" out: a log call doesn't wait for the sink without it either";
    for spec in ["queued+queue:q", "queued+queue:"] {
        refused(spec, format!("{spec:?} {twice}"));
    }
    refused("syslog:local0", unknown("syslog:local0", "syslog"));
    refused("Instance:x.log", unknown("Instance:x.log", "Instance"));
    refused("stdout:", unknown("stdout:", "stdout"));
    for word in ["STDOUT", "queue+stdout", "Queued+instance", "queue+x.log", "instance+stdout"] {
        refused(word, unknown(word, word));
    }
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

#[cfg(feature = "watch")]
#[test]
fn a_watched_file_comes_in_by_from_and_follows_its_path() {
    let dir = Dir::new();
    let file =
        tracing_tasklog::writer::WatchedFile::open(dir.path("tasks.log")).expect("the file can be opened");
    let mut writer = TaskWriter::from(file.clone());
    writer.write_all(b"one\n").expect("writing never fails");
    fs::rename(dir.path("tasks.log"), dir.path("tasks.log.1")).expect("it is there");
    file.reopen().expect("it can be made");
    writer.make_writer().write_all(b"two\n").expect("writing never fails");
    assert_eq!((dir.read("tasks.log.1").as_str(), dir.read("tasks.log").as_str()), ("one\n", "two\n"));
    assert_eq!((writer.stats(), writer.path()), (file.stats(), Some(file.path())));
    writer.sync().expect("the file is on a disk, or what stands for one");
    assert!(format!("{writer:?}").contains(&format!("{:?}", dir.path("tasks.log"))));
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

//! Standard output behind pipes, limits and flags that only Unix has.

use super::*;
use rustix::process::{Resource, Rlimit, setrlimit};
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
    let output = child.spawn().wait().assert_success();
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
        rustix::fs::fcntl_setfl(io::stdout(), flags | rustix::fs::OFlags::NONBLOCK).expect("it is a pipe");
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
    // It has seen no limit, so write(2) takes a part of a line.
    let limit = Rlimit { current: Some(1024), maximum: Some(1024) };
    setrlimit(Resource::Fsize, limit).expect("less is always allowed");
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
    let full = Child::of_test_after("unix::child_writes_into_a_full_file", "trap '' XFSZ");
    let output = full.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
    let lost = output.stderr.lines().find_map(|line| line.strip_prefix("lost ")).expect("the child tells");
    let log = dir.read("tasks.log");
    let lines: Vec<_> = log.split('\n').collect();
    let [first, fragment, announced, "whole", "and whole", ""] = lines[..] else { panic!("{log}") };
    assert_eq!((first.len(), fragment), (99, "lo\x18"));
    assert!(announced.starts_with("[-] [tracing_tasklog] 2"), "{announced}");
    assert!(announced.ends_with(&format!(" {lost} lines dropped reason=\"file size limit\"")), "{announced}");
}

//! The sink is slow, or takes nothing at all: what that costs at the end.

use std::{
    io::{self, Write},
    mem, process,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use tracing_tasklog::writer::{Overflow, Report, SharedQueue};

use crate::{
    LET_GO, LIMIT, append_to, assert_log, case, log, log_path, run_with, set_global,
    support::{
        child::{hang, role, say},
        stopwatch::Stopwatch,
        verify::Expect,
        wait_until,
    },
    take_time, wait_to_be_let_go,
};

const MANY: u64 = 30_000;

/// A sink that takes nothing until it is let go, and then its time for each write, which may be one of a line.
struct Slow<W> {
    sink: W,
    by_line: bool,
    pause: Duration,
}

impl<W: Write> Write for Slow<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wait_to_be_let_go();
        take_time(self.pause);
        let line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        self.sink.write(if self.by_line { &bytes[..line] } else { bytes })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn slow(by_line: bool, pause: Duration) -> impl Write + Send {
    Slow { sink: append_to(log_path()), by_line, pause }
}

#[test]
fn child_returns_with_a_slow_sink() {
    if !role("slow::child_returns_with_a_slow_sink") {
        return;
    }
    let sink = slow(case().starts_with("line"), Duration::from_micros(100));
    let (queue, guard) = SharedQueue::builder().spawn(sink).expect("a thread can be made");
    set_global(&queue);
    (1..=MANY).for_each(|n| log(0, n));
    assert_eq!(queue.stats().queued_lines, MANY);
    LET_GO.store(true, Ordering::Relaxed);
    match case().as_str() {
        "line, exit" => process::exit(0),
        "write, forget" | "line, forget" => mem::forget(guard),
        _ => {
            drop(guard);
            assert_eq!(queue.stats().written_lines, MANY, "it has waited for all");
        }
    }
}

#[test]
fn a_sink_of_100_microseconds_a_write_or_a_line_loses_nothing_at_the_end() {
    // All at once: they do nothing but wait.
    thread::scope(|scope| {
        for case in ["write, return", "write, forget", "line, return", "line, exit", "line, forget"] {
            scope.spawn(move || {
                let (dir, output) = run_with("slow::child_returns_with_a_slow_sink", "file", case);
                output.assert_success();
                assert_log(&dir, &Expect::new().worker(0, MANY), case);
            });
        }
    });
}

/// A report must be exact, whatever happens to the sink.
fn assert_exact(report: Report, accepted: u64) {
    assert_eq!(report.written + report.dropped + report.pending, accepted, "{report:?}");
}

#[test]
fn child_is_shut_down_too_early() {
    if !role("slow::child_is_shut_down_too_early") {
        return;
    }
    let (queue, guard) =
        SharedQueue::builder().spawn(slow(true, Duration::from_millis(1))).expect("a thread can be made");
    LET_GO.store(true, Ordering::Relaxed);
    set_global(&queue);
    (1..=2000).for_each(|n| log(0, n));
    let (limit, began, watch) = (Duration::from_millis(300), Instant::now(), Stopwatch::start());
    let report = guard.shutdown(limit);
    let (took, blamed) = (began.elapsed(), watch.elapsed());
    assert!(took >= limit && blamed < limit + Duration::from_millis(500), "{took:?} {blamed:?}");
    assert_exact(report, 2000);
    assert!(report.written > 0 && report.pending > 0 && report.dropped == 0, "{report:?}");
}

#[test]
fn a_shutdown_that_is_too_short_ends_in_time_and_what_is_left_is_written_until_the_end() {
    let (dir, output) = run_with("slow::child_is_shut_down_too_early", "file", "");
    let output = output.assert_success();
    assert_log(&dir, &Expect::new().worker(0, 2000), output);
}

/// A sink that takes some writes and never returns from the next.
struct Hangs<W> {
    sink: W,
    writes: u32,
}

impl<W: Write> Write for Hangs<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.writes {
            0 => hang(),
            _ => self.writes -= 1,
        }
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[test]
fn child_is_shut_down_with_a_sink_that_hangs() {
    if !role("slow::child_is_shut_down_with_a_sink_that_hangs") {
        return;
    }
    let sink = Hangs { sink: append_to(log_path()), writes: 3 };
    let builder = SharedQueue::builder().capacity_bytes(64 * 1024).stall_timeout(Duration::from_millis(500));
    let (queue, guard) = builder.overflow(Overflow::DropNewest).spawn(sink).expect("a thread can be made");
    set_global(&queue);
    (1..=10_000).for_each(|n| log(0, n));
    wait_until("it hangs", LIMIT, || queue.stats().written_lines > 0 && queue.drops().queue_full > 0);
    let (limit, began) = (Duration::from_millis(300), Stopwatch::start());
    let report = guard.shutdown(limit);
    let took = began.elapsed();
    assert!(took < limit + Duration::from_millis(500), "{took:?}");
    assert_exact(report, 10_000);
    assert!(report.written > 0 && report.pending > 0 && report.dropped > 0, "{report:?}");
    let text = std::fs::read_to_string(log_path()).expect("the log is there");
    // What the queue itself says of lost lines is no line of anybody's.
    let in_file = text.lines().filter(|line| !line.starts_with("[-] [tracing_tasklog] ")).count() as u64;
    assert_eq!(report.written, in_file, "{report:?}");
    let began = Stopwatch::start();
    log(0, 10_001);
    assert!(began.elapsed() < Duration::from_millis(1000), "a log call never hangs: {:?}", began.elapsed());
    say(&format!("ends at {:?}", began.elapsed()));
}

#[test]
fn a_shutdown_with_a_sink_that_hangs_ends_in_time_with_an_exact_report_and_so_does_the_program() {
    let began = Stopwatch::start();
    let (_dir, output) = run_with("slow::child_is_shut_down_with_a_sink_that_hangs", "file", "");
    let output = output.assert_success();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?} {output}", began.elapsed());
    assert!(output.stderr.contains("lines"), "it says that lines are lost: {output}");
}

#[test]
fn child_ends_with_a_sink_that_hangs() {
    if !role("slow::child_ends_with_a_sink_that_hangs") {
        return;
    }
    let sink = Hangs { sink: append_to(log_path()), writes: 0 };
    let builder = SharedQueue::builder().stall_timeout(Duration::from_millis(500));
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    set_global(&queue);
    (1..=100).for_each(|n| log(0, n));
    match case().as_str() {
        "drop" => drop(guard),
        "forget" => mem::forget(guard),
        _ => process::exit(0),
    }
}

#[test]
fn a_sink_that_hangs_for_ever_ends_no_later_than_its_stall_timeouts() {
    let lost = "100 lines are lost";
    for (case, says) in [("drop", "100 lines are still in the queue"), ("forget", lost), ("exit", lost)] {
        let began = Stopwatch::start();
        let (_dir, output) = run_with("slow::child_ends_with_a_sink_that_hangs", "file", case);
        let output = output.assert_success();
        assert!(began.elapsed() < Duration::from_secs(5), "{case}: {:?} {output}", began.elapsed());
        assert!(output.stderr.contains(says), "{case}: it says what is lost: {output}");
    }
}

//! The end of the collector's process, and of a collector whose sink takes nothing.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    mem, process, thread,
    time::Duration,
};

use tracing_tasklog::writer::Collector;

use crate::{
    collector_kit::{
        LATEST, Place, connect, log_file, queue_path, said, told, told_number, write, write_lines,
    },
    queue_kit::{Gate, Step, scripted},
    support::{
        child::{hang, role, say},
        holds_within,
        stopwatch::Stopwatch,
        verify::Expect,
        wait_until,
    },
};

const LINES: u64 = 1000;

/// Writes what it is given in the very end only, if at all: so nothing is in the file by chance.
fn late_sink() -> BufWriter<File> {
    BufWriter::with_capacity(1024 * 1024, log_file())
}

#[test]
fn child_collects_and_ends() {
    if !role("collectors::child_collects_and_ends") {
        return;
    }
    let guard = Collector::builder(queue_path()).spawn(late_sink()).expect("nobody else collects");
    let queue = connect();
    let other = queue.clone();
    thread::spawn(move || write_lines(&other, 1, LINES)).join().expect("it ends well");
    write_lines(&queue, 0, LINES);
    match told("END").as_str() {
        "drop" => drop(guard),
        "forget" => mem::forget(guard),
        "forget all" => mem::forget((guard, queue)),
        "exit" => process::exit(0),
        "exit in a thread" => thread::spawn(|| process::exit(0)).join().expect("it never returns"),
        "panic" => panic!("as told"),
        "early" => {
            drop(guard);
            write(&queue, 0, LINES + 1); // to be written by the next one
        }
        end => panic!("{end}?"),
    }
}

#[test]
fn a_collector_whose_process_ends_in_an_orderly_way_writes_every_line() {
    for end in ["drop", "forget", "forget all", "exit", "exit in a thread", "panic"] {
        let place = Place::new();
        let output = place.child("collectors::child_collects_and_ends").env("END", end).spawn().wait();
        assert_eq!(output.status.success(), end != "panic", "{end}: {output}");
        let expect = Expect::new().bare_lines().worker(0, LINES).worker(1, LINES);
        place.assert_log(&expect, format_args!("{end}: {output}"));
        assert_eq!(place.collect_all().written, 0, "{end}: nothing is left, nothing comes twice");
        place.assert_log(&expect, format_args!("{end}, and a next collector"));
    }
}

#[test]
fn what_is_logged_after_the_collector_has_ended_waits_for_the_next_one() {
    let place = Place::new();
    place.child("collectors::child_collects_and_ends").env("END", "early").spawn().wait().assert_success();
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES).worker(1, LINES), "before");
    assert_eq!(place.collect_all().written, 1);
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES + 1).worker(1, LINES), "afterwards");
}

/// A sink that takes so many lines, and hangs then.
struct Hangs {
    file: File,
    lines: u64,
}

impl Write for Hangs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines == 0 {
            say("hangs");
            hang();
        }
        let line = bytes.iter().position(|&byte| byte == b'\n').expect("it is given whole lines") + 1;
        self.lines -= 1;
        self.file.write(&bytes[..line])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn child_hangs_in_its_sink() {
    if !role("collectors::child_hangs_in_its_sink") {
        return;
    }
    let queue = connect();
    write_lines(&queue, 0, LINES);
    let sink = Hangs { file: log_file(), lines: told_number("TAKES") };
    let builder = Collector::builder(queue_path()).stall_timeout(Duration::from_millis(300));
    let guard = builder.spawn(sink).expect("nobody else collects");
    let flushed = guard.flush(Duration::from_millis(100)).expect_err("it hangs");
    assert!(flushed.is_timeout(), "{flushed}");
    let began = Stopwatch::start();
    match told("END").as_str() {
        "drop" => drop(guard),
        "exit" => {
            say("exit");
            process::exit(0); // the parent sees how long it takes
        }
        _ => {
            let report = guard.shutdown(Duration::from_millis(300));
            say(&format!("\npending={}\nwritten={}", report.pending, report.written));
            assert_eq!(report.dropped, 0, "{report:?}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    write(&queue, 0, LINES + 1);
    say("over");
}

/// A collector whose sink hangs ends all the same, and the next one writes all that it has left, once.
fn assert_hung_sink(end: &str, takes: u64) {
    let (place, began) = (Place::new(), Stopwatch::start());
    let child = place.child("collectors::child_hangs_in_its_sink").env("END", end);
    let output = child.env("TAKES", takes.to_string()).spawn().wait().assert_success();
    assert!(began.elapsed() < Duration::from_secs(6), "{end}: {:?}", began.elapsed());
    let written = place.text().lines().count() as u64;
    assert_eq!(written, takes);
    let lines = LINES + u64::from(end != "exit");
    match end {
        "shutdown" => {
            let pair = (said(&output, "pending"), said(&output, "written"));
            assert_eq!(pair, (LINES - takes, takes), "the report is exact");
        }
        _ => {
            let left = format!("{} lines stay", LINES - takes);
            assert!(output.stderr.contains(&left), "{end}: {left:?}: {output}");
        }
    }
    assert_eq!(place.collect_all().written, lines - takes, "{end}: what is left is written");
    place.assert_log(&Expect::new().bare_lines().worker(0, lines), end);
}

#[test]
fn a_guard_that_is_dropped_while_the_sink_hangs_gives_it_up_and_leaves_all_to_the_next() {
    assert_hung_sink("drop", 0);
}

#[test]
fn a_process_that_exits_while_the_sink_hangs_gives_it_up_and_leaves_all_to_the_next() {
    assert_hung_sink("exit", 0);
}

#[test]
fn a_shutdown_while_the_sink_hangs_reports_exactly_what_is_left_to_the_next() {
    assert_hung_sink("shutdown", 0);
}

/// Of the lines that were given to the sink at once it has taken some, before it began to hang.
#[test]
fn what_a_sink_took_before_it_hung_is_not_written_again() {
    assert_hung_sink("shutdown", 10);
    assert_hung_sink("drop", 10);
}

/// What a sink does that takes a number of lines, and fails from then on.
fn takes(lines: u64, then: Step) -> impl FnMut(u64, &[u8]) -> Step {
    move |call, bytes| {
        let first = bytes.iter().position(|&byte| byte == b'\n').expect("it is given whole lines") + 1;
        if call <= lines { Step::TakeOnly(first) } else { then }
    }
}

#[test]
fn a_shutdown_while_the_disk_is_full_reports_exactly_what_is_left_to_the_next() {
    for taken in [0, 1, 7] {
        let place = Place::new();
        let queue = place.connect();
        write_lines(&queue, 0, LINES);
        let sink = scripted(place.log(), takes(taken, Step::Fail(io::ErrorKind::StorageFull)));
        let calls = sink.calls();
        let guard = place.collector().on_error(|_| ()).spawn(sink).expect("nobody else collects");
        wait_until("the disk is full, and full again", LATEST, || calls.writes() > taken + 1);
        let began = Stopwatch::start();
        let report = guard.shutdown(Duration::from_millis(300));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!((report.written, report.dropped, report.pending), (taken, 0, LINES - taken));
        let report = place.collector().spawn(place.file());
        // The first one's thread may need a moment to end.
        let next = report.or_else(|_| {
            let wait = tracing_tasklog::writer::Running::Wait(LATEST);
            place.collector().if_running(wait).spawn(place.file())
        });
        let report = next.expect("the first one ends").shutdown(LATEST);
        assert_eq!((report.written, report.pending), (LINES - taken, 0), "{taken} taken");
        place.assert_log(&Expect::new().bare_lines().worker(0, LINES), format_args!("{taken} taken"));
    }
}

/// The first has given up the wait, not the lines: when its sink goes on, nothing is written twice.
#[test]
fn a_sink_that_goes_on_after_the_shutdown_takes_nothing_that_the_next_collector_takes_too() {
    let place = Place::new();
    let queue = place.connect();
    write_lines(&queue, 0, LINES);
    let gate = Gate::shut();
    let at_gate = gate.clone();
    let sink = scripted(place.log(), move |_, _| {
        at_gate.pass();
        Step::Take
    });
    let guard = place.collector().spawn(sink).expect("nobody else collects");
    wait_until("it hangs", LATEST, || gate.has_visitors());
    let report = guard.shutdown(Duration::from_millis(100));
    assert_eq!((report.written, report.pending), (0, LINES), "{report:?}");
    let refused = place.collector().spawn(place.file()).map(drop).expect_err("the first has the sink still");
    assert!(refused.is_in_use(), "{refused}");
    gate.open();
    let wait = tracing_tasklog::writer::Running::Wait(LATEST);
    let next = place.collector().if_running(wait).spawn(place.file()).expect("the first one ends");
    drop(next);
    place.assert_log(&Expect::new().bare_lines().worker(0, LINES), "one after the other");
}

#[test]
fn child_drops_the_guard_at_once() {
    if !role("collectors::child_drops_the_guard_at_once") {
        return;
    }
    let queue = connect();
    write_lines(&queue, 0, 10);
    let _ = Collector::builder(queue_path()).spawn(late_sink()).expect("nobody else collects");
    assert!(!holds_within(Duration::from_millis(50), || queue.stats().written_lines < 10));
    write_lines(&queue, 1, 10);
}

#[test]
fn a_guard_that_is_dropped_at_once_has_written_what_was_there() {
    let place = Place::new();
    place.child("collectors::child_drops_the_guard_at_once").spawn().wait().assert_success();
    place.assert_log(&Expect::new().bare_lines().worker(0, 10), "the first ten");
    assert_eq!(place.collect_all().written, 10);
}

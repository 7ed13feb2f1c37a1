//! The document `bounded-log-queue-deadlock.txt`, sentence by sentence: messages go onto a strictly bounded queue, one thread
//! saves them, and finalisers log on whatever thread the garbage collector kicks in. In Python the program freezes.
//!
//! The read thread is the queue's own, with a sink that collects garbage. Not covered: a queue in a separate process.

#![cfg(feature = "queue")]

#[path = "seed_bounded_queue/program.rs"]
mod program;
mod support;

use std::time::Duration;

use program::{Collector, ROUNDS};
use support::{
    child::{Child, Output},
    dir::Dir,
};

/// How long a run of the program may take.
const LIMIT: Duration = Duration::from_secs(20);

/// How long the end of a queue may take.
const LATEST: Duration = Duration::from_secs(10);

/// How many lines there is room for.
const CAPACITIES: [u64; 5] = [1, 2, 4, 16, 128];

const RUNS: u32 = 20;

/// One run of the program.
struct Run {
    dir: Dir,
    output: Output,
    what: String,
}

impl Run {
    fn of(child: &str, collector: Collector, lines: u64) -> Run {
        let dir = Dir::new();
        // One byte is room for one line, whatever its length.
        let line = "[-] [seed_bounded_queue::program] 2026-01-01T12:00:00 Hello from write thread! 100\n"
            .len() as u64;
        let capacity = if lines == 1 { 1 } else { lines * line };
        let child = Child::of_test(child).env("DIR", dir.root()).env("CAPACITY", capacity.to_string());
        let child = child.env("COLLECTOR", format!("{collector:?}")).limit(LIMIT);
        let what = format!("{collector:?}, room for {lines}");
        Run { output: child.spawn().wait().assert_success(), dir, what }
    }

    /// The document's program.
    fn one(collector: Collector, lines: u64) -> Run {
        Run::of("program::child_of_the_document", collector, lines)
    }

    /// The texts in a log behind tag and timestamp; each line must have them.
    fn texts(&self, log: &str) -> Vec<String> {
        let text = |line: &String| {
            let parsed = tracing_tasklog::line::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(parsed.id, "-", "{line}");
            line.splitn(4, ' ').nth(3).expect("parsed").to_owned()
        };
        self.dir.lines(log).iter().map(text).collect()
    }

    /// How many finalisers ran on a thread.
    fn destroyed_by(&self, thread: &str) -> usize {
        let by = format!("'{thread}' destroyed ");
        self.dir.lines("destroyed").iter().filter(|line| line.starts_with(&by)).count()
    }

    /// Checks that each message is in the log once, in the order of its thread, but for `counted` ones of a read thread.
    fn assert_every_line(&self, log: &str, counted: u64) {
        let texts = self.texts(log);
        let of = |start: &str, lines: &[String]| -> Vec<String> {
            lines.iter().filter(|line| line.starts_with(start)).cloned().collect()
        };
        let hellos: Vec<_> = (1..=ROUNDS).map(|n| format!("Hello from write thread! {n}")).collect();
        assert_eq!(of("Hello", &texts), hellos, "{}", self.what);
        let destroyed = self.dir.lines("destroyed");
        assert_eq!(destroyed.len() as u64, 10 * ROUNDS, "{}", self.what);
        for thread in ["'write_thread'", "'main_thread'"] {
            assert_eq!(of(thread, &texts), of(thread, &destroyed), "{}", self.what);
        }
        let (found, all) = (of("'read_thread'", &texts), of("'read_thread'", &destroyed));
        assert_eq!(found.len() as u64 + counted, all.len() as u64, "{}", self.what);
        let mut all = all.iter();
        assert!(found.iter().all(|line| all.any(|other| other == line)), "{}: in order, once", self.what);
        let others = texts.iter().filter(|text| !text.starts_with("Hello") && !text.starts_with('\''));
        let others: Vec<_> = others.collect();
        assert!(others.iter().all(|text| text.contains(" lines dropped reason=")), "{others:?}");
        assert_eq!(others.is_empty(), counted == 0, "{}: {others:?}", self.what);
    }

    fn said(&self, key: &str) -> u64 {
        let value = |line: &str| line.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
        self.output.stdout.lines().find_map(value).unwrap_or_else(|| panic!("no {key}\n{}", self.output))
    }
}

// "If the garbage collector kicks in on the write_thread then nothing goes wrong; if there are too many of them all at once for
// the read_thread to deal with, the write_thread will simply slow down and wait for the read_thread."
fn collected_on_the_write_thread(runs: u32) {
    for lines in CAPACITIES {
        for _ in 0..runs {
            let run = Run::one(Collector::WriteThread, lines);
            run.assert_every_line("tasks.log", 0);
            assert_eq!(run.destroyed_by("read_thread"), 0);
        }
    }
}

#[test]
fn garbage_that_is_collected_on_the_write_thread() {
    collected_on_the_write_thread(1);
}

// "If the garbage collector kicks in on the read_thread instead, then the system can deadlock when the queue is bounded. … It
// can't ever be unblocked, because it can't return from the HLD object's finaliser in order to drain the logging queue to
// make room for the message it is currently waiting for a change to add!"
fn collected_on_the_read_thread(lines: u64, runs: u32) {
    let mut on_read_thread = 0;
    for _ in 0..runs {
        let run = Run::one(Collector::Both, lines);
        run.assert_every_line("tasks.log", 0);
        assert_eq!(run.said("nested"), 0, "{}", run.what);
        on_read_thread += run.destroyed_by("read_thread");
    }
    assert!(on_read_thread > 0, "room for {lines}: no finaliser ran on the read thread in {runs} runs");
}

#[test]
fn garbage_that_is_collected_on_the_read_thread_with_room_for_one_line() {
    collected_on_the_read_thread(1, RUNS);
}

#[test]
fn garbage_that_is_collected_on_the_read_thread_with_room_for_2_lines() {
    collected_on_the_read_thread(2, RUNS);
}

#[test]
fn garbage_that_is_collected_on_the_read_thread_with_room_for_4_lines() {
    collected_on_the_read_thread(4, RUNS);
}

#[test]
fn garbage_that_is_collected_on_the_read_thread_with_room_for_16_lines() {
    collected_on_the_read_thread(16, RUNS);
}

#[test]
fn garbage_that_is_collected_on_the_read_thread_with_room_for_128_lines() {
    collected_on_the_read_thread(128, RUNS);
}

// "… we're now back to worrying about how we can't buffer messages forever. If we go down this route, we'll either have to
// drop messages on the floor, or hope really hard that any messages that happen to get added by the logging thread itself
// don't happen to be large enough to exhaust available memory."
// What the saving of the read thread's own messages causes in turn is counted, and the log says so.
fn collected_whatever_is_dequeued(runs: u32) {
    for lines in CAPACITIES {
        for _ in 0..runs {
            let run = Run::one(Collector::BothAlways, lines);
            run.assert_every_line("tasks.log", run.said("nested"));
        }
    }
}

#[test]
fn garbage_that_is_collected_whatever_is_dequeued() {
    collected_whatever_is_dequeued(1);
}

// "One idea which will not work is simply adding more than one logging thread, in the hope that the second thread will always
// unblock the first. The big problem is that two (or more!) readers can both block if they each log a message at the wrong
// time."
fn collected_on_two_read_threads(runs: u32) {
    for lines in CAPACITIES {
        for _ in 0..runs {
            let run = Run::of("program::child_with_two_read_threads", Collector::Both, lines);
            for log in ["one", "two"] {
                run.assert_every_line_of_two(log);
            }
        }
    }
}

impl Run {
    /// Two read threads destroy at once, so only the order of others' lines is known.
    fn assert_every_line_of_two(&self, log: &str) {
        let texts = self.texts(&format!("{log}.log"));
        let mut found: Vec<_> = texts.iter().filter(|text| text.starts_with('\'')).cloned().collect();
        let mut all = self.dir.lines("destroyed");
        assert_eq!(found.len() as u64 + self.said(log), all.len() as u64, "{}", self.what);
        found.sort();
        all.sort();
        all.dedup();
        assert!(found.iter().all(|line| all.binary_search(line).is_ok()), "{}", self.what);
        assert!(found.windows(2).all(|two| two[0] != two[1]), "{}: each once", self.what);
        let hellos = texts.iter().filter(|text| text.starts_with("Hello")).count() as u64;
        assert_eq!(hellos, ROUNDS, "{}", self.what);
    }
}

#[test]
fn two_read_threads_that_log_to_each_other() {
    collected_on_two_read_threads(1);
}

#[test]
#[ignore = "deep: three hundred runs of the program, a quarter of a minute"]
fn deep_the_program_again_and_again() {
    CAPACITIES.into_iter().for_each(|lines| collected_on_the_read_thread(lines, 30));
    collected_whatever_is_dequeued(20);
    collected_on_the_write_thread(5);
    collected_on_two_read_threads(20);
}

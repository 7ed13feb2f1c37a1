//! The document `multiprocess-logging-through-one-queue.txt`, sentence by sentence: worker processes put their records on one
//! queue, and one listener in the parent writes them. In Python a worker that exits abruptly loses what it had buffered, a queue that
//! nobody stops loses its tail, and the request's id must be put into each record by hand.
//!
//! Not covered: that the listener formats the records (here each worker does, the listener copies bytes), that the queue is unbounded
//! (here it is bounded), and the checks of handlers (here there are none to inherit).

#![cfg(all(unix, feature = "multiprocess"))]

mod collector_kit;
#[path = "seed_multiprocess_queue/program.rs"]
mod program;
mod support;

use std::{collections::HashMap, io::BufWriter, path::PathBuf};

use collector_kit::{LATEST, Place};
use program::{BIG, ITEMS, STRESS, Worker};
use support::{child::Child, json::is_object, wait_until};
use tracing_tasklog::{
    line::{self, Body},
    writer::Announce,
};

/// The value behind a name in a line of JSON, without its quotes.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name} in {line}"));
    let end = rest.find([',', '}']).expect("an object ends");
    rest[..end].trim_matches('"')
}

/// Starts one worker process for each item, and waits for all.
fn pool(place: &Place, worker: Worker, items: &[&str]) -> Vec<u32> {
    let start = |item: &&str| program::start(place, worker, item);
    let children: Vec<Child> = items.iter().map(start).collect();
    children
        .into_iter()
        .map(|child| {
            let pid = child.id();
            child.wait().assert_success();
            pid
        })
        .collect()
}

// "Workers enqueue records; one listener owns the only file descriptor that writes them." "Expected Output: {"level":"INFO",
// "proc":"SpawnPoolWorker-1","msg":"processing a"} …" "Each line is whole because only the parent's listener touches the destination."
#[test]
fn three_workers_put_a_json_record_each_on_the_queue_and_the_listener_writes_three_lines() {
    let place = Place::new();
    let listener = place.collector().announce(Announce::Json).spawn(place.file()).expect("one listener");
    let mut pids = pool(&place, Worker::Json, &ITEMS);
    drop(listener);
    let lines: Vec<_> = place.text().lines().map(str::to_owned).collect();
    assert!(lines.iter().all(|line| is_object(line)), "{lines:#?}");
    assert!(lines.iter().all(|line| field(line, "level") == "INFO"), "{lines:#?}");
    let mut messages: Vec<_> = lines.iter().map(|line| field(line, "message")).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["processing a", "processing b", "processing c"]);
    let mut procs: Vec<u32> = lines.iter().map(|line| field(line, "proc").parse().expect("a pid")).collect();
    procs.sort_unstable();
    pids.sort_unstable();
    assert_eq!(procs, pids);
}

// "remove any inherited handlers so nothing writes to a file directly." "If any line fails to parse or a counter is missing, a
// writer other than the listener is still touching the file."
#[test]
#[cfg(target_os = "linux")]
fn no_worker_ever_has_the_log_open() {
    let place = Place::new();
    let listener = place.collect();
    let mut worker = program::start(&place, Worker::Waits, "a");
    worker.wait_for_stdout_line(|line| line == "logged");
    wait_until("its line is in the log", LATEST, || place.text().contains("processing a"));
    let open = |pid: u32| -> Vec<PathBuf> {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux");
        fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).collect()
    };
    let log = place.log().canonicalize().expect("it is there");
    assert!(open(std::process::id()).contains(&log), "the listener has");
    let of_worker = open(worker.id());
    assert!(!of_worker.contains(&log), "{of_worker:?}");
    assert!(of_worker.iter().any(|path| path.extension().is_some_and(|end| end == "ring")), "{of_worker:?}");
    drop(listener);
}

// "A useful stress test is to make each worker emit a record whose message contains its own process identifier and a monotonic counter,
// then after the run assert that every counter value for every worker appears exactly once and that each parsed line is valid
// JSON." "check the output file has the expected line count with no truncated JSON, for example with wc -l".
#[test]
fn every_counter_of_every_worker_appears_exactly_once_and_each_line_is_valid_json() {
    let place = Place::new();
    let listener = place.collector().announce(Announce::Json).spawn(place.file()).expect("one listener");
    let pids = pool(&place, Worker::Stress, &["1", "2", "3", "4"]);
    let report = listener.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (4 * STRESS, 0, 0));
    let text = place.text();
    assert_eq!(text.matches('\n').count() as u64, 4 * STRESS);
    assert_eq!(text.lines().find(|line| !is_object(line)), None);
    let mut counters: HashMap<u32, Vec<u64>> = HashMap::new();
    for line in text.lines() {
        let number = |name| field(line, name).parse::<u64>().expect("a number");
        counters.entry(number("proc") as u32).or_default().push(number("n"));
    }
    assert_eq!(counters.len(), 4);
    for pid in pids {
        let own = counters.get(&pid).expect("each worker has logged");
        assert!(own.iter().copied().eq(1..=STRESS), "in the order in which it has logged");
    }
}

// "if their writes exceed the filesystem's atomic-write size or are flushed separately, the bytes interleave into corrupt lines."
#[test]
fn records_of_a_hundred_kilobytes_and_short_ones_do_not_interleave() {
    let place = Place::new();
    let listener = place.collect();
    pool(&place, Worker::Big, &["1", "2", "3"]);
    drop(listener);
    let mut big = 0;
    for line in place.text().lines() {
        assert!(is_object(line), "{}", &line[..line.len().min(200)]);
        let text = field(line, "text");
        let first = text.chars().next().expect("a text");
        assert!(text.chars().all(|char| char == first), "one worker's letters only");
        big += u64::from(text.len() == BIG);
    }
    assert_eq!((big, place.text().lines().count() as u64), (3 * 20, 3 * 40));
}

// "A worker that exits abruptly while records are still buffered in its feeder thread can lose those records, so let workers finish
// cleanly and join the pool before stopping the listener."
#[test]
fn a_worker_that_exits_abruptly_loses_no_record() {
    for worker in [Worker::ExitsAbruptly, Worker::Aborts, Worker::IsKilled] {
        let place = Place::new();
        let listener = place.collect();
        let children: Vec<Child> = ITEMS.iter().map(|item| program::start(&place, worker, item)).collect();
        children.into_iter().for_each(|child| drop(child.wait())); // no clean end: that is the point
        drop(listener);
        let text = place.text();
        assert_eq!(text.lines().find(|line| !is_object(line)), None);
        for item in ITEMS {
            let of_item = text.lines().filter(|line| field(line, "message") == format!("processing {item}"));
            let counters = of_item.map(|line| field(line, "n").parse::<u64>().expect("a number"));
            assert!(counters.eq(1..=STRESS), "{worker:?}: all records of {item}");
        }
    }
}

// "Forgetting to stop the listener. Records sit in the queue or the listener's buffer until listener.stop() flushes them. Skipping
// it on shutdown silently drops the tail of your logs. Always stop the listener in a finally block."
#[test]
fn a_listener_that_nobody_stops_drops_no_tail() {
    for end in ["forget", "exit", "panic"] {
        let place = Place::new();
        let parent = place.child("program::child_is_the_parent").env("END", end);
        drop(parent.spawn().wait());
        let mut messages: Vec<_> =
            place.text().lines().map(|line| field(line, "message").to_owned()).collect();
        messages.sort_unstable();
        assert_eq!(messages, ["processing a", "processing b", "processing c"], "{end}");
    }
}

// "Stop the listener last so buffered records flush." And if it was not the last: what comes later is not lost either.
#[test]
fn a_listener_that_is_stopped_first_leaves_the_records_to_the_next() {
    let place = Place::new();
    drop(place.collector().spawn(BufWriter::new(place.file())).expect("one listener"));
    pool(&place, Worker::Json, &ITEMS);
    assert_eq!(place.text(), "");
    assert_eq!(place.collect_all().written, 3);
    assert_eq!(place.text().lines().count(), 3);
}

// "The consumer (here) is a single writer": a second listener would be two writers.
#[test]
fn there_is_no_second_listener() {
    let place = Place::new();
    let _listener = place.collect();
    let second = place.collector().spawn(Vec::new()).map(drop).expect_err("there is one already");
    assert!(second.is_in_use() && second.to_string().contains(&format!("{:?}", place.queue())), "{second}");
}

// "Start method fork: faster start but can duplicate open file descriptors; clear handlers in the worker." There is nothing to clear.
#[test]
fn forked_workers_write_each_record_once() {
    let place = Place::new();
    let parent = place.child("program::child_forks_a_pool");
    parent.spawn().wait().assert_success();
    let mut messages: Vec<_> = place.text().lines().map(|line| field(line, "message").to_owned()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["by the parent", "processing a", "processing b", "processing c"]);
}

// "Context variables do not cross processes. With the spawn start method, a worker starts a fresh interpreter that inherits none …
// across processes you must pass correlation data explicitly, for example as an argument to do_work".
#[test]
fn a_tasks_context_that_is_passed_as_an_argument_or_in_the_environment_tags_the_workers_lines() {
    let place = Place::new();
    place.child("program::child_has_a_task").spawn().wait().assert_success();
    let text = place.text();
    let lines: Vec<_> = text.lines().map(|text| line::parse(text).expect("our own line")).collect();
    let of_task: Vec<_> = lines.iter().filter(|line| line.id == "req-42").collect();
    assert!(of_task.iter().all(|line| line.name == "handle request"), "{text}");
    let says = |wanted: &str| {
        of_task.iter().filter(|line| matches!(line.body, Body::Message(text) if text == wanted)).count()
    };
    for wanted in ["in the parent", "by argument", "by environment"] {
        assert_eq!(says(wanted), 1, "{wanted}: {text}");
    }
    // The task is the parent's: it begins once, before all of its lines, and ends once.
    let lifecycle: Vec<_> = of_task.iter().filter(|line| matches!(line.body, Body::Lifecycle(_))).collect();
    assert_eq!(lifecycle.len(), 2, "{text}");
    assert!(text.matches("-- RUNNING").count() == 1 && text.matches("-- SUCCESS").count() == 1, "{text}");
    assert!(matches!(of_task[0].body, Body::Lifecycle(line::Status::Running)), "{text}");
}

// "… inherits none of the parent's contextvars": a worker that was told nothing has no tag.
#[test]
fn a_worker_that_was_told_no_context_has_no_tag() {
    let place = Place::new();
    place.child("program::child_has_a_task").spawn().wait().assert_success();
    let text = place.text();
    let untold = text.lines().find(|line| line.ends_with(" told nothing")).expect("its line is there");
    assert!(untold.starts_with("[-] ["), "{untold}");
}

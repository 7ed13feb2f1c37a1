//! Children that fork(2) made and that never call exec(2), while other threads of the parent log into a `SharedQueue`.

#![cfg(all(unix, feature = "queue"))]

#[path = "queue_fork/hanging.rs"]
mod hanging;
#[path = "queue_fork/still.rs"]
mod still;
mod support;

use std::{
    env,
    fs::File,
    io::{self, BufWriter, Write},
    mem, process, thread,
    time::Duration,
};

use support::{
    child::{Child, Output, role, say},
    dir::Dir,
    fork::{PATIENCE, THREADS, forked, log_path, said, wait_for, while_others_log},
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing_tasklog::writer::{InstanceFile, QueueGuard, SharedQueue};

/// The lines of each child.
const LINES: u64 = 100;

const ROUNDS: u32 = 20;

/// How many lines each thread of the parent may be ahead, so that the log doesn't grow without end.
const CAPACITY: usize = 64 * 1024;

/// When a sink that hangs is known to do so.
const STALL: Duration = Duration::from_millis(500);

const SINKS: [&str; 4] = ["file", "buffered", "instance", "short"];

type BoxedSink = Box<dyn Write + Send>;

fn file() -> File {
    File::options().append(true).create(true).open(log_path()).expect("the folder is the test's own")
}

/// A sink that takes a line of what it is given: so the rest is on its way at any moment.
struct Short(File);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        self.0.write(&bytes[..line])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sink that the parent has named.
fn sink() -> BoxedSink {
    match env::var("SINK").as_deref() {
        Ok("buffered") => Box::new(BufWriter::new(file())),
        Ok("short") => Box::new(Short(file())),
        Ok("instance") => {
            let file = InstanceFile::builder(log_path()).max_bytes(300_000).backups(10_000);
            Box::new(file.build().expect("the folder is the test's own"))
        }
        _ => Box::new(file()),
    }
}

fn case() -> String {
    env::var("CASE").expect("the parent says which")
}

fn spawn(sink: impl Write + Send + 'static) -> (SharedQueue, QueueGuard) {
    // A machine that stands still stalls no sink.
    spawn_with(sink, PATIENCE)
}

fn spawn_with(sink: impl Write + Send + 'static, stall: Duration) -> (SharedQueue, QueueGuard) {
    let builder = SharedQueue::builder().capacity_bytes(CAPACITY).stall_timeout(stall);
    builder.spawn(sink).expect("a thread can be made")
}

fn write(queue: &SharedQueue, worker: u32, n: u64) {
    let line = numbered(worker, n, (n % 60) as usize) + "\n";
    queue.clone().write_all(line.as_bytes()).expect("writing never fails");
}

/// Runs an entry point of this binary on a log of its own.
fn run_once(name: &str, sink: &str, case: &str) -> (Dir, Output) {
    let dir = Dir::new();
    let child = Child::of_test(name).env("LOG", dir.path("tasks.log")).env("SINK", sink).env("CASE", case);
    let output = child.limit(Duration::from_secs(60)).spawn().wait();
    (dir, output)
}

/// The same, and it must end well. If the machine didn't let the thread that had the sink run for as long as a fork waits for
/// it, the child may lose what it says to be lost: tried again, twice.
fn run(name: &str, sink: &str, case: &str) -> (Dir, Output) {
    let was_served =
        |(_, output): &(Dir, Output)| !output.stderr.contains("in use when this process was forked");
    let served = (0..2).map(|_| run_once(name, sink, case)).find(was_served);
    let (dir, output) = served.unwrap_or_else(|| run_once(name, sink, case));
    (dir, output.assert_success())
}

/// What the threads of the parent have written, as they said.
fn of_parent(output: &Output) -> Expect {
    let written = |worker: u32| said(output, &format!("w{worker}"));
    (0..THREADS).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, written(worker)))
}

fn assert_log(dir: &Dir, expect: &Expect, what: impl std::fmt::Display) {
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(expect);
    assert!(verdict.faults.is_empty(), "{what}: {verdict}");
}

/// What a child does with its queue before it ends.
fn end_in_child(queue: &SharedQueue, guard: &QueueGuard) {
    match case().as_str() {
        "exit" => process::exit(0), // and so the exit hooks run
        "drop" | "drop and exit" => {
            // SAFETY: neither is used again in this process, and the parent has its own memory.
            #[allow(unsafe_code)]
            let own = unsafe { (std::ptr::read(queue), std::ptr::read(guard)) };
            drop(own);
            if case() == "drop and exit" {
                process::exit(0);
            }
        }
        "shutdown" => {
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let own = unsafe { std::ptr::read(guard) };
            let report = own.shutdown(Duration::from_secs(5));
            assert_eq!((report.written, report.dropped, report.pending), (LINES, 0, 0), "its own lines");
        }
        _ => {}
    }
}

#[test]
fn child_forks_while_others_log() {
    if !role("child_forks_while_others_log") {
        return;
    }
    let (queue, guard) = spawn(sink());
    let guard = if case() == "direct" {
        drop(guard);
        None
    } else {
        Some(guard)
    };
    while_others_log(
        |worker, n| write(&queue, worker, n),
        || {
            for round in 0..ROUNDS {
                let before = queue.stats().written_lines;
                wait_for(forked(|| {
                    (1..=LINES).for_each(|n| write(&queue, THREADS + round, n));
                    let stats = queue.stats();
                    let own = (stats.accepted_lines, stats.written_lines, stats.dropped_lines);
                    assert_eq!(own, (LINES, LINES, 0), "it counts its own lines, which are written");
                    if let Some(guard) = &guard {
                        end_in_child(&queue, guard);
                    }
                }));
                wait_until("the parent goes on", PATIENCE, || queue.stats().written_lines > before + 100);
            }
        },
    );
    let report = guard.map(|guard| guard.shutdown(Duration::from_secs(10)));
    let stats = queue.stats();
    assert_eq!((stats.dropped_lines, stats.queued_lines), (0, 0), "{report:?}");
    say(&format!("written={}", stats.written_lines));
}

/// Runs the case on a sink: every line of the parent and of its children must be there once.
fn assert_every_line_once(sink: &str, case: &str) {
    let (dir, output) = run("child_forks_while_others_log", sink, case);
    let written: u64 = (0..THREADS).map(|worker| said(&output, &format!("w{worker}"))).sum();
    assert_eq!(written, said(&output, "written"), "the parent counts its own lines only");
    let expect =
        (THREADS..THREADS + ROUNDS).fold(of_parent(&output), |expect, worker| expect.worker(worker, LINES));
    assert_log(&dir, &expect, format_args!("{sink} {case}: {output}"));
}

#[test]
fn children_forked_while_others_log_hang_never_and_every_line_is_there_once() {
    SINKS.iter().for_each(|sink| assert_every_line_once(sink, ""));
}

#[test]
fn children_of_a_queue_that_is_over_write_every_line_once() {
    SINKS.iter().for_each(|sink| assert_every_line_once(sink, "direct"));
}

#[test]
fn a_child_that_ends_by_process_exit_writes_every_line_once() {
    SINKS.iter().for_each(|sink| assert_every_line_once(sink, "exit"));
}

#[test]
fn a_child_that_drops_queue_and_guard_leaves_the_parents_alone() {
    for sink in SINKS {
        assert_every_line_once(sink, "drop");
        assert_every_line_once(sink, "drop and exit");
        assert_every_line_once(sink, "shutdown");
    }
}

#[test]
fn child_has_grandchildren() {
    if !role("child_has_grandchildren") {
        return;
    }
    let (queue, guard) = spawn(sink());
    while_others_log(
        |worker, n| write(&queue, worker, n),
        || {
            for round in 0..5 {
                let own = THREADS + 2 * round;
                wait_for(forked(|| {
                    if round % 2 == 0 {
                        (1..=LINES).for_each(|n| write(&queue, own, n)); // else it forks before it has logged at all
                    }
                    wait_for(forked(|| {
                        (1..=LINES).for_each(|n| write(&queue, own + 1, n));
                        assert_eq!(queue.stats().accepted_lines, LINES);
                        if round % 2 == 1 {
                            process::exit(0);
                        }
                    }));
                    let from = if round % 2 == 0 { LINES + 1 } else { 1 };
                    (from..=2 * LINES).for_each(|n| write(&queue, own, n));
                }));
            }
        },
    );
    drop(guard);
}

#[test]
fn a_child_of_a_child_writes_as_a_child_does() {
    for sink in SINKS {
        let (dir, output) = run("child_has_grandchildren", sink, "");
        let expect = (0..5)
            .map(|round| THREADS + 2 * round)
            .fold(of_parent(&output), |expect, own| expect.worker(own, 2 * LINES).worker(own + 1, LINES));
        assert_log(&dir, &expect, format_args!("{sink}: {output}"));
    }
}

#[test]
fn child_forks_on_two_threads() {
    if !role("child_forks_on_two_threads") {
        return;
    }
    let (queue, guard) = spawn(sink());
    let queue = &queue;
    while_others_log(
        |worker, n| write(queue, worker, n),
        || {
            thread::scope(|scope| {
                for forker in 0..2 {
                    let fork = move |round| {
                        let own = THREADS + 2 * round + forker;
                        wait_for(forked(|| (1..=LINES).for_each(|n| write(queue, own, n))));
                    };
                    scope.spawn(move || (0..2 * ROUNDS).for_each(fork));
                }
            });
        },
    );
    drop(guard);
}

#[test]
fn two_threads_that_fork_at_once_give_each_child_the_sink() {
    let (dir, output) = run("child_forks_on_two_threads", "file", "");
    let children = THREADS..THREADS + 4 * ROUNDS;
    let expect = children.fold(of_parent(&output), |expect, worker| expect.worker(worker, LINES));
    assert_log(&dir, &expect, output);
}

#[test]
fn child_makes_a_queue_of_its_own() {
    if !role("child_makes_a_queue_of_its_own") {
        return;
    }
    let (queue, guard) = spawn(sink());
    write(&queue, 0, 1);
    let own_path = log_path().with_file_name("own.log");
    for round in 1..=5 {
        wait_for(forked(|| {
            let file = File::options().append(true).create(true).open(&own_path).expect("it is the test's");
            let (own, own_guard) = spawn(file);
            thread::scope(|scope| {
                for worker in 0..2 {
                    let own = &own;
                    scope.spawn(move || (1..=LINES).for_each(|n| write(own, 2 * round + worker, n)));
                }
            });
            match round {
                1 => process::exit(0),
                2 => mem::forget(own_guard),
                _ => assert_eq!(own_guard.shutdown(PATIENCE).written, 2 * LINES),
            }
            if round == 2 {
                own.clone().flush().expect("it can be flushed");
            }
        }));
    }
    write(&queue, 0, 2);
    drop(guard);
}

#[test]
fn a_child_can_have_a_queue_of_its_own() {
    let (dir, output) = run("child_makes_a_queue_of_its_own", "file", "");
    assert_log(&dir, &Expect::new().bare_lines().worker(0, 2), output);
    let expect = (2..=11).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, LINES));
    LogFamily::files([dir.path("own.log")]).verify(&expect).assert_clean();
}

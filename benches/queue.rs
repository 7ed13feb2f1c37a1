//! Prints what it costs to log through a `SharedQueue`, beside what a program has without it: `tracing_subscriber::fmt` over
//! `tracing_appender::non_blocking`, set to lose nothing.
//!
//! ```text
//! queue                        compares the cases: `cargo bench --bench queue`
//! queue list                   the cases, one a line
//! queue CASE EVENTS            logs EVENTS events on one thread, for a tool that looks from outside
//! ```
//!
//! Both get the same events in the same span, with the same time stamp, and append them to a file, each below the target
//! folder, so that they share the file system. Every run is a process of its own, with its subscriber for the whole process,
//! as programs have it: the subscriber of a thread is dearer to find. A run counts from its first event until the file is
//! complete, the end of the pipeline included.
//!
//! The cases take turns, another one first each time, and a ratio is the median of the ratios of all rounds.
//!
//! A goal that is missed fails nothing, because on a busy machine time proves nothing. A file that doesn't hold each of its
//! lines does.
#![allow(clippy::print_stdout)] // it is what a bench is for

mod figures;

use std::{
    any::Any,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use tracing::{Dispatch, span::EnteredSpan};
use tracing_subscriber::{Registry, prelude::*};
use tracing_tasklog::{TaskLayer, UtcSeconds, writer::SharedQueue};

use self::figures::{Goal, Of, cpu_time, median, quantile};

const ROUNDS: usize = 9;
const CASES: [Case; 2] = [
    Case {
        name: "queue",
        what: "TaskLayer, SharedQueue",
        line: "[abc12345] [send_email] STAMP ",
        open: queue,
    },
    Case {
        name: "fmt",
        what: "fmt, non_blocking, lossless",
        line: "STAMP  INFO send_email{task.id=\"abc12345\"}: ",
        open: fmt,
    },
];
/// What a line ends in.
const TEXT: &str = "Connecting to SMTP server host=\"smtp.example.com\" port=25\n";

const BURST: u64 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);
const WORK: [Work; 4] = [
    Work { what: "saturated, 1 thread", threads: 1, events: 600_000, in_bursts: false },
    Work { what: "saturated, 4 threads", threads: 4, events: 150_000, in_bursts: false },
    Work { what: "bursts, 1 thread", threads: 1, events: 40 * BURST, in_bursts: true },
    Work { what: "bursts, 4 threads", threads: 4, events: 40 * BURST, in_bursts: true },
];
/// A pipeline.
struct Case {
    name: &'static str,
    what: &'static str,
    /// How a line looks before its text.
    line: &'static str,
    /// The subscriber that writes to a file, and what completes the file when it is dropped.
    open: fn(fs::File) -> (Dispatch, Box<dyn Any>),
}

/// The length of `2026-01-01T12:00:00`.
const STAMP: usize = 19;

impl Case {
    fn line_length(&self) -> usize {
        self.line.len() - "STAMP".len() + STAMP + TEXT.len()
    }

    /// Returns whether a file holds so many of these lines, and nothing else.
    fn is_right(&self, path: &Path, lines: u64) -> io::Result<bool> {
        let bytes = fs::read(path)?;
        let (before, after) = self.line.split_once("STAMP").expect("each line has a time stamp");
        let length = self.line_length();
        let is_line = |line: &[u8]| {
            let stamp = &line[before.len()..][..STAMP];
            let (date, time) = (&stamp[..11], &stamp[11..]);
            line.starts_with(before.as_bytes())
                && (date.starts_with(b"20") && date.ends_with(b"T") && time[2] == b':' && time[5] == b':')
                && line[before.len() + STAMP..].strip_prefix(after.as_bytes()) == Some(TEXT.as_bytes())
        };
        Ok(bytes.len() as u64 == lines * length as u64 && bytes.chunks_exact(length).all(is_line))
    }
}

fn queue(file: fs::File) -> (Dispatch, Box<dyn Any>) {
    let (queue, guard) = SharedQueue::builder().spawn(file).expect("a thread can be made");
    (Dispatch::new(Registry::default().with(TaskLayer::new(queue))), Box::new(guard))
}

fn fmt(file: fs::File) -> (Dispatch, Box<dyn Any>) {
    let builder = tracing_appender::non_blocking::NonBlockingBuilder::default();
    let (writer, guard) = builder.lossy(false).finish(file);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_timer(UtcSeconds);
    (Dispatch::new(Registry::default().with(layer.with_writer(writer))), Box::new(guard))
}

/// What the threads of a run do.
struct Work {
    what: &'static str,
    threads: u64,
    /// Of each thread.
    events: u64,
    /// With a pause before each burst, and each call of every second burst timed. Else without a pause.
    in_bursts: bool,
}

fn enter_task() -> EnteredSpan {
    tracing::info_span!("send_email", task.id = "abc12345").entered()
}

fn log(events: u64, mut after_each: impl FnMut()) {
    for _ in 0..events {
        tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
        after_each();
    }
}

/// What a thread has used, and how long its calls took, in nanoseconds.
#[derive(Default)]
struct Used {
    cpu: f64,
    /// The events that this is about.
    events: u64,
    calls: Vec<f64>,
}

/// The part of one thread.
fn work(work: &Work) -> Used {
    let _entered = enter_task();
    let mut used = Used::default();
    let burst = if work.in_bursts { BURST } else { work.events };
    for n in 0..work.events / burst {
        if work.in_bursts {
            thread::sleep(PAUSE);
        }
        if n % 2 == 0 {
            let start = cpu_time(Of::Thread);
            log(burst, || ());
            used.cpu += cpu_time(Of::Thread) - start;
            used.events += burst;
        } else {
            let mut last = Instant::now();
            log(burst, || {
                let now = Instant::now();
                used.calls.push((now - last).as_nanos() as f64);
                last = now;
            });
        }
    }
    used
}

/// What a run has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    /// CPU of those who log, and of all threads, in nanoseconds an event.
    caller: f64,
    all: f64,
    /// Lines a second.
    rate: f64,
    /// Of one call, in nanoseconds: p50, p99, p99.9.
    calls: [f64; 3],
}

const QUANTILES: [f64; 3] = [0.5, 0.99, 0.999];

/// Has all events of this process go through a pipeline until what is returned is dropped.
fn start(case: &Case, path: &Path) -> io::Result<Box<dyn Any>> {
    let (subscriber, guard) = (case.open)(fs::OpenOptions::new().append(true).create_new(true).open(path)?);
    tracing::dispatcher::set_global_default(subscriber).expect("the first");
    Ok(guard)
}

/// Runs a case: a process has one run in it.
fn run(case: &Case, work: &Work, path: &Path) -> io::Result<Figures> {
    let guard = start(case, path)?;
    let events = work.threads * work.events;
    let barrier = Barrier::new(work.threads as usize + 1);
    let (start, cpu, mut used) = thread::scope(|scope| {
        let one = || {
            barrier.wait();
            self::work(work)
        };
        let threads: Vec<_> = (0..work.threads).map(|_| scope.spawn(one)).collect();
        barrier.wait();
        let (start, cpu) = (Instant::now(), cpu_time(Of::Process));
        let join = |thread: thread::ScopedJoinHandle<'_, Used>| thread.join().expect("no call panics");
        (start, cpu, threads.into_iter().map(join).collect::<Vec<_>>())
    });
    drop(guard);
    wait_for_bytes(path, events * case.line_length() as u64)?;
    let seconds = start.elapsed().as_secs_f64();
    let measured: u64 = used.iter().map(|used| used.events).sum();
    let mut calls: Vec<f64> = used.iter_mut().flat_map(|used| used.calls.drain(..)).collect();
    Ok(Figures {
        caller: used.iter().map(|used| used.cpu).sum::<f64>() / measured as f64,
        all: (cpu_time(Of::Process) - cpu) / events as f64,
        rate: events as f64 / seconds,
        calls: QUANTILES.map(|part| quantile(&mut calls, part)),
    })
}

/// Waits until the file is complete: after a second tracing-appender's guard leaves the rest to its thread.
fn wait_for_bytes(path: &Path, bytes: u64) -> io::Result<()> {
    let start = Instant::now();
    while fs::metadata(path)?.len() < bytes && start.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

impl Figures {
    /// As the process that was measured says them.
    fn say(&self) {
        let [p50, p99, p999] = self.calls;
        println!("{} {} {} {p50} {p99} {p999}", self.caller, self.all, self.rate);
    }

    fn heard(text: &str) -> Option<Self> {
        let numbers: Option<Vec<f64>> = text.split_whitespace().map(|number| number.parse().ok()).collect();
        let [caller, all, rate, p50, p99, p999] = numbers?.try_into().ok()?;
        Some(Figures { caller, all, rate, calls: [p50, p99, p999] })
    }
}

/// Runs a case in a process of its own.
fn measure(case: usize, work: usize, path: &Path) -> io::Result<Figures> {
    let (case, work) = (&CASES[case], (work, &WORK[work]));
    let mut command = Command::new(env::current_exe()?);
    let output = command.args(["measure", case.name, &work.0.to_string()]).arg(path).output()?;
    let figures = Figures::heard(&String::from_utf8_lossy(&output.stdout));
    let is_right = case.is_right(path, work.1.threads * work.1.events)?;
    fs::remove_file(path)?;
    match figures {
        Some(figures) if output.status.success() && is_right => Ok(figures),
        Some(_) if output.status.success() => Err(io::Error::other("the file doesn't hold its lines")),
        _ => Err(io::Error::other(format!("{output:?}"))),
    }
}

/// For each work and each case, the figures of each round.
type Rounds = [[Vec<Figures>; CASES.len()]; WORK.len()];

fn measure_all(folder: &Path) -> io::Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 0..ROUNDS {
        for (work, figures) in rounds.iter_mut().enumerate() {
            for turn in 0..CASES.len() {
                let case = (round + turn) % CASES.len();
                let error =
                    |error| io::Error::other(format!("{}, {}: {error}", CASES[case].what, WORK[work].what));
                figures[case].push(measure(case, work, &folder.join("tasks.log")).map_err(error)?);
            }
        }
    }
    Ok(rounds)
}

/// What is printed of a work.
struct Row {
    what: &'static str,
    of: fn(&Figures) -> f64,
    goal: Option<Goal>,
}

const CALLER: Row =
    Row { what: "caller's CPU, ns an event", of: |figures| figures.caller, goal: Some(Goal::AtMost(0.15)) };
const SATURATED: [Row; 3] = [
    CALLER,
    Row { what: "CPU of all threads", of: |figures| figures.all, goal: None },
    Row { what: "million lines/s", of: |figures| figures.rate / 1e6, goal: Some(Goal::AtLeast(7.0)) },
];
const BURSTS: [Row; 4] = [
    CALLER,
    Row { what: "one call, ns: p50", of: |figures| figures.calls[0], goal: None },
    Row { what: "p99", of: |figures| figures.calls[1], goal: None },
    Row { what: "p99.9", of: |figures| figures.calls[2], goal: None },
];

/// Prints the table. What it says about goals has no consequence.
fn print(rounds: &Rounds) {
    let [queue, fmt] = &CASES;
    println!(
        "{ROUNDS} interleaved rounds, medians; {}: {}; {}: {}\n",
        queue.name, queue.what, fmt.name, fmt.what
    );
    println!("{:<22}{:<26}{:>10}{:>10}{:>8}  goal", "", "", queue.name, fmt.name, "ratio");
    for (work, [queue, fmt]) in WORK.iter().zip(rounds) {
        let rows: &[Row] = if work.in_bursts { &BURSTS } else { &SATURATED };
        for (n, Row { what, of, goal }) in rows.iter().enumerate() {
            let name = if n == 0 { work.what } else { "" };
            let all = |figures: &[Figures]| median(figures.iter().map(of));
            let ratio = median(queue.iter().zip(fmt).map(|(queue, fmt)| of(queue) / of(fmt)));
            let verdict = goal.map(|goal| goal.judge(ratio)).unwrap_or_default();
            println!("{name:<22}{what:<26}{:>10.2}{:>10.2}{ratio:>8.3}  {verdict}", all(queue), all(fmt));
        }
    }
}

fn compare() -> io::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    print(&measure_all(folder.path())?);
    Ok(())
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a name that `list` prints")
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare()?,
        ["list"] => CASES.iter().for_each(|case| println!("{}", case.name)),
        [name, events] => {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
            let _guard = start(case(name), &folder.path().join("tasks.log"))?;
            let _entered = enter_task();
            log(events.parse().expect("a number of events"), || ());
        }
        ["measure", name, work, path] => {
            let work: usize = work.parse().expect("an index into `WORK`");
            run(case(name), &WORK[work], &PathBuf::from(path))?.say();
        }
        _ => panic!("expected nothing, `list`, or a case and a number of events"),
    }
    Ok(ExitCode::SUCCESS)
}

//! Prints what it costs that a `WatchedFile` watches its path, and what it would cost to look at the path for every line.
//!
//! ```text
//! watched                      compares the cases: `cargo bench --bench watched`
//! watched list                 the cases, one a line
//! watched CASE EVENTS          logs EVENTS events on the main thread, for strace to count
//! ```
//!
//! The same layer gets the same event in the same task; each line is written before its log call returns. What differs is
//! the writer. Each has a folder of its own below the target folder, so that they share the file system, and only the
//! `WatchedFile`'s folder is known to inotify. They share the process, too: because two threads of it watch, it has
//! several, as most programs have, and there every write costs the kernel somewhat more.
//!
//! They take turns, another one first each time, and a ratio is the median of the ratios of all rounds. It compares whole
//! events: the formatting and the write are in it.
//!
//! A goal that is missed fails nothing, because on a busy machine time proves nothing. A file that doesn't hold each of its
//! lines does.
#![allow(clippy::print_stdout)] // it is what a bench is for

use std::{
    env, fs, hint,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use tracing::{Dispatch, dispatcher};
use tracing_subscriber::{fmt::MakeWriter, prelude::*};
use tracing_tasklog::{
    TaskLayer, task_span,
    writer::{InstanceFile, WatchedFile},
};

const ROUNDS: usize = 201;
const EVENTS: u64 = 5_000;
const CASES: [Case; 4] = [
    Case { name: "watched", what: "WatchedFile", open: watched },
    Case { name: "unwatched", what: "InstanceFile, unlimited", open: unwatched },
    Case { name: "bare", what: "Mutex<File>, O_APPEND", open: bare },
    Case { name: "stat", what: "the same, a stat for every line", open: stat },
];
/// What `watched` is compared with, as an index into `CASES`, and the goal: how much of that it may cost.
const GOALS: [(usize, Option<f64>); 3] = [(1, Some(1.10)), (2, None), (3, Some(0.40))];

/// A writer, and the subscriber that writes to a path through it.
struct Case {
    name: &'static str,
    what: &'static str,
    open: fn(&Path) -> io::Result<Dispatch>,
}

fn dispatch(writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static) -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(TaskLayer::new(writer)))
}

fn watched(path: &Path) -> io::Result<Dispatch> {
    Ok(dispatch(WatchedFile::open(path)?))
}

/// The nearest that there is to the same writer unwatched: it has the same account, and the same care for fragments.
fn unwatched(path: &Path) -> io::Result<Dispatch> {
    Ok(dispatch(InstanceFile::builder(path).unlimited().build()?))
}

fn bare(path: &Path) -> io::Result<Dispatch> {
    Ok(dispatch(Mutex::new(append_to(path)?)))
}

fn append_to(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().append(true).create(true).open(path)
}

fn stat(path: &Path) -> io::Result<Dispatch> {
    Ok(dispatch(StatEachLine::open(path)?))
}

/// Does what Python's `WatchedFileHandler` does: for every line it looks whether the path still leads to the open file.
struct StatEachLine {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: fs::File,
    id: (u64, u64),
}

impl StatEachLine {
    fn open(path: &Path) -> io::Result<Self> {
        let open = Mutex::new(Open { file: append_to(path)?, id: id_of(path)? });
        Ok(StatEachLine { path: path.to_owned(), open })
    }
}

#[cfg(unix)]
fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Elsewhere std can't tell which file it is. To find out whether it is there costs about the same.
#[cfg(not(unix))]
fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|_| (0, 0))
}

impl<'a> MakeWriter<'a> for StatEachLine {
    type Writer = Turn<'a>;

    fn make_writer(&'a self) -> Turn<'a> {
        Turn { path: &self.path, open: self.open.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

struct Turn<'a> {
    path: &'a Path,
    open: MutexGuard<'a, Open>,
}

impl Write for Turn<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let id = id_of(self.path)?;
        if hint::black_box(id) != self.open.id {
            *self.open = Open { file: append_to(self.path)?, id };
        }
        self.open.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs `events` events in one task: the work that every case is measured by.
fn log(events: u64) {
    let _entered = task_span!("send_email", "abc12345").entered();
    for _ in 0..events {
        tracing::info!(host = "smtp.example.com", port = 25, "Connecting to SMTP server");
    }
}

/// What a line is after its time.
const TEXT: &str = "Connecting to SMTP server host=\"smtp.example.com\" port=25";

/// Returns whether the file holds so many of these lines, and nothing else.
fn holds(path: &Path, lines: u64) -> io::Result<bool> {
    let text = fs::read_to_string(path)?;
    let is_right = |line: &str| line.starts_with("[abc12345] [send_email] 20") && line.ends_with(TEXT);
    Ok(text.ends_with('\n') && text.lines().all(is_right) && text.lines().count() as u64 == lines)
}

/// What an event costs, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    /// User and system, of all threads.
    cpu: f64,
}

fn cost(subscriber: &Dispatch) -> Cost {
    let (cpu, start) = (cpu_time(), Instant::now());
    dispatcher::with_default(subscriber, || log(EVENTS));
    let wall = start.elapsed().as_nanos() as f64;
    Cost { wall: wall / EVENTS as f64, cpu: (cpu_time() - cpu) / EVENTS as f64 }
}

/// Nanoseconds that this process has run; not a number where there is no Linux to tell it.
fn cpu_time() -> f64 {
    thread::yield_now(); // the kernel brings its account of this thread up to date
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    let nanos = times.filter_map(|time| time.split(' ').next()?.parse::<f64>().ok());
    nanos.reduce(|sum, nanos| sum + nanos).unwrap_or(f64::NAN)
}

/// For each case, what it cost in each round.
type Rounds = [Vec<Cost>; CASES.len()];

fn measure(subscribers: &[Dispatch]) -> Rounds {
    let mut rounds = Rounds::default();
    for round in 0..=ROUNDS {
        for turn in 0..CASES.len() {
            let case = (round + turn) % CASES.len();
            rounds[case].push(cost(&subscribers[case]));
        }
    }
    rounds.map(|costs| costs[1..].to_vec()) // the first one warms up
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Prints the table. What it says about goals has no consequence.
fn print(rounds: &Rounds) {
    println!("{ROUNDS} interleaved rounds of {EVENTS} events, one write each, formatting included:\n");
    println!("{:<32}{:>8}{:>8}{:>8}", "ns an event", "median", "fastest", "CPU");
    for (Case { what, .. }, costs) in CASES.iter().zip(rounds) {
        let fastest = costs.iter().map(|cost| cost.wall).fold(f64::INFINITY, f64::min);
        let (wall, cpu) = (costs.iter().map(|cost| cost.wall), costs.iter().map(|cost| cost.cpu));
        println!("{what:<32}{:>8.0}{fastest:>8.0}{:>8.0}", median(wall), median(cpu));
    }
    println!("\n{:<32}{:>8}{:>8}{:>8}", "WatchedFile, as a part of", "median", "CPU", "goal");
    for (other, goal) in GOALS {
        let pairs = || rounds[0].iter().zip(&rounds[other]);
        let wall = median(pairs().map(|(watched, other)| watched.wall / other.wall));
        let cpu = median(pairs().map(|(watched, other)| watched.cpu / other.cpu));
        let verdict =
            goal.map(|goal| format!("{goal:8.2}  {}", if wall <= goal { "met" } else { "not met" }));
        println!("{:<32}{wall:>8.2}{cpu:>8.2}{}", CASES[other].what, verdict.unwrap_or_default());
    }
}

fn compare() -> io::Result<ExitCode> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let paths = CASES.map(|case| folder.path().join(case.name).join("tasks.log"));
    for path in &paths {
        fs::create_dir_all(path.with_file_name(""))?;
    }
    let opened = CASES.iter().zip(&paths).map(|(case, path)| (case.open)(path));
    let subscribers = opened.collect::<io::Result<Vec<_>>>()?;
    print(&measure(&subscribers));
    let mut code = ExitCode::SUCCESS;
    for (case, path) in CASES.iter().zip(&paths) {
        if !holds(path, (ROUNDS as u64 + 1) * EVENTS)? {
            println!("{}: the file doesn't hold its lines", case.what);
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// One case, for a tool that looks at it from outside.
fn run(name: &str, events: &str) -> io::Result<ExitCode> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let case = CASES.iter().find(|case| case.name == name).expect("a name that `list` prints");
    let subscriber = (case.open)(&folder.path().join("tasks.log"))?;
    dispatcher::with_default(&subscriber, || log(events.parse().expect("a number of events")));
    Ok(ExitCode::SUCCESS)
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["list"] => {
            CASES.iter().for_each(|case| println!("{}", case.name));
            Ok(ExitCode::SUCCESS)
        }
        [name, events] => run(name, events),
        _ => panic!("expected nothing, `list`, or a case and a number of events"),
    }
}

//! One run of a case: its workers, and what becomes of their lines.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tracing::span::EnteredSpan;

use crate::{
    cases::{CASES, Case, How, Place},
    figures::{Of, cpu_time, quantile},
};

pub(crate) const WORKERS: usize = 4;
const BURST: u64 = 1_000;
const PAUSE: Duration = Duration::from_millis(10);
pub(crate) const WORK: [Work; 2] = [
    Work { what: "saturated", events: 200_000, in_bursts: false },
    Work { what: "bursts of 1,000", events: 20 * BURST, in_bursts: true },
];

/// What each worker does.
pub(crate) struct Work {
    pub(crate) what: &'static str,
    events: u64,
    /// With a pause before each burst, and each call of every second burst timed. Else without a pause.
    pub(crate) in_bursts: bool,
}

impl Work {
    /// The events of one worker.
    pub(crate) fn events(&self, case: &Case) -> u64 {
        if self.in_bursts { self.events } else { self.events / case.one_of }
    }
}

/// What a run has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// CPU and wall time of those who log, in nanoseconds an event.
    pub(crate) caller: f64,
    pub(crate) wall: f64,
    /// Of one call, in nanoseconds: p50, p99.
    pub(crate) calls: [f64; 2],
    /// Lines a second, until the file is complete.
    pub(crate) rate: f64,
    /// CPU of the process that writes the file, in nanoseconds an event.
    pub(crate) writer: f64,
}

impl Figures {
    /// What a case has that isn't measured.
    pub(crate) const NONE: Figures =
        Figures { caller: f64::NAN, wall: f64::NAN, calls: [f64::NAN; 2], rate: f64::NAN, writer: f64::NAN };
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).expect("a name that `list` prints")
}

fn enter_task(worker: &str) -> EnteredSpan {
    tracing::info_span!("send_email", task.id = format!("worker-{worker}")).entered()
}

fn log(numbers: std::ops::Range<u64>, mut after_each: impl FnMut()) {
    for number in numbers {
        tracing::info!(host = "smtp.example.com", number, "Connecting to SMTP server");
        after_each();
    }
}

/// The part of a worker: says that it is ready, waits for a line, logs, and says what that has cost.
pub(crate) fn work(name: &str, work: &str, worker: &str, folder: &str, rings: &str) -> io::Result<()> {
    let How::Layer { open, .. } = case(name).how else { panic!("{name} has no workers of ours") };
    let work = &WORK[work.parse::<usize>().expect("an index into `WORK`")];
    tracing::dispatcher::set_global_default(open(&Place::new(folder, rings))?).expect("the first");
    let _entered = enter_task(worker);
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    let [cpu, wall, p50, p99] = log_all(work, work.events(case(name)));
    println!("{cpu} {wall} {p50} {p99}");
    Ok(())
}

/// Returns the CPU and the wall time of an event, and quantiles of one call.
fn log_all(work: &Work, events: u64) -> [f64; 4] {
    let burst = if work.in_bursts { BURST } else { events };
    let (mut cpu, mut wall, mut measured, mut calls) = (0.0, 0.0, 0, Vec::new());
    for n in 0..events / burst {
        let numbers = n * burst..(n + 1) * burst;
        if work.in_bursts {
            thread::sleep(PAUSE);
        }
        let mut last = Instant::now();
        if n % 2 == 0 {
            let start = cpu_time(Of::Process);
            log(numbers, || ());
            cpu += cpu_time(Of::Process) - start;
            wall += last.elapsed().as_nanos() as f64;
            measured += burst;
        } else {
            log(numbers, || {
                let now = Instant::now();
                calls.push((now - last).as_nanos() as f64);
                last = now;
            });
        }
    }
    let measured = measured as f64;
    [cpu / measured, wall / measured, quantile(&mut calls, 0.5), quantile(&mut calls, 0.99)]
}

/// A worker, ended at the latest when this is dropped.
struct Worker {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Worker {
    fn start(case: &Case, work: usize, number: usize, place: &Place) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["work", case.name, &work.to_string(), &number.to_string()]);
        command.args([&place.folder, &place.rings]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let says = BufReader::new(process.stdout.take().expect("it is piped"));
        Ok(Worker { process, says })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        Ok(line)
    }

    fn begin(&mut self) -> io::Result<()> {
        self.process.stdin.as_mut().expect("it is piped").write_all(b"\n")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it has said all it has to say, or the run has failed
        let _ = self.process.wait();
    }
}

fn numbers<const N: usize>(text: &str) -> io::Result<[f64; N]> {
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| io::Error::other(format!("{text:?} instead of {N} numbers")))
}

/// Runs a case, with a process for each worker.
pub(crate) fn run(case: &Case, work: usize, place: &Place) -> io::Result<Figures> {
    let figures = match case.how {
        How::Python => run_python(WORK[work].events(case), place),
        How::Layer { receive, .. } => {
            let finish = receive(place)?;
            run_layer(case, work, place, finish)
        }
    }?;
    if !case.is_null && !is_right(place, WORK[work].events(case))? {
        return Err(io::Error::other("the file doesn't hold its lines"));
    }
    Ok(figures)
}

fn run_layer(
    case: &Case,
    work: usize,
    place: &Place,
    finish: impl FnOnce() -> io::Result<()>,
) -> io::Result<Figures> {
    let start = |number| Worker::start(case, work, number, place);
    let mut workers = (0..WORKERS).map(start).collect::<io::Result<Vec<_>>>()?;
    for worker in &mut workers {
        if worker.line()? != "ready\n" {
            return Err(io::Error::other("a worker could not start"));
        }
    }
    let (start, cpu) = (Instant::now(), cpu_time(Of::Process));
    workers.iter_mut().try_for_each(Worker::begin)?;
    let said = workers.iter_mut().map(|worker| numbers(&worker.line()?)).collect::<io::Result<Vec<_>>>()?;
    finish()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time(Of::Process) - cpu);
    let mean = |at: usize| said.iter().map(|said: &[f64; 4]| said[at]).sum::<f64>() / WORKERS as f64;
    let lines = WORK[work].events(case) as f64 * WORKERS as f64;
    Ok(Figures {
        caller: mean(0),
        wall: mean(1),
        calls: [mean(2), mean(3)],
        rate: lines / seconds,
        writer: cpu / lines,
    })
}

fn python(arguments: &[&str]) -> io::Result<Output> {
    Command::new("python3").arg("-c").args(arguments).env_remove("PYTHONPATH").output()
}

/// Returns whether there is a Python to compare with.
pub(crate) fn has_python() -> bool {
    python(&["import multiprocessing"]).is_ok_and(|output| output.status.success())
}

fn run_python(events: u64, place: &Place) -> io::Result<Figures> {
    let (workers, events, log) = (WORKERS.to_string(), events.to_string(), place.log());
    let path = log.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let output = python(&[include_str!("queue.py"), &workers, &events, path])?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{output:?}")));
    }
    let [caller, wall, rate, writer] = numbers(&String::from_utf8_lossy(&output.stdout))?;
    Ok(Figures { caller, wall, rate, writer, ..Figures::NONE })
}

/// Returns whether the file holds each line of each worker once, whole and in order, and nothing else.
fn is_right(place: &Place, events: u64) -> io::Result<bool> {
    let mut text = String::new();
    fs::File::open(place.log())?.read_to_string(&mut text)?;
    let mut next = [0; WORKERS];
    let is_next = |line: &str| {
        let parsed = parse(line).filter(|&(worker, number)| next.get(worker) == Some(&number));
        parsed.inspect(|&(worker, _)| next[worker] += 1).is_some()
    };
    let is_whole = text.ends_with('\n');
    Ok(text.lines().all(is_next) && is_whole && next == [events; WORKERS])
}

/// Returns the worker and the number of a line.
fn parse(line: &str) -> Option<(usize, u64)> {
    let (worker, rest) = line.strip_prefix("[worker-")?.split_once("] [send_email] ")?;
    let (stamp, text) = rest.split_once(' ')?;
    let is_stamp = stamp.len() == "2026-01-01T12:00:00".len() && stamp.starts_with("20");
    let number = text.strip_prefix("Connecting to SMTP server host=\"smtp.example.com\" number=")?;
    is_stamp.then_some((worker.parse().ok()?, number.parse().ok()?))
}

/// One worker and the writer in this process.
pub(crate) fn alone(name: &str, events: u64) -> io::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let rings = crate::table::rings(None)?;
    let How::Layer { open, receive } = case(name).how else { panic!("{name} has no workers of ours") };
    let place = Place::new(folder.path(), rings.path());
    let finish = receive(&place)?;
    tracing::dispatcher::set_global_default(open(&place)?).expect("the first");
    let _entered = enter_task("0");
    log(0..events, || ());
    finish()
}

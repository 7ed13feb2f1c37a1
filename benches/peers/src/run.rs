//! One run of a candidate. It has a process to itself, in which its subscriber or logger is that of the whole process, as
//! programs have it.

use std::{
    env, io,
    path::Path,
    process::{Command, Output},
    sync::{Barrier, LazyLock},
    thread,
    time::{Duration, Instant},
};

use crate::{
    candidates::{self, Candidate, How},
    figures::{Figures, Metric, numbers, process_time, thread_time},
    lines::length,
    processes,
    work::{Bursts, Together, Used, Work},
};

/// How long a file may take to be complete: a pipeline that loses lines fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a candidate, and checks what it has written: so many events of each thread.
pub(crate) fn measure(candidate: &Candidate, work: &Work, events: u64, folder: &Path) -> io::Result<Figures> {
    let folder = tempfile::tempdir_in(folder)?;
    let log = folder.path().join("tasks.log");
    let figures = match &candidate.how {
        How::Threads(..) => measure_threads(candidate.name, work, events, &log),
        How::Processes(way) => processes::measure(candidate.name, way, work, events, &log),
        How::Python(script) => measure_python(script, work, events, &log),
    }?;
    candidate.line.map_or(Ok(()), |line| line.check(&log, work.threads * events))?;
    Ok(figures)
}

/// What a process that has ended well has printed.
pub(crate) fn said(output: Output) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    )))
}

fn measure_threads(name: &str, work: &Work, events: u64, log: &Path) -> io::Result<Figures> {
    let numbers = [work.threads, events, u64::from(work.in_bursts)].map(|number| number.to_string());
    let output = Command::new(env::current_exe()?).args(["run", name]).args(numbers).arg(log).output()?;
    Figures::heard(&said(output)?)
}

fn python(arguments: &[&str]) -> io::Result<Output> {
    Command::new("python3").arg("-c").args(arguments).env_remove("PYTHONPATH").output()
}

/// Returns whether there is a Python to compare with.
pub(crate) fn has_python() -> bool {
    static HAS: LazyLock<bool> = LazyLock::new(|| {
        let imported = python(&["import logging.handlers, multiprocessing"]);
        imported.is_ok_and(|output| output.status.success())
    });
    *HAS
}

fn measure_python(script: &str, work: &Work, events: u64, log: &Path) -> io::Result<Figures> {
    let (threads, events) = (work.threads.to_string(), events.to_string());
    let path = log.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let [caller, wall, all, rate] = numbers(&said(python(&[script, &threads, &events, path])?)?)?;
    Ok(Figures::new(&[
        (Metric::Caller, caller),
        (Metric::Wall, wall),
        (Metric::All, all),
        (Metric::Rate, rate / 1e6),
    ]))
}

/// The part of the process that `measure_threads` starts.
pub(crate) fn run(name: &str, numbers: [u64; 3], log: &Path) -> io::Result<()> {
    let [threads, events, in_bursts] = numbers;
    let candidate = candidates::find(name)?;
    let How::Threads(voice, open) = candidate.how else { panic!("{name} has no threads of ours") };
    let together = Together::new(threads, false);
    let bursts = Bursts { events, in_bursts: in_bursts != 0, cpu_time: thread_time, together: &together };
    let (ready, go) = (Barrier::new(threads as usize + 1), Barrier::new(threads as usize + 1));
    let finish = open(log)?;
    let (start, cpu, used) = thread::scope(|scope| {
        let one = || {
            ready.wait();
            go.wait();
            voice.log(bursts)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        ready.wait();
        let (start, cpu) = (Instant::now(), process_time());
        go.wait();
        let join = |thread: thread::ScopedJoinHandle<'_, Used>| thread.join().expect("no call panics");
        (start, cpu, threads.into_iter().map(join).collect::<Vec<_>>())
    });
    let events = threads * events;
    finish(events)?;
    candidate.line.map_or(Ok(()), |line| wait_for(log, line.bytes(events)))?;
    let waited: f64 = used.iter().map(|used| used.waited).sum();
    let (seconds, all) = (start.elapsed().as_secs_f64(), process_time() - cpu - waited);
    let figures = Figures::new(&Used::figures(used)).with(Metric::All, all / events as f64);
    let rate = if bursts.in_bursts { f64::NAN } else { events as f64 / seconds / 1e6 };
    println!("{}", figures.with(Metric::Rate, rate));
    Ok(())
}

/// Waits until the file has so many bytes. If it never has them, whoever counts its lines will say so.
fn wait_for(log: &Path, bytes: u64) -> io::Result<()> {
    let start = Instant::now();
    while length(log)? < bytes && start.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

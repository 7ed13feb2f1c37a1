//! One run of a candidate. It has a process to itself, in which its subscriber or logger is that of the whole process, as
//! programs have it.

use std::{
    env, fs, io,
    path::Path,
    process::Command,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::{
    candidates::{self, Candidate},
    figures::{Figures, Metric, process_time, quantile},
    work::{Bursts, Used, Work},
};

/// How long a file may take to be complete: a pipeline that loses lines fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a candidate in a process of its own, and checks what it has written.
pub(crate) fn measure(candidate: &Candidate, work: &Work, events: u64, folder: &Path) -> io::Result<Figures> {
    let folder = tempfile::tempdir_in(folder)?;
    let log = folder.path().join("tasks.log");
    let mut command = Command::new(env::current_exe()?);
    let numbers = [work.threads, events, u64::from(work.in_bursts)].map(|number| number.to_string());
    let output = command.args(["run", candidate.name]).args(numbers).arg(&log).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {}", output.status, said.trim_end())));
    }
    candidate.line.check(&log, work.threads * events)?;
    Figures::heard(&String::from_utf8_lossy(&output.stdout))
}

/// The part of that process.
pub(crate) fn run(name: &str, numbers: [u64; 3], log: &Path) -> io::Result<()> {
    let [threads, events, in_bursts] = numbers;
    let candidate = candidates::find(name)?;
    let bursts = Bursts { events, in_bursts: in_bursts != 0 };
    println!("{}", run_here(candidate, threads, bursts, log)?);
    Ok(())
}

fn run_here(candidate: &Candidate, threads: u64, bursts: Bursts, log: &Path) -> io::Result<Figures> {
    let finish = (candidate.open)(log)?;
    let events = (threads * bursts.events) as f64;
    let barrier = Barrier::new(threads as usize + 1);
    let (start, cpu, mut used) = thread::scope(|scope| {
        let one = || {
            barrier.wait();
            candidate.voice.log(bursts)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        barrier.wait();
        let (start, cpu) = (Instant::now(), process_time());
        let join = |thread: thread::ScopedJoinHandle<'_, Used>| thread.join().expect("no call panics");
        (start, cpu, threads.into_iter().map(join).collect::<Vec<_>>())
    });
    finish()?;
    wait_for(log, candidate.line.bytes(threads * bursts.events))?;
    let (seconds, all) = (start.elapsed().as_secs_f64(), process_time() - cpu);
    let sum = |of: fn(&Used) -> f64| used.iter().map(of).sum::<f64>();
    let measured = sum(|used| used.events as f64);
    let (cpu, wall) = (sum(|used| used.cpu), sum(|used| used.wall));
    let mut calls: Vec<f64> = used.iter_mut().flat_map(|used| used.calls.drain(..)).collect();
    let mut figures =
        vec![(Metric::Caller, cpu / measured), (Metric::Wall, wall / measured), (Metric::All, all / events)];
    if bursts.in_bursts {
        let parts = [(Metric::P50, 0.5), (Metric::P99, 0.99), (Metric::P999, 0.999)];
        figures.extend(parts.map(|(metric, part)| (metric, quantile(&mut calls, part))));
    } else {
        figures.push((Metric::Rate, events / seconds / 1e6));
    }
    Ok(Figures::new(&figures))
}

/// Waits until the file has so many bytes. If it never has them, whoever counts its lines will say so.
fn wait_for(log: &Path, bytes: u64) -> io::Result<()> {
    let start = Instant::now();
    while fs::metadata(log)?.len() < bytes && start.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

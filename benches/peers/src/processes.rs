//! One run with a process for each worker, all of them into one file.
//!
//! The workers begin at the same time. They log the same event through the same layer, but each with the number of the event,
//! in a task of its own; what differs is the way into the file. This process writes the file, where a worker doesn't do so itself.

mod ways;

use std::{
    cell::Cell,
    env,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Barrier,
    thread,
    time::Instant,
};

pub(crate) use self::ways::{ALL, APPEND, NULL, PYTHON, RING, Way};
use crate::{
    candidates::{self, How},
    figures::{Figures, Metric, process_time, thread_time},
    work::{Bursts, Together, Used, Work},
};

/// Where a run has its files.
pub(crate) struct Place {
    log: PathBuf,
    rings: PathBuf,
}

impl Place {
    fn socket(&self) -> PathBuf {
        self.log.with_file_name("socket")
    }
}

/// A folder for rings: where they belong, else beside the log.
fn rings(log: &Path) -> io::Result<tempfile::TempDir> {
    let shm = Path::new("/dev/shm");
    tempfile::tempdir_in(if shm.is_dir() { shm } else { log.parent().expect("a file is in a folder") })
}

pub(crate) fn measure(name: &str, way: &Way, work: &Work, events: u64, log: &Path) -> io::Result<Figures> {
    let rings = rings(log)?;
    let place = Place { log: log.to_owned(), rings: rings.path().to_owned() };
    let finish = (way.receive)(&place)?;
    let start = |number| Worker::start(name, work, events, number, &place);
    let mut workers = (0..work.processes()).map(start).collect::<io::Result<Vec<_>>>()?;
    for worker in &mut workers {
        if worker.line()? != "ready\n" {
            return Err(io::Error::other("a worker could not start"));
        }
    }
    let (start, cpu) = (Instant::now(), process_time());
    workers.iter_mut().try_for_each(Worker::begin)?;
    let said = workers.iter_mut().map(|worker| Figures::heard(&worker.line()?));
    let figures = Figures::mean(&said.collect::<io::Result<Vec<_>>>()?);
    finish()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), process_time() - cpu);
    let lines = (work.threads * events) as f64;
    let rate = if work.in_bursts { f64::NAN } else { lines / seconds / 1e6 };
    let all = figures.of(Metric::Caller) + cpu / lines;
    Ok(figures.with(Metric::All, all).with(Metric::Rate, rate))
}

/// A worker, ended at the latest when this is dropped.
struct Worker {
    process: Child,
    says: BufReader<ChildStdout>,
}

impl Worker {
    fn start(name: &str, work: &Work, events: u64, number: u64, place: &Place) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let numbers =
            [events, u64::from(work.in_bursts), number, work.threads_each].map(|number| number.to_string());
        command.args(["work", name]).args(numbers).args([&place.log, &place.rings]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
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

/// The part of a worker: says that it is ready, waits for a line, logs, and says what that has cost.
pub(crate) fn work(name: &str, numbers: [u64; 4], log: &Path, rings: &Path) -> io::Result<()> {
    let How::Processes(way) = &candidates::find(name)?.how else { panic!("{name} has no workers of ours") };
    let [events, in_bursts, worker, threads] = numbers;
    // What a way does on threads of its own is the caller's cost too, where that can be told from what other callers do.
    let cpu_time = if threads == 1 { process_time } else { thread_time };
    let together = Together::new(threads, true);
    let bursts = Bursts { events, in_bursts: in_bursts != 0, cpu_time, together: &together };
    (way.open)(&Place { log: log.to_owned(), rings: rings.to_owned() })?;
    let go = Barrier::new(threads as usize + 1);
    let used = thread::scope(|scope| {
        let one = |thread| {
            go.wait();
            log_numbered(worker * threads + thread, bursts)
        };
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        println!("ready");
        io::stdin().read_line(&mut String::new())?;
        go.wait();
        let join = |thread: thread::ScopedJoinHandle<'_, Used>| thread.join().expect("no call panics");
        io::Result::Ok(threads.into_iter().map(join).collect::<Vec<_>>())
    })?;
    println!("{}", Figures::new(&Used::figures(used)));
    Ok(())
}

/// Logs the events of one thread, which has a number among those of all workers.
fn log_numbered(worker: u64, bursts: Bursts<'_>) -> Used {
    let _entered = tracing::info_span!("send_email", task.id = format!("worker-{worker}")).entered();
    let next = Cell::new(0_u64);
    bursts.log(|| {
        let number = next.replace(next.get() + 1);
        tracing::info!(host = "smtp.example.com", number, "Connecting to SMTP server");
    })
}

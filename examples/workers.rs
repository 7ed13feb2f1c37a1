//! Prints what one log of many processes holds, beside what each of them knows to have logged: nothing is lost to `kill -9`.
//!
//! `cargo run --release --example workers -- [WORKERS]` (default: 4; on Unix). The parent has the [`Collector`], and with it
//! the one log file. It starts so many workers, which know the directory of the queue and never see the file. Each runs
//! tasks, with retries and failures, and notes in a small file of its own how many of its log calls have returned. Worker 1
//! has more to do than the others: it is killed by SIGKILL in the middle of something. Worker 2 leaves in the middle of a
//! task, by `process::exit`.
//!
//! Then the log is read, the rotated files too, and each worker's lines are compared, one by one, with those that it must
//! have logged. The program exits with status 1 if anything is not as it should be. The files are left in a new temporary
//! folder.
#![allow(clippy::print_stderr, reason = "a program tells its errors there")]

/// The queue for many processes is a feature, `multiprocess`. Without it this has cargo build the example again, and run it.
#[cfg(not(feature = "multiprocess"))]
fn main() -> std::io::Result<std::process::ExitCode> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["run", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    cargo.args(["--features", "multiprocess", "--example", "workers"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.arg("--").args(std::env::args_os().skip(1)).status()?;
    Ok(if status.success() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE })
}

#[cfg(all(feature = "multiprocess", not(unix)))]
fn main() {
    eprintln!("workers: a queue for many processes needs Unix");
    std::process::exit(1);
}

#[cfg(all(feature = "multiprocess", unix))]
fn main() -> std::process::ExitCode {
    workers::main()
}

#[cfg(all(feature = "multiprocess", unix))]
mod workers {
    use std::{
        env,
        error::Error,
        fs::{self, File},
        io::{self, Write as _},
        os::unix::{fs::FileExt as _, process::ExitStatusExt as _},
        path::{Path, PathBuf},
        process::{self, Child, Command, ExitCode},
        thread,
        time::{Duration, Instant},
    };

    use tracing::{Span, info};
    use tracing_subscriber::prelude::*;
    use tracing_tasklog::{
        TaskContext, TaskLayer, TaskSpanExt as _, continue_span, task_span, try_init,
        writer::{Collector, InstanceFile, SharedQueue},
    };

    mod log;

    use self::log::{Found, Log, fails, retries_of};

    /// How many tasks a worker runs. Number 2 leaves after half of them; number 1, which is killed, would run more.
    const TASKS: u64 = 5_000;
    /// How many mails each attempt of a task sends: a line for each.
    const MAILS: u64 = 4;
    /// How long worker 1 may take until it is killed.
    const LIMIT: Duration = Duration::from_secs(30);

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<_> = env::args().skip(1).collect();
        let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => run(4),
            ["worker", number, notes] => work(number, Path::new(notes)),
            [count] => match count.parse() {
                Ok(count @ 2..=100) => run(count),
                _ => Err(format!("expected a number of workers from 2 to 100, not {count:?}").into()),
            },
            _ => Err("usage: cargo run --release --example workers -- [WORKERS]".into()),
        };
        let Err(error) = result else { return ExitCode::SUCCESS };
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        eprintln!("workers: {error}{cause}");
        ExitCode::FAILURE
    }

    /// The parent: start the collector and the workers, kill one, read the log back, print, compare.
    fn run(count: u32) -> Result<(), Box<dyn Error>> {
        let folder = tempfile::Builder::new().prefix("tasklog-workers-").tempdir()?.keep();
        let queue = folder.join("queue"); // or /run/app/q
        let file =
            InstanceFile::builder(folder.join("tasks.log")).max_bytes(4 << 20).backups(10_000).build()?;
        let collector = Collector::builder(&queue).spawn(file.clone())?;
        let began = Instant::now();

        // To its own collector the parent is a worker like the others.
        let layer = TaskLayer::new(SharedQueue::connect(&queue)?).with_lifecycle(true);
        let subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        let workers = task_span!("campaign", "c1").try_run_task(|| {
            info!(count, "Starting workers");
            let context = TaskContext::current().map(|task| task.to_string()).unwrap_or_default();
            let workers: io::Result<Vec<_>> =
                (1..=count).map(|number| Worker::start(number, &folder, &queue, &context)).collect();
            let mut workers = workers?;
            workers[0].kill_in_the_middle()?;
            workers.iter_mut().try_for_each(Worker::wait)?;
            io::Result::Ok(workers)
        })?;
        drop(subscriber); // and with it the parent's end of the queue

        collector.flush(Duration::from_secs(10))?; // all that was logged is in the file
        let took = began.elapsed();
        let report = collector.shutdown(Duration::from_secs(10));
        let log = Log::read(file.path())?;
        let rings = fs::read_dir(&queue)?.flatten().filter(is_ring).count() as u64;
        let rows = [
            ("lines", log.lines, report.written),
            ("  of the parent's task", log.of_parent, 3 + u64::from(count)),
            ("  misplaced or missing", log.misplaced(), 0),
            ("  torn, or other", log.others, 0),
            ("dropped", report.dropped, 0),
            ("files", log.files, file.stats().rotations + 1),
            ("rings left", rings, 0),
        ];
        compare(&log, &workers, &rows)?;
        let (rate, live) = (log.lines as f64 / took.as_secs_f64(), file.path().display());
        print(format_args!("\n{} lines in {:.2} s, {rate:.0} a second\n", log.lines, took.as_secs_f64()))?;
        print(format_args!(
            "\nworth trying:\n  ls -rv '{live}'* | xargs grep -h '^\\[w1-77\\] \\|^\\[c1\\] '\n"
        ))
    }

    fn is_ring(entry: &fs::DirEntry) -> bool {
        entry.path().extension().is_some_and(|extension| extension == "ring")
    }

    /// A worker: all that it is told of the log is the directory of the queue.
    fn work(number: &str, notes: &Path) -> Result<(), Box<dyn Error>> {
        let guard = try_init(&env::var("TASKLOG_WRITER")?)?; // queue:…
        let context: TaskContext = env::var("CAMPAIGN")?.parse()?;
        continue_span!(context).in_scope(|| info!(number, "Worker is there")); // the tag of the parent's task

        let notes = File::create(notes)?;
        let mut sent = 0;
        let last = if number == "1" { 100 * TASKS } else { TASKS };
        for task in 1..=last {
            // Err: FAILED. The others go on.
            let _ = task_span!("send_mails", format!("w{number}-{task}")).try_run_task(|| {
                for attempt in 0..=retries_of(task) {
                    Span::current().record_retry(attempt);
                    for _ in 0..MAILS {
                        sent += 1;
                        info!(number = sent, "Sent");
                        notes.write_all_at(&u64::to_ne_bytes(sent), 0)?; // so much is promised
                    }
                }
                if number == "2" && task == TASKS / 2 {
                    process::exit(0); // the task reads INTERRUPTED
                }
                if fails(task) { Err(io::Error::other("no route to host")) } else { Ok(()) }
            });
        }
        drop(guard);
        Ok(())
    }

    /// What the parent knows of a worker.
    struct Worker {
        number: u32,
        process: Child,
        notes: PathBuf,
    }

    impl Worker {
        fn start(number: u32, folder: &Path, queue: &Path, context: &str) -> io::Result<Self> {
            let notes = folder.join(format!("returned-{number}"));
            let mut command = Command::new(env::current_exe()?);
            command.arg("worker").arg(number.to_string()).arg(&notes).env_remove("TASKLOG_LEVEL");
            command.env("TASKLOG_WRITER", format!("queue:{}", queue.display())).env("CAMPAIGN", context);
            Ok(Worker { number, process: command.spawn()?, notes })
        }

        /// How many log calls have returned to it, mails only.
        fn returned(&self) -> u64 {
            let notes = fs::read(&self.notes).ok().and_then(|notes| notes.try_into().ok());
            notes.map_or(0, u64::from_ne_bytes)
        }

        fn kill_in_the_middle(&mut self) -> io::Result<()> {
            let began = Instant::now();
            while self.returned() < TASKS * MAILS {
                if began.elapsed() > LIMIT || self.process.try_wait()?.is_some() {
                    return Err(io::Error::other("the worker that is to be killed doesn't work"));
                }
                thread::sleep(Duration::from_millis(1));
            }
            self.process.kill()
        }

        fn wait(&mut self) -> io::Result<()> {
            let status = self.process.wait()?;
            let is_right = if self.number == 1 { status.signal() == Some(9) } else { status.success() };
            if is_right {
                Ok(())
            } else {
                Err(io::Error::other(format!("worker {} ended with {status}", self.number)))
            }
        }

        fn end(&self) -> &'static str {
            match self.number {
                1 => "SIGKILL",
                2 => "process::exit",
                _ => "returned from main",
            }
        }

        /// Returns whether the log has of it what it has noted.
        fn is_all_there(&self, found: &Found) -> bool {
            let (returned, is_complete) = (self.returned(), found.is_complete());
            match self.number {
                1 => found.sent == returned || found.sent == returned + 1, // killed in a log call, or right behind it
                2 => found.sent == returned && found.tasks == TASKS / 2 && is_complete,
                _ => found.sent == returned && found.tasks == TASKS && is_complete,
            }
        }
    }

    /// An error ends the workers too.
    impl Drop for Worker {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    /// Prints what the log holds beside what is known. An error if they disagree.
    fn compare(log: &Log, workers: &[Worker], rows: &[(&str, u64, u64)]) -> Result<(), Box<dyn Error>> {
        print(format_args!("worker  its end                tasks  mails noted  in the log\n"))?;
        for worker in workers {
            let (number, end, noted) = (worker.number, worker.end(), worker.returned());
            let Found { tasks, sent, .. } = log.of_worker(number);
            print(format_args!("{number:<6}  {end:<18}{tasks:>10}{noted:>13}{sent:>12}\n"))?;
        }
        print(format_args!("\n{:<26}{:>10}{:>10}\n", "", "found", "expected"))?;
        for (what, found, expected) in rows {
            print(format_args!("{what:<26}{found:>10}{expected:>10}\n"))?;
        }
        if let Some((what, ..)) = rows.iter().find(|(_, found, expected)| found != expected) {
            return Err(format!("the log is wrong about {:?}", what.trim()).into());
        }
        match workers.iter().find(|worker| !worker.is_all_there(log.of_worker(worker.number))) {
            Some(worker) => Err(format!("the log is wrong about worker {}", worker.number).into()),
            None => Ok(()),
        }
    }

    fn print(text: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
        Ok(io::stdout().write_fmt(text)?)
    }
}

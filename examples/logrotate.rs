//! Prints what the files of one log hold, beside what they should hold: several processes wrote it while logrotate(8) rotated.
//!
//! `cargo run --release --example logrotate` needs logrotate (`apt-get install logrotate`) and no other user than you. It
//! prints a configuration that is ready for `/etc/logrotate.d`, but for the path, and has logrotate rotate by it four times a
//! second. Meanwhile several processes, each with a [`WatchedFile`] of its own, log tasks to the same path. Nobody
//! tells them of a rotation.
//!
//! At the end all files are read, the compressed ones too. Each worker has numbered its lines: every number must be there once,
//! and in order. The program exits with status 1 if anything is not as it should be. The files are left in a new
//! temporary folder.
#![allow(clippy::print_stderr, reason = "a program tells its errors there")]

use std::{
    cmp::Reverse,
    collections::HashMap,
    env,
    error::Error,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use flate2::read::GzDecoder;
use tracing::{info, level_filters::LevelFilter};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{
    TaskLayer, TaskSpanExt as _,
    line::{self, Body, Status},
    task_span,
    writer::WatchedFile,
};

/// What belongs into `/etc/logrotate.d/app`. A `postrotate` that tells the program is not needed.
const CONFIGURATION: &str = "\
/var/log/app/tasks.log {
    # tasks.log.1 to tasks.log.14: two weeks
    daily
    rotate 14
    # no error before the first line, no empty files
    missingok
    notifempty
    # the new file has the owner and the mode of the old one
    create
    # tasks.log.1 stays as it is: a process may be about to write a line to it
    compress
    delaycompress
}
";

/// How often the log is rotated. No more than `rotate` says, so that no line is thrown away.
const ROTATIONS: u64 = 12;
const PAUSE: Duration = Duration::from_millis(250);
const WORKERS: usize = 4;
/// How many numbered lines a task has, beside RUNNING and SUCCESS.
const MAILS: u64 = 8;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(),
        ["worker", number, path] => work(number, Path::new(path)),
        _ => Err("expected no arguments".into()),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    eprintln!("logrotate: {error}{cause}");
    ExitCode::FAILURE
}

/// The whole job: start the workers, rotate, stop them, read the log back, print, compare.
fn run() -> Result<(), Box<dyn Error>> {
    let logrotate = find_logrotate()?;
    let folder = tempfile::Builder::new().prefix("tasklog-logrotate-").tempdir()?.keep();
    let (live, configuration) = (folder.join("tasks.log"), folder.join("logrotate.conf"));
    let text = CONFIGURATION.replace("/var/log/app/tasks.log", &format!("\"{}\"", live.display()));
    // Mode 0600: run by root, logrotate ignores a configuration that others may write.
    tempfile::NamedTempFile::new_in(&folder)?.persist(&configuration)?;
    fs::write(&configuration, &text)?;
    print(format_args!("{text}\n{WORKERS} processes write, logrotate rotates {ROTATIONS} times\n\n"))?;

    let workers = (1..=WORKERS).map(|number| start(number, &live)).collect::<Result<Vec<_>, _>>()?;
    let complaints = rotate_often(&logrotate, &configuration, &live);
    let mut said = Said::default();
    workers.into_iter().try_for_each(|worker| said.add(worker))?;

    compare(&Log::read(&live)?, &said, complaints?)?;
    let (live, reopens, all) = (live.display(), said.reopens, ROTATIONS * WORKERS as u64);
    print(format_args!("\nthe processes followed {reopens} of {all} rotations\n"))?;
    print(format_args!("\nworth trying:\n  zgrep -h '^\\[w1-77\\] ' '{live}'*\n  tail -F '{live}'\n"))
}

/// One worker: logs tasks until its standard input ends, then says on standard output what it has logged.
fn work(number: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let file = WatchedFile::open(path)?; // no word about rotation here, and none below
    let layer = TaskLayer::new(file.clone()).with_lifecycle(true);
    let guard = layer.interrupt_on_drop();
    tracing_subscriber::registry().with(layer).with(LevelFilter::INFO).init();

    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        IS_OVER.store(true, Relaxed); // it orders nothing else
    });
    let mut tasks = 0;
    while !IS_OVER.load(Relaxed) {
        task_span!("send_email", format!("w{number}-{tasks}")).run_task(|| {
            for mail in 1..=MAILS {
                info!(number = tasks * MAILS + mail, "Sent");
            }
        });
        tasks += 1;
        thread::sleep(Duration::from_millis(2));
    }
    drop(guard);
    let stats = file.stats();
    print(format_args!("{tasks} {} {}\n", stats.accepted_lines, stats.reopens))
}

/// Whether a worker has to end.
static IS_OVER: AtomicBool = AtomicBool::new(false);

fn start(number: usize, live: &Path) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("worker").arg(number.to_string()).arg(live);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// What the workers say at their end, all together.
#[derive(Default)]
struct Said {
    tasks: u64,
    lines: u64,
    reopens: u64,
}

impl Said {
    /// Ends a worker, by the end of its standard input.
    fn add(&mut self, worker: Child) -> Result<(), Box<dyn Error>> {
        let output = worker.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers = text.split_whitespace().map(u64::from_str).collect::<Result<Vec<_>, _>>()?;
        let [tasks, lines, reopens] = numbers[..] else {
            return Err(format!("a worker said {text:?} and ended with {}", output.status).into());
        };
        *self =
            Said { tasks: self.tasks + tasks, lines: self.lines + lines, reopens: self.reopens + reopens };
        Ok(())
    }
}

/// Looks where it is installed, which for an ordinary user is not on the `PATH`.
fn find_logrotate() -> Result<PathBuf, Box<dyn Error>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let found = folders.map(|folder| folder.join("logrotate")).find(|program| program.is_file());
    found.ok_or("logrotate is not installed. On Debian: apt-get install logrotate".into())
}

/// Rotates again and again. Returns how many lines logrotate complained in.
fn rotate_often(logrotate: &Path, configuration: &Path, live: &Path) -> Result<u64, Box<dyn Error>> {
    let mut complaints = 0;
    for _ in 0..ROTATIONS {
        thread::sleep(PAUSE);
        wait_for_lines(live)?; // `notifempty`: an empty file would stay
        complaints += rotate(logrotate, configuration)?;
    }
    thread::sleep(PAUSE);
    Ok(complaints)
}

/// Waits until a worker has written to the live file, 10 s at most.
fn wait_for_lines(live: &Path) -> Result<(), Box<dyn Error>> {
    for _ in 0..10_000 {
        if fs::metadata(live).is_ok_and(|live| live.len() > 0) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(format!("nobody writes to {live:?}").into())
}

/// Rotates now, whatever the day. Returns how many lines logrotate complained in.
fn rotate(logrotate: &Path, configuration: &Path) -> Result<u64, Box<dyn Error>> {
    let mut command = Command::new(logrotate);
    command.arg("--force").arg("--state").arg(configuration.with_file_name("status"));
    let output = command.arg(configuration).output();
    let output = output.map_err(|error| format!("{logrotate:?} can't be run: {error}"))?;
    io::stderr().write_all(&output.stderr)?;
    if !output.status.success() {
        return Err(format!("{logrotate:?} ended with {}", output.status).into());
    }
    Ok(output.stderr.split_inclusive(|&byte| byte == b'\n').count() as u64)
}

/// What is read back: all files of the log together.
#[derive(Default)]
struct Log {
    files: u64,
    /// Such as `tasks.log-2026112123.backup`, which logrotate makes when a writer gets in its way.
    other_files: u64,
    lines: u64,
    tasks: u64,
    /// For each worker, how far its lines go without a gap.
    numbers: HashMap<String, u64>,
    /// Numbered lines that come twice, or behind a gap.
    misplaced: u64,
    /// What no worker has logged: torn lines, and those in which the writer says what is lost.
    others: u64,
}

impl Log {
    /// Reads all files that have the live file's name and something behind it, the oldest first.
    fn read(live: &Path) -> Result<Self, Box<dyn Error>> {
        let mut log = Log::default();
        let mut files = Vec::new();
        for entry in fs::read_dir(live.with_file_name(""))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let Some(suffix) = name.strip_prefix("tasks.log") else { continue };
            let number = suffix.strip_suffix(".gz").unwrap_or(suffix).strip_prefix('.').map(u64::from_str);
            match number {
                None if suffix.is_empty() => files.push((Reverse(0), name)),
                Some(Ok(number)) => files.push((Reverse(number), name)),
                _ => log.other_files += 1,
            }
        }
        files.sort();
        log.files = files.len() as u64;
        for (_, name) in files {
            let path = live.with_file_name(name);
            let text = read(&path).map_err(|error| format!("{path:?} can't be read: {error}"))?;
            text.split_inclusive('\n').for_each(|line| log.add(line));
        }
        Ok(log)
    }

    fn add(&mut self, text: &str) {
        self.lines += 1;
        let line = text.strip_suffix('\n').and_then(|line| line::parse(line).ok());
        match line.map(|line| (line.id.split_once('-'), line.body)) {
            Some((Some(_), Body::Lifecycle(Status::Running))) => {}
            Some((Some(_), Body::Lifecycle(Status::Success))) => self.tasks += 1,
            Some((Some((worker, _)), Body::Message(text))) => self.add_numbered(worker, text),
            _ => self.others += 1,
        }
    }

    fn add_numbered(&mut self, worker: &str, text: &str) {
        let last = self.numbers.entry(worker.to_owned()).or_default();
        match text.strip_prefix("Sent number=").map(u64::from_str) {
            Some(Ok(number)) if number == *last + 1 => *last = number,
            Some(Ok(_)) => self.misplaced += 1,
            _ => self.others += 1,
        }
    }
}

/// Reads a file, unpacked if it is compressed.
fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
    let mut file: Box<dyn Read> = if is_compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Prints what the log holds beside what the workers said. An error if they disagree.
fn compare(log: &Log, said: &Said, complaints: u64) -> Result<(), Box<dyn Error>> {
    let rows = [
        ("tasks with SUCCESS", log.tasks, said.tasks),
        ("lines", log.lines, said.lines),
        ("  numbered, in order", log.numbers.values().sum(), said.tasks * MAILS),
        ("  numbered, misplaced", log.misplaced, 0),
        ("  torn, or other", log.others, 0),
        ("files", log.files, ROTATIONS + 1),
        ("other files", log.other_files, 0),
        ("complaints of logrotate", complaints, 0),
    ];
    print(format_args!("{:<24}{:>10}{:>10}\n", "", "in the log", "expected"))?;
    for (what, found, expected) in rows {
        print(format_args!("{what:<24}{found:>10}{expected:>10}\n"))?;
    }
    match rows.iter().find(|(_, found, expected)| found != expected) {
        Some((what, ..)) => Err(format!("the log is wrong about {:?}", what.trim()).into()),
        None => Ok(()),
    }
}

fn print(text: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
    Ok(io::stdout().write_fmt(text)?)
}

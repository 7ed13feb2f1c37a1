//! Prints what a log of many tasks holds, beside what it should hold: one task for each file of a folder.
//!
//! `cargo run --example quickstart -- [DIR]` (default: this crate's own folder). Several threads read and hash the
//! files. A file that can't be read is tried again twice, then its task is FAILED. The log, which rotates several
//! times on the way, is left in a new temporary folder. All its files are parsed again and compared with what the
//! threads did and what the writer counted; the program exits with status 1 if they disagree.
#![allow(clippy::print_stderr, reason = "a program tells its errors there")]

use std::{
    collections::HashMap,
    env,
    error::Error,
    fs::{self, DirEntry, File},
    io::{self, Write},
    mem,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

use tracing::{Span, info, level_filters::LevelFilter, warn};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{
    TaskLayer, TaskSpanExt as _,
    line::{self, Body, Line, Status},
    task_span,
    writer::{InstanceFile, Stats},
};

/// How often a file that can't be read is tried again.
const RETRIES: u32 = 2;

const USAGE: &str = "usage: cargo run --example quickstart -- [DIR]";

fn main() -> ExitCode {
    let Err(error) = root().and_then(|root| run(&root)) else { return ExitCode::SUCCESS };
    eprintln!("quickstart: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("because: {cause}");
        source = cause.source();
    }
    ExitCode::FAILURE
}

/// Returns the folder that the argument names, or the default.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let root = match arguments.as_slice() {
        [] => Path::new(env!("CARGO_MANIFEST_DIR")),
        [root] => Path::new(root),
        _ => return Err(format!("expected one folder at most\n{USAGE}").into()),
    };
    match fs::metadata(root) {
        Ok(meta) if meta.is_dir() => Ok(root.to_owned()),
        Ok(_) => Err(format!("{root:?} is no folder\n{USAGE}").into()),
        Err(error) => Err(format!("{root:?} can't be found: {error}\n{USAGE}").into()),
    }
}

/// The whole job: find the files, run a task for each, read the log back, print, compare.
fn run(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut found = Found::under(root);
    let folder = tempfile::Builder::new().prefix("tasklog-quickstart-").tempdir()?.keep();
    found.files.push(folder.join("no-such-file")); // so that one task fails in any case
    let tasks = found.files.len();

    // A task writes about 300 bytes and at most 64,000, so the log rotates, and no backup is ever renamed over.
    let log = InstanceFile::builder(folder.join("tasks-{instance}.log"))
        .max_bytes(64 * (tasks + found.unreadable.len()) as u64)
        .backups(1000)
        .build()?;
    let layer = TaskLayer::new(log.clone()).with_lifecycle(true).with_outcome(true);
    let guard = layer.interrupt_on_drop(); // closes the tasks that a panic leaves open
    tracing_subscriber::registry().with(layer).with(LevelFilter::INFO).init();

    let (skipped, unreadable) = (found.skipped, found.unreadable.len());
    print(format_args!("{} files under {}, and one that does not exist\n", tasks - 1, root.display()))?;
    print(format_args!("left out: {skipped} links, FIFOs and devices, {unreadable} unreadable folders\n\n"))?;
    for (path, error) in &found.unreadable {
        warn!(?path, %error, "left out"); // outside any task: [-] [quickstart] …
    }
    let done = Done::default();
    run_tasks(&found.files, &done);
    drop(guard);

    let live = log.path().display();
    compare(&Log::read(log.path())?, &found, &done, &log.stats())?;
    print(format_args!(
        "\nworth trying:\n  ls -rv '{live}'* | xargs grep -h '^\\[f{tasks}\\] '\n  tail -F '{live}'\n"
    ))
}

/// What lies under a folder.
#[derive(Default)]
struct Found {
    files: Vec<PathBuf>,
    /// Symbolic links, which are not followed, and FIFOs, sockets and devices, which may never end.
    skipped: u64,
    unreadable: Vec<(PathBuf, io::Error)>,
}

impl Found {
    fn under(root: &Path) -> Self {
        let mut found = Found::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            match fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => entries.iter().for_each(|entry| found.add(&folder, entry, &mut folders)),
                Err(error) => found.unreadable.push((folder, error)),
            }
        }
        found.files.sort();
        found
    }

    fn add(&mut self, folder: &Path, entry: &DirEntry, folders: &mut Vec<PathBuf>) {
        let name = entry.file_name();
        match entry.file_type() {
            Ok(kind) if kind.is_file() => self.files.push(entry.path()),
            Ok(kind) if !kind.is_dir() => self.skipped += 1,
            Ok(_) if name == ".git" || (name == "target" && folder.join("Cargo.toml").exists()) => {}
            Ok(_) => folders.push(entry.path()),
            Err(error) => self.unreadable.push((entry.path(), error)),
        }
    }
}

/// How the tasks went, as the threads that ran them know it. (The counters order nothing else: Relaxed.)
#[derive(Default)]
struct Done {
    succeeded: AtomicU64,
    failed: AtomicU64,
    retries: AtomicU64,
}

/// Runs one task for each file, on several threads that share the list.
fn run_tasks(files: &[PathBuf], done: &Done) {
    let next = AtomicUsize::new(0);
    let take = || {
        let index = next.fetch_add(1, Relaxed);
        files.get(index).map(|path| (index + 1, path))
    };
    let work = || {
        while let Some((number, path)) = take() {
            let task = task_span!("hash_file", format!("f{number}"));
            let result = task.try_run_task(|| hash_file(path, done)); // Err: FAILED, with the error
            if result.is_ok() { &done.succeeded } else { &done.failed }.fetch_add(1, Relaxed);
        }
    };
    let threads = thread::available_parallelism().map_or(4, |cores| cores.get().clamp(4, 16));
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}

/// One task: logs what the file holds. The current span is the task's.
fn hash_file(path: &Path, done: &Done) -> io::Result<()> {
    info!(?path, "Hashing"); // Debug shows names that are not UTF-8 too
    let mut retry = 0;
    loop {
        match Contents::of(path) {
            Ok(Contents { bytes, lines, hash }) => {
                info!(bytes, lines, fnv1a = format_args!("{hash:016x}"), "Hashed");
                return Ok(());
            }
            Err(error) if retry == RETRIES => return Err(error),
            Err(error) => warn!(%error, "Could not be read"),
        }
        retry += 1;
        done.retries.fetch_add(1, Relaxed);
        Span::current().record_retry(retry);
    }
}

/// What a file holds; `hash` is FNV-1a of 64 bits.
struct Contents {
    bytes: u64,
    lines: u64,
    hash: u64,
}

impl Contents {
    fn of(path: &Path) -> io::Result<Self> {
        let mut contents = Contents { bytes: 0, lines: 0, hash: 0xcbf2_9ce4_8422_2325 };
        io::copy(&mut File::open(path)?, &mut contents)?;
        Ok(contents)
    }
}

impl Write for Contents {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            self.lines += u64::from(byte == b'\n');
        }
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is read back: all files of the log together.
#[derive(Default)]
struct Log {
    files: u64,
    bytes: u64,
    lines: u64,
    outside_tasks: u64,
    retries: u64,
    tasks: HashMap<String, Course>,
}

/// What a task's lines say about its course.
#[derive(Default)]
struct Course {
    begun: bool,
    closing: Option<Status>,
    /// Whether RUNNING was not the first line, the closing line not the last, or one of them came twice.
    out_of_order: bool,
}

impl Log {
    /// Reads the backups, the oldest first, and then the live file.
    fn read(live: &Path) -> Result<Self, Box<dyn Error>> {
        let backup = |number: u32| PathBuf::from(format!("{}.{number}", live.display()));
        let backups: Vec<_> = (1..).map(backup).take_while(|path| path.exists()).collect();
        let mut log = Log::default();
        for path in backups.iter().rev().map(PathBuf::as_path).chain([live]) {
            let text = fs::read_to_string(path)?;
            log.files += 1;
            log.bytes += text.len() as u64;
            for line in text.split_terminator('\n') {
                log.add(line::parse(line).map_err(|error| format!("{path:?}: {error}: {line}"))?);
            }
        }
        Ok(log)
    }

    fn add(&mut self, line: Line<'_>) {
        self.lines += 1;
        if line.id == "-" {
            self.outside_tasks += 1;
            return;
        }
        let course = self.tasks.entry(line.id.to_owned()).or_default();
        let in_order = match line.body {
            Body::Lifecycle(Status::Running) => !mem::replace(&mut course.begun, true),
            Body::Lifecycle(status) => course.begun && course.closing.replace(status).is_none(),
            _ => course.begun && course.closing.is_none(),
        };
        course.out_of_order |= !in_order;
        self.retries += u64::from(matches!(line.body, Body::Retry(_)));
    }

    /// How many tasks have one RUNNING, their first line, and one closing line, their last, with this status.
    fn complete(&self, status: Status) -> u64 {
        let complete = |task: &&Course| task.closing == Some(status) && !task.out_of_order;
        self.tasks.values().filter(complete).count() as u64
    }
}

/// Prints what the log holds beside what the program did and the writer counted. An error if they disagree.
fn compare(log: &Log, found: &Found, done: &Done, stats: &Stats) -> Result<(), Box<dyn Error>> {
    let rows = [
        ("tasks", log.tasks.len() as u64, found.files.len() as u64),
        ("  SUCCESS", log.complete(Status::Success), done.succeeded.load(Relaxed)),
        ("  FAILED", log.complete(Status::Failed), done.failed.load(Relaxed)),
        ("  INTERRUPTED", log.complete(Status::Interrupted), 0),
        ("retries", log.retries, done.retries.load(Relaxed)),
        ("lines", log.lines, stats.accepted_lines),
        ("  outside tasks", log.outside_tasks, found.unreadable.len() as u64),
        ("bytes", log.bytes, stats.bytes),
        ("files", log.files, stats.rotations + 1),
    ];
    print(format_args!("{:<16}{:>10}{:>10}\n", "", "in the log", "expected"))?;
    for (what, read, expected) in rows {
        print(format_args!("{what:<16}{read:>10}{expected:>10}\n"))?;
    }
    match rows.iter().find(|(_, read, expected)| read != expected) {
        Some((what, ..)) => Err(format!("the log is wrong about {:?}", what.trim()).into()),
        None => Ok(()),
    }
}

fn print(text: std::fmt::Arguments<'_>) -> Result<(), Box<dyn Error>> {
    Ok(io::stdout().write_fmt(text)?)
}

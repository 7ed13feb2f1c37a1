//! The program that scenarios start, and the scene that it is in.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{
    Error, TaskLayer, TaskSpanExt,
    line::parse,
    task_span,
    writer::{InstanceFile, TaskWriter},
};

use crate::support::{
    child::{Child, Output, role},
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};

/// How long a step of a program, or of a tool, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a program ends: before libtest prints anything more to a standard output that may be full. (0 would mean that no test ran.)
const DONE: i32 = 3;

/// A folder with the logs of programs.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) dir: Dir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Scene { dir: Dir::new() }
    }

    /// A scene in a folder that is there.
    pub(crate) fn below(folder: &Path) -> Self {
        Scene { dir: Dir::new_in(folder) }
    }

    /// The path of the log, as a text.
    pub(crate) fn log(&self) -> String {
        self.dir.path("tasks.log").display().to_string()
    }

    /// Runs a shell command in the folder, which must succeed. Returns what it prints.
    #[track_caller]
    pub(crate) fn sh(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).current_dir(self.dir.root());
        shell.env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default()));
        let output = shell.output().expect("sh can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {}: {said}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A program that logs by this spec, a step for each number of lines; in a later step of none it logs until the file `UNTIL` is
    /// there, which is the log if nothing else is said.
    pub(crate) fn program(&self, spec: &str, steps: &[u64]) -> Program<'_> {
        let steps = steps.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let settings =
            [("SPEC", spec.to_owned()), ("STEPS", steps), ("UNTIL", self.log())].into_iter().collect();
        Program { scene: self, worker: 0, shell: ":".to_owned(), settings }
    }

    /// Waits until a program has done its step, counted from 1.
    #[track_caller]
    pub(crate) fn wait_for(&self, worker: u32, step: usize) {
        let done = self.dir.path(&format!("done-{worker}-{step}"));
        wait_until(&format!("worker {worker} does step {step}"), PATIENCE, || done.exists());
    }

    /// Lets all programs go on to their next step.
    pub(crate) fn go(&self, step: usize) {
        self.dir.write(&format!("go-{step}"), "");
    }

    /// The counters that a program has left.
    #[track_caller]
    pub(crate) fn stats(&self, worker: u32) -> BTreeMap<String, u64> {
        let name = format!("stats-{worker}");
        wait_until("the program ends", PATIENCE, || self.dir.path(&name).exists());
        let text = self.dir.read(&name);
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.parse().expect("a number"))).collect()
    }

    /// All lines of these workers are in the log's files, each once.
    #[track_caller]
    pub(crate) fn assert_all_there(&self, workers: &[(u32, u64)]) {
        let expect =
            workers.iter().fold(Expect::new(), |expect, &(worker, lines)| expect.worker(worker, lines));
        LogFamily::of(self.dir.path("tasks.log")).verify(&expect.other_lines()).assert_clean();
    }
}

/// A program that is about to be started.
#[derive(Debug)]
pub(crate) struct Program<'s> {
    scene: &'s Scene,
    worker: u32,
    shell: String,
    settings: BTreeMap<&'static str, String>,
}

impl Program<'_> {
    /// Says which worker it is, whose lines it logs.
    pub(crate) fn worker(mut self, worker: u32) -> Self {
        self.worker = worker;
        self
    }

    /// Has the shell do something before: `ulimit -f 8`, or `exec setsid -f "$0" "$@"`.
    pub(crate) fn behind(mut self, shell: &str) -> Self {
        shell.clone_into(&mut self.shell);
        self
    }

    /// Sets a variable: `MAX_BYTES`, `BACKUPS`, `MODE` (octal), `SIZE` (bytes of a message), `MAX_LINE`, or any other.
    pub(crate) fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.settings.insert(key, value.to_string());
        self
    }

    pub(crate) fn start(self) -> Child {
        let child = Child::of_test_after("program::works", &self.shell);
        let child = child.env("SCENE", self.scene.dir.root()).env("WORKER", self.worker.to_string());
        self.settings.iter().fold(child, |child, (key, value)| child.env(key, value)).spawn()
    }

    /// Starts it and waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn run(self) -> Output {
        end(self.start())
    }

    /// Starts it. Returns why it could not log at all.
    #[track_caller]
    pub(crate) fn refusal(self) -> String {
        let scene = self.scene;
        let output = self.run();
        assert!(!scene.dir.path("stats-0").exists(), "it could log\n{output}");
        scene.dir.read("refused")
    }
}

/// Waits for the end of a program, which must be a good one.
#[track_caller]
pub(crate) fn end(program: Child) -> Output {
    let output = program.wait();
    assert_eq!(output.status.code(), Some(DONE), "{output}");
    output
}

/// Where [`Program::start`] leads to.
#[test]
fn works() {
    if !role("program::works") {
        return;
    }
    let setting = |name: &str| env::var(name).ok();
    let number = |name: &str| setting(name).map(|value| value.parse::<u64>().expect("a number"));
    let scene = PathBuf::from(setting("SCENE").expect("the scenario says where"));
    let worker = u32::try_from(number("WORKER").expect("it says who")).expect("a small number");
    let writer = match open(&setting("SPEC").expect("it says by what"), number) {
        Ok(writer) => writer,
        Err(error) => {
            fs::write(scene.join("refused"), format!("{error:?}")).expect("the disk has room");
            process::exit(DONE);
        }
    };
    let max_line = number("MAX_LINE").map_or(1 << 20, |bytes| bytes as usize);
    let layer = TaskLayer::new(writer.clone()).with_max_line(max_line);
    tracing_subscriber::registry().with(layer).init();
    let steps = setting("STEPS").expect("it says how many");
    let steps = steps.split(',').map(|lines| lines.parse::<u64>().expect("a number")).enumerate();
    let (size, mut n) = (number("SIZE").unwrap_or(20) as usize, 0);
    for (step, lines) in steps {
        if step > 0 {
            let go = scene.join(format!("go-{step}"));
            wait_until("the scenario says go", PATIENCE, || go.exists());
        }
        if lines == 0 && step > 0 {
            tick_until(&PathBuf::from(setting("UNTIL").expect("the scenario says until when")));
        }
        let log = || (n + 1..=n + lines).for_each(|n| tracing::info!("{}", numbered(worker, n, size)));
        task_span!("works", u64::from(worker)).run_task(log);
        n += lines;
        fs::write(scene.join(format!("done-{worker}-{}", step + 1)), "").expect("the disk has room");
    }
    writer.clone().flush().expect("what is queued is written in time");
    let stats = writer.stats();
    let text = format!(
        "accepted={} written={} dropped={} errors={} rotations={} reopens={} cut={}",
        stats.accepted_lines,
        stats.written_lines,
        stats.dropped_lines,
        stats.errors,
        stats.rotations,
        stats.reopens,
        stats.cut_lines
    );
    drop(writer);
    // In one step: who waits for it must not read half of it.
    fs::write(scene.join(format!("stats-{worker}.new")), text).expect("the disk has room");
    let named = fs::rename(scene.join(format!("stats-{worker}.new")), scene.join(format!("stats-{worker}")));
    named.expect("the folder is there");
    process::exit(DONE);
}

/// Logs lines that no scenario counts, a few milliseconds apart, until the file is there.
fn tick_until(path: &Path) {
    wait_until("a step of no lines ends", PATIENCE, || {
        tracing::info!("tick");
        path.is_file()
    });
}

/// Opens what the spec asks for; an instance file with the options that are set.
fn open(spec: &str, number: impl Fn(&str) -> Option<u64>) -> Result<TaskWriter, Error> {
    let Some(path) = spec.strip_prefix("instance:").filter(|_| number("MAX_BYTES").is_some()) else {
        return TaskWriter::open(spec);
    };
    let builder = InstanceFile::builder(path).max_bytes(number("MAX_BYTES").expect("it is set"));
    let builder = number("BACKUPS").into_iter().fold(builder, |builder, n| builder.backups(n as usize));
    let modes = env::var("MODE").ok().map(|mode| u32::from_str_radix(&mode, 8).expect("octal digits"));
    modes.into_iter().fold(builder, |builder, mode| builder.file_mode(mode)).build().map(TaskWriter::from)
}

/// The lines of a text that this crate has written; what libtest prints goes to stdout as well.
pub(crate) fn logged(text: &str) -> Vec<&str> {
    text.lines().filter(|line| parse(line).is_ok()).collect()
}

//! What the workers log, and what the log has of it.

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    vec,
};

use tracing_tasklog::line::{self, Body};

use super::{MAILS, TASKS};

pub(super) fn retries_of(task: u64) -> u32 {
    (task % 3) as u32
}

pub(super) fn fails(task: u64) -> bool {
    task.is_multiple_of(10)
}

/// What the lines of a worker's task say, from RUNNING on, if the worker had sent so many mails before.
fn course(worker: u32, task: u64, mut sent: u64) -> Vec<String> {
    let mut course = vec!["RUNNING".to_owned()];
    for attempt in 0..=retries_of(task) {
        course.extend((attempt > 0).then(|| format!("Retry {attempt}")));
        course.extend((sent + 1..=sent + MAILS).map(|number| format!("Sent number={number}")));
        sent += MAILS;
    }
    let end = match task {
        _ if worker == 2 && task == TASKS / 2 => "INTERRUPTED",
        _ if fails(task) => "FAILED",
        _ => "SUCCESS",
    };
    course.push(end.to_owned());
    course
}

/// What is read back: all files of the log together.
#[derive(Default)]
pub(super) struct Log {
    pub(super) files: u64,
    pub(super) lines: u64,
    pub(super) of_parent: u64,
    of_workers: BTreeMap<u32, Found>,
    nothing: Found,
    /// What nobody has logged: torn lines, and those that tell of lost ones.
    pub(super) others: u64,
}

/// What the log has of a worker.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tasks: u64,
    pub(super) sent: u64,
    /// What its next lines must say, up to the end of the task.
    next: vec::IntoIter<String>,
    /// Lines that say something else.
    misplaced: u64,
}

impl Log {
    /// Reads the backups, the oldest first, and then the live file.
    pub(super) fn read(live: &Path) -> Result<Self, Box<dyn Error>> {
        let backup = |number: u32| PathBuf::from(format!("{}.{number}", live.display()));
        let backups: Vec<_> = (1..).map(backup).take_while(|path| path.exists()).collect();
        let mut log = Log::default();
        for path in backups.iter().rev().map(PathBuf::as_path).chain([live]) {
            log.files += 1;
            fs::read_to_string(path)?.split_inclusive('\n').for_each(|line| log.add(line));
        }
        Ok(log)
    }

    pub(super) fn of_worker(&self, number: u32) -> &Found {
        self.of_workers.get(&number).unwrap_or(&self.nothing)
    }

    /// How many lines are not those that should be there: behind one that is missing, all of its worker.
    pub(super) fn misplaced(&self) -> u64 {
        self.of_workers.values().map(|worker| worker.misplaced).sum()
    }

    fn add(&mut self, text: &str) {
        self.lines += 1;
        let line = text.strip_suffix('\n').and_then(|line| line::parse(line).ok());
        let said = line.map(|line| match line.body {
            Body::Message(text) => text.to_owned(),
            Body::Lifecycle(status) => status.to_string(),
            Body::Retry(retry) => format!("Retry {retry}"),
            _ => String::new(), // torn
        });
        match line.map_or("", |line| line.id) {
            "c1" => self.of_parent += 1,
            id => match (worker_and_task(id), said) {
                (Some((worker, task)), Some(said)) => {
                    self.of_workers.entry(worker).or_default().add(worker, task, &said)
                }
                _ => self.others += 1,
            },
        }
    }
}

/// Takes the id of a worker's task apart.
fn worker_and_task(id: &str) -> Option<(u32, u64)> {
    let (worker, task) = id.strip_prefix('w')?.split_once('-')?;
    Some((worker.parse().ok()?, task.parse().ok()?))
}

impl Found {
    /// Returns whether the last task has its closing line.
    pub(super) fn is_complete(&self) -> bool {
        self.next.len() == 0
    }

    fn add(&mut self, worker: u32, task: u64, said: &str) {
        if self.is_complete() {
            self.tasks += 1;
            self.next = course(worker, self.tasks, self.sent).into_iter();
        }
        let is_right = self.next.next().as_deref() == Some(said) && task == self.tasks;
        self.misplaced += u64::from(!is_right);
        self.sent += u64::from(said.starts_with("Sent "));
    }
}

//! The lines of each task, and whether its life is complete.

use std::collections::HashMap;

use super::line::{Body, Tagged};

/// All lines that bear one tag.
#[derive(Clone, Debug, Default)]
pub struct TaskLines {
    pub id: String,
    pub name: String,
    /// How many RUNNING lines there are.
    pub running: usize,
    /// `SUCCESS`, `FAILED elapsed=1.204s`…: what the closing lines say after `-- `.
    pub closing: Vec<String>,
    /// The numbers of the retry separators.
    pub retries: Vec<u32>,
    /// All lines without their tag, in the log's order.
    pub lines: Vec<String>,
}

impl TaskLines {
    fn add(&mut self, rest: &str) {
        match Body::read(rest) {
            Body::Running => self.running += 1,
            Body::Closing(status) => self.closing.push(status.to_owned()),
            Body::Retry(n) => self.retries.push(n),
            Body::Numbered { .. } | Body::Torn(_) | Body::Other(_) => {}
        }
        self.lines.push(rest.to_owned());
    }

    /// How the task ended, if it says so once: `SUCCESS`, `FAILED` or `INTERRUPTED`.
    pub fn status(&self) -> Option<&str> {
        match self.closing.as_slice() {
            [closing] => closing.split(' ').next(),
            _ => None,
        }
    }

    /// What this task's life lacks: one RUNNING, which is its first line, one closing line, which is
    /// its last, and retries that count from 1 without a gap.
    pub fn faults(&self) -> Vec<String> {
        let is_running = |line: &String| Body::read(line) == Body::Running;
        let is_closing = |line: &String| matches!(Body::read(line), Body::Closing(_));
        let mut faults = Vec::new();
        if self.running != 1 {
            faults.push(format!("{} times RUNNING", self.running));
        } else if !self.lines.first().is_some_and(is_running) {
            faults.push("RUNNING is not the first line".to_owned());
        }
        if self.closing.len() != 1 {
            faults.push(format!("closed {} times {:?}", self.closing.len(), self.closing));
        } else if !self.lines.last().is_some_and(is_closing) {
            faults.push("lines after the closing one".to_owned());
        }
        if !self.retries.iter().copied().eq((1..).take(self.retries.len())) {
            faults.push(format!("retries {:?}", self.retries));
        }
        faults
    }
}

/// The tasks of a log in the order of their first lines. Lines outside any task (`[-]`) and lines
/// without a tag are left out.
#[derive(Clone, Debug)]
pub struct Tasks(Vec<TaskLines>);

impl Tasks {
    /// Groups whole lines by their tag.
    pub fn of(lines: &[String]) -> Self {
        let mut places = HashMap::new();
        let mut tasks: Vec<TaskLines> = Vec::new();
        for tagged in lines.iter().filter_map(|line| Tagged::split(line)).filter(|tagged| tagged.id != "-") {
            let place = *places.entry((tagged.id, tagged.name)).or_insert(tasks.len());
            if place == tasks.len() {
                let (id, name) = (tagged.id.to_owned(), tagged.name.to_owned());
                tasks.push(TaskLines { id, name, ..TaskLines::default() });
            }
            tasks[place].add(tagged.rest);
        }
        Self(tasks)
    }

    /// All of them.
    pub fn all(&self) -> &[TaskLines] {
        &self.0
    }

    /// The one task with this id, as shown. Panics when there is none or more than one.
    pub fn only(&self, id: &str) -> &TaskLines {
        let mut found = self.0.iter().filter(|task| task.id == id);
        let task = found.next().unwrap_or_else(|| panic!("no task [{id}]"));
        assert!(found.next().is_none(), "more than one task [{id}]");
        task
    }

    /// What all these lives lack, each fault with its task.
    pub fn faults(&self) -> Vec<String> {
        let named = |task: &TaskLines| {
            let TaskLines { id, name, .. } = task;
            task.faults().into_iter().map(|fault| format!("[{id}] [{name}]: {fault}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(named).collect()
    }

    /// Panics unless there are `count` tasks and each has exactly one RUNNING, its first line, and
    /// exactly one closing line, its last.
    pub fn assert_every_task_complete(&self, count: usize) -> &Self {
        let faults = self.faults();
        let shown = faults.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        assert!(faults.is_empty(), "{} faults\n  {shown}", faults.len());
        assert_eq!(self.0.len(), count, "tasks in the log");
        self
    }
}

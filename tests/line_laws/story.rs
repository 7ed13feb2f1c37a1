//! What a program may do to a task and log in it, told to a real layer, and the lines that must come of it.

use std::process;

use proptest::{collection::vec, prelude::*, sample::select};
use tracing::{Level, Span, field::Empty};
use tracing_subscriber::{filter::LevelFilter, fmt::time::FormatTime, prelude::*};
use tracing_tasklog::{
    IdFormat, TaskLayer, TaskSpanExt,
    line::{Parser, Status},
};

use crate::{
    capture::Capture,
    reference,
    texts::{id, text},
};

/// The target of events that have a static one.
const TARGET: &str = "my_app::mail";

/// The options of a layer.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) lifecycle: bool,
    pub(crate) outcome: bool,
    pub(crate) level: bool,
    pub(crate) target: bool,
    pub(crate) process: bool,
    pub(crate) span_fields: bool,
    pub(crate) full_id: bool,
    pub(crate) max_line: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// An event with fields: a `&str`, one through Display, one through Debug.
    Event {
        level: Level,
        message: String,
        fields: [String; 3],
    },
    /// A record of the `log` crate, which has any target.
    Record {
        level: Level,
        target: String,
        message: String,
    },
    Retry(u32),
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Quiet,
    Said(&'static str),
    Error(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Story {
    /// `None` outside any task.
    pub(crate) task: Option<(String, String)>,
    /// A field of the task's span.
    note: String,
    pub(crate) steps: Vec<Step>,
    end: End,
}

/// A line that must come, but for what is cut of its text.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) prefix: String,
    /// Everything before the text, which is never cut.
    pub(crate) head: String,
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Log { level: Option<Level>, target: Option<String> },
    Lifecycle(Status),
    Retry(u32),
}

pub(crate) fn any_form() -> impl Strategy<Value = Form> {
    let max_line = prop_oneof![3 => Just(1024 * 1024), 2 => 0..400_usize];
    (any::<[bool; 7]>(), max_line).prop_map(|(on, max_line)| Form {
        lifecycle: on[0],
        outcome: on[1],
        level: on[2],
        target: on[3],
        process: on[4],
        span_fields: on[5],
        full_id: on[6],
        max_line,
    })
}

pub(crate) fn any_story() -> impl Strategy<Value = Story> {
    let level = || select(&[Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE][..]);
    let step = prop_oneof![
        3 => (level(), text(), [text(), text(), text()])
            .prop_map(|(level, message, fields)| Step::Event { level, message, fields }),
        3 => (level(), text(), text())
            .prop_map(|(level, target, message)| Step::Record { level, target, message }),
        1 => prop_oneof![any::<u32>(), 0..3_u32].prop_map(Step::Retry),
    ];
    let end = prop_oneof![
        Just(End::Quiet),
        select(&["success", "failed", "interrupted"][..]).prop_map(End::Said),
        text().prop_map(End::Error),
    ];
    let task = proptest::option::weighted(0.85, (id(), text()));
    (task, text(), vec(step, 0..4), end).prop_map(|(task, note, steps, end)| Story { task, note, steps, end })
}

impl Form {
    pub(crate) fn parser(&self) -> Parser {
        Parser::new().with_level(self.level).with_target(self.target)
    }

    pub(crate) fn layer<T>(&self, writer: Capture, timer: T) -> TaskLayer<Capture, T> {
        TaskLayer::new(writer)
            .with_timer(timer)
            .with_min_level(LevelFilter::TRACE)
            .with_lifecycle(self.lifecycle)
            .with_outcome(self.outcome)
            .with_level(self.level)
            .with_target(self.target)
            .with_process(self.process)
            .with_span_fields(self.span_fields)
            .with_id_format(if self.full_id { IdFormat::Full } else { IdFormat::Short })
            .with_max_line(self.max_line)
    }
}

impl Story {
    /// Tells the story to a layer and returns its lines.
    pub(crate) fn tell<T: FormatTime + Send + Sync + 'static>(&self, form: &Form, timer: T) -> Vec<String> {
        let capture = Capture::default();
        let registry = tracing_subscriber::registry().with(form.layer(capture.clone(), timer));
        tracing::subscriber::with_default(registry, || match &self.task {
            None => self.steps.iter().for_each(Step::take),
            Some((id, name)) => self.run_task(tracing::error_span!(
                "story",
                task.id = %id,
                task.name = name.as_str(),
                task.retry = Empty,
                task.status = Empty,
                note = %self.note,
            )),
        });
        capture.lines()
    }

    fn run_task(&self, span: Span) {
        let end = span.try_run_task(|| {
            self.steps.iter().for_each(Step::take);
            match &self.end {
                End::Quiet => Ok(()),
                End::Said(status) => {
                    Span::current().record("task.status", status);
                    Ok(())
                }
                End::Error(error) => Err(error.as_str()),
            }
        });
        assert_eq!(end.is_err(), matches!(self.end, End::Error(_)));
    }

    /// The lines that must come if the timer prints `stamp`, with every time elapsed as `0.000s`.
    pub(crate) fn expected(&self, form: &Form, stamp: &str) -> Vec<Expected> {
        let steps = self.steps.iter().filter_map(|step| match step {
            Step::Retry(0) => None,
            Step::Retry(_) if self.task.is_none() => None,
            Step::Retry(number) => Some(self.expected_retry(form, *number)),
            step => Some(self.expected_log(form, stamp, step)),
        });
        let has_lifecycle = form.lifecycle && self.task.is_some();
        let running = has_lifecycle.then(|| self.expected_lifecycle(form, stamp, Status::Running));
        let closing = has_lifecycle.then(|| self.expected_lifecycle(form, stamp, self.closing()));
        running.into_iter().chain(steps).chain(closing).collect()
    }

    fn closing(&self) -> Status {
        match &self.end {
            End::Said("failed") | End::Error(_) => Status::Failed,
            End::Said("interrupted") => Status::Interrupted,
            _ => Status::Success,
        }
    }

    /// `[id] [name] ` of the story's task; outside any task `name` is the target.
    fn prefix(&self, form: &Form, target: &str) -> String {
        let (id, name) = match &self.task {
            Some((id, name)) if form.full_id => (id.clone(), name.as_str()),
            Some((id, name)) => (reference::short_id(id), name.as_str()),
            None => ("-".to_owned(), target),
        };
        format!("[{}] [{}] ", reference::tag(&id), reference::tag(name))
    }

    fn expected_retry(&self, form: &Form, number: u32) -> Expected {
        let prefix = self.prefix(form, "");
        let head = format!("{prefix}--- Retry {number} ---");
        Expected { prefix, head, text: String::new(), kind: Kind::Retry(number) }
    }

    fn expected_lifecycle(&self, form: &Form, stamp: &str, status: Status) -> Expected {
        let prefix = self.prefix(form, "");
        let mut head = format!("{prefix}{}-- {status}", shown_stamp(stamp));
        let mut text = String::new();
        if form.outcome && status != Status::Running {
            head += " elapsed=0.000s";
            if let End::Error(error) = &self.end {
                head += " error=\"";
                text += &reference::text(&format!("{error:?}"))[1..];
            }
        }
        Expected { prefix, head, text, kind: Kind::Lifecycle(status) }
    }

    fn expected_log(&self, form: &Form, stamp: &str, step: &Step) -> Expected {
        let (level, target, mut parts) = step.parts();
        if form.span_fields && self.task.is_some() {
            parts.push(format!("note={}", self.note));
        }
        if form.process {
            parts.push(format!("pid={}", process::id()));
        }
        parts.retain(|part| !part.is_empty());
        let prefix = self.prefix(form, target);
        let target = (form.target && !prefix.starts_with("[-] ")).then(|| reference::target(target));
        let mut head = prefix.clone() + &shown_stamp(stamp);
        if form.level {
            head += &format!("{level} ");
        }
        if let Some(target) = &target {
            head += &format!("{target}: ");
        }
        let kind = Kind::Log { level: form.level.then_some(level), target };
        Expected { prefix, head, text: reference::text(&parts.join(" ")), kind }
    }
}

/// A timer's text and the space behind it, which an empty one has not.
fn shown_stamp(stamp: &str) -> String {
    if stamp.is_empty() { String::new() } else { reference::text(stamp) + " " }
}

impl Step {
    /// Level, target, and the message and fields of a line.
    fn parts(&self) -> (Level, &str, Vec<String>) {
        match self {
            Step::Event { level, message, fields: [text, shown, inner] } => {
                let fields = [format!("text={text:?}"), format!("shown={shown}"), format!("inner={inner:?}")];
                (*level, TARGET, [message.clone()].into_iter().chain(fields).collect())
            }
            Step::Record { level, target, message } => {
                let target = if cfg!(feature = "tracing-log") { target } else { "log" };
                (*level, target, vec![message.clone()])
            }
            Step::Retry(_) => unreachable!("a separator has no parts"),
        }
    }

    fn take(&self) {
        match self {
            Step::Event { level, message, fields } => log_event(*level, message, fields),
            Step::Record { level, target, message } => log_record(*level, target, message),
            Step::Retry(number) => {
                Span::current().record("task.retry", number);
            }
        }
    }
}

fn log_event(level: Level, message: &str, [text, shown, inner]: &[String; 3]) {
    macro_rules! at {
        ($level:expr) => {
            tracing::event!(target: TARGET, $level, text = text.as_str(), shown = %shown, inner = ?inner, "{message}")
        };
    }
    match level {
        Level::ERROR => at!(Level::ERROR),
        Level::WARN => at!(Level::WARN),
        Level::INFO => at!(Level::INFO),
        Level::DEBUG => at!(Level::DEBUG),
        Level::TRACE => at!(Level::TRACE),
    }
}

fn log_record(level: Level, target: &str, message: &str) {
    let level = match level {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    };
    let mut record = log::Record::builder();
    let logged = tracing_log::format_trace(
        &record.level(level).target(target).args(format_args!("{message}")).build(),
    );
    logged.expect("tracing-log never fails");
}

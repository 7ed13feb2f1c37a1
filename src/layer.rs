//! `TaskLayer`: its options, and the callbacks, which find the task and pass the rest on.

mod callbacks;
mod event;
mod unwinding;

use std::{fmt, sync::Arc};

use tracing::level_filters::LevelFilter;

use crate::{
    clock::UtcSeconds,
    line::IdFormat,
    sink::{Options, Output, Takers},
    sys,
    task::{InterruptGuard, LayerMark, OpenTasks},
};

/// A [`Layer`](tracing_subscriber::Layer) that writes the lines of tasks.
///
/// A task is a span with a field `task.id`. Every event in it, in its child spans, on other threads and behind every
/// `.await` becomes one line with the task's tag; with [`with_lifecycle`](TaskLayer::with_lifecycle) the task's
/// transitions become lines too. Each line is one `write_all` to the writer, which is any
/// [`MakeWriter`](tracing_subscriber::fmt::MakeWriter): a [writer of this crate](crate::writer),
/// `std::io::stdout`, a `Mutex<File>`, combinators of them.
///
/// The layer gives no hint about levels to the subscriber, because that would blind other layers: events below
/// [`with_min_level`](TaskLayer::with_min_level) still reach it. Put a
/// [`LevelFilter`] beside it to have them filtered at their callsite.
///
/// Logging never panics: a panic in a value's `Display`, in the timer or in the writer ends in the layer; the line
/// says so where it can, stderr does once in 10 s. An error that the writer returns is told the same way.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::{filter::LevelFilter, prelude::*};
/// use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span};
///
/// let layer = TaskLayer::new(std::io::stdout).with_lifecycle(true);
/// tracing_subscriber::registry().with(layer).with(LevelFilter::INFO).init();
///
/// task_span!("send_email", "abc12345").run_task(|| {
///     tracing::info!(host = "mx1", "Connecting to SMTP server");
/// });
/// // [abc12345] [send_email] 2026-01-01T12:00:00 -- RUNNING
/// // [abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server host="mx1"
/// // [abc12345] [send_email] 2026-01-01T12:00:00 -- SUCCESS
/// ```
pub struct TaskLayer<W, T = UtcSeconds> {
    mark: Arc<LayerMark>,
    output: Arc<Output<W, T>>,
}

impl<W> TaskLayer<W> {
    /// Returns a layer that writes to `writer`, with every option at its default.
    pub fn new(writer: W) -> Self {
        sys::watch_forks();
        TaskLayer {
            mark: LayerMark::new(),
            output: Arc::new(Output {
                writer: Arc::new(writer),
                timer: Arc::new(UtcSeconds),
                options: Options::default(),
                open_tasks: OpenTasks::new(),
                takers: Takers::default(),
            }),
        }
    }
}

impl<W, T> TaskLayer<W, T> {
    /// Says whether the transitions of tasks are written: RUNNING, SUCCESS, FAILED, INTERRUPTED (default: false).
    ///
    /// Retry separators are written in any case.
    #[must_use]
    pub fn with_lifecycle(self, lifecycle: bool) -> Self {
        self.with(|options| options.lifecycle = lifecycle)
    }

    /// Says whether closing lines tell how long the task ran and why it failed (default: false):
    /// `-- FAILED elapsed=1.204s error="timed out"`.
    ///
    /// The time counts from RUNNING. The error is the `Display` of what `#[instrument(err)]`,
    /// [`try_in_task`](crate::TaskFutureExt::try_in_task) or [`try_run_task`](crate::TaskSpanExt::try_run_task)
    /// saw, in Debug quotes, on FAILED only. (`#[instrument(err)]` logs the error as well, in a line of its own.)
    /// Needs [`with_lifecycle`](TaskLayer::with_lifecycle).
    #[must_use]
    pub fn with_outcome(self, outcome: bool) -> Self {
        self.with(|options| options.outcome = outcome)
    }

    /// Leaves out events below a level, and lifecycle lines by their natural level: FAILED is ERROR, INTERRUPTED is
    /// WARN, RUNNING and SUCCESS are INFO (default: INFO).
    ///
    /// Retry separators and tags are never left out. The subscriber is given no hint, so that other layers see
    /// what they saw before.
    #[must_use]
    pub fn with_min_level(self, level: impl Into<LevelFilter>) -> Self {
        self.with(|options| options.min_level = level.into())
    }

    /// Takes another timer: any [`FormatTime`](tracing_subscriber::fmt::time::FormatTime) (default: [`UtcSeconds`]).
    ///
    /// `()` prints none. [`line::parse`](crate::line::parse) reads timestamps like `2026-01-01T12:00:00`, with or
    /// without a fraction and a zone; others are for people.
    #[must_use]
    pub fn with_timer<T2>(self, timer: T2) -> TaskLayer<W, T2> {
        let options = self.output.options.clone();
        self.with_output(Arc::new(timer), options)
    }

    /// Says whether log lines bear their level (default: false): `…12:00:00 WARN msg`.
    #[must_use]
    pub fn with_level(self, level: bool) -> Self {
        self.with(|options| options.level = level)
    }

    /// Says whether log lines bear their target (default: false): `…12:00:00 my::mod: msg`.
    ///
    /// Lines whose id shows as `-` bear it in the place of the name already, if at all.
    #[must_use]
    pub fn with_target(self, target: bool) -> Self {
        self.with(|options| options.target = target)
    }

    /// Says whether log lines end in the number of the process (default: false): `… pid=123`.
    #[must_use]
    pub fn with_process(self, process: bool) -> Self {
        self.with(|options| options.process = process)
    }

    /// Says whether log lines show the task span's own fields after the event's (default: false).
    ///
    /// A field that is recorded again shows its last value. Reserved fields are left out.
    #[must_use]
    pub fn with_span_fields(self, span_fields: bool) -> Self {
        self.with(|options| options.span_fields = span_fields)
    }

    /// Says whether events outside any task are written, as `[-] [<target>] …` (default: true).
    #[must_use]
    pub fn with_untagged(self, untagged: bool) -> Self {
        self.with(|options| options.untagged = untagged)
    }

    /// Says how ids are shown (default: [`IdFormat::Short`]).
    #[must_use]
    pub fn with_id_format(self, format: IdFormat) -> Self {
        self.with(|options| options.id_format = format)
    }

    /// Sets how many bytes a line may have, its LF included (default: 1 MiB).
    ///
    /// The text of a longer one is cut at a character and ends in ` [cut N bytes]`; so is the error of an outcome.
    /// Tag, timestamp, status and separators are never cut, so a line may stay longer than a very small limit.
    /// The writers of this crate count cut lines in their stats.
    #[must_use]
    pub fn with_max_line(self, bytes: usize) -> Self {
        self.with(|options| options.max_line = bytes)
    }

    /// Returns a guard that closes the layer's open tasks as INTERRUPTED when it is dropped.
    ///
    /// Setters that are called later still count. Needs [`with_lifecycle`](TaskLayer::with_lifecycle).
    ///
    /// ```
    /// use tracing_subscriber::prelude::*;
    /// use tracing_tasklog::TaskLayer;
    ///
    /// let layer = TaskLayer::new(std::io::stdout).with_lifecycle(true);
    /// let _guard = layer.interrupt_on_drop();
    /// tracing_subscriber::registry().with(layer).init();
    /// ```
    pub fn interrupt_on_drop(&self) -> InterruptGuard {
        InterruptGuard::new(&self.output.open_tasks)
    }

    /// The layer with other options.
    fn with(self, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = self.output.options.clone();
        change(&mut options);
        let timer = Arc::clone(&self.output.timer);
        self.with_output(timer, options)
    }

    /// The layer with another timer and options. What its tasks hold already stays as it is.
    fn with_output<T2>(self, timer: Arc<T2>, options: Options) -> TaskLayer<W, T2> {
        let output = Output {
            writer: Arc::clone(&self.output.writer),
            timer,
            options,
            open_tasks: Arc::clone(&self.output.open_tasks),
            takers: Takers::default(),
        };
        TaskLayer { mark: self.mark, output: Arc::new(output) }
    }
}

impl<W, T> fmt::Debug for TaskLayer<W, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLayer").field("options", &self.output.options).finish_non_exhaustive()
    }
}

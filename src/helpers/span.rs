//! Running synchronous code in a task, and retries.

use std::fmt::Display;

use tracing::Span;

use crate::{line::Status, task::task_of_handle, visit::to_text};

/// What a task's [`Span`] can do: works on any span with `task.id`, whether or not it declares the other reserved
/// fields, under any layers and wrappers, as long as the registry is tracing-subscriber's.
///
/// On a span that is no task, or that a filter has disabled, the functions just run.
pub trait TaskSpanExt {
    /// Runs `f` in the task. The task ends when `f` returns, if this is the span's last handle.
    ///
    /// A panic that leaves `f` makes it FAILED.
    ///
    /// ```
    /// use tracing_tasklog::{TaskSpanExt, task_span};
    ///
    /// let sum = task_span!("add", 7).run_task(|| 1 + 2);
    /// assert_eq!(sum, 3);
    /// ```
    fn run_task<R>(self, f: impl FnOnce() -> R) -> R;

    /// Runs `f` in the task, which is FAILED if `f` returns `Err`; `Ok` says nothing about it.
    ///
    /// # Errors
    ///
    /// What `f` returns.
    ///
    /// ```
    /// use tracing_tasklog::{TaskSpanExt, task_span};
    ///
    /// let port = task_span!("configure", 7).try_run_task(|| "many".parse::<u16>());
    /// assert!(port.is_err()); // -- FAILED
    /// ```
    fn try_run_task<R, E: Display>(self, f: impl FnOnce() -> Result<R, E>) -> Result<R, E>;

    /// Records retry `number`: writes `--- Retry n ---` and forgets the failure of the attempt before.
    ///
    /// 0 is ignored. In a task that another process began, the number is kept for
    /// [`TaskContext`](crate::TaskContext) and nothing is written.
    ///
    /// ```
    /// use tracing_tasklog::{TaskSpanExt, task_span};
    ///
    /// fn fetch(attempt: u32) -> Result<u32, String> {
    ///     if attempt < 2 { Err("no route to host".to_owned()) } else { Ok(7) }
    /// }
    ///
    /// let fetched = task_span!("fetch", "abc12345").try_run_task(|| {
    ///     let mut attempt = 0;
    ///     loop {
    ///         match fetch(attempt) {
    ///             Err(error) if attempt < 3 => tracing::warn!(error, "not fetched"),
    ///             result => break result,
    ///         }
    ///         attempt += 1;
    ///         tracing::Span::current().record_retry(attempt); // the task's span, inside of it
    ///     }
    /// });
    /// assert_eq!(fetched, Ok(7));
    /// ```
    fn record_retry(&self, number: u32);
}

impl TaskSpanExt for Span {
    fn run_task<R>(self, f: impl FnOnce() -> R) -> R {
        self.in_scope(f)
    }

    fn try_run_task<R, E: Display>(self, f: impl FnOnce() -> Result<R, E>) -> Result<R, E> {
        self.in_scope(|| f().inspect_err(|error| say_failed(&self, error)))
    }

    fn record_retry(&self, number: u32) {
        if let Some(task) = task_of_handle(self) {
            task.record_retry(number);
        }
    }
}

/// Notes the failure of a task, with what the error's `Display` prints.
pub(super) fn say_failed(span: &Span, error: &dyn Display) {
    if let Some(task) = task_of_handle(span) {
        let text = to_text(format_args!("{error}"));
        task.for_each_entry(|entry| entry.say(Status::Failed, Some(text.clone())));
    }
}

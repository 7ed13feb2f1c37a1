//! The macros that make spans: macros, so that the span's callsite, target and level are the caller's to see.

/// Makes the [`Span`](tracing::Span) of a task: `task_span!("send_email", id)`.
///
/// The id is anything with `Display`; `?id` takes its `Debug`. Fields may follow as in tracing's own macros, and
/// `target:` and `parent:` may precede. The span's name, which must be a constant, is the shown name, unless a field
/// `task.name` says another.
///
/// The span has level ERROR, so that a filter like `RUST_LOG=warn` doesn't remove the tag from the lines that it
/// lets through. Mind that when you make a task's span by hand: an `info_span!` is gone under `RUST_LOG=warn`, and the
/// tag with it.
///
/// ```
/// use tracing_tasklog::{TaskSpanExt, task_span};
///
/// let order = 4711;
/// let span = task_span!("send_email", order, to = "user@example.com", attempts = 3);
/// span.run_task(|| tracing::info!("Connecting"));
///
/// let _ = task_span!(target: "mailer", "send_email", order);
/// let _ = task_span!(parent: None, "send_email", ?Some(order));
/// ```
#[macro_export]
macro_rules! task_span {
    (target: $target:expr, parent: $parent:expr, $($task:tt)+) => {
        $crate::__task_span!([target: $target, parent: $parent,] $($task)+)
    };
    (parent: $parent:expr, target: $target:expr, $($task:tt)+) => {
        $crate::__task_span!([target: $target, parent: $parent,] $($task)+)
    };
    (target: $target:expr, $($task:tt)+) => {
        $crate::__task_span!([target: $target,] $($task)+)
    };
    (parent: $parent:expr, $($task:tt)+) => {
        $crate::__task_span!([parent: $parent,] $($task)+)
    };
    ($($task:tt)+) => {
        $crate::__task_span!([] $($task)+)
    };
}

/// Makes the [`Span`](tracing::Span) in which a task of another process goes on here: `continue_span!(context)`.
///
/// Its lines carry the same tag. RUNNING, the closing line and the retry separators belong to the process that began
/// the task. Takes a [`TaskContext`](crate::TaskContext) or a reference to one; fields may follow, `target:` and
/// `parent:` may precede. Like [`task_span!`](crate::task_span) it has level ERROR.
///
/// ```
/// use tracing_tasklog::{TaskContext, continue_span};
///
/// let task: TaskContext = "abc12345:send_email:0".parse()?;
/// continue_span!(task, worker = 3).in_scope(|| tracing::info!("in the worker"));
/// # Ok::<(), tracing_tasklog::Error>(())
/// ```
#[macro_export]
macro_rules! continue_span {
    (target: $target:expr, parent: $parent:expr, $($task:tt)+) => {
        $crate::__continue_span!([target: $target, parent: $parent,] $($task)+)
    };
    (parent: $parent:expr, target: $target:expr, $($task:tt)+) => {
        $crate::__continue_span!([target: $target, parent: $parent,] $($task)+)
    };
    (target: $target:expr, $($task:tt)+) => {
        $crate::__continue_span!([target: $target,] $($task)+)
    };
    (parent: $parent:expr, $($task:tt)+) => {
        $crate::__continue_span!([parent: $parent,] $($task)+)
    };
    ($($task:tt)+) => {
        $crate::__continue_span!([] $($task)+)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __task_span {
    ([$($head:tt)*] $name:expr, ?$id:expr $(, $($field:tt)*)?) => {
        $crate::__reserved_span!([$($head)*] $name, [task.id = ?$id] $($($field)*)?)
    };
    ([$($head:tt)*] $name:expr, %$id:expr $(, $($field:tt)*)?) => {
        $crate::__reserved_span!([$($head)*] $name, [task.id = %$id] $($($field)*)?)
    };
    ([$($head:tt)*] $name:expr, $id:expr $(, $($field:tt)*)?) => {
        $crate::__reserved_span!([$($head)*] $name, [task.id = %$id] $($($field)*)?)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __continue_span {
    ([$($head:tt)*] $context:expr $(, $($field:tt)*)?) => {
        match &$context {
            context => $crate::__private::tracing::span!(
                $($head)*
                $crate::__private::tracing::Level::ERROR,
                "continued_task",
                task.id = context.id(),
                task.name = context.name(),
                task.retry = context.retry(),
                task.continued = true,
                $($($field)*)?
            ),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __reserved_span {
    ([$($head:tt)*] $name:expr, [$($id:tt)*] $($field:tt)*) => {
        $crate::__private::tracing::span!(
            $($head)*
            $crate::__private::tracing::Level::ERROR,
            $name,
            $($id)*,
            task.name = $crate::__private::tracing::field::Empty,
            task.retry = $crate::__private::tracing::field::Empty,
            task.status = $crate::__private::tracing::field::Empty,
            $($field)*
        )
    };
}

//! Log files of background tasks that can be trusted: task-tagged lines and lifecycle from `tracing` spans, into files
//! that rotate safely.
//!
//! ```
//! use tracing_subscriber::{filter::LevelFilter, prelude::*};
//! use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile};
//!
//! # let dir = tempfile::tempdir()?;
//! # std::env::set_current_dir(&dir)?;
//! let file = InstanceFile::builder("logs/tasks-{instance}.log").build()?;
//! let layer = TaskLayer::new(file).with_lifecycle(true);
//! let _interrupts_open_tasks_at_the_end = layer.interrupt_on_drop();
//! tracing_subscriber::registry().with(layer).with(LevelFilter::INFO).init();
//!
//! task_span!("send_email", "abc12345").run_task(|| {
//!     tracing::info!(host = "mx1", port = 25, "Connecting to SMTP server");
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```text
//! [abc12345] [send_email] 2026-01-01T12:00:00 -- RUNNING
//! [abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server host="mx1" port=25
//! [abc12345] [send_email] 2026-01-01T12:00:00 -- SUCCESS
//! ```
//!
//! A service runs many tasks at once (jobs, requests, imports) in threads and processes, and a person reads their logs
//! with `tail -F`, `grep '^\[abc12345\] '` and a log shipper. Here every line says which task it belongs to, nothing in
//! the data can forge or tear a line, and a line whose log call has returned is in the file, or, behind a queue, on its way.
//!
//! # From the top
//!
//! - [`TaskLayer`] makes lines of events and of the transitions of tasks, and hands each to a writer in one call.
//! - A **task** is any span with the field `task.id`; [`task_span!`], [`TaskFutureExt`] and [`TaskSpanExt`] make
//!   the common cases short, [`TaskContext`] and [`continue_span!`] carry a task into another process.
//! - [`writer::InstanceFile`] is a file of this process that rotates by itself; `writer::WatchedFile` is one path for any
//!   number of processes that logrotate(8) rotates; `writer::SharedQueue` is a bounded queue before one of them, or any other
//!   `io::Write`, with a thread that writes; with `writer::Collector` it is one for many processes, and what a killed one has logged
//!   is not lost; [`writer::TaskWriter`] is one of them or standard output, chosen at run time. [`writer`] says which when.
//! - `writer::Rolling` adapts a `RollingFileAppender` of tracing-appender.
//! - [`try_init`] puts all of it together in one call, from a text and `$TASKLOG_LEVEL`.
//! - [`line::parse`] reads the lines back.
//!
//! # Tasks are spans
//!
//! A library needs nothing but `tracing` to be seen. These fields of a span are reserved:
//!
//! | field | meaning |
//! |---|---|
//! | `task.id` | makes the span a task, at its creation or when it is recorded later; then RUNNING is written if the span was entered, and open child spans get the tag. A second id is ignored. Any value; `None` is no task |
//! | `task.name` | the shown name (default: the span's name); what is recorded after the task's first line doesn't count |
//! | `task.retry` | an integer: n ≥ 1 writes `--- Retry n ---`, at creation right after RUNNING; anything else is ignored |
//! | `task.status` | `"success"`, `"failed"` or `"interrupted"`: decides the closing line; anything else is ignored, with one line on stderr per process |
//! | `task.continued` | `true`: lifecycle and separators belong to another process |
//!
//! Child spans, events with an explicit parent, spans entered on other threads and instrumented futures have the tag of
//! the innermost task.
//!
//! A filter that removes a span removes the tag: an `info_span!` is gone under `RUST_LOG=warn`, and its events are
//! written outside any task. [`task_span!`] makes spans of level ERROR for that reason; do the same by hand.
//!
//! # Lifecycle
//!
//! With [`TaskLayer::with_lifecycle`]:
//!
//! | what happens | line |
//! |---|---|
//! | the task's span is entered for the first time, or its first line is about to be written | `-- RUNNING` |
//! | `task.retry` is recorded as n ≥ 1 | `--- Retry n ---`; the failure of the attempt before is forgotten. Written with lifecycle off too |
//! | the span closes, nothing else said | `-- SUCCESS` |
//! | `task.status = "failed"`, or a `try_` helper saw `Err`, or `#[instrument(err)]` on the task's own span did, or the thread panics inside it | `-- FAILED` |
//! | the helper's future is dropped before it is done, or `task.status = "interrupted"` | `-- INTERRUPTED` |
//! | the program ends in an orderly way while the task is open: [`InterruptGuard`] is dropped, or, with a writer of this crate, the process exits | `-- INTERRUPTED` |
//!
//! In one process RUNNING comes before every other line of a task, and the closing line after the lines logged inside the
//! span. There is at most one of each. A panic wins; else the last that was said; else a dropped future. A
//! span that was never entered, and that no event or retry named, leaves nothing.
//!
//! # Limitations
//!
//! - **A plain `.instrument(span)` future that is dropped before it is done reads SUCCESS.** `tracing` enters the span to
//!   drop it, which looks like one more poll. Use [`TaskFutureExt::in_task`].
//! - A filter that hides the event of `#[instrument(err)]` hides the failure.
//! - Finding the task from a helper needs tracing-subscriber's `Registry` below the layers.
//! - With scoped subscribers only (`with_default`): a child span that is dropped on a thread without a subscriber keeps
//!   its parent open, which then has no closing line before the [`InterruptGuard`] is dropped.
//! - A process that is killed writes no closing line for its open tasks, and what is in a `SharedQueue` of one process is lost.
//! - A `Collector` that is killed has its last lines, as a rule 64 KiB at most, written again by the next one: they may be there twice.
//! - A layer that is reloaded to nothing (`None`) leaves its open tasks open: they read INTERRUPTED at the end.
//! - An event that another layer logs in its own `on_enter` or `on_exit` may have the tag of the neighbouring span.
//! - tracing-subscriber can't make a span any more in a thread-local destructor after its own, or in an exit handler: it
//!   panics. Events can be logged there.
//! - Without its list (`.tasks.log.lock`), an [`InstanceFile`](writer::InstanceFile) takes the backups of before for
//!   somebody else's: they stay for good.
//!
//! # What a failure does
//!
//! Setting up returns an [`Error`]. Logging never panics and never returns one: a value whose `Display` panics leaves a
//! note in its line; a line that can't be written is counted ([`writer::Stats`]); stderr is told once in 10 s for
//! each kind of trouble. No lock is held while code of yours runs. (While a task's RUNNING is being written,
//! other threads of that very task wait for it.)
//!
//! # Crate features
//!
//! - **queue** (default) has `writer::SharedQueue`. It costs `crossbeam-channel` and `crossbeam-utils`, which **rolling** needs as
//!   well.
//! - **multiprocess** has `SharedQueue::connect` and `writer::Collector`, on Unix. It costs no further crate.
//! - **rolling** (default) has `writer::Rolling`, for those who have a `RollingFileAppender`. It costs the
//!   `tracing-appender` crate with what it needs, 16 crates in all, `time` and `crossbeam-channel` among them.
//! - **watch** (default) has `writer::WatchedFile`. It costs `notify` with what it needs, 10 crates in all on Linux, `mio`
//!   and `walkdir` among them.
//! - **tracing-log** (default) shows records of the `log` crate with their own target, and has [`try_init`] take them.
//!   It costs the `tracing-log` crate.
//! - **gzip** compresses backups, on Unix (`InstanceFileBuilder::compress`). It costs `flate2` and the pure Rust
//!   `miniz_oxide`.
//! - **local-time** rotates by local time (`InstanceFileBuilder::local_time`). It costs `jiff`; on Windows the time zone
//!   rules of the world in the program too.
//!
//! # Platforms
//!
//! | | Linux | macOS | Windows |
//! |---|---|---|---|
//! | layer, lines, writers | tested | written for, not tried | written for, not tried |
//! | one write at the end of the file | `O_APPEND` | `O_APPEND` | `FILE_APPEND_DATA` |
//! | standard output: one write, past the buffer of `io::stdout` | yes | yes | through the buffer |
//! | `file_mode`, `compress`, refusing a FIFO without waiting | yes | yes | no |
//! | `WatchedFile` is told of changes by | inotify | FSEvents | ReadDirectoryChangesW |
//! | `WatchedFile` writes lines again that went into a file that was removed | yes | yes | no |
//! | the lock of an `InstanceFile`, the list of its own files, forks, RLIMIT_FSIZE | yes | yes | no |
//! | renames that the kernel keeps from replacing anything | yes | checked first | checked first |
//! | INTERRUPTED when `main` returns | yes | yes | yes |
//! | signals are blocked on the threads of `SharedQueue` and `WatchedFile`; a child of fork(2) has its parent's sink | yes | yes | no |
//! | `SharedQueue` across processes, `Collector` | tested | written for, not tried | no |
//! | lines in a `SharedQueue` at `process::exit` | written | written | lost without a guard: it doesn't run exit handlers |
//! | INTERRUPTED at `process::exit` | yes | yes | no: it doesn't run exit handlers |

// Unit tests share tests/support with the integration tests, which call this crate by its name.
#[cfg(test)]
extern crate self as tracing_tasklog;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;

mod ascii;
mod calendar;
mod clock;
mod current;
mod error;
mod file;
mod handoff;
mod helpers;
mod init;
mod layer;
mod level;
pub mod line;
mod notice;
mod sink;
mod sys;
mod task;
mod visit;
pub mod writer;

pub use self::{
    clock::UtcSeconds,
    error::Error,
    helpers::{InTask, TaskContext, TaskFutureExt, TaskSpanExt},
    init::try_init,
    layer::TaskLayer,
    level::parse_level,
    line::IdFormat,
    task::InterruptGuard,
};

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use tracing;
}

#[cfg(all(doctest, unix, feature = "multiprocess", feature = "rolling", feature = "watch"))] // which its examples use
#[doc = include_str!("../README.md")]
struct Readme;

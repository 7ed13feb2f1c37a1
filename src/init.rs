//! `try_init`: the whole of it in one call.

use std::{
    env,
    sync::{Mutex, PoisonError},
    thread,
};

use tracing::{dispatcher, level_filters::LevelFilter, subscriber::NoSubscriber};
use tracing_subscriber::prelude::*;

use crate::{Error, InterruptGuard, TaskLayer, parse_level, writer::TaskWriter};

/// The variable that holds the level.
const LEVEL: &str = "TASKLOG_LEVEL";

/// Has everything that the program logs written to what `spec` asks for, with the lifecycle of its tasks.
///
/// It opens a [`TaskWriter`] (a path, `instance:PATH`, `watched:PATH` or `stdout`, each also behind `queued+`, or
/// `queue:DIRECTORY` for a worker whose lines a collector writes: see [`TaskWriter::open`]), puts a [`TaskLayer`]
/// with [`with_lifecycle`](TaskLayer::with_lifecycle) over it, and that under a [`LevelFilter`] into a registry,
/// which becomes the global default subscriber.
///
/// The level is INFO or what `$TASKLOG_LEVEL` says, in the words of [`parse_level`]. It counts for the lifecycle too,
/// as [`with_min_level`](TaskLayer::with_min_level) has it: under `warn` there is no RUNNING and no SUCCESS.
///
/// With the feature `tracing-log` records of the `log` crate are written as well, unless the program has set a logger
/// already.
///
/// # The guard
///
/// Bind it to a name in `main`: `let _guard = …`. Dropped there, at the end, it closes the tasks that are still open
/// as INTERRUPTED. Dropped early, by `let _ = …` say, it closes those that are open by then and no others; no line is
/// lost by that.
/// `std::process::exit` drops nothing, and it needs no guard: open tasks are closed all the same (but on Windows, where
/// it runs no exit handlers). No line waits in the program for either: each is with the operating system when its log
/// call returns.
///
/// So it is with `queue:` too: a line is with the operating system, though not yet in the log, when its log call returns.
///
/// Behind a queue of this process (`queued+`), lines do wait. The guard has them written after the closing lines, and ends the queue: what is logged
/// later is written directly. So does `std::process::exit` (but on Windows). SIGKILL, and SIGTERM or SIGINT (Ctrl+C) in a program
/// that doesn't handle it, cost what is in the queue, and so does a panic with `panic = "abort"`. The queue has every option at its
/// default; who needs others, or `flush_on_panic`, makes a `SharedQueue` and a [`TaskLayer`] by hand.
///
/// # Errors
///
/// - A global default subscriber is set already. It stays.
/// - `$TASKLOG_LEVEL` is no level. (Empty, it counts as unset. White space around a level is trimmed.)
/// - [`TaskWriter::open`] refuses the spec.
///
/// Nothing is changed on disk then, but that parent directories may have been made; and but for an empty file, if
/// another thread sets a subscriber of its own at the same moment.
///
/// # Examples
///
/// ```
/// use tracing_tasklog::{TaskSpanExt, task_span};
///
/// # let dir = tempfile::tempdir()?;
/// # std::env::set_current_dir(&dir)?;
/// let _guard = tracing_tasklog::try_init("logs/tasks-{instance}.log")?;
///
/// task_span!("send_email", "abc12345").run_task(|| tracing::info!("Connecting to SMTP server"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn try_init(spec: &str) -> Result<InterruptGuard, Error> {
    /// Of two threads in here at once, the second must find the first one's subscriber before it opens a file.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if is_subscriber_set() {
        return Err(subscriber_is_set());
    }
    let level = level()?;
    let writer = TaskWriter::open(spec)?;
    let layer = TaskLayer::new(writer.clone()).with_lifecycle(true).with_min_level(level);
    let guard = layer.interrupt_on_drop();
    #[cfg(feature = "queue")]
    let guard = match writer.end_queue() {
        Some(end) => guard.then(end),
        None => guard,
    };
    let subscriber = tracing_subscriber::registry().with(layer).with(level);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| subscriber_is_set())?;
    #[cfg(feature = "tracing-log")]
    take_log_records(level);
    Ok(guard)
}

/// Returns whether there is a global default subscriber. A new thread has no other that could hide it; if there can be
/// no new thread, setting one will tell.
fn is_subscriber_set() -> bool {
    let look = || dispatcher::get_default(|found| !found.is::<NoSubscriber>());
    let looked = thread::Builder::new().spawn(look).map(thread::JoinHandle::join);
    matches!(looked, Ok(Ok(true)))
}

fn subscriber_is_set() -> Error {
    Error::invalid(
        "a global default subscriber is set already: call try_init before that, and once only, \
         or add a TaskLayer over a TaskWriter to that subscriber instead",
    )
}

fn level() -> Result<LevelFilter, Error> {
    let Some(value) = env::var_os(LEVEL).filter(|value| !value.is_empty()) else {
        return Ok(LevelFilter::INFO);
    };
    let Some(level) = value.to_str() else {
        return Err(Error::invalid(format!("the environment variable {LEVEL} is not UTF-8: {value:?}")));
    };
    parse_level(level).map_err(|error| Error::invalid(format!("the environment variable {LEVEL}: {error}")))
}

/// Has records of the `log` crate become events. A logger that the program has set itself stays.
#[cfg(feature = "tracing-log")]
fn take_log_records(level: LevelFilter) {
    use tracing_log::{AsLog as _, LogTracer};

    // It fails if there is a logger already.
    let _ = LogTracer::builder().with_max_level(level.as_log()).init();
}

//! A worker that is configured from the environment alone, as in a container.
//!
//! | variable | default | |
//! |---|---|---|
//! | `TASKLOG_WRITER` | `stdout` | where lines go: `stdout` for the log driver of the container, or a file |
//! | `TASKLOG_LEVEL` | `info` | off, error, warn, info, debug, trace |
//! | `WORKER_ID` | | a part of the file's name, if the writer asks for it |
//!
//! ```sh
//! cargo run --example container
//! TASKLOG_LEVEL=debug cargo run --example container
//! WORKER_ID=3 TASKLOG_WRITER='instance:logs/worker-{env:WORKER_ID}.log' cargo run --example container
//! ```
//!
//! With the last, each worker has a file of its own, which rotates by itself and needs no logrotate. Without
//! `WORKER_ID` it ends at once and says what is missing.
#![allow(clippy::print_stderr, reason = "a program tells its errors there")]

use std::{
    env::{self, VarError},
    error::Error,
    process::ExitCode,
};

use tracing_tasklog::{InterruptGuard, TaskSpanExt as _, task_span, try_init};

fn main() -> ExitCode {
    let _guard = match init() {
        Ok(guard) => guard, // until the end of `main`: then tasks that are still open read INTERRUPTED
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("container: {error}{cause}");
            return ExitCode::FAILURE;
        }
    };
    for (id, to) in [(4711, "user@example.com"), (4712, "nobody")] {
        // Err closes the task as FAILED. The next one runs all the same.
        let _ = task_span!("send_email", id).try_run_task(|| send(to));
    }
    ExitCode::SUCCESS
}

fn init() -> Result<InterruptGuard, Box<dyn Error>> {
    let writer = match env::var("TASKLOG_WRITER") {
        Err(VarError::NotPresent) => "stdout".to_owned(),
        writer => writer.map_err(|error| format!("TASKLOG_WRITER: {error}"))?,
    };
    Ok(try_init(&writer)?) // reads TASKLOG_LEVEL, and WORKER_ID for the path
}

fn send(to: &str) -> Result<(), String> {
    tracing::info!(to, "Sending");
    tracing::debug!(bytes = to.len(), "Looking for the host");
    if to.contains('@') { Ok(()) } else { Err(format!("{to} is no address")) }
}

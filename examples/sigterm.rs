//! Prints the log of a program that was told to end by SIGTERM: nothing is missing, and what was cut off says so.
//! (The log is left in a new temporary folder.)
//!
//! SIGTERM is what `kill`, systemd, Docker and Kubernetes send to have a program end. **It kills a Rust program that doesn't
//! handle it**, at once: no destructor and no exit hook runs, so the lines that wait in a `SharedQueue` are lost, at most its
//! `capacity_bytes`, and open tasks keep their RUNNING without an end. (Lines written without a queue are in the file.) The
//! same is true of SIGINT, which Ctrl+C sends; SIGKILL can't be handled at all.
//!
//! So wait for it on a thread, have the work end, and then drop the guards: that of the tasks first, so that those that are
//! still open read INTERRUPTED; that of the queue last, so that these lines are written as well. Be done before whoever has
//! sent SIGTERM sends SIGKILL: Docker does after 10 s, Kubernetes after 30, systemd after 90.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use signal_hook::{consts::SIGTERM, iterator::Signals};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::{fs, io::Write, process, process::Command, sync::mpsc, thread, time::Duration};
    use tracing_subscriber::prelude::*;
    use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile, writer::SharedQueue};

    static STOP: AtomicBool = AtomicBool::new(false);

    let path = tempfile::Builder::new().prefix("tasklog-sigterm-").tempdir()?.keep().join("tasks.log");
    let (queue, queue_guard) = SharedQueue::builder().spawn(InstanceFile::builder(&path).build()?)?;
    let layer = TaskLayer::new(queue).with_lifecycle(true);
    let tasks_guard = layer.interrupt_on_drop();
    tracing_subscriber::registry().with(layer).init();

    let mut signals = Signals::new([SIGTERM])?; // from now on it ends nothing
    let waiting = thread::spawn(move || {
        // A thread, not a signal handler: it may log, take locks and wait.
        if signals.forever().next().is_some() {
            tracing::info!("SIGTERM: the work ends");
            STOP.store(true, Ordering::Relaxed);
        }
    });

    // A task that looks now and then whether it shall end, and one that takes longer than anybody will wait for.
    let polite = thread::spawn(|| {
        task_span!("resize", 1).run_task(|| {
            for picture in 1.. {
                tracing::info!(picture, "Resized");
                if STOP.load(Ordering::Relaxed) && picture >= 1000 {
                    break;
                }
            }
        });
    });
    let (begun, has_begun) = mpsc::channel();
    let stubborn = thread::spawn(move || {
        task_span!("upload", 2).run_task(|| {
            tracing::info!("Waiting for the server");
            begun.send(()).expect("main waits for it");
            thread::sleep(Duration::from_secs(3600));
        });
    });
    has_begun.recv()?;

    let sent = Command::new("kill").args(["-TERM", &process::id().to_string()]).status()?;
    assert!(sent.success(), "kill ended with {sent}");
    waiting.join().expect("the thread that waits for signals panics never");
    polite.join().expect("no picture is too large");
    assert!(!stubborn.is_finished());

    drop(tasks_guard); // what is open reads INTERRUPTED
    let report = queue_guard.shutdown(Duration::from_secs(5)); // as dropping it does, but within 5 s, and it says how many

    let log = fs::read_to_string(&path)?;
    assert_eq!((report.written, report.dropped, report.pending), (log.lines().count() as u64, 0, 0));
    let mut out = std::io::stdout();
    writeln!(out, "{}: {} lines", path.display(), report.written)?;
    for line in log.lines().filter(|line| !line.contains(" Resized picture=") || line.ends_with("=1000")) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "there are no signals here")
}

//! Prints what is in a log and in the file that it was a moment ago: the program follows the rotation because of SIGHUP.
//! (Both are left in a new temporary folder.)
//!
//! A `WatchedFile` follows a rotation by itself, so `reopen()` is never needed. It is for those whose logrotate configuration
//! sends SIGHUP anyway. What to write there, if the program writes its process id into `/run/app.pid`:
//!
//! ```text
//! postrotate
//!     [ ! -f /run/app.pid ] || kill -HUP $(cat /run/app.pid)
//! endscript
//! ```
//!
//! And without such a file, for all processes whose name is `app` (of a longer name write the first 15 bytes):
//!
//! ```text
//! postrotate
//!     pkill -HUP -x app || true
//! endscript
//! ```
//!
//! **SIGHUP ends a Rust program that doesn't handle it.** So handle it first, and write the process id then; and have nobody
//! send it to a program that doesn't, such as an older version that is still running.

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use signal_hook::{consts::SIGHUP, iterator::Signals};
    use std::{fs, io::Write, process, process::Command, thread, time::Duration};
    use tracing_subscriber::prelude::*;
    use tracing_tasklog::{TaskLayer, writer::WatchedFile};

    let folder = tempfile::Builder::new().prefix("tasklog-sighup-").tempdir()?.keep();
    let (path, pid) = (folder.join("app.log"), folder.join("app.pid"));
    // Left to itself, it makes a missing file after 100 ms. Not here, so that it is the signal that does it.
    let file = WatchedFile::builder(&path).create_after(Duration::from_secs(3600)).build()?;
    tracing_subscriber::registry().with(TaskLayer::new(file.clone())).init();

    let mut signals = Signals::new([SIGHUP])?; // from now on it ends nothing
    thread::spawn(move || {
        // A thread, not a signal handler: it may open files and take locks.
        for _ in signals.forever() {
            if let Err(error) = file.reopen() {
                tracing::warn!(%error, "Still in the old file");
            }
        }
    });
    fs::write(&pid, process::id().to_string())?;

    tracing::info!("before");
    let old = folder.join("app.log.1");
    fs::rename(&path, &old)?; // logrotate, told `nocreate`
    tracing::info!("between"); // goes where the file went
    let sent = Command::new("sh").arg("-c").arg("kill -HUP $(cat app.pid)").current_dir(&folder).status()?;
    assert!(sent.success(), "kill ended with {sent}");
    let wait = |_| thread::sleep(Duration::from_millis(1));
    (0..10_000).take_while(|_| !path.exists()).for_each(wait);
    tracing::info!("after");

    let mut out = std::io::stdout();
    for path in [old, path] {
        write!(out, "{}:\n{}", path.display(), fs::read_to_string(&path)?)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn main() -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "there are no signals here")
}

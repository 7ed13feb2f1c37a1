//! Values and panic hooks that log, panic or are slow, under a global default subscriber
//! (with a scoped one tracing-core drops nested events). Each in a process of its own, which must end.

#[cfg(all(unix, feature = "watch"))]
#[path = "reentrancy/signals.rs"]
mod signals;
mod support;

use std::fmt;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

use support::capture::{Capture, layer};
use support::child::{Child, Output, role};
use support::ignore;
use tracing::{Dispatch, dispatcher, error, info, info_span};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_tasklog::{TaskSpanExt, task_span};

/// Runs a child, which checks by itself what it writes, and must end in time.
fn assert_child(name: &str) -> Output {
    Child::of_test(name).spawn().wait().assert_success()
}

fn set_global(layer: impl Layer<Registry> + Send + Sync) {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

/// Shows itself as its name, and logs it meanwhile.
struct Loud(&'static str);

impl fmt::Display for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("{} is shown", self.0);
        f.write_str(self.0)
    }
}

impl fmt::Debug for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[test]
fn child_displays_log() {
    if !role("child_displays_log") {
        return;
    }
    let capture = Capture::default();
    set_global(layer(&capture).with_span_fields(true));
    let span = info_span!("t", task.id = %Loud("id"), task.name = ?Loud("name"), own = %Loud("own"));
    span.in_scope(|| info!(field = %Loud("field"), "message {}", Loud("argument")));
    ignore(span.try_run_task(|| Err::<(), _>(Loud("error"))));
    let shown = |what: &str| format!("[-] [reentrancy] {what} is shown");
    let inside = |what: &str| format!("[id] [name] {what} own=own");
    let expected = [
        shown("id"),
        shown("name"),
        shown("own"),
        "[id] [name] -- RUNNING".to_owned(),
        inside("argument is shown"),
        inside("field is shown"),
        inside("message argument field=field"),
        inside("error is shown"),
        "[id] [name] -- FAILED".to_owned(),
    ];
    assert_eq!(capture.lines(), expected);
}

#[test]
fn values_that_log_while_they_are_shown() {
    assert_child("child_displays_log");
}

/// Shows half of itself and panics.
struct Broken;

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half")?;
        std::panic::resume_unwind(Box::new("as told"));
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[test]
fn child_values_panic() {
    if !role("child_values_panic") {
        return;
    }
    let capture = Capture::default();
    set_global(layer(&capture).with_span_fields(true).with_outcome(true));
    let task = |id: &'static str| info_span!("t", task.id = id);
    task("event").run_task(|| {
        info!(whole = 1, broken = ?Broken, "text");
        info!("text {}", Broken);
        info!("fine");
    });
    ignore(task("error").try_run_task(|| Err::<(), _>(Broken)));
    info_span!("t", task.id = %Broken, own = ?Broken).run_task(|| info!("x"));
    info_span!("t", task.id = "name", task.name = ?Broken).run_task(|| info!("x"));
    let lines = capture.lines();
    assert!(lines[1].starts_with("[event] [t] text whole=1 ") && !lines[1].contains("half"), "{lines:?}");
    assert!(lines[2].starts_with("[event] [t] ") && !lines[2].contains("half"), "{lines:?}");
    assert_eq!(lines[3], "[event] [t] fine");
    let count = |end: &str| lines.iter().filter(|line| line.contains(end)).count();
    assert_eq!((count("-- RUNNING"), count("-- SUCCESS"), count("-- FAILED")), (4, 3, 1), "{lines:?}");
    assert_eq!(lines.len(), 4 + 4 + 3 + 2, "{lines:?}");
}

#[test]
fn values_that_panic_while_they_are_shown_fail_nothing() {
    let output = assert_child("child_values_panic");
    assert_eq!(output.stderr.lines().count(), 1, "told once in 10 s: {output}");
}

/// Shows itself when it is told to.
struct Slow(Mutex<Receiver<()>>);

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.0.lock().expect("one thread shows it").recv_timeout(Duration::from_secs(8));
        f.write_str(if told.is_ok() { "at last" } else { "never told" })
    }
}

#[test]
fn child_display_is_slow() {
    if !role("child_display_is_slow") {
        return;
    }
    let capture = Capture::default();
    let layer = layer(&capture);
    let guard = layer.interrupt_on_drop();
    set_global(layer);
    let (tell, told) = channel();
    let (slow, span, barrier) = (Slow(Mutex::new(told)), task_span!("t", 1), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = span.enter();
            barrier.wait();
            info!(slow = %slow, "x");
        });
        barrier.wait();
        span.record_retry(1);
        span.record("task.status", "failed");
        info!(parent: &span, "meanwhile");
        task_span!("t", 2).run_task(|| ());
        drop(guard);
        tell.send(()).expect("it listens");
    });
    let expected = [
        "[1] [t] -- RUNNING",
        "[1] [t] --- Retry 1 ---",
        "[1] [t] meanwhile",
        "[2] [t] -- RUNNING",
        "[2] [t] -- SUCCESS",
        "[1] [t] -- INTERRUPTED",
        "[1] [t] x slow=at last",
    ];
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_value_that_is_slow_holds_nobody_up() {
    assert_child("child_display_is_slow");
}

#[test]
fn child_panic_hook_logs() {
    if !role("child_panic_hook_logs") {
        return;
    }
    let capture = Capture::default();
    set_global(layer(&capture));
    std::panic::set_hook(Box::new(|_| {
        error!("panicked");
        task_span!("hook", 2).run_task(|| info!("cleaning up"));
    }));
    let run = || task_span!("t", 1).run_task(|| panic!("as told"));
    assert!(std::thread::spawn(run).join().is_err());
    ignore(std::panic::take_hook());
    let expected = [
        "[1] [t] -- RUNNING",
        "[1] [t] panicked",
        "[2] [hook] -- RUNNING",
        "[2] [hook] cleaning up",
        "[2] [hook] -- SUCCESS",
        "[1] [t] -- FAILED",
    ];
    assert_eq!(capture.lines(), expected);
}

#[test]
fn a_panic_hook_that_logs() {
    assert_child("child_panic_hook_logs");
}

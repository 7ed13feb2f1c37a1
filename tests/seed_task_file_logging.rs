//! The document `task-file-logging.txt`, sentence by sentence: what people who come from there expect.
//!
//! `FileLogger("tasks.log", log_lifecycle=True)` is `TaskLayer::new(InstanceFile)` with `with_lifecycle(true)` here, a
//! `task_log()` call is an event in the task's span.
//!
//! Not covered here, because they belong to issues of their own: mode "watched", external rotation with logrotate and
//! its table of directives, several processes on one path, several hosts, and the `log_file` shorthand (`try_init`).

#[path = "seed_task_file_logging/deployments.rs"]
mod deployments;
#[path = "seed_task_file_logging/parameters.rs"]
mod parameters;
mod support;

use std::{
    collections::VecDeque,
    fmt,
    process::{Command, Stdio},
    sync::Mutex,
};

use support::{
    child::{Child, role},
    dir::Dir,
};
use tracing::subscriber::with_default;
use tracing_subscriber::{
    fmt::{format::Writer, time::FormatTime},
    prelude::*,
};
use tracing_tasklog::{TaskFutureExt, TaskLayer, TaskSpanExt, line, task_span, writer::InstanceFile};

fn open(dir: &Dir) -> InstanceFile {
    InstanceFile::builder(dir.path("tasks.log")).build().expect("the file can be opened")
}

/// A clock that shows these seconds of 2026-01-01T12:00, one after the other.
struct Seconds(Mutex<VecDeque<u32>>);

impl Seconds {
    fn new(seconds: impl IntoIterator<Item = u32>) -> Self {
        Seconds(Mutex::new(seconds.into_iter().collect()))
    }
}

impl FormatTime for Seconds {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let next = self.0.lock().expect("nobody panics").pop_front();
        write!(w, "2026-01-01T12:00:{:02}", next.expect("one second for each line"))
    }
}

/// The task of the document's examples.
fn send_email() {
    task_span!("send_email", "abc12345").run_task(|| tracing::info!("Connecting to SMTP server"));
}

/// The lines of the file without their timestamps.
fn bodies(dir: &Dir) -> Vec<String> {
    let body = |text: &String| {
        let line = line::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        line.timestamp.map_or(text.clone(), |stamp| text.replacen(&format!(" {stamp}"), "", 1))
    };
    dir.lines("tasks.log").iter().map(body).collect()
}

// "Log entries can be written to a plain text file in addition to the dashboard."
#[test]
fn entries_are_written_to_a_plain_text_file_in_addition_to_others() {
    let dir = Dir::new();
    let dashboard = InstanceFile::builder(dir.path("dashboard")).build().expect("the file can be opened");
    let dashboard = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(dashboard);
    let layer = TaskLayer::new(open(&dir));
    with_default(tracing_subscriber::registry().with(dashboard).with(layer), send_email);
    assert_eq!(bodies(&dir), ["[abc12345] [send_email] Connecting to SMTP server"]);
    assert!(dir.read("dashboard").contains("Connecting to SMTP server"));
}

/// What a command prints, which must be happy with what it found.
fn printed(program: &str, arguments: &[&str], dir: &Dir) -> String {
    let output = Command::new(program).args(arguments).arg(dir.path("tasks.log")).output().expect("it runs");
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).expect("the log is UTF-8")
}

// "This makes it easy to use standard tools like tail -f, grep, and log shippers (Loki, Datadog, Fluentd, CloudWatch)"
#[test]
fn grep_finds_the_lines_of_one_task() {
    let dir = Dir::new();
    with_default(tracing_subscriber::registry().with(TaskLayer::new(open(&dir))), || {
        for id in ["abc12345", "other", "abc123456"] {
            let log = || (1..=2).for_each(|n| tracing::info!(n, "of [abc12345], \n[abc12345] or not"));
            task_span!("send_email", id).run_task(log);
        }
    });
    let found = printed("grep", &[r"^\[abc12345\]"], &dir);
    assert_eq!(found.lines().collect::<Vec<_>>(), dir.lines("tasks.log")[..2]);
    assert_eq!(printed("grep", &["-c", r"\[abc12345\]"], &dir), "6\n", "whoever names it is found too");
}

#[test]
fn tail_shows_the_last_lines() {
    let dir = Dir::new();
    with_default(tracing_subscriber::registry().with(TaskLayer::new(open(&dir))), || {
        (0..20).for_each(|_| send_email());
    });
    let lines = dir.lines("tasks.log");
    assert_eq!(printed("tail", &["-n", "3"], &dir).lines().collect::<Vec<_>>(), lines[17..]);
}

#[test]
fn tail_f_shows_a_line_as_soon_as_it_is_logged() {
    let dir = Dir::new();
    let file = open(&dir);
    let mut tail = Command::new("tail");
    tail.args(["-n", "+1", "-f"]).arg(dir.path("tasks.log")).stdout(Stdio::piped());
    let mut tail = Child::of_command(tail).spawn();
    with_default(tracing_subscriber::registry().with(TaskLayer::new(file)), || {
        for id in ["first", "second"] {
            task_span!("send_email", id).run_task(|| tracing::info!("Connecting"));
            tail.wait_for_stdout_line(|line| line.starts_with(&format!("[{id}] [send_email] ")));
        }
    });
}

#[test]
fn a_log_shipper_splits_every_line_with_one_expression() {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir)).with_lifecycle(true);
    with_default(tracing_subscriber::registry().with(layer), || {
        let span = task_span!("send_email", "abc12345");
        span.in_scope(|| tracing::info!("Connecting"));
        span.record_retry(1);
    });
    let regex = regex::Regex::new(line::REGEX).expect("it is an expression");
    let groups =
        ["status", "text", "retry", "status"].into_iter().zip(["RUNNING", "Connecting", "1", "SUCCESS"]);
    let lines = dir.lines("tasks.log");
    assert_eq!(lines.len(), 4);
    for (line, (group, value)) in lines.iter().zip(groups) {
        let found = regex.captures(line).unwrap_or_else(|| panic!("{line:?} does not match"));
        assert_eq!((&found["id"], &found["name"], &found[group]), ("abc12345", "send_email", value));
    }
}

// "Every task_log() call and retry separator is written to the file. Each line has the format: For example: …"
#[test]
fn every_call_and_retry_separator_is_written_in_the_format_of_the_example() {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir)).with_timer(Seconds::new([0, 0, 2]));
    with_default(tracing_subscriber::registry().with(layer), || {
        let span = task_span!("send_email", "abc12345");
        let _entered = span.enter();
        tracing::info!("Connecting to SMTP server");
        tracing::info!("Sending to {}", "user@example.com");
        span.record_retry(1);
        tracing::info!("Connecting to SMTP server");
    });
    let example = "\
[abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server
[abc12345] [send_email] 2026-01-01T12:00:00 Sending to user@example.com
[abc12345] [send_email] --- Retry 1 ---
[abc12345] [send_email] 2026-01-01T12:00:02 Connecting to SMTP server
";
    assert_eq!(dir.read("tasks.log"), example);
}

// The example's timestamp is `2026-01-01T12:00:00`: the default has that form.
#[test]
fn the_default_timestamp_has_the_form_of_the_example() {
    let dir = Dir::new();
    with_default(tracing_subscriber::registry().with(TaskLayer::new(open(&dir))), send_email);
    let form = r"^\[abc12345\] \[send_email\] \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d Connecting to SMTP server\n$";
    let text = dir.read("tasks.log");
    assert!(regex::Regex::new(form).expect("it is an expression").is_match(&text), "{text}");
}

// "Set log_lifecycle=True to also write a line for each task status transition … Output: …"
#[test]
fn lifecycle_events_are_written_as_in_the_example() {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir)).with_timer(Seconds::new([0, 0, 1])).with_lifecycle(true);
    with_default(tracing_subscriber::registry().with(layer), send_email);
    let example = "\
[abc12345] [send_email] 2026-01-01T12:00:00 -- RUNNING
[abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server
[abc12345] [send_email] 2026-01-01T12:00:01 -- SUCCESS
";
    assert_eq!(dir.read("tasks.log"), example);
}

// "… for each task status transition (RUNNING, SUCCESS, FAILED, INTERRUPTED)"
#[test]
fn lifecycle_events_are_running_success_failed_and_interrupted() {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir)).with_lifecycle(true);
    with_default(tracing_subscriber::registry().with(layer), || {
        task_span!("send", "good").run_task(|| ());
        let failed = task_span!("send", "bad").try_run_task(|| Err::<(), _>("no route"));
        assert!(failed.is_err());
        let mut cancelled = Box::pin(std::future::pending::<()>().in_task(task_span!("send", "cut")));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(cancelled.as_mut().poll(&mut cx).is_pending());
    });
    let closing = [("good", "SUCCESS"), ("bad", "FAILED"), ("cut", "INTERRUPTED")];
    let wanted: Vec<_> = closing
        .iter()
        .flat_map(|(id, status)| ["RUNNING", *status].map(|status| format!("[{id}] [send] -- {status}")))
        .collect();
    assert_eq!(bodies(&dir), wanted);
}

#[test]
fn child_logs_to_file_and_stdout() {
    if !role("child_logs_to_file_and_stdout") {
        return;
    }
    let path = std::env::var_os("LOG").expect("the parent says where");
    let file = InstanceFile::builder(path).build().expect("the file can be opened");
    let stdout = TaskLayer::new(std::io::stdout).with_level(true);
    tracing_subscriber::registry().with(TaskLayer::new(file).with_lifecycle(true)).with(stdout).init();
    send_email();
}

// "Use loggers= directly when you need multiple observers or want to combine FileLogger with StdoutLogger."
#[test]
fn a_file_and_stdout_are_combined_each_with_its_own_options() {
    let dir = Dir::new();
    let child = Child::of_test("child_logs_to_file_and_stdout").env("LOG", dir.path("tasks.log"));
    let output = child.spawn().wait().assert_success();
    let of_task: Vec<_> = output.stdout.lines().filter(|line| line.contains("[abc12345]")).collect();
    assert_eq!(of_task.len(), 1, "{output}");
    assert!(of_task[0].ends_with(" INFO Connecting to SMTP server"), "{output}");
    let wanted = ["-- RUNNING", "Connecting to SMTP server", "-- SUCCESS"];
    assert_eq!(bodies(&dir), wanted.map(|body| format!("[abc12345] [send_email] {body}")));
}

//! Bad input, each with its clear result: what comes in through spans and events here, what is set up wrongly in
//! `paths.rs`, how errors and stderr show it in `told.rs`.

#[path = "bad_input/paths.rs"]
mod paths;
mod support;
#[path = "bad_input/told.rs"]
mod told;

use std::sync::Barrier;

use support::{
    child::{Child, Output, role, say},
    dir::Dir,
};
use tracing::{Span, info_span, subscriber::with_default};
use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, line, task_span, writer::InstanceFile};

/// Everything that could end a tag, a line, or the direction of reading.
const NASTY: &str = "a] [b\n\r\u{1b}[31m\u{202e}\u{2066}\u{2028}\u{85}\u{7f}\0\u{18}z";

/// What [`NASTY`] is shown as in an id or a name.
const SHOWN: &str = r"a\u{5d} \u{5b}b\n\r\u{1b}\u{5b}31m\u{202e}\u{2066}\u{2028}\u{85}\u{7f}\u{0}\u{18}z";

fn open(dir: &Dir) -> InstanceFile {
    InstanceFile::builder(dir.path("tasks.log")).build().expect("the file can be opened")
}

/// The lines, without timestamps, that `log` leaves under a layer with lifecycle.
#[track_caller]
fn lines(log: impl FnOnce()) -> Vec<String> {
    let dir = Dir::new();
    let layer = TaskLayer::new(open(&dir)).with_lifecycle(true);
    with_default(tracing_subscriber::registry().with(layer), log);
    let lines = dir.lines("tasks.log");
    lines
        .iter()
        .map(|text| {
            let line = line::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            match line.timestamp {
                Some(timestamp) => text.replacen(&format!(" {timestamp}"), "", 1),
                None => text.clone(),
            }
        })
        .collect()
}

#[test]
fn an_empty_id_or_name_shows_as_a_hyphen() {
    assert_eq!(lines(|| task_span!("send", "").run_task(|| tracing::info!("work")))[1], "[-] [send] work");
    let lines = lines(|| task_span!("send", 7, task.name = "").run_task(|| tracing::info!("work")));
    assert_eq!(lines, ["[7] [-] -- RUNNING", "[7] [-] work", "[7] [-] -- SUCCESS"]);
}

#[test]
fn a_name_or_id_full_of_brackets_newlines_escapes_and_overrides_forges_nothing() {
    let lines = lines(|| {
        task_span!("send", NASTY, task.name = NASTY).run_task(|| tracing::info!("work"));
    });
    let tag = format!("[{SHOWN}] [{SHOWN}]");
    assert_eq!(lines, ["-- RUNNING", "work", "-- SUCCESS"].map(|body| format!("{tag} {body}")));
}

#[test]
fn a_message_and_a_field_of_the_same_kind_forge_nothing() {
    let forged = format!("{NASTY}\n[1] [send] -- SUCCESS");
    let lines = lines(|| task_span!("send", 7).run_task(|| tracing::info!(field = %forged, "{forged}")));
    assert_eq!(lines.len(), 3, "{lines:?}");
    let text = SHOWN.replace(r"\u{5d}", "]").replace(r"\u{5b}", "[") + r"\n[1] [send] -- SUCCESS";
    assert_eq!(lines[1], format!("[7] [send] {text} field={text}"));
}

#[test]
fn a_negative_retry_or_one_that_is_no_integer_is_ignored() {
    let lines = lines(|| {
        let span = info_span!("send", task.id = 7, task.retry = -1);
        let _entered = span.enter();
        span.record("task.retry", -1);
        span.record("task.retry", 0);
        span.record("task.retry", "2");
        span.record("task.retry", 2.0);
        span.record("task.retry", true);
        span.record("task.retry", u64::from(u32::MAX) + 1);
        span.record_retry(0);
        tracing::info!("work");
        span.record("task.retry", 3);
    });
    let wanted = ["-- RUNNING", "work", "--- Retry 3 ---", "-- SUCCESS"];
    assert_eq!(lines, wanted.map(|body| format!("[7] [send] {body}")));
}

#[test]
fn child_says_bananas() {
    if !role("child_says_bananas") {
        return;
    }
    let lines = lines(|| {
        for status in ["bananas", "oranges", "", "SUCCESS"] {
            let span = info_span!("send", task.id = 7, task.status = status);
            span.in_scope(|| span.record("task.status", "kiwis"));
        }
        info_span!("send", task.id = 8, task.status = "failed").in_scope(|| {
            Span::current().record("task.status", "bananas");
        });
    });
    let (last, others) = lines.split_last().expect("there are lines");
    assert_eq!(others.iter().filter(|line| *line == "[7] [send] -- SUCCESS").count(), 4, "{lines:?}");
    assert_eq!(last, "[8] [send] -- FAILED", "what was said before stays");
}

#[test]
fn an_unknown_status_is_ignored_with_one_line_on_stderr_per_process() {
    let output = Child::of_test("child_says_bananas").spawn().wait().assert_success();
    let wanted =
        "tracing-tasklog: task.status = \"bananas\" is ignored: expected success, failed or interrupted";
    let told: Vec<_> = output.stderr.lines().filter(|line| line.contains("tracing-tasklog")).collect();
    assert_eq!(told, [wanted], "{output}");
}

#[test]
fn a_message_of_10_mb_is_cut_at_1_mib_and_counted() {
    let dir = Dir::new();
    let file = open(&dir);
    let message = "0123456789".repeat(1024 * 1024);
    let layer = TaskLayer::new(file.clone());
    with_default(tracing_subscriber::registry().with(layer), || {
        task_span!("send", 7).run_task(|| tracing::info!(field = 1, "{message}"));
    });
    let lines = dir.lines("tasks.log");
    assert_eq!(lines.len(), 1);
    let (text, mark) = lines[0].rsplit_once(" [cut ").expect("the mark");
    let cut: usize = mark.strip_suffix(" bytes]").and_then(|n| n.parse().ok()).expect("a number of bytes");
    let text = text.rsplit_once(' ').expect("the timestamp").1;
    assert!(message.starts_with(text));
    assert_eq!(text.len() + cut, message.len() + " field=1".len(), "what is cut is what is missing");
    assert!((1024 * 1024 - 8..=1024 * 1024).contains(&(lines[0].len() + 1)), "{}", lines[0].len());
    let stats = file.stats();
    assert_eq!((stats.cut_lines, stats.written_lines, stats.dropped_lines), (1, 1, 0));
}

/// The memory that this process has in use, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn child_logs_much_on_threads_that_live_on() {
    const THREADS: usize = 8;
    if !role("child_logs_much_on_threads_that_live_on") {
        return;
    }
    let dir = Dir::new();
    tracing_subscriber::registry().with(TaskLayer::new(open(&dir))).init();
    let barrier = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                tracing::info!("short");
                barrier.wait(); // all threads have begun
                barrier.wait(); // the memory is measured
                tracing::info!("{}", "0123456789".repeat(1024 * 1024));
                barrier.wait(); // all have logged
                barrier.wait(); // the memory is measured again
            });
        }
        barrier.wait();
        let before = resident();
        barrier.wait();
        barrier.wait();
        let after = resident();
        barrier.wait();
        say(&format!("kept {}", after.saturating_sub(before)));
    });
    assert_eq!(dir.lines("tasks.log").len(), 2 * THREADS);
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_large_message_is_given_back() {
    // A fixed threshold (mallopt(3)): else the allocator keeps what it got back, now two of the messages and now six.
    let child =
        Child::of_test("child_logs_much_on_threads_that_live_on").env("MALLOC_MMAP_THRESHOLD_", "131072");
    let Output { stdout, .. } = child.spawn().wait().assert_success();
    let kept = stdout.lines().find_map(|line| line.strip_prefix("kept ")).expect("the child measured");
    let kept: u64 = kept.parse().expect("a number");
    // 80 MB if each thread kept its own.
    assert!(kept < 10 * 1024 * 1024, "{kept} bytes are kept by 8 threads that logged 10 MB each");
}

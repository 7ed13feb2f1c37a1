//! The end of threads and of the process: thread-local destructors, exit hooks, open tasks.

// `atexit` of the C library: there is no safe way to run code after the thread-locals are gone.
#![allow(unsafe_code)]

mod support;

use std::cell::RefCell;
use std::ffi::c_int;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::capture::{Capture, layer, unstamped};
use support::child::{Child, role};
use support::dir::Dir;
use support::holds_within;
use tracing::{Dispatch, Span, dispatcher, info};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_tasklog::writer::InstanceFile;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span};

#[cfg(unix)]
unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
}

unsafe extern "C" {
    fn atexit(hook: extern "C" fn()) -> c_int;
}

fn set_global(layer: impl Layer<Registry> + Send + Sync) {
    let dispatch = Dispatch::new(Registry::default().with(layer));
    dispatcher::set_global_default(dispatch).expect("this process has none yet");
}

/// A layer on the file that the parent named.
fn file_layer() -> TaskLayer<InstanceFile> {
    let path = PathBuf::from(std::env::var_os("LOG").expect("the parent says where"));
    let file = InstanceFile::builder(path).build().expect("the folder is the test's own");
    TaskLayer::new(file).with_lifecycle(true)
}

/// The lines that a child leaves in its file; it must end well and in time.
fn lines_left_by(name: &str) -> Vec<String> {
    let dir = Dir::new();
    let child = Child::of_test(name).env("LOG", dir.path("tasks.log")).spawn();
    let output = child.wait().assert_success();
    assert!(!output.stderr.contains("panicked"), "{output}");
    dir.read("tasks.log").split_inclusive('\n').map(unstamped).collect()
}

/// Logs when its thread ends, and ends a task.
///
/// It makes no span: in a thread whose thread-locals are gone the registry of tracing-subscriber panics at that.
struct LastWords(Span);

impl LastWords {
    fn say(&self) {
        info!("outside");
        info!(parent: &self.0, value = %Shown, "by name");
        self.0.record("task.status", "failed");
        self.0.record_retry(1);
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        self.say();
    }
}

/// Shows itself and logs meanwhile.
struct Shown;

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        info!("nested");
        f.write_str("shown")
    }
}

/// What [`LastWords`] writes when it goes with the last handle of its task.
fn last_words_of(id: u32) -> Vec<String> {
    let tagged = |body: &str| format!("[{id}] [t] {body}");
    let outside = |text: &str| format!("[-] [exit] {text}");
    let named = ["by name value=shown", "--- Retry 1 ---", "-- SUCCESS"].map(tagged);
    [vec![outside("outside"), tagged("-- RUNNING"), outside("nested")], named.to_vec()].concat()
}

thread_local! {
    static EARLY: RefCell<Option<LastWords>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

#[test]
fn child_thread_ends() {
    if !role("child_thread_ends") {
        return;
    }
    let capture = Capture::default();
    set_global(layer(&capture));
    // Destructors run from the last that was used to the first: EARLY's when all others are gone.
    let run = |logs_before: bool, first: Span, last: Span| {
        let speak = move || {
            EARLY.with(|early| *early.borrow_mut() = Some(LastWords(first)));
            if logs_before {
                task_span!("t", 1).run_task(|| info!("x"));
            }
            LATE.with(|late| *late.borrow_mut() = Some(LastWords(last)));
        };
        std::thread::spawn(speak).join().expect("no thread panics");
    };
    run(true, task_span!("t", 3), task_span!("t", 2));
    run(false, task_span!("t", 5), task_span!("t", 4));
    let own = ["[1] [t] -- RUNNING", "[1] [t] x", "[1] [t] -- SUCCESS"].map(str::to_owned);
    let last = [2, 3, 4, 5].map(last_words_of).concat();
    assert_eq!(capture.lines(), [own.to_vec(), last].concat());
}

#[test]
fn log_calls_in_thread_local_destructors() {
    Child::of_test("child_thread_ends").spawn().wait().assert_success();
}

/// The task that the hook names, made while there are thread-locals.
static HOOKS: Mutex<Option<LastWords>> = Mutex::new(None);

extern "C" fn log_at_exit() {
    drop(HOOKS.lock().expect("nobody panics with it").take());
}

fn register_log_at_exit() {
    *HOOKS.lock().expect("nobody panics with it") = Some(LastWords(task_span!("t", 9)));
    // SAFETY: the hook takes nothing and returns nothing. If it unwinds the process aborts, which the test sees.
    assert_eq!(unsafe { atexit(log_at_exit) }, 0);
}

/// Leaves a task open for ever.
fn leave_open(id: u32) {
    let span = task_span!("t", id);
    span.in_scope(|| info!("x"));
    std::mem::forget(span);
}

/// What a task that is left open at exit has written.
fn interrupted(id: u32) -> Vec<String> {
    ["-- RUNNING", "x", "-- INTERRUPTED"].map(|body| format!("[{id}] [t] {body}")).to_vec()
}

#[test]
fn child_logs_at_exit() {
    if !role("child_logs_at_exit") {
        return;
    }
    set_global(file_layer());
    register_log_at_exit(); // runs after the crate's own hook, which came later
    leave_open(1);
    std::process::exit(0);
}

#[test]
fn log_calls_after_the_exit_hook() {
    assert_eq!(lines_left_by("child_logs_at_exit"), [interrupted(1), last_words_of(9)].concat());
}

#[test]
fn child_logs_before_the_exit_hook() {
    if !role("child_logs_before_the_exit_hook") {
        return;
    }
    set_global(file_layer());
    leave_open(1);
    register_log_at_exit();
    std::process::exit(0);
}

#[test]
fn log_calls_before_the_exit_hook() {
    let mut expected = interrupted(1);
    let closing = expected.pop();
    assert_eq!(
        lines_left_by("child_logs_before_the_exit_hook"),
        [expected, last_words_of(9), closing.into_iter().collect()].concat()
    );
}

#[test]
fn child_exits_with_open_tasks() {
    if !role("child_exits_with_open_tasks") {
        return;
    }
    set_global(file_layer().with_id_format(tracing_tasklog::IdFormat::Full));
    leave_open(1);
    let done = task_span!("t", 2);
    done.run_task(|| info!("x"));
    let failed = task_span!("t", 3);
    failed.record("task.status", "failed");
    failed.in_scope(|| {
        info!("x");
        std::process::exit(0);
    });
}

#[test]
fn process_exit_interrupts_open_tasks() {
    let open = |id: u32| format!("[{id}] [t] -- RUNNING");
    let line = |id: u32, body: &str| format!("[{id}] [t] {body}");
    let expected = [
        open(1),
        line(1, "x"),
        open(2),
        line(2, "x"),
        line(2, "-- SUCCESS"),
        open(3),
        line(3, "x"),
        line(1, "-- INTERRUPTED"),
        line(3, "-- INTERRUPTED"),
    ];
    assert_eq!(lines_left_by("child_exits_with_open_tasks"), expected);
}

#[test]
fn child_returns_from_main() {
    if !role("child_returns_from_main") {
        return;
    }
    set_global(file_layer());
    leave_open(1);
}

#[test]
fn a_return_from_main_interrupts_leaked_tasks() {
    assert_eq!(lines_left_by("child_returns_from_main"), interrupted(1));
}

#[test]
fn child_exits_with_a_silent_task() {
    if !role("child_exits_with_a_silent_task") {
        return;
    }
    set_global(file_layer().with_min_level(tracing::Level::WARN));
    leave_open(1);
    std::process::exit(0);
}

#[test]
fn a_task_that_has_shown_no_line_yet_is_interrupted_too() {
    assert_eq!(lines_left_by("child_exits_with_a_silent_task"), ["[1] [t] -- INTERRUPTED"]);
}

#[cfg(unix)]
#[test]
fn child_forks() {
    if !role("child_forks") {
        return;
    }
    let layer = file_layer();
    let guard = layer.interrupt_on_drop();
    set_global(layer);
    let span = task_span!("t", 1);
    span.in_scope(|| info!("x"));
    // SAFETY: the child of the fork has this thread only; it drops two values and exits, as a server's worker does.
    let pid = unsafe { fork() };
    if pid == 0 {
        info!(parent: &span, "in the fork");
        leave_open(2);
        drop((guard, span));
        std::process::exit(0);
    }
    // SAFETY: a null pointer is allowed, the status is not asked for.
    assert_eq!(unsafe { waitpid(pid, std::ptr::null_mut(), 0) }, pid);
    span.in_scope(|| info!("y"));
    drop(guard);
}

#[cfg(unix)]
#[test]
fn a_fork_leaves_the_lifecycle_to_the_process_that_began_the_task() {
    let own = ["y", "-- INTERRUPTED"].map(|body| format!("[1] [t] {body}")).to_vec();
    let before = ["[1] [t] -- RUNNING", "[1] [t] x", "[1] [t] in the fork"].map(str::to_owned).to_vec();
    assert_eq!(lines_left_by("child_forks"), [before, interrupted(2), own].concat());
}

#[test]
fn child_exits_after_its_guard() {
    if !role("child_exits_after_its_guard") {
        return;
    }
    let layer = file_layer();
    let guard = layer.interrupt_on_drop();
    set_global(layer);
    leave_open(1);
    drop(guard);
    leave_open(2);
    std::process::exit(0);
}

#[test]
fn tasks_begun_after_the_guard_are_interrupted_by_the_exit() {
    assert_eq!(lines_left_by("child_exits_after_its_guard"), [interrupted(1), interrupted(2)].concat());
}

#[test]
fn child_exits_while_others_log() {
    if !role("child_exits_while_others_log") {
        return;
    }
    static GO: AtomicBool = AtomicBool::new(false);
    set_global(file_layer());
    for id in 0..3 {
        std::thread::spawn(move || {
            let span: Span = task_span!("t", id);
            let _entered = span.enter();
            loop {
                info!("x");
                task_span!("short", 7).run_task(|| info!("y"));
                GO.store(true, Ordering::Release);
            }
        });
    }
    assert!(holds_within(Duration::from_secs(20), || GO.load(Ordering::Acquire)));
    std::process::exit(0);
}

#[test]
fn an_exit_while_other_threads_log_does_not_hang_and_tears_nothing() {
    for _ in 0..5 {
        let lines = lines_left_by("child_exits_while_others_log");
        let closed =
            |id: u32| lines.iter().filter(|line| **line == format!("[{id}] [t] -- INTERRUPTED")).count();
        let begun = |id: u32| lines.iter().filter(|line| **line == format!("[{id}] [t] -- RUNNING")).count();
        assert!((0..3).map(begun).sum::<usize>() >= 1);
        (0..3).for_each(|id| assert!(closed(id) <= begun(id) && begun(id) <= 1, "{id}"));
        let shapes = ["-- RUNNING", "-- INTERRUPTED", "-- SUCCESS", "x", "y"];
        let is_whole = |line: &String| shapes.iter().any(|body| line.ends_with(&format!("] {body}")));
        assert_eq!(lines.iter().find(|line| !is_whole(line)), None);
    }
}

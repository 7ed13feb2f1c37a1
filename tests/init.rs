//! `try_init`: each case in a process of its own, because there is one global subscriber and one environment.

// Children speak to the test on stderr.
#![allow(clippy::print_stderr)]

mod support;

use std::{env, ffi::OsStr, process::exit, sync::Barrier, thread};

use support::{
    capture::unstamped,
    child::{Child, Output, role},
    dir::Dir,
};
use tracing::{debug, error, info, subscriber::with_default, trace, warn};
use tracing_subscriber::{Registry, registry};
use tracing_tasklog::{InterruptGuard, TaskSpanExt, task_span, try_init};

const SUBSCRIBER_IS_SET: &str = "a global default subscriber is set already: call try_init before that, and once \
     only, or add a TaskLayer over a TaskWriter to that subscriber instead";

fn spec() -> String {
    env::var("SPEC").expect("the parent says it")
}

fn init() -> InterruptGuard {
    try_init(&spec()).expect("nothing is set yet")
}

/// Runs a child whose spec is a file in a folder of its own, and returns that file's lines without timestamps.
fn lines_of(name: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let dir = Dir::new();
    run(name, &dir, environment).assert_success();
    dir.read("tasks.log").split_inclusive('\n').map(unstamped).collect()
}

fn run(name: &str, dir: &Dir, environment: &[(&str, &str)]) -> Output {
    let child = Child::of_test(name).env("SPEC", dir.path("tasks.log"));
    environment.iter().fold(child, |child, (key, value)| child.env(key, value)).spawn().wait()
}

/// The files in the folder, but those that hold locks.
fn logs(dir: &Dir) -> Vec<String> {
    dir.names().into_iter().filter(|name| !name.ends_with(".lock")).collect()
}

fn tagged(bodies: &[&str]) -> Vec<String> {
    bodies.iter().map(|body| format!("[1] [t] {body}")).collect()
}

/// Finishes a task and leaves another open.
fn run_tasks() {
    task_span!("t", 1).run_task(|| info!("x"));
    let open = task_span!("t", 1);
    open.in_scope(|| info!("y"));
    std::mem::forget(open);
}

fn all_of_run_tasks() -> Vec<String> {
    tagged(&["-- RUNNING", "x", "-- SUCCESS", "-- RUNNING", "y", "-- INTERRUPTED"])
}

#[test]
fn child_drops_its_guard() {
    if role("child_drops_its_guard") {
        let guard = init();
        run_tasks();
        drop(guard);
        info!("after the guard");
    }
}

#[test]
fn the_guard_closes_open_tasks_and_no_line_is_lost_after_it() {
    let after = vec!["[-] [init] after the guard".to_owned()];
    assert_eq!(lines_of("child_drops_its_guard", &[]), [all_of_run_tasks(), after].concat());
}

#[test]
fn child_exits() {
    if role("child_exits") {
        let _guard = init();
        run_tasks();
        exit(0);
    }
}

#[test]
fn open_tasks_are_closed_when_the_process_exits() {
    assert_eq!(lines_of("child_exits", &[]), all_of_run_tasks());
}

#[test]
fn open_tasks_are_closed_on_stdout_when_the_process_exits() {
    let output = Child::of_test("child_exits").env("SPEC", "stdout").spawn().wait().assert_success();
    let lines = output.stdout.split_inclusive('\n').filter(|line| line.starts_with('[')).map(unstamped);
    assert_eq!(lines.collect::<Vec<_>>(), all_of_run_tasks());
}

#[test]
fn child_logs_at_every_level() {
    if role("child_logs_at_every_level") {
        let _guard = init();
        task_span!("t", 1).run_task(|| {
            error!("error");
            warn!("warn");
            info!("info");
            debug!("debug");
            trace!("trace");
            tracing::Span::current().record_retry(1);
        });
    }
}

#[test]
fn the_level_comes_from_the_environment_and_counts_for_the_lifecycle_too() {
    let at = |level: &str| lines_of("child_logs_at_every_level", &[("TASKLOG_LEVEL", level)]);
    let info = tagged(&["-- RUNNING", "error", "warn", "info", "--- Retry 1 ---", "-- SUCCESS"]);
    assert_eq!(lines_of("child_logs_at_every_level", &[]), info);
    assert_eq!(at("info"), info);
    assert_eq!(at(""), info, "empty is unset");
    assert_eq!(at("Warning"), tagged(&["error", "warn", "--- Retry 1 ---"]));
    assert_eq!(at("error"), tagged(&["error", "--- Retry 1 ---"]));
    let (first, last) = (["-- RUNNING", "error", "warn", "info"], ["--- Retry 1 ---", "-- SUCCESS"]);
    assert_eq!(at(" error\n"), tagged(&["error", "--- Retry 1 ---"]));
    assert_eq!(at("debug"), tagged(&[&first[..], &["debug"], &last].concat()));
    assert_eq!(at("trace"), tagged(&[&first[..], &["debug", "trace"], &last].concat()));
    assert_eq!(at("off"), [""; 0]);
}

#[test]
fn child_is_refused() {
    if role("child_is_refused") {
        let error = try_init(&spec()).expect_err("the parent asks for what can't be");
        eprintln!("said {error}");
        // It set nothing, so that the next can.
        tracing::subscriber::set_global_default(registry()).expect("there is none yet");
    }
}

/// Has a child refused and returns why. It must leave nothing.
fn refused(spec: Option<&str>, level: Option<&OsStr>) -> String {
    let dir = Dir::new();
    let child = Child::of_test("child_is_refused").env("SPEC", dir.path("logs/tasks.log"));
    let child = spec.into_iter().fold(child, |child, spec| child.env("SPEC", spec));
    let child = level.into_iter().fold(child, |child, level| child.env("TASKLOG_LEVEL", level));
    let output = child.spawn().wait().assert_success();
    assert_eq!(dir.names(), [""; 0]);
    let said = output.stderr.lines().find_map(|line| line.strip_prefix("said "));
    said.expect("it says why").to_owned()
}

#[test]
fn a_level_that_is_none_is_an_error_that_names_the_variable_and_leaves_nothing() {
    let expected = "is no level: expected one of off, error, warn (or warning), info, debug, trace";
    for level in ["loud", " ", "3"] {
        let error = format!("the environment variable TASKLOG_LEVEL: {level:?} {expected}");
        assert_eq!(refused(None, Some(OsStr::new(level))), error);
    }
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let error = r#"the environment variable TASKLOG_LEVEL is not UTF-8: "\xFF""#;
        assert_eq!(refused(None, Some(OsStr::from_bytes(&[255]))), error);
    }
}

#[test]
fn a_spec_that_is_refused_sets_nothing() {
    assert!(refused(Some("queue:"), None).starts_with("\"queue:\" has no path after the colon: expected "));
    assert!(refused(Some(""), None).starts_with("the writer \"\" is empty: expected "));
}

#[test]
fn child_inits_twice() {
    if role("child_inits_twice") {
        let _guard = init();
        let error = try_init(&format!("{}.second", spec())).expect_err("there is one already");
        info!("{error}");
    }
}

#[test]
fn a_second_one_is_an_error_and_the_first_goes_on() {
    let dir = Dir::new();
    run("child_inits_twice", &dir, &[]).assert_success();
    assert_eq!(logs(&dir), ["tasks.log"]);
    assert_eq!(unstamped(&dir.read("tasks.log")), format!("[-] [init] {SUBSCRIBER_IS_SET}"));
}

#[test]
fn child_has_another_subscriber() {
    if role("child_has_another_subscriber") {
        tracing::subscriber::set_global_default(registry()).expect("there is none yet");
        let refused = || try_init(&spec()).expect_err("there is one already").to_string();
        assert_eq!(refused(), SUBSCRIBER_IS_SET);
        assert_eq!(with_default(Registry::default(), refused), SUBSCRIBER_IS_SET);
    }
}

#[test]
fn the_programs_own_subscriber_stays_and_no_file_is_opened() {
    let dir = Dir::new();
    run("child_has_another_subscriber", &dir, &[]).assert_success();
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn child_has_scoped_subscribers() {
    if role("child_has_scoped_subscribers") {
        with_default(Registry::default(), || info!("nobody writes this"));
        let guard = with_default(Registry::default(), init);
        run_tasks();
        drop(guard);
    }
}

#[test]
fn a_scoped_subscriber_is_no_hindrance() {
    assert_eq!(lines_of("child_has_scoped_subscribers", &[]), all_of_run_tasks());
}

#[test]
fn child_inits_on_eight_threads() {
    if role("child_inits_on_eight_threads") {
        let (start, spec) = (Barrier::new(8), spec());
        let results: Vec<_> = thread::scope(|scope| {
            let threads = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| {
                let (start, path) = (&start, format!("{spec}.{n}"));
                scope.spawn(move || {
                    start.wait();
                    try_init(&path)
                })
            });
            threads.map(|thread| thread.join().expect("no thread panics")).into()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let errors = results.iter().filter_map(|result| result.as_ref().err());
        errors.for_each(|error| assert_eq!(error.to_string(), SUBSCRIBER_IS_SET));
        info!("x");
    }
}

#[test]
fn of_many_threads_one_wins_and_no_other_opens_a_file() {
    let dir = Dir::new();
    run("child_inits_on_eight_threads", &dir, &[]).assert_success();
    let [name] = logs(&dir).try_into().expect("one file");
    assert_eq!(unstamped(&dir.read(&name)), "[-] [init] x");
}

#[cfg(feature = "tracing-log")]
mod log_crate {
    use super::*;

    struct Own;

    impl log::Log for Own {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            eprintln!("own {}", record.args());
        }

        fn flush(&self) {}
    }

    #[test]
    fn child_logs() {
        if role("log_crate::child_logs") {
            if env::var_os("OWN").is_some() {
                log::set_max_level(log::LevelFilter::Info);
                log::set_logger(&Own).expect("there is none yet");
            }
            let _guard = init();
            log::info!(target: "lib", "outside");
            task_span!("t", 1).run_task(|| log::warn!("inside"));
            log::debug!("below");
            eprintln!("level {}", log::max_level());
        }
    }

    #[test]
    fn records_of_the_log_crate_are_lines_too() {
        let outside = vec!["[-] [lib] outside".to_owned()];
        let expected = [outside.clone(), tagged(&["-- RUNNING", "inside", "-- SUCCESS"])].concat();
        assert_eq!(lines_of("log_crate::child_logs", &[]), expected);
        let dir = Dir::new();
        let output = run("log_crate::child_logs", &dir, &[("TASKLOG_LEVEL", "warn")]).assert_success();
        assert_eq!(unstamped(&dir.read("tasks.log")), "[1] [t] inside");
        assert!(output.stderr.contains("level WARN\n"), "{output}");
    }

    #[test]
    fn a_logger_of_the_programs_own_stays() {
        let dir = Dir::new();
        let output = run("log_crate::child_logs", &dir, &[("OWN", "1")]).assert_success();
        assert!(output.stderr.contains("own outside\nown inside\nlevel INFO\n"), "{output}");
        let lines: Vec<_> = dir.read("tasks.log").split_inclusive('\n').map(unstamped).collect();
        assert_eq!(lines, tagged(&["-- RUNNING", "-- SUCCESS"]));
    }
}

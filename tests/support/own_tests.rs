//! Tests of what stands beside the verifier: task lives, the ledger, children. Only `tests/oracle.rs`
//! compiles this.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::panic_of;
use crate::support::child::{Child, hang, role, say};
use crate::support::dir::Dir;
use crate::support::json::is_object;
use crate::support::stopwatch::Stopwatch;
use crate::support::verify::Tasks;
use crate::support::{holds_within, wait_until, wait_within};

const STAMP: &str = "2026-01-01T12:00:00";

/// The lives of the tasks in these lines.
fn tasks(lines: &[&str]) -> Tasks {
    Tasks::of(&lines.iter().map(|line| line.replace('@', STAMP)).collect::<Vec<_>>())
}

#[test]
fn complete_lives() {
    let tasks = tasks(&[
        "[-] [my::module] @ outside any task",
        "[a] [send] @ -- RUNNING",
        "[b] [send] @ -- RUNNING",
        "[a] [send] @ \\u{2d}- SUCCESS",
        "[a] [send] --- Retry 1 ---",
        "[a] [send] --- Retry 2 ---",
        "[b] [send] @ -- SUCCESS",
        "[a] [send] @ -- FAILED elapsed=1.2s error=\"timed out\"",
    ]);
    tasks.assert_every_task_complete(2);
    let a = tasks.only("a");
    assert_eq!((a.name.as_str(), a.running, a.retries.as_slice()), ("send", 1, &[1, 2][..]));
    assert_eq!((a.status(), a.lines.len()), (Some("FAILED"), 5));
    assert_eq!(a.closing, ["FAILED elapsed=1.2s error=\"timed out\""]);
    assert!(panic_of(|| tasks.assert_every_task_complete(3).all().len()).contains("tasks in the log"));
    assert_eq!(panic_of(|| tasks.only("c").running), "no task [c]");
}

#[test]
fn incomplete_lives() {
    let (running, closing) = ("[a] [t] @ -- RUNNING", "[a] [t] @ -- SUCCESS");
    let (event, first, second) = ("[a] [t] @ hello", "[a] [t] --- Retry 1 ---", "[a] [t] --- Retry 2 ---");
    let cases: [(&[&str], &str); 9] = [
        (&[event, closing], "0 times RUNNING"),
        (&[running, running, closing], "2 times RUNNING"),
        (&[event, running, closing], "RUNNING is not the first line"),
        (&[first, running, closing], "RUNNING is not the first line"),
        (&[running, event], "closed 0 times []"),
        (&[running, closing, closing], "closed 2 times [\"SUCCESS\", \"SUCCESS\"]"),
        (&[running, closing, event], "lines after the closing one"),
        (&[running, second, first, closing], "retries [2, 1]"),
        (&[running, second, closing], "retries [2]"),
    ];
    for (lines, fault) in cases {
        assert_eq!(tasks(lines).faults(), [format!("[a] [t]: {fault}")], "{lines:?}");
    }
    let message = panic_of(|| tasks(&[event]).assert_every_task_complete(1).all().len());
    assert!(message.starts_with("2 faults\n  [a] [t]: 0 times RUNNING"), "{message}");
}

#[test]
fn a_folder_of_its_own() {
    let dir = Dir::new();
    dir.write("b.log", "one\r\ntwo\n\n");
    dir.append("logs/a.log", "x\n");
    dir.append("logs/a.log", "y");
    assert_eq!(dir.names(), ["b.log", "logs"]);
    assert_eq!(dir.lines("b.log"), ["one\r", "two", ""]);
    assert_eq!((dir.read("logs/a.log").as_str(), dir.lines("logs/a.log").len()), ("x\ny", 2));
    assert!(panic_of(|| dir.read("missing")).starts_with("read missing: "));
}

#[test]
fn waiting_names_what_it_waited_for() {
    let message = panic_of(|| wait_until("the moon is blue", Duration::from_millis(5), || false));
    assert_eq!(message, "waited 5ms in vain: the moon is blue");
    wait_until("nothing", Duration::ZERO, || true);
}

#[test]
fn a_limit_that_is_kept_too_late_is_told() {
    let message = panic_of(|| wait_within("the moon is blue", Duration::from_millis(5), || false));
    assert!(message.starts_with("not within 5ms: the moon is blue: "), "{message}");
    wait_within("nothing", Duration::ZERO, || true);
}

#[test]
fn a_stopwatch_runs_while_the_machine_does() {
    let fifty = |_| {
        let watch = Stopwatch::start();
        holds_within(Duration::from_millis(50), || false);
        watch.elapsed()
    };
    let times: Vec<_> = (0..100).map(fifty).take_while(|time| *time < Duration::from_millis(45)).collect();
    assert!(times.len() < 100, "{times:?}");
}

#[test]
fn child_measures() {
    if !role("own_tests::child_measures") {
        return;
    }
    let (start, watch) = (Instant::now(), Stopwatch::start());
    say("measures");
    holds_within(Duration::from_secs(10), || start.elapsed() > Duration::from_secs(1));
    let (real, watch) = (start.elapsed(), watch.elapsed());
    say(&format!("watch={} real={}", watch.as_millis(), real.as_millis()));
}

#[cfg(unix)]
#[test]
fn a_stopwatch_stands_still_with_the_machine() {
    let mut child = Child::of_test("own_tests::child_measures").spawn();
    child.wait_for_stdout_line(|line| line == "measures");
    child.signal("STOP");
    holds_within(Duration::from_millis(1500), || false);
    child.signal("CONT");
    let output = child.wait().assert_success();
    let said = output.stdout.lines().find_map(|line| line.strip_prefix("watch=")).expect("it says so");
    let (watch, real) = said.split_once(" real=").expect("both");
    let [watch, real] = [watch, real].map(|millis| millis.parse::<u64>().expect("milliseconds"));
    assert!(real >= 1500 && watch < 500, "{said}");
}

/// Says a line on each stream and hangs.
#[test]
fn child_hangs() {
    if !role("own_tests::child_hangs") {
        return;
    }
    say("I hang");
    io::stderr().write_all(b"and can't help it\n").expect("stderr is open");
    hang();
}

#[test]
fn a_child_that_hangs_is_killed_at_its_limit() {
    let mut child = Child::of_test("own_tests::child_hangs").limit(Duration::from_secs(4)).spawn();
    assert_eq!(child.wait_for_stdout_line(|line| line.contains("hang")), "I hang");
    assert!(child.is_running());
    let message = panic_of(|| child.wait());
    assert!(message.starts_with("own_tests::child_hangs did not end within 4s\n"), "{message}");
    assert!(message.contains("I hang\n") && message.contains("and can't help it\n"), "{message}");
}

#[test]
fn a_line_that_never_comes_is_not_waited_for_for_ever() {
    let mut child = Child::of_test("own_tests::child_hangs").limit(Duration::from_secs(4)).spawn();
    let message = panic_of(|| child.wait_for_stdout_line(|line| line == "never"));
    assert!(message.contains("did not say it within 4s\n") && message.contains("I hang\n"), "{message}");
    let mut child = Child::of_test("own_tests::child_talks").spawn();
    let message = panic_of(|| child.wait_for_stdout_line(|line| line == "never"));
    assert!(message.contains("ended before it said"), "{message}");
}

/// Says more on each stream than a pipe holds, and fails.
#[test]
fn child_talks() {
    if !role("own_tests::child_talks") {
        return;
    }
    let much = "much ".repeat(60_000);
    io::stderr().write_all(much.as_bytes()).expect("stderr is open");
    say(&much);
    std::process::exit(3);
}

#[test]
fn a_child_that_talks_much_is_heard_to_its_end() {
    let output = Child::of_test("own_tests::child_talks").spawn().wait();
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.contains(&output.stderr) && output.stderr.len() == 300_000);
    assert!(panic_of(|| output.assert_success()).starts_with("the child failed\n"));
}

#[test]
fn an_entry_point_that_does_not_exist_is_noticed() {
    let message = panic_of(|| Child::of_test("own_tests::child_is_not_there").spawn().wait());
    assert!(message.starts_with("no test is named own_tests::child_is_not_there\n"), "{message}");
}

#[cfg(unix)]
mod unix {
    use std::process::Command;

    use super::*;
    use crate::support::holds_within;
    use crate::support::ledger::Ledger;
    use crate::support::verify::{Expect, Kind, LogFamily, numbered};

    #[test]
    fn any_command_with_its_environment() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $WORD; read line; kill -TERM $$"]);
        let output = Child::of_command(command).env("WORD", "hello").spawn().wait();
        assert_eq!((output.stdout.as_str(), output.status.code()), ("hello\n", None));
    }

    #[test]
    fn signals_and_the_end_of_a_dropped_child() {
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            Child::of_command(command).spawn()
        };
        let mut child = sleep();
        child.signal("TERM");
        assert!(!child.wait().status.success());
        let child = sleep();
        let id = child.id();
        drop(child);
        let probe = Command::new("sh").arg("-c").arg(format!("kill -0 {id} 2>/dev/null")).status();
        assert!(!probe.expect("sh runs").success(), "the dropped child lives on");
    }

    /// Worker 0 writes lines 1 to 3 and begins a fourth; worker 1 writes one; then it hangs.
    #[test]
    fn child_is_killed_in_a_log_call() {
        if !role("own_tests::unix::child_is_killed_in_a_log_call") {
            return;
        }
        let var = |name| std::env::var_os(name).expect("the parent says where");
        let ledger = Ledger::open(var("LEDGER"));
        let mut log = std::fs::OpenOptions::new().append(true).open(var("LOG")).expect("the parent made it");
        for (worker, n) in [(0, 1), (1, 1), (0, 2), (0, 3)] {
            let text = format!("{}\n", numbered(worker, n, 20));
            ledger.around(worker, n, || log.write_all(text.as_bytes())).expect("the disk has room");
        }
        ledger.started(0, 4);
        say("in the call");
        hang();
    }

    #[test]
    fn the_ledger_tells_required_from_allowed_after_a_kill() {
        let dir = Dir::new();
        dir.write("tasks.log", "");
        let ledger = Ledger::create(dir.path("ledger"), 3);
        let entry = Child::of_test("own_tests::unix::child_is_killed_in_a_log_call");
        let mut child = entry.env("LEDGER", dir.path("ledger")).env("LOG", dir.path("tasks.log")).spawn();
        child.wait_for_stdout_line(|line| line == "in the call");
        child.kill();
        assert!(!child.wait().status.success());

        assert_eq!(ledger.read(), [(4, 3), (1, 1), (0, 0)]);
        let verify =
            || LogFamily::of(dir.path("tasks.log")).verify(&Expect::from_ledger(&ledger).bare_lines());
        let before = verify().assert_clean();
        assert_eq!((before.found, before.missing_allowed), (4, 1));
        dir.append("tasks.log", format!("{}\n", numbered(0, 4, 20)));
        assert_eq!(verify().assert_clean().missing_allowed, 0);
        dir.append("tasks.log", format!("{}\n", numbered(0, 5, 20)));
        assert_eq!(verify().kinds(), [Kind::Foreign]);
        dir.write("tasks.log", format!("{}\n", numbered(1, 1, 20)));
        assert_eq!(verify().kinds(), [Kind::Lost]);
    }

    #[test]
    fn a_child_killed_at_full_speed_leaves_a_ledger_that_fits_its_log() {
        let dir = Dir::new();
        let ledger = Ledger::create(dir.path("ledger"), 1);
        let entry = Child::of_test("own_tests::unix::child_writes_on");
        let mut child = entry.env("LEDGER", dir.path("ledger")).env("LOG", dir.path("tasks.log")).spawn();
        assert!(holds_within(Duration::from_secs(10), || ledger.read()[0].1 > 200));
        child.kill();
        child.wait();
        let expect = Expect::from_ledger(&ledger).bare_lines().open_fragments();
        assert!(LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean().found > 200);
    }

    /// Writes until it is killed, or until the disk has seen enough of it.
    #[test]
    fn child_writes_on() {
        if !role("own_tests::unix::child_writes_on") {
            return;
        }
        let var = |name| std::env::var_os(name).expect("the parent says where");
        let ledger = Ledger::open(var("LEDGER"));
        let mut log = std::fs::File::create(var("LOG")).expect("the folder is there");
        for n in 1..=200_000 {
            let text = format!("{}\n", numbered(0, n, 300));
            ledger.around(0, n, || log.write_all(text.as_bytes())).expect("the disk has room");
        }
    }
}

#[test]
fn the_reader_of_json_tells_whole_objects_from_torn_ones() {
    let whole = r#"{"a":1.5,"b":{"c":"d\"}","e":[true,null,{}]},"f":-2}"#;
    assert!(is_object(whole));
    assert!((1..whole.len()).all(|at| !is_object(&whole[..at]) && !is_object(&whole[at..])));
    assert!(!is_object(&[whole, whole].concat()));
    assert!(!is_object("{\"a\":\"\u{1}\"}") && !is_object("{\"a\":b}") && !is_object("1"));
}

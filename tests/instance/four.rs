//! Four processes at once: each with a file of its own, then all on one path.

use std::{
    env,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile};

use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    holds_within,
    ledger::Ledger,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};

const PROCESSES: usize = 4;

/// Lines that a thread writes between two short rests, so that a minute makes no gigabytes.
const BURST: u64 = 20;

fn expected_tag(worker: u32, _line: u64) -> (String, String) {
    (format!("job{worker}"), "send".to_owned())
}

fn log_until(deadline: Instant, worker: u32, ledger: &Ledger) {
    task_span!("send", format!("job{worker}")).run_task(|| {
        for n in 1.. {
            ledger.around(worker, n, || tracing::info!("{}", numbered(worker, n, (n % 60) as usize)));
            if n % BURST == 0 && holds_within(Duration::from_millis(1), || Instant::now() >= deadline) {
                return;
            }
        }
    });
}

#[test]
fn child_logs_for_a_while() {
    if !role("four::child_logs_for_a_while") {
        return;
    }
    let variable = |name| env::var_os(name).expect("the parent says so");
    let ledger = Ledger::open(variable("LEDGER"));
    let file = InstanceFile::builder(variable("LOG")).max_bytes(256 * 1024).backups(10_000).build();
    let file = file.expect("each has a path of its own");
    tracing_subscriber::registry().with(TaskLayer::new(file.clone()).with_lifecycle(true)).init();
    say("ready");
    let millis = variable("MILLIS").into_string().expect("a number").parse().expect("a number");
    let deadline = Instant::now() + Duration::from_millis(millis);
    thread::scope(|scope| {
        (0..2).for_each(|worker| {
            drop(scope.spawn({
                let ledger = &ledger;
                move || log_until(deadline, worker, ledger)
            }))
        });
    });
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.dropped_lines), (stats.written_lines, 0), "{stats:?}");
}

fn assert_all_lines_of_four_processes_are_there(time: Duration) {
    let dir = Dir::new();
    let children: Vec<_> = (0..PROCESSES)
        .map(|number| {
            drop(Ledger::create(dir.path(&format!("ledger{number}")), 2));
            let child = Child::of_test("four::child_logs_for_a_while").limit(time + Duration::from_secs(40));
            let child = child.env("LOG", dir.path("tasks-{instance}.log"));
            let child = child.env("TASKLOG_INSTANCE", number.to_string());
            let child = child.env("LEDGER", dir.path(&format!("ledger{number}")));
            child.env("MILLIS", time.as_millis().to_string()).spawn()
        })
        .collect();
    children.into_iter().for_each(|child| drop(child.wait().assert_success()));
    for number in 0..PROCESSES {
        let ledger = Ledger::open(dir.path(&format!("ledger{number}")));
        assert!(ledger.read().iter().all(|&(begun, returned)| begun == returned && returned > 100));
        let family = LogFamily::of(dir.path(&format!("tasks-{number}.log")));
        let verdict = family.verify(&Expect::from_ledger(&ledger).tag(expected_tag)).assert_clean();
        assert_eq!((verdict.missing, verdict.closed_fragments), (0, 0));
    }
}

#[test]
fn lines_of_four_processes_with_a_file_each_are_all_there() {
    assert_all_lines_of_four_processes_are_there(Duration::from_secs(2));
}

#[test]
#[ignore = "deep: a minute"]
fn deep_lines_of_four_processes_for_a_minute_are_all_there() {
    assert_all_lines_of_four_processes_are_there(Duration::from_secs(60));
}

#[test]
fn child_wants_the_path() {
    if !role("four::child_wants_the_path") {
        return;
    }
    let variable = |name| env::var_os(name).expect("the parent says so");
    match InstanceFile::builder(variable("LOG")).build() {
        Err(error) => say(&format!("refused {} {error}", error.is_in_use())),
        Ok(file) => {
            say("held");
            super::write(&file, numbered(0, 1, 9) + "\n");
            let stop = variable("STOP");
            wait_until("the others have tried", Duration::from_secs(20), || Path::new(&stop).exists());
            super::write(&file, numbered(0, 2, 9) + "\n");
        }
    }
}

#[test]
fn of_four_processes_on_one_path_three_are_refused_with_its_name_and_the_holders_number() {
    let dir = Dir::new();
    let spawn = |_| {
        let child = Child::of_test("four::child_wants_the_path").env("LOG", dir.path("tasks.log"));
        child.env("STOP", dir.path("stop")).spawn()
    };
    let mut children: Vec<_> = (0..PROCESSES).map(spawn).collect();
    let said: Vec<_> = children
        .iter_mut()
        .map(|child| child.wait_for_stdout_line(|line| line == "held" || line.starts_with("refused ")))
        .collect();
    dir.write("stop", "");
    let holders: Vec<_> = (0..PROCESSES).filter(|&number| said[number] == "held").collect();
    let [holder] = holders.as_slice() else { panic!("one of them has it: {said:?}") };
    let refusal = format!("refused true {:?} is in use by ", dir.path("tasks.log"));
    // Its number is not known for the moment between its lock and its first word.
    let who = [format!("process {}: ", children[*holder].id()), "another process: ".to_owned()];
    let refused = said.iter().filter_map(|line| line.strip_prefix(&refusal));
    let named = refused.filter(|line| who.iter().any(|who| line.starts_with(who)));
    assert_eq!(named.count(), PROCESSES - 1, "{said:?}");
    children.into_iter().for_each(|child| drop(child.wait().assert_success()));
    let expect = Expect::new().worker(0, 2).bare_lines();
    drop(LogFamily::of(dir.path("tasks.log")).verify(&expect).assert_clean());
}

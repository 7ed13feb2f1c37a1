//! The program is killed: no more is lost than the queue has room for, and what is there is whole and in order.

use std::{
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt},
    process::Command,
    sync::{OnceLock, atomic::Ordering},
    thread,
    time::Duration,
};

use tracing_tasklog::{
    line,
    writer::{InstanceFile, SharedQueue},
};

use crate::{
    Held, LET_GO, case, log, log_path, message, set_global, sink,
    support::{
        child::{Child, hang, role},
        dir::Dir,
        fork::exit_without_hooks,
        ledger::Ledger,
        verify::{Expect, LogFamily},
        wait_until,
    },
};

pub(crate) const CAPACITY: usize = 64 * 1024;

const WORKERS: u32 = 3;

/// What a line has beside its message: tag, time, LF.
const AROUND: usize = "[-] [queue_endings] 2026-01-01T12:00:00 \n".len();

/// The ledger that the parent has made.
pub(crate) fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| Ledger::open(log_path().with_file_name("ledger")))
}

/// For each worker its last line in the log, and the last whose log call returned.
fn last_lines(dir: &Dir) -> Vec<(u64, u64)> {
    let lines = LogFamily::of(dir.path("tasks.log")).lines();
    let returned = Ledger::open(dir.path("ledger")).read();
    let last = |worker: usize| {
        let mark = format!(" w={worker} n=");
        let number = |line: &String| line.split_once(&mark)?.1.split(' ').next()?.parse().ok();
        lines.iter().filter_map(number).max().unwrap_or(0)
    };
    returned.iter().enumerate().map(|(worker, (_, returned))| (last(worker), *returned)).collect()
}

/// Panics unless each worker's lines are there without a gap, and the lines after them had room in the queue.
pub(crate) fn assert_lost_is_what_had_room(dir: &Dir, capacity: usize) {
    let last = last_lines(dir);
    let expect =
        (0..).zip(&last).fold(Expect::new(), |expect, (worker, (last, _))| expect.worker(worker, *last));
    LogFamily::of(dir.path("tasks.log")).verify(&expect.open_fragments()).assert_clean();
    let lines = (0..)
        .zip(&last)
        .flat_map(|(worker, (last, returned))| (last + 1..=*returned).map(move |n| (worker, n)));
    let lost: usize = lines.map(|(worker, n)| message(worker, n).len() + AROUND).sum();
    assert!(lost <= capacity, "{lost} bytes are lost, the queue has room for {capacity}: {last:?}");
}

#[test]
fn child_logs_for_ever() {
    if !role("kills::child_logs_for_ever") {
        return;
    }
    let builder = SharedQueue::builder().capacity_bytes(CAPACITY);
    let queue = match case().as_str() {
        "slow" => builder.spawn(Held(sink())),
        _ => builder.spawn(sink()),
    };
    let (queue, _guard) = queue.expect("a thread can be made");
    LET_GO.store(true, Ordering::Relaxed);
    set_global(&queue);
    for worker in 0..WORKERS {
        thread::spawn(move || {
            for n in 1.. {
                ledger().around(worker, n, || log(worker, n));
            }
        });
    }
    hang();
}

/// Ends this process by a call that runs no exit hook, while its threads log.
fn end_at_once() {
    match case().as_str() {
        "exec" => panic!("it can't become true(1): {}", Command::new("true").exec()),
        _ => exit_without_hooks(),
    }
}

#[test]
fn child_logs_until_it_ends_at_once() {
    if !role("kills::child_logs_until_it_ends_at_once") {
        return;
    }
    let builder = SharedQueue::builder().capacity_bytes(CAPACITY);
    let (queue, _guard) = builder.spawn(Held(sink())).expect("a thread can be made");
    LET_GO.store(true, Ordering::Relaxed);
    set_global(&queue);
    for worker in 0..WORKERS {
        thread::spawn(move || {
            for n in 1.. {
                ledger().around(worker, n, || log(worker, n));
            }
        });
    }
    let has_logged = || ledger().read().iter().all(|worker| worker.1 > 1000);
    wait_until("it logs", Duration::from_secs(20), has_logged);
    end_at_once();
}

/// The sink is slow, and the queue full when the end comes.
fn assert_an_end_at_once_costs_no_more_than_the_queue(case: &str) {
    for sink in ["file", "instance"] {
        let dir = Dir::new();
        drop(Ledger::create(dir.path("ledger"), WORKERS));
        let child =
            Child::of_test("kills::child_logs_until_it_ends_at_once").env("LOG", dir.path("tasks.log"));
        let output = child.env("SINK", sink).env("CASE", case).spawn().wait();
        assert!(output.status.success(), "{case} {sink}: {output}");
        assert_lost_is_what_had_room(&dir, CAPACITY);
        assert_goes_on(&dir);
    }
}

#[test]
fn exec_costs_no_more_than_the_queue_has_room_for() {
    assert_an_end_at_once_costs_no_more_than_the_queue("exec");
}

#[test]
fn an_exit_without_hooks_costs_no_more_than_the_queue_has_room_for() {
    assert_an_end_at_once_costs_no_more_than_the_queue("_exit");
}

/// Has a process log at full rate, and kills it in the middle.
fn killed(signal: &str, number: i32, sink: &str, case: &str, lines: u64) -> Dir {
    let dir = Dir::new();
    let ledger = Ledger::create(dir.path("ledger"), WORKERS);
    let child = Child::of_test("kills::child_logs_for_ever").env("LOG", dir.path("tasks.log"));
    let mut child = child.env("SINK", sink).env("CASE", case).spawn();
    wait_until("it logs", Duration::from_secs(10), || ledger.read().iter().all(|worker| worker.1 > lines));
    child.signal(signal);
    assert_eq!(child.wait().status.signal(), Some(number));
    dir
}

/// The file is as good as any other for the next process: what was torn is closed, and its own lines follow.
fn assert_goes_on(dir: &Dir) {
    let file = InstanceFile::builder(dir.path("tasks.log")).build().expect("nobody has it any more");
    let line = format!("[-] [next] 2026-01-01T12:00:00 {}\n", message(WORKERS, 1));
    file.clone().write_all(line.as_bytes()).expect("writing never fails");
    let last = last_lines(dir);
    let expect =
        (0..).zip(&last).fold(Expect::new(), |expect, (worker, (last, _))| expect.worker(worker, *last));
    LogFamily::of(dir.path("tasks.log")).verify(&expect.worker(WORKERS, 1)).assert_clean();
    for text in LogFamily::of(dir.path("tasks.log")).lines() {
        assert!(line::parse(&text).is_ok(), "{text}");
    }
}

/// In rounds that end at different moments, with a sink that is quick and one that keeps the queue full.
fn assert_kills_cost_no_more_than_the_queue(signal: &str, number: i32) {
    for round in 0..4 {
        for (sink, case) in [("file", "quick"), ("file", "slow"), ("instance", "slow")] {
            let dir = killed(signal, number, sink, case, 500 + 333 * round);
            assert_lost_is_what_had_room(&dir, CAPACITY);
            assert_goes_on(&dir);
        }
    }
}

#[test]
fn sigkill_costs_no_more_than_the_queue_has_room_for() {
    assert_kills_cost_no_more_than_the_queue("KILL", 9);
}

#[test]
fn sigterm_that_nobody_handles_costs_no_more_than_the_queue_has_room_for() {
    assert_kills_cost_no_more_than_the_queue("TERM", 15);
}

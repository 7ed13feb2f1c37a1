//! The example of `SharedQueue`, as cargo runs it: what it prints is what is in its log. And what happens without its handler.
#![cfg(all(unix, feature = "queue"))]

mod support;

use std::{os::unix::process::ExitStatusExt, thread, time::Duration};

use support::{
    capture::unstamped,
    child::{Child, hang, role},
    dir::Dir,
    example::output_of,
    ledger::Ledger,
    must,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};
use tracing::{Dispatch, dispatcher, info};
use tracing_subscriber::{Registry, layer::SubscriberExt};
use tracing_tasklog::{
    TaskLayer, task_span,
    writer::{InstanceFile, SharedQueue},
};

#[test]
fn sigterm_that_is_handled_costs_nothing_and_open_tasks_read_interrupted() {
    let temp = Dir::new();
    let output = output_of("sigterm", temp.root());
    let (head, lines) = output.split_once('\n').expect("the path is printed first");
    let (path, count) = head.split_once(": ").expect("and then a number of lines");

    // The two tasks begin in any order; each has its lines in order.
    let lines: Vec<_> = lines.split_inclusive('\n').map(unstamped).collect();
    let of = |tag: &str| lines.iter().filter(|line| line.starts_with(tag)).cloned().collect::<Vec<_>>();
    let resize =
        ["-- RUNNING", "Resized picture=1000", "-- SUCCESS"].map(|body| format!("[1] [resize] {body}"));
    let upload =
        ["-- RUNNING", "Waiting for the server", "-- INTERRUPTED"].map(|body| format!("[2] [upload] {body}"));
    assert_eq!(of("[1]"), resize, "{output}");
    assert_eq!(of("[2]"), upload, "{output}");
    assert_eq!(of("[-]"), ["[-] [sigterm] SIGTERM: the work ends"], "{output}");
    assert_eq!(lines.len(), 7, "{output}");

    let family = LogFamily::of(path);
    family.tasks().assert_every_task_complete(2);
    assert_eq!(count, format!("{} lines", family.lines().len()));
    let pictures =
        family.lines().iter().filter(|line| line.contains("] 2") && line.contains(" Resized ")).count();
    assert!(pictures >= 1000, "{pictures}");
}

/// What the queue of the next child has room for.
const CAPACITY: usize = 64 * 1024;

#[test]
fn child_handles_no_signal() {
    if !role("child_handles_no_signal") {
        return;
    }
    let path = |name| std::env::var_os(name).expect("the parent says where");
    let ledger = Ledger::open(path("LEDGER"));
    let file = InstanceFile::builder(path("LOG")).build().expect("the folder is the test's own");
    let (queue, _guard) =
        SharedQueue::builder().capacity_bytes(CAPACITY).spawn(file).expect("a thread can be made");
    let layer = TaskLayer::new(queue).with_lifecycle(true);
    let _tasks_guard = layer.interrupt_on_drop();
    dispatcher::set_global_default(Dispatch::new(Registry::default().with(layer))).expect("it is the first");
    let span = task_span!("upload", 1);
    thread::spawn(move || {
        let _entered = span.entered();
        for n in 1.. {
            ledger.around(0, n, || info!("{}", numbered(0, n, 100)));
        }
    });
    hang();
}

#[test]
fn sigterm_that_is_not_handled_kills_and_costs_what_is_in_the_queue() {
    let dir = Dir::new();
    let ledger = Ledger::create(dir.path("ledger"), 1);
    let child = Child::of_test("child_handles_no_signal");
    let mut child = child.env("LOG", dir.path("tasks.log")).env("LEDGER", dir.path("ledger")).spawn();
    wait_until("it logs", Duration::from_secs(10), || ledger.read()[0].1 > 2000);
    child.signal("TERM");
    assert_eq!(child.wait().status.signal(), Some(15), "it is killed");

    let family = LogFamily::of(dir.path("tasks.log"));
    let task = family.tasks().only("1").clone();
    assert_eq!((task.running, task.closing.len()), (1, 0), "nobody has closed the task");
    let last = (task.lines.len() - 1) as u64; // all but RUNNING are numbered
    let expect = Expect::new().worker(0, last).open_fragments();
    family.verify(&expect).assert_clean();
    let line = "[1] [upload] 2026-01-01T12:00:00 ".len() + numbered(0, last, 100).len() + 1;
    let lost = ledger.read()[0].1.saturating_sub(last) as usize * line;
    assert!(lost <= CAPACITY, "{lost} bytes are lost");
    must(tracing_tasklog::line::parse(&family.lines()[1]), "read a line");
}

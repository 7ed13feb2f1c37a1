//! The programs of the document, in Rust: what runs in the workers, and in the parent.

use std::{env, io::BufWriter, mem, process};

use tracing::info;
use tracing_subscriber::{Layer, Registry};
use tracing_tasklog::{
    TaskContext, TaskLayer, TaskSpanExt as _, continue_span, task_span,
    writer::{Collector, SharedQueue},
};

use crate::{
    collector_kit::{LATEST, Place, log_file, queue_path, set_global},
    support::{
        child::{Child, Spawn, hang, role, say},
        fork::{forked, wait_for},
    },
};

/// `pool.map(do_work, ["a", "b", "c"])`
pub(crate) const ITEMS: [&str; 3] = ["a", "b", "c"];

/// The records of a worker under stress.
pub(crate) const STRESS: u64 = 3_000;

/// How long the text of a large record is.
pub(crate) const BIG: usize = 100 * 1024;

/// What a worker does with its item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Worker {
    Json,
    Waits,
    Stress,
    Big,
    ExitsAbruptly,
    Aborts,
    IsKilled,
}

impl Worker {
    const ALL: [Worker; 7] = [
        Worker::Json,
        Worker::Waits,
        Worker::Stress,
        Worker::Big,
        Worker::ExitsAbruptly,
        Worker::Aborts,
        Worker::IsKilled,
    ];
}

/// Starts a worker process.
pub(crate) fn start(place: &Place, worker: Worker, item: &str) -> Child {
    let child = Child::of_test_after("program::child_works", "ulimit -c 0");
    spawn(place.told(child), worker, item)
}

fn spawn(child: Spawn, worker: Worker, item: &str) -> Child {
    child.env("WORKER", format!("{worker:?}")).env("ITEM", item).spawn()
}

/// `logging.Formatter('{"level":…, "proc":…, "msg":…}')`
fn json(queue: SharedQueue) -> impl Layer<Registry> + Send + Sync {
    tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(queue)
}

/// `def worker_init(queue)`: one queue, and nothing that writes to a file.
fn init_worker() -> SharedQueue {
    let queue = SharedQueue::connect(queue_path()).expect("the directory is the test's own");
    set_global(json(queue.clone()));
    queue
}

#[test]
fn child_works() {
    if !role("program::child_works") {
        return;
    }
    let named = env::var("WORKER").expect("the parent says which");
    let worker = Worker::ALL.into_iter().find(|one| format!("{one:?}") == named).expect("one of them");
    let item = env::var("ITEM").expect("the parent says it");
    let _queue = init_worker();
    let proc = process::id();
    let records = || (1..=STRESS).for_each(|n| info!(proc, n, "processing {item}"));
    match worker {
        Worker::Json => info!(proc, "processing {item}"),
        Worker::Waits => {
            info!(proc, "processing {item}");
            say("logged");
            hang();
        }
        Worker::Stress => records(),
        Worker::Big => {
            for n in 0..40 {
                let len = if n % 2 == 0 { BIG } else { 10 };
                info!(proc, n, text = item.repeat(len), "processing");
            }
        }
        Worker::ExitsAbruptly => {
            records();
            process::exit(1);
        }
        Worker::Aborts => {
            records();
            process::abort();
        }
        Worker::IsKilled => {
            records();
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("a process may kill itself");
        }
    }
}

/// The worker as the parent of the document starts it: this very test binary.
fn child_of_child() -> Spawn {
    Child::of_test("program::child_works")
}

#[test]
fn child_is_the_parent() {
    if !role("program::child_is_the_parent") {
        return;
    }
    let listener = Collector::builder(queue_path()).spawn(BufWriter::new(log_file())).expect("one listener");
    let workers: Vec<_> = ITEMS.iter().map(|item| spawn(child_of_child(), Worker::Json, item)).collect();
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    mem::forget(listener);
    match env::var("END").as_deref() {
        Ok("exit") => process::exit(0),
        Ok("panic") => panic!("as told"),
        _ => {}
    }
}

#[test]
fn child_forks_a_pool() {
    if !role("program::child_forks_a_pool") {
        return;
    }
    // What the sink keeps is copied into each child: it must not be written there.
    let listener = Collector::builder(queue_path()).spawn(BufWriter::new(log_file())).expect("one listener");
    let _queue = init_worker();
    info!("by the parent");
    for item in ITEMS {
        wait_for(forked(|| {
            info!("processing {item}");
            process::exit(0);
        }));
    }
    assert_eq!(listener.shutdown(LATEST).written, 4);
}

/// Where a worker finds the context of its task.
const CONTEXT: &str = "CONTEXT";

fn log_lifecycle() -> SharedQueue {
    let queue = SharedQueue::connect(queue_path()).expect("the directory is the test's own");
    set_global(TaskLayer::new(queue.clone()).with_lifecycle(true));
    queue
}

#[test]
fn child_has_a_task() {
    if !role("program::child_has_a_task") {
        return;
    }
    let listener = Collector::builder(queue_path()).spawn(log_file()).expect("one listener");
    let _queue = log_lifecycle();
    task_span!("handle request", "req-42").run_task(|| {
        info!("in the parent");
        let context = TaskContext::current().expect("in a task").to_string();
        let worker = || Child::of_test("program::child_continues_a_task");
        worker().env(CONTEXT, &context).env("SAYS", "by environment").spawn().wait().assert_success();
        worker().env("SAYS", "told nothing").spawn().wait().assert_success();
        let by_argument = Child::of_test_after("program::child_continues_a_task", &as_argument(&context));
        by_argument.env("SAYS", "by argument").spawn().wait().assert_success();
    });
    drop(listener);
}

/// A shell that has the context among its arguments, and hands it on: libtest itself takes no arguments of ours.
fn as_argument(context: &str) -> String {
    format!("CONTEXT=$(printf %s '{context}'); export CONTEXT")
}

#[test]
fn child_continues_a_task() {
    if !role("program::child_continues_a_task") {
        return;
    }
    let _queue = log_lifecycle();
    let says = env::var("SAYS").expect("the parent says what");
    match env::var(CONTEXT) {
        Ok(context) => {
            let context: TaskContext = context.parse().expect("what the parent has passed");
            continue_span!(context).run_task(|| info!("{says}"));
        }
        Err(_) => info!("{says}"),
    }
}

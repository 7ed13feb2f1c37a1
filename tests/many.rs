//! Ten thousand tasks at once, into one file that rotates.

mod support;

use support::capture::here;
use support::dir::Dir;
use support::verify::{Expect, LogFamily, numbered};
use tracing::dispatcher::with_default;
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, info};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_tasklog::writer::InstanceFile;
use tracing_tasklog::{TaskFutureExt, TaskLayer, task_span};

const LINES: u64 = 5;

/// Writes five lines, and lets another task have the thread after each.
async fn work(task: u32) {
    for line in 1..=LINES {
        info!("{}", numbered(task, line, 10));
        tokio::task::yield_now().await;
    }
}

/// Runs all tasks, each spawned on its own, on four threads.
fn run_all(tasks: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build();
    runtime.expect("a runtime").block_on(async {
        let start = |task| {
            let span = task_span!("job", format_args!("job{task}"));
            tokio::spawn(work(task).in_task(span).with_subscriber(here()))
        };
        let running: Vec<_> = (0..tasks).map(start).collect();
        for task in running {
            task.await.expect("no task panics");
        }
    });
}

#[test]
fn ten_thousand_tasks_each_under_its_own_tag_and_none_left_open() {
    assert_every_task_complete(10_000);
}

#[test]
#[ignore = "deep: ten rounds of fifty thousand tasks"]
fn deep_half_a_million_tasks() {
    (0..10).for_each(|_| assert_every_task_complete(50_000));
}

/// Runs this many tasks, and checks each line and each tag.
fn assert_every_task_complete(tasks: u32) {
    let dir = Dir::new();
    let file = InstanceFile::builder(dir.path("tasks.log")).max_bytes(1 << 20).backups(100).build();
    let file = file.expect("the folder is the test's own");
    let layer = TaskLayer::new(file.clone()).with_lifecycle(true);
    let guard = layer.interrupt_on_drop();
    with_default(&Dispatch::new(Registry::default().with(layer)), || run_all(tasks));

    let expect = (0..tasks).fold(Expect::new(), |expect, task| expect.worker(task, LINES));
    let expect = expect.tag(|task, _| (format!("job{task}"), "job".to_owned()));
    let family = LogFamily::of(dir.path("tasks.log"));
    let verdict = family.verify(&expect).assert_clean();
    assert_eq!(verdict.found, u64::from(tasks) * LINES);
    let lines = family.lines();
    family.tasks().assert_every_task_complete(tasks as usize);
    assert!(file.stats().rotations >= 3, "{:?}", file.stats());

    drop(guard);
    assert_eq!(family.lines().len(), lines.len(), "the guard found an open task");
}

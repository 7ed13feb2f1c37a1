//! Lines of level ERROR when there is no room for others, and lines about tasks beside many of them.

use tracing::{error, info, subscriber::with_default};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};
use tracing_tasklog::{
    TaskLayer, TaskSpanExt, task_span,
    writer::{Overflow, SharedQueue},
};

use super::{LATEST, Log, alone, small, stopped};
use crate::support::verify::LogFamily;

/// Bytes of the room that only lines of level ERROR, and those about tasks, have.
const FOR_ERRORS: u64 = 64 * 1024;

/// Fills a queue that drops, then logs errors until they are dropped too, then begins and ends a task. Returns how many lines
/// of INFO and of ERROR were lost.
fn fill(queue: &SharedQueue) -> (u64, u64) {
    let subscriber = Registry::default().with(TaskLayer::new(queue.clone()).with_lifecycle(true));
    with_default(subscriber, || {
        while queue.drops().queue_full < 100 {
            info!("more and more");
        }
        for n in 1..=200 {
            error!(n, "it matters"); // 50 bytes and more: they fit
            info!("no room for this");
        }
        let infos = queue.drops().queue_full;
        assert_eq!(infos, 300, "no line of level ERROR is lost");
        let mut bytes = 0;
        while queue.drops().queue_full == infos {
            error!("{}", "e".repeat(960));
            bytes += 1000;
        }
        assert!(bytes < FOR_ERRORS, "that room has an end: {bytes}");
        for id in 1..=100 {
            task_span!("quiet", id).run_task(|| ());
        }
        (infos, queue.drops().queue_full - infos)
    })
}

/// Every line about tasks is there, and the 200 lines of level ERROR.
fn assert_kept(log: &LogFamily) {
    log.tasks().assert_every_task_complete(100);
    let lines = log.lines();
    let errors = lines.iter().filter(|line| line.contains(" it matters n=")).count();
    assert_eq!(errors, 200);
}

#[test]
fn errors_have_room_when_the_queue_is_full_and_take_none_from_lines_about_tasks() {
    alone("errors::errors_have_room_when_the_queue_is_full_and_take_none_from_lines_about_tasks", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().overflow(Overflow::DropNewest), &log);
        let (infos, errors) = fill(&queue);
        gate.open();
        assert_eq!(guard.shutdown(LATEST).dropped, infos + errors);
        assert_kept(&LogFamily::of(log.path()));
    });
}

#[cfg(all(unix, feature = "multiprocess"))]
#[test]
fn errors_have_room_when_the_ring_is_full_and_take_none_from_lines_about_tasks() {
    use tracing_tasklog::writer::Collector;

    alone("errors::errors_have_room_when_the_ring_is_full_and_take_none_from_lines_about_tasks", || {
        let log = Log::new();
        let directory = log.dir.path("q");
        let builder = SharedQueue::builder().capacity_bytes(4096).overflow(Overflow::DropNewest);
        let queue = builder.connect(&directory).expect("a ring can be made");
        let (infos, errors) = fill(&queue);
        let collector = Collector::builder(&directory).spawn(log.file()).expect("nobody else collects");
        collector.flush(LATEST).expect("the sink takes everything");
        let stats = queue.stats();
        assert_eq!((stats.dropped_lines, stats.queued_lines), (infos + errors, 0), "{stats:?}");
        assert_kept(&LogFamily::of(log.path()));
    });
}

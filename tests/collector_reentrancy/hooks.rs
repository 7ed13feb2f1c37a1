//! Hooks that log: the collector's error hook, and the panic hook while its sink panics.

use std::{io, panic};

use super::{LINES, Loud, Story, assert_story, collector, log_inner, log_line};
use crate::support::child::role;

#[test]
fn child_error_hook_logs() {
    if !role("hooks::child_error_hook_logs") {
        return;
    }
    // One failure doesn't cost a line: it is told and tried again.
    let write = |call, _: &[u8]| if call % 5 == 0 { Err(io::Error::other("as told")) } else { Ok(()) };
    let story = Story::begin(collector().on_error(|_| log_inner()), Loud::new(write, |_| {}));
    story.produce(log_line);
    story.end(2 * LINES);
}

#[test]
fn an_error_hook_that_logs() {
    let left = assert_story("hooks::child_error_hook_logs", "");
    assert!(left.inner >= 10, "{}", left.output);
}

#[test]
fn child_panic_hook_logs() {
    if !role("hooks::child_panic_hook_logs") {
        return;
    }
    // A panic with several lines doesn't cost one: each is tried alone.
    let write = |call, bytes: &[u8]| {
        let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
        assert!(call % 10 > 0 || lines < 2, "as told");
        Ok(())
    };
    panic::set_hook(Box::new(|_| log_inner()));
    let story = Story::begin(collector().on_error(|_| log_inner()), Loud::new(write, |_| {}));
    story.produce(log_line);
    story.end(2 * LINES);
}

#[test]
fn a_panic_hook_that_logs_while_the_sink_panics() {
    let left = assert_story("hooks::child_panic_hook_logs", "");
    assert!(left.inner >= 10, "{}", left.output);
}

/// The hook of the worker, which is told that lines are dropped: it logs into the queue that is full.
#[test]
fn child_hook_of_a_worker_logs() {
    if !role("hooks::child_hook_of_a_worker_logs") {
        return;
    }
    use tracing_tasklog::writer::{Overflow, SharedQueue};
    let builder = SharedQueue::builder().capacity_bytes(1).overflow(Overflow::DropNewest);
    let builder = builder.on_error(|_| log_inner());
    let queue = builder.connect(crate::collector_kit::queue_path()).expect("the directory is the test's own");
    crate::collector_kit::set_global(tracing_tasklog::TaskLayer::new(queue.clone()));
    (1..=500).for_each(|n| log_line(0, n));
    let (stats, drops) = (queue.stats(), queue.drops());
    assert!(drops.queue_full > 300, "{drops:?}");
    assert_eq!(stats.accepted_lines, 500 + super::INNER.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(
        stats.queued_lines + drops.queue_full + drops.nested,
        stats.accepted_lines,
        "{stats:?} {drops:?}"
    );
    crate::support::child::say(&format!("lost={}", drops.queue_full + drops.nested));
}

#[test]
fn a_workers_error_hook_that_logs_into_the_full_ring() {
    let place = crate::collector_kit::Place::new();
    let output = place.child("hooks::child_hook_of_a_worker_logs").limit(super::LIMIT).spawn().wait();
    let lost = crate::collector_kit::said(&output.assert_success(), "lost");
    place.collect_all();
    let verdict = place.verify(&crate::support::verify::Expect::new().allowed(0, 500).other_lines());
    assert_eq!(verdict.announced_dropped, lost, "{}", place.text());
}

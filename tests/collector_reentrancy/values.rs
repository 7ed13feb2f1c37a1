//! Values that log while they are shown, with a ring that is full nearly always.

use std::{collections::HashMap, fmt, io::Write as _, sync::atomic::Ordering, thread};

use tracing::info;

use super::{INNER, LINES, Loud, Story, TINY, collector, messages};
use crate::{
    collector_kit::{LATEST, Place, log_file, queue_path, said, set_global},
    support::{
        child::role,
        verify::{Expect, numbered},
        wait_until,
    },
};
use tracing_tasklog::{TaskLayer, writer::SharedQueue};

/// Shows itself as `x`, and logs meanwhile.
struct Chatty {
    worker: u32,
    n: u64,
}

impl fmt::Display for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        INNER.fetch_add(1, Ordering::SeqCst);
        info!("shown {} {}", self.worker, self.n);
        f.write_str("x")
    }
}

#[test]
fn child_values_log() {
    if !role("values::child_values_log") {
        return;
    }
    let story = Story::begin(collector(), Loud::new(|_, _: &[u8]| Ok(()), |_| {}));
    story.produce(|worker, n| info!(value = %Chatty { worker, n }, "{}", numbered(worker, n, 9)));
    story.end(2 * LINES);
}

#[test]
fn values_that_log_while_the_ring_is_full() {
    let place = Place::new();
    let output = place.child("values::child_values_log").limit(super::LIMIT).spawn().wait().assert_success();
    let expect = Expect::new().worker(0, LINES).worker(1, LINES).other_lines();
    let verdict = place.verify(&expect).assert_clean();
    assert_eq!(said(&output, "inner"), 2 * LINES);
    let shown = messages(&place).filter(|text| text.starts_with("shown ")).count() as u64;
    assert_eq!(shown + said(&output, "nested"), 2 * LINES, "{output}");
    assert_eq!(verdict.announced_dropped, said(&output, "nested"), "{output}");
    assert_in_place(&place);
}

/// Nobody collects, so whoever waits for room waits in vain: what a value logs doesn't.
#[test]
fn child_shows_a_value_without_a_collector() {
    if !role("values::child_shows_a_value_without_a_collector") {
        return;
    }
    let queue = SharedQueue::builder().capacity_bytes(TINY).stall_timeout(3 * LATEST).connect(queue_path());
    let queue = queue.expect("the directory is the test's own");
    set_global(TaskLayer::new(queue.clone()));
    let line = "x".repeat(127) + "\n";
    (0..TINY / line.len())
        .for_each(|_| queue.clone().write_all(line.as_bytes()).expect("writing never fails"));
    let full = queue.stats().accepted_lines;
    thread::scope(|scope| {
        let outer = scope.spawn(|| info!(value = %Chatty { worker: 0, n: 1 }, "{}", numbered(0, 1, 9)));
        wait_until("the value's line found room aside", LATEST / 4, || queue.stats().accepted_lines > full);
        wait_until("its own line waits", LATEST / 4, || queue.stats().accepted_lines > full + 1);
        assert!(!outer.is_finished(), "it has no room");
        collector().spawn(log_file()).expect("nobody else collects").shutdown(LATEST);
    });
    assert_eq!(queue.stats().dropped_lines, 0);
    let report = collector().spawn(log_file()).expect("the first one has ended").shutdown(LATEST);
    assert_eq!(report.pending, 0, "{report:?}");
}

#[test]
fn what_a_value_logs_never_waits_for_room() {
    let place = Place::new();
    let child = place.child("values::child_shows_a_value_without_a_collector").limit(super::LIMIT);
    child.spawn().wait().assert_success();
    let texts: Vec<_> = messages(&place).collect();
    assert_eq!(texts, ["shown 0 1".to_owned(), numbered(0, 1, 9) + " value=x"]);
}

/// What a value logs stands between the line before and the line that it is a value of.
fn assert_in_place(place: &Place) {
    let mut last: HashMap<u32, u64> = HashMap::new();
    for text in messages(place) {
        let mut words = text.split(' ');
        let (is_inner, worker, n) = match words.next() {
            Some("shown") => (true, words.next(), words.next()),
            Some(word) if word.starts_with("w=") => {
                (false, word.strip_prefix("w="), words.next().and_then(|word| word.strip_prefix("n=")))
            }
            _ => continue,
        };
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).expect("a number");
        let (worker, n) = (number(worker) as u32, number(n));
        if is_inner {
            assert_eq!(last.get(&worker).copied().unwrap_or(0), n - 1, "{text}");
        } else {
            last.insert(worker, n);
        }
    }
    assert_eq!(last.len(), 2);
}

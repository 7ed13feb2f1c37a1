//! Values that log while they are shown, with room for one line.

use std::{
    collections::HashMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tracing::info;

use super::{INNER, LINES_SINGLY, Loud, Story, log_inner, messages, said};
use crate::{
    queue_kit::{Gate, LATEST, Log},
    support::{
        child::{Child, role},
        holds_within,
        verify::{Expect, numbered},
        wait_until,
    },
};
use tracing_tasklog::writer::SharedQueue;

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

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[test]
fn child_values_log() {
    if !role("values::child_values_log") {
        return;
    }
    let builder = SharedQueue::builder().capacity_bytes(1);
    let story = Story::begin(builder, Loud::new(|_, _: &[u8]| Ok(()), |_| {}));
    story.produce(LINES_SINGLY, |worker, n| {
        let (chatty, text) = (Chatty { worker, n }, numbered(worker, n, 9));
        if n % 2 == 0 { info!(value = %chatty, "{text}") } else { info!(value = ?chatty, "{text}") }
    });
    story.end(2 * LINES_SINGLY);
}

#[test]
fn values_that_log_with_room_for_one_line() {
    let log = Log::new();
    let child = Child::of_test("values::child_values_log").env("LOG", log.path());
    let output = child.limit(super::LIMIT).spawn().wait().assert_success();
    let expect = Expect::new().worker(0, LINES_SINGLY).worker(1, LINES_SINGLY).other_lines();
    log.verify(&expect).assert_clean();
    assert_eq!(said(&output, "inner"), 2 * LINES_SINGLY);
    let shown = messages(&log).filter(|text| text.starts_with("shown ")).count() as u64;
    assert_eq!(shown + said(&output, "nested"), 2 * LINES_SINGLY, "{output}");
    assert_in_place(&log);
}

/// What a value logs stands between the line before and the line that it is a value of.
fn assert_in_place(log: &Log) {
    let mut last: HashMap<u32, u64> = HashMap::new();
    for text in messages(log) {
        let mut words = text.split(' ');
        let is_inner = match words.next() {
            Some("shown") => true,
            Some(word) if word.starts_with("w=") => false,
            _ => continue,
        };
        if is_inner {
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("two numbers");
            let (worker, n) = (number() as u32, number());
            let before = last.get(&worker).copied().unwrap_or(0);
            assert_eq!(before, n - 1, "{text} stands behind line {before} of its worker");
        } else {
            let number = |word: &str| word[2..].parse::<u64>().expect("a number");
            let worker = number(text.split(' ').next().expect("w="));
            last.insert(worker as u32, number(words.next().expect("n=")));
        }
    }
    assert_eq!(last.values().sum::<u64>(), 2 * LINES_SINGLY);
}

/// Logs while it is shown, and remembers that this returned.
struct Patient;

static HAS_RETURNED: AtomicBool = AtomicBool::new(false);

impl fmt::Display for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        log_inner();
        HAS_RETURNED.store(true, Ordering::SeqCst);
        f.write_str("x")
    }
}

/// The outer call waits for room, the inner one never does: it may hold up anything.
#[test]
fn child_value_logs_over_a_stopped_sink() {
    if !role("values::child_value_logs_over_a_stopped_sink") {
        return;
    }
    let gate = Gate::shut();
    let before = gate.clone();
    let write = move |_, _: &[u8]| {
        before.pass();
        Ok(())
    };
    let story = Story::begin(SharedQueue::builder().capacity_bytes(1), Loud::new(write, |_| {}));
    info!("fills the queue");
    wait_until("the sink is stopped", LATEST, || gate.has_visitors());
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            info!("waits for room {Patient}");
            is_done.store(true, Ordering::SeqCst);
        });
        wait_until("the inner call returns", LATEST, || HAS_RETURNED.load(Ordering::SeqCst));
        let is_done = || is_done.load(Ordering::SeqCst);
        assert!(!holds_within(Duration::from_millis(100), is_done), "the outer call has waited");
        gate.open();
    });
    story.end(2);
}

#[test]
fn a_value_that_logs_while_the_sink_is_stopped_does_not_wait() {
    let log = Log::new();
    let child = Child::of_test("values::child_value_logs_over_a_stopped_sink").env("LOG", log.path());
    child.limit(super::LIMIT).spawn().wait().assert_success();
    let texts: Vec<_> = messages(&log).collect();
    assert_eq!(texts, ["fills the queue", "inner 1", "waits for room x"]);
}

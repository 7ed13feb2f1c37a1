//! Values that log while they are shown, with room for one line.

use std::{collections::HashMap, fmt, sync::atomic::Ordering};

use tracing::info;

use super::{INNER, LINES_SINGLY, Loud, Story, messages, said};
use crate::{
    queue_kit::Log,
    support::{
        child::{Child, role},
        verify::{Expect, numbered},
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

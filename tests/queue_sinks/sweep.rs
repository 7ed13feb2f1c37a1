//! The sweep: a run of faults at the n-th call of the sink, for n from 1 on.

use std::io::ErrorKind;

use super::{Step, spawn, write_singly};
use crate::queue_kit::{Log, Scripted, Settled};

/// Faults that follow each other, and how many lines they may cost at most.
type Fault = (&'static str, &'static [Step], u64);

const FULL: Step = Step::Fail(ErrorKind::StorageFull);

const FAULTS: [Fault; 16] = [
    ("EINTR", &[Step::Fail(ErrorKind::Interrupted)], 0),
    ("EINTR again and again", &[Step::Fail(ErrorKind::Interrupted); 20], 0),
    ("EAGAIN", &[Step::Fail(ErrorKind::WouldBlock)], 0),
    ("ETIMEDOUT", &[Step::Fail(ErrorKind::TimedOut)], 0),
    ("ENOSPC", &[FULL], 0),
    ("ENOSPC four times", &[FULL; 4], 0),
    ("short", &[Step::TakeHalf], 0),
    ("one byte", &[Step::TakeOnly(1), Step::TakeOnly(1)], 0),
    ("short, then ENOSPC", &[Step::TakeHalf, FULL], 0),
    ("EIO", &[Step::Break], 1),
    ("EIO three times", &[Step::Break; 3], 1),
    ("EIO ten times", &[Step::Break; 10], 10),
    ("short, then EIO", &[Step::TakeHalf, Step::Break, Step::Break, Step::Break, Step::Break], 2),
    ("nothing taken", &[Step::Refuse, Step::Refuse, Step::Refuse, Step::Refuse], 2),
    ("panic", &[Step::Panic], 1),
    ("panic twice", &[Step::Panic, Step::Panic], 2),
];

/// More lines than calls at which a fault begins: at last the sink works again.
const LINES: u64 = 36;
const CALLS: u64 = 20;

/// Runs one fault at one call. Says whether the sink came that far, and what became of the lines.
fn run(log: &Log, sink: Scripted, nth: u64) -> (bool, Settled) {
    let calls = sink.calls();
    let (queue, guard, _) = spawn(sink);
    write_singly(&queue, &guard, 1, LINES);
    let settled = log.settle(&queue, guard, LINES);
    (calls.writes() >= nth, settled)
}

fn sweep(first: u64, last: u64) {
    for (name, steps, most_lost) in FAULTS {
        for nth in first..=last {
            let log = Log::named(format!("{name} at call {nth}"));
            let (came_so_far, settled) = run(&log, log.sink_with(nth, steps), nth);
            assert!(came_so_far, "{name} at call {nth}: the sink is called once a line");
            assert!(settled.lost <= most_lost, "{name} at call {nth}: {settled:?}\n{}", log.text());
        }
    }
}

#[test]
fn every_fault_at_every_call_is_accounted_for() {
    sweep(1, CALLS);
}

/// All lines in few calls: a fault meets batches of them.
#[test]
fn every_fault_in_a_batch_is_accounted_for() {
    for (name, steps, most_lost) in FAULTS {
        for nth in 1..=3 {
            let log = Log::named(format!("{name} at call {nth}"));
            let (queue, guard, _) = spawn(log.sink_with(nth, steps));
            crate::queue_kit::write(&queue, 1, 500);
            let settled = log.settle(&queue, guard, 500);
            assert!(settled.lost <= most_lost, "{name} at call {nth}: {settled:?}");
        }
    }
}

/// A sink that takes little at a time: faults in the middle of lines, of fragments' ends, of announcements.
#[test]
#[ignore = "deep: every fault at each of hundreds of calls, half a minute"]
fn deep_every_fault_at_every_call_of_a_sink_that_takes_little() {
    for (name, steps, most_lost) in FAULTS {
        for nth in 1..=120 {
            let log = Log::named(format!("{name} at call {nth}"));
            let sink = log.sink(move |call, _| {
                let at = call.checked_sub(nth).and_then(|at| steps.get(at as usize));
                at.copied().unwrap_or(Step::TakeOnly(7))
            });
            let (_, settled) = run(&log, sink, nth);
            assert!(settled.lost <= most_lost, "{name} at call {nth}: {settled:?}\n{}", log.text());
        }
    }
}

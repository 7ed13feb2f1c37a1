//! `SharedQueue` over sinks that fail: for a time, for good, by a panic, in the middle of a line. No line is torn or
//! glued, every line is in the log or announced there, and logging goes on.
#![cfg(feature = "queue")]

#[path = "queue_sinks/flushes.rs"]
mod flushes;
#[path = "queue_sinks/lasting.rs"]
mod lasting;
mod queue_kit;
#[path = "queue_sinks/random.rs"]
mod random;
mod support;
#[path = "queue_sinks/sweep.rs"]
mod sweep;

use std::{
    io::ErrorKind,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use queue_kit::{LATEST, Log, Scripted, Settled, Step, Told, alone, line_length, write, write_text};
use support::{verify::numbered, wait_until};
use tracing_tasklog::writer::{QueueGuard, SharedQueue};

/// Errors that go away by themselves, or when somebody makes room.
const HEALING: [ErrorKind; 5] = [
    ErrorKind::StorageFull,
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::TimedOut,
    ErrorKind::QuotaExceeded,
];

fn spawn(sink: Scripted) -> (SharedQueue, QueueGuard, Told) {
    let told = Told::default();
    let builder = SharedQueue::builder().on_error(told.hook());
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    (queue, guard, told)
}

/// Writes worker 0's lines `from..=to`, each in a call of the sink's own.
fn write_singly(queue: &SharedQueue, guard: &QueueGuard, from: u64, to: u64) {
    for n in from..=to {
        write(queue, n, n);
        guard.flush(LATEST).expect("the sink works again soon");
    }
}

#[test]
fn a_sink_that_panics_once_costs_one_line_at_most() {
    for nth in 1..=10 {
        let log = Log::new();
        let (queue, guard, told) = spawn(log.sink_with(nth, &[Step::Panic]));
        write_singly(&queue, &guard, 1, 12);
        let settled = log.settle(&queue, guard, 12);
        assert!(settled.lost <= 1 && settled.errors == 1, "call {nth}: {settled:?}");
        assert_eq!(queue.drops().sink_failed, settled.lost);
        assert_eq!(told.all().len(), 1, "call {nth}: {:?}", told.all());
        assert!(told.all()[0].contains("panicked"), "{:?}", told.all());
    }
}

#[test]
fn a_panic_that_was_not_about_the_lines_costs_none_of_several() {
    let log = Log::new();
    let (queue, guard, _) = spawn(log.sink_with(1, &[Step::Panic]));
    write(&queue, 1, 50); // one call of the sink, as a rule; a busy machine may make several of it
    let settled = log.settle(&queue, guard, 50);
    assert!(settled.lost <= 1 && settled.errors == 1, "{settled:?}");
}

#[test]
fn a_line_that_the_sink_panics_at_takes_no_other_with_it() {
    let log = Log::new();
    let falls = |bytes: &[u8]| bytes.windows(6).any(|word| word == b"poison");
    let (queue, guard, told) =
        spawn(log.sink(move |_, bytes| if falls(bytes) { Step::Panic } else { Step::Take }));
    for round in 0..5 {
        write(&queue, 10 * round + 1, 10 * round + 10);
        write_text(&queue, "poison");
    }
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (50, 5, 0));
    assert_eq!(queue.drops().sink_failed, 5);
    assert!(!told.all().is_empty(), "the hook was told");
    let expect = support::verify::Expect::new().worker(0, 50).bare_lines();
    assert_eq!(log.verify(&expect).assert_clean().announced_dropped, 5);
    let reason = |text: &String| text.ends_with(r#" lines dropped reason="the sink panicked""#);
    assert!(log.announcements().iter().all(reason), "{:?}", log.announcements());
}

/// A sink that fails with `kind` from its third call on until it is healed, and when it first worked again.
struct Ailing {
    is_healed: Arc<AtomicBool>,
    worked_at: Arc<Mutex<Option<Instant>>>,
}

impl Ailing {
    fn sink(log: &Log, kind: ErrorKind) -> (Ailing, Scripted) {
        let ailing = Ailing { is_healed: Arc::default(), worked_at: Arc::default() };
        let (is_healed, worked_at) = (Arc::clone(&ailing.is_healed), Arc::clone(&ailing.worked_at));
        let sink = log.sink(move |call, _| {
            if call < 3 {
                return Step::Take;
            }
            if !is_healed.load(Ordering::SeqCst) {
                return Step::Fail(kind);
            }
            worked_at.lock().expect("nobody panics").get_or_insert_with(Instant::now);
            Step::Take
        });
        (ailing, sink)
    }

    /// Heals it; says how long it took until it was used again.
    fn heal(&self) -> Duration {
        let healed_at = Instant::now();
        self.is_healed.store(true, Ordering::SeqCst);
        let worked_at = || *self.worked_at.lock().expect("nobody panics");
        wait_until("the sink is tried again", LATEST, || worked_at().is_some());
        worked_at().expect("just seen") - healed_at
    }
}

#[test]
fn errors_that_heal_cost_no_line() {
    for kind in HEALING {
        let log = Log::new();
        let (ailing, sink) = Ailing::sink(&log, kind);
        let calls = sink.calls();
        let (queue, guard, _) = spawn(sink);
        write_singly(&queue, &guard, 1, 2);
        write(&queue, 3, 100);
        wait_until("several tries", LATEST, || calls.writes() > 8);
        assert_eq!(queue.stats().dropped_lines, 0, "{kind:?}");
        let late = ailing.heal();
        // Within 1 s; and another for a machine that is busy.
        assert!(late < Duration::from_secs(2), "{kind:?}: {late:?} until it was tried again");
        let settled = log.settle(&queue, guard, 100);
        assert_eq!((settled.lost, settled.fragments), (0, 0), "{kind:?}");
        assert!(settled.errors > 5, "{kind:?}: {settled:?}");
    }
}

#[test]
fn a_full_disk_is_tried_more_and_more_seldom() {
    let log = Log::new();
    let (ailing, sink) = Ailing::sink(&log, ErrorKind::StorageFull);
    let calls = sink.calls();
    let (queue, guard, told) = spawn(sink);
    write_singly(&queue, &guard, 1, 2);
    write(&queue, 3, 20);
    let is_calm = !support::holds_within(Duration::from_secs(1), || calls.writes() > 2 + 20);
    assert!(is_calm, "more than twenty tries in a second");
    assert!(calls.writes() > 4, "it is tried again");
    assert!(told.all().iter().all(|text| text.contains("write to the sink")), "{:?}", told.all());
    assert!(!told.all().is_empty(), "the hook was told");
    ailing.heal();
    assert_eq!(log.settle(&queue, guard, 20).lost, 0);
}

#[test]
fn one_error_that_does_not_heal_costs_one_line_at_most() {
    for nth in 1..=10 {
        let log = Log::new();
        let (queue, guard, told) = spawn(log.sink_with(nth, &[Step::Break]));
        write_singly(&queue, &guard, 1, 12);
        let settled = log.settle(&queue, guard, 12);
        assert!(settled.lost <= 1 && settled.errors == 1, "call {nth}: {settled:?}");
        assert_eq!(told.all().len(), 1, "call {nth}: {:?}", told.all());
    }
}

/// Takes a line at every other call, and fails at those between: never twice in a row.
#[test]
fn errors_with_successes_between_them_cost_no_line() {
    let log = Log::new();
    let sink = log.sink(|call, bytes| match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) if call % 2 == 0 => Step::TakeOnly(end + 1),
        _ => Step::Break,
    });
    let (queue, guard, _) = spawn(sink);
    write_text(&queue, &(1..=9).map(|n| numbered(0, n, 9)).collect::<Vec<_>>().join("\n"));
    assert_eq!(log.settle(&queue, guard, 9), Settled { lost: 0, errors: 9, fragments: 0 });
}

#[test]
fn a_sink_that_breaks_for_good_within_a_line_is_given_up() {
    alone("a_sink_that_breaks_for_good_within_a_line_is_given_up", || {
        let log = Log::new();
        let sink = log.sink(|call, _| if call == 1 { Step::TakeOnly(5) } else { Step::Break });
        let (queue, guard, _) = spawn(sink);
        write(&queue, 1, 20);
        let report = guard.shutdown(LATEST);
        assert_eq!((report.written, report.dropped, report.pending), (0, 20, 0));
    });
}

#[test]
fn short_writes_tear_nothing() {
    for most in [1, 2, 7, 1000] {
        let log = Log::new();
        let (queue, guard, _) = spawn(log.sink(move |_, _| Step::TakeOnly(most)));
        write(&queue, 1, 200);
        assert_eq!(log.settle(&queue, guard, 200), Settled { lost: 0, errors: 0, fragments: 0 }, "{most}");
    }
}

#[test]
fn a_short_write_before_a_full_disk_tears_nothing() {
    let log = Log::new();
    let full = Step::Fail(ErrorKind::StorageFull);
    let sink =
        log.sink_with(2, &[Step::TakeHalf, full, full, full, Step::TakeOnly(3), full, Step::TakeOnly(1)]);
    let (queue, guard, _) = spawn(sink);
    write_singly(&queue, &guard, 1, 10);
    assert_eq!(log.settle(&queue, guard, 10), Settled { lost: 0, errors: 4, fragments: 0 });
}

#[test]
fn a_fragment_whose_line_is_lost_is_closed() {
    const BREAKS: [Step; 40] = {
        let mut steps = [Step::Break; 40];
        steps[0] = Step::TakeHalf;
        steps
    };
    // The fragment is closed however long the sink is broken: also when the closing meets errors.
    for length in [4, 5, 6, 7, 8, 9, 12, 20, 40] {
        let log = Log::new();
        let (queue, guard, _) = spawn(log.sink_with(2, &BREAKS[..length]));
        write_singly(&queue, &guard, 1, 12);
        let settled = log.settle(&queue, guard, 12);
        assert!(settled.lost >= 1, "{length}: {settled:?}");
        assert_eq!(settled.fragments, 1, "{length}: {settled:?}\n{}", log.text());
    }
}

#[test]
fn a_sink_that_takes_nothing_costs_one_line_at_most() {
    for length in [1, 2, 3] {
        let log = Log::new();
        let steps = &[Step::Refuse; 3][..length];
        let (queue, guard, _) = spawn(log.sink_with(3, steps));
        write_singly(&queue, &guard, 1, 8);
        let settled = log.settle(&queue, guard, 8);
        assert!(settled.lost <= 1 && settled.errors == length as u64, "{length}: {settled:?}");
    }
}

#[test]
fn a_sink_that_says_it_took_more_than_it_got_is_not_believed() {
    struct Boastful(std::fs::File);
    impl std::io::Write for Boastful {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write_all(bytes).map(|()| bytes.len() + line_length(1))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::new();
    let (queue, guard) = SharedQueue::builder().spawn(Boastful(log.file())).expect("a thread can be made");
    write(&queue, 1, 100);
    assert_eq!(log.settle(&queue, guard, 100).lost, 0);
}

//! Sinks whose `flush` fails or panics: the lines are with them already, so nothing is lost.

use std::io::ErrorKind;

use super::{Step, spawn, write_singly};
use crate::{
    queue_kit::{LATEST, Log, Settled, write},
    support::wait_until,
};

#[test]
fn a_flush_that_fails_once_loses_nothing_and_is_tried_again() {
    for step in
        [Step::Fail(ErrorKind::StorageFull), Step::Fail(ErrorKind::Interrupted), Step::Break, Step::Panic]
    {
        let log = Log::new();
        let sink =
            log.sink(|_, _| Step::Take).on_flush(move |call| if call == 2 { step } else { Step::Take });
        let calls = sink.calls();
        let (queue, guard, told) = spawn(sink);
        write_singly(&queue, &guard, 1, 5);
        assert!(calls.flushes() > 5, "{step:?}: it was tried again");
        assert_eq!(log.settle(&queue, guard, 5), Settled { lost: 0, errors: 1, fragments: 0 }, "{step:?}");
        let is_told = told.all().iter().any(|text| text.contains("flush the sink"));
        assert!(is_told || step == Step::Fail(ErrorKind::Interrupted), "{step:?}: {:?}", told.all());
    }
}

#[test]
fn a_flush_that_fails_for_ever_is_told_loses_nothing_and_stops_nobody() {
    for step in [Step::Break, Step::Panic] {
        let log = Log::new();
        let (queue, guard, _) = spawn(log.sink(|_, _| Step::Take).on_flush(move |_| step));
        for n in 1..=5 {
            write(&queue, n, n);
            let error = guard.flush(LATEST).expect_err("the sink keeps what it has taken");
            assert!(!error.is_timeout(), "{error}");
            assert_eq!(error.to_string(), "could not flush the sink of the queue");
        }
        write(&queue, 6, 50);
        let settled = log.settle(&queue, guard, 50);
        assert!(settled.lost == 0 && settled.errors > 0, "{step:?}: {settled:?}");
    }
}

#[test]
fn a_flush_is_not_answered_with_the_error_of_one_before() {
    let log = Log::new();
    let sink = log.sink(|_, _| Step::Take);
    let sink = sink.on_flush(|call| if call <= 3 { Step::Break } else { Step::Take });
    let (queue, guard, told) = spawn(sink);
    write(&queue, 1, 1);
    // Nobody has asked for it: it is what the writer does when it is quiet.
    wait_until("the sink has refused to flush", LATEST, || told.all().len() == 3);
    write(&queue, 2, 2);
    guard.flush(LATEST).expect("the sink works again");
    assert_eq!(log.settle(&queue, guard, 2), Settled { lost: 0, errors: 3, fragments: 0 });
}

#[test]
fn a_flush_that_waits_for_room_on_the_disk_is_a_timeout_and_loses_nothing() {
    let log = Log::new();
    let is_full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_full_now = std::sync::Arc::clone(&is_full);
    let sink = log.sink(|_, _| Step::Take).on_flush(move |_| {
        let is_full = is_full_now.load(std::sync::atomic::Ordering::SeqCst);
        if is_full { Step::Fail(ErrorKind::StorageFull) } else { Step::Take }
    });
    let (queue, guard, _) = spawn(sink);
    write(&queue, 1, 5);
    let error = guard.flush(std::time::Duration::from_millis(50)).expect_err("the disk is full");
    assert!(error.is_timeout(), "{error}");
    is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    guard.flush(LATEST).expect("there is room again");
    assert_eq!(log.settle(&queue, guard, 5).lost, 0);
}

//! Sinks of a collector that fail, for a time or for good, that take a part of what they are given, and that panic: every line is
//! in the log once, or counted and announced there.

use std::{io::ErrorKind, time::Duration};

use tracing_tasklog::writer::{CollectorGuard, SharedQueue};

use crate::{
    collector_kit::{LATEST, Place, write_lines},
    queue_kit::{Step, Told, scripted},
    support::verify::Expect,
};

const LINES: u64 = 500;

/// Two workers that log into a collector with a sink that does as it is told.
struct Story {
    place: Place,
    workers: [SharedQueue; 2],
    guard: CollectorGuard,
    told: Told,
}

impl Story {
    fn of(write: impl FnMut(u64, &[u8]) -> Step + Send + 'static) -> Story {
        Story::begin(write, |_| Step::Take)
    }

    fn begin(
        write: impl FnMut(u64, &[u8]) -> Step + Send + 'static,
        flush: impl FnMut(u64) -> Step + Send + 'static,
    ) -> Story {
        let (place, told) = (Place::new(), Told::default());
        let workers = [place.connect(), place.connect()];
        let sink = scripted(place.log(), write).on_flush(flush);
        let guard = place.collector().on_error(told.hook()).spawn(sink).expect("nobody else collects");
        Story { place, workers, guard, told }
    }

    fn log(&self) {
        std::thread::scope(|scope| {
            for (worker, queue) in (0..).zip(&self.workers) {
                scope.spawn(move || write_lines(queue, worker, LINES));
            }
        });
    }

    /// Ends it. Every line must be in the log once, or announced as lost. Returns how many are lost.
    fn end(self) -> u64 {
        let (told, stats) = (self.told.all(), self.guard.stats());
        let report = self.guard.shutdown(LATEST);
        assert_eq!(report.pending, 0, "{report:?} {stats:?} {told:?}");
        let expect = Expect::new().bare_lines().worker(0, LINES).worker(1, LINES).announced_losses();
        let verdict = self.place.verify(&expect);
        assert!(verdict.faults.is_empty(), "{verdict}\n{report:?}\n{told:?}");
        let account = (report.written, report.dropped);
        assert_eq!(account, (verdict.found, verdict.announced_dropped), "{told:?}");
        for worker in &self.workers {
            let stats = worker.stats();
            assert_eq!((stats.accepted_lines, stats.queued_lines), (LINES, 0), "{stats:?}");
        }
        let next = self.place.collect_all();
        assert_eq!(next.written, 0, "nothing is left, and nothing comes twice");
        report.dropped
    }
}

#[test]
fn short_writes_lose_nothing() {
    for most in [1, 7, 50, 1000] {
        let story = Story::of(move |_, _| Step::TakeOnly(most));
        story.log();
        assert_eq!(story.end(), 0, "{most} bytes at a time");
    }
    let story = Story::of(|_, _| Step::TakeHalf);
    story.log();
    assert_eq!(story.end(), 0);
}

#[test]
fn a_disk_that_is_full_for_a_while_loses_nothing() {
    for kind in
        [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::WouldBlock, ErrorKind::Interrupted]
    {
        let story = Story::of(move |call, _| match call % 10 {
            0 | 1 => Step::TakeOnly(33), // the last bytes that had room
            2..=5 => Step::Fail(kind),
            _ => Step::TakeOnly(777),
        });
        story.log();
        story.guard.flush(LATEST).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(story.end(), 0, "{kind}");
    }
}

#[test]
fn a_full_disk_is_told_of_and_the_log_goes_on_within_a_second_of_the_room() {
    let is_full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_still = std::sync::Arc::clone(&is_full);
    let story = Story::of(move |_, _| {
        let is_full = is_still.load(std::sync::atomic::Ordering::SeqCst);
        if is_full { Step::Fail(ErrorKind::StorageFull) } else { Step::Take }
    });
    story.log();
    let error = story.guard.flush(Duration::from_millis(500)).expect_err("nothing is taken");
    assert!(error.is_timeout(), "{error}");
    assert!(story.place.text().is_empty());
    is_full.store(false, std::sync::atomic::Ordering::SeqCst);
    let all = || story.place.text().lines().count() as u64 == 2 * LINES;
    crate::support::wait_within("the log goes on", Duration::from_secs(1), all);
    assert!(story.told.all().iter().any(|told| told.contains("space") || told.contains("full")));
    assert_eq!(story.end(), 0);
}

#[test]
fn an_error_that_passes_by_costs_nothing() {
    let story = Story::of(|call, _| if call % 3 == 0 { Step::Break } else { Step::TakeOnly(300) });
    story.log();
    assert_eq!(story.end(), 0);
    let story = Story::of(|call, _| if call % 3 == 0 { Step::Refuse } else { Step::TakeOnly(300) });
    story.log();
    assert_eq!(story.end(), 0);
}

#[test]
fn what_a_sink_that_fails_for_good_loses_is_counted_and_announced() {
    // A line is tried three times, those behind it once each, until the sink heals; the lines before and behind are there.
    let story = Story::of(|call, _| if (5..50).contains(&call) { Step::Break } else { Step::TakeOnly(100) });
    story.log();
    story.guard.flush(LATEST).expect("what isn't written is counted");
    let (stats, lost) = (story.guard.stats(), story.guard.drops().sink_failed);
    assert_eq!(stats.dropped_lines, lost, "{stats:?}");
    assert!((15..=43).contains(&lost), "{lost} lost by 45 failures, some of them of announcements");
    assert_eq!(stats.accepted_lines, 2 * LINES, "{stats:?}");
    assert_eq!(stats.written_lines + lost, 2 * LINES, "{stats:?}");
    assert!(!story.told.all().is_empty());
    assert_eq!(story.end(), lost);
}

#[test]
fn a_sink_that_never_takes_anything_loses_all_in_time_and_counts_it() {
    let place = Place::new();
    let queue = place.connect();
    write_lines(&queue, 0, 100);
    let sink = scripted(place.log(), |_, _| Step::Break);
    let guard = place.collector().on_error(|_| ()).spawn(sink).expect("nobody else collects");
    guard.flush(LATEST).expect("each line is tried, and counted");
    assert_eq!((guard.drops().sink_failed, guard.stats().written_lines), (100, 0));
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped, report.pending), (0, 100, 0));
    assert_eq!(place.text(), "");
}

#[test]
fn a_sink_that_panics_costs_the_line_alone() {
    let story = Story::of(|_, bytes| {
        let has_it = bytes.windows(5).any(|part| part == b" n=7 ");
        if has_it { Step::Panic } else { Step::Take }
    });
    story.log();
    assert_eq!(story.end(), 2, "line 7 of both workers");
}

#[test]
fn a_flush_that_fails_or_panics_loses_nothing() {
    for step in [Step::Break, Step::Panic, Step::Fail(ErrorKind::StorageFull)] {
        let story =
            Story::begin(|_, _| Step::TakeOnly(500), move |call| if call < 4 { step } else { Step::Take });
        story.log();
        story.guard.flush(LATEST).unwrap_or_else(|error| panic!("{step:?}: {error}"));
        assert_eq!(story.end(), 0, "{step:?}");
    }
}

//! A collector that is given up at any place of what it writes, lines of several rings and of both lanes: what the next one writes
//! is what the first hasn't, no line more and none less.

use std::{io::ErrorKind, sync::mpsc::channel, time::Duration};

use tracing_tasklog::writer::{InstanceFile, Running};

use crate::{
    collector_kit::{LATEST, Place},
    crafted::{MAIN_END, Ring},
    queue_kit::{Step, scripted},
    support::{
        verify::{Expect, numbered},
        wait_until,
    },
};

/// The lines in the main lane of each ring.
const LINES: u64 = 6;

/// All lines: of three rings, each with one aside.
const ALL: u64 = 3 * (LINES + 1);

/// Rings of workers that are gone. Each has its last line aside: it belongs into the middle, at the end, behind the end.
fn put_rings(place: &Place) {
    for worker in 0..3 {
        let ring = Ring::of_worker(worker, LINES);
        let end = ring.number(MAIN_END);
        let belongs_at = [end / LINES * (LINES - 1), end, end + 50][worker as usize];
        let aside = format!("aside {worker}\n");
        ring.with_entry(belongs_at, aside.len() as u64, aside.as_bytes())
            .put(place, &format!("{worker}.ring"));
    }
}

/// The first collector's sink takes what `write` says, until it fails, or has all, and nobody waits for it any more. Returns how many lines were
/// written and how many are pending.
fn give_up(place: &Place, mut write: impl FnMut(u64, &[u8]) -> Step + Send + 'static) -> (u64, u64) {
    let (failed, has_failed) = channel();
    let sink = scripted(place.log(), move |call, bytes| {
        let step = write(call, bytes);
        if matches!(step, Step::Fail(_)) {
            let _ = failed.send(()); // it fails again and again
        }
        step
    });
    let guard = place.collector().on_error(|_| ()).spawn(sink).expect("nobody else collects");
    let is_whole = || place.text().matches('\n').count() as u64 == ALL;
    // When it fails again, what it took before is counted, however long the collector's thread stood still in between.
    let mut fails = 0;
    wait_until("the sink fails again, or has all", LATEST, || {
        fails += has_failed.try_iter().count();
        fails > 1 || is_whole()
    });
    let report = guard.shutdown(if is_whole() { LATEST } else { Duration::from_millis(100) });
    assert_eq!(report.dropped, 0, "{report:?}");
    (report.written, report.pending)
}

/// Has the next collector write the rest, and checks that all is there once. Returns how many lines it wrote.
fn collect_rest(place: &Place, what: &str) -> u64 {
    let sink = InstanceFile::builder(place.log()).unlimited().build().expect("nobody else writes it");
    let next = place.collector().if_running(Running::Wait(LATEST)).spawn(sink).expect("the first one ends");
    let report = next.shutdown(LATEST);
    assert_eq!((report.pending, report.dropped), (0, 0), "{what}: {report:?}");
    let mut lines: Vec<_> =
        place.text().lines().filter(|line| !line.ends_with('\u{18}')).map(str::to_owned).collect();
    for worker in 0..3 {
        let own: Vec<_> = lines.iter().filter(|line| line.starts_with(&format!("w={worker} "))).collect();
        let expected: Vec<_> = (1..=LINES).map(|n| numbered(worker, n, 9)).collect();
        assert!(own.into_iter().eq(&expected), "{what}: the lines of {worker}, once, in order: {lines:#?}");
    }
    lines.retain(|line| line.starts_with("aside "));
    lines.sort();
    assert_eq!(lines, ["aside 0", "aside 1", "aside 2"], "{what}");
    let expect = (0..3).fold(Expect::new().bare_lines(), |expect, worker| expect.worker(worker, LINES));
    assert_eq!(place.verify(&expect).missing, 0, "{what}");
    report.written
}

#[test]
fn after_any_number_of_lines_the_next_collector_goes_on_with_the_next() {
    for taken in 0..ALL {
        let place = Place::new();
        put_rings(&place);
        let given_up = give_up(&place, move |call, bytes| {
            let first = bytes.iter().position(|&byte| byte == b'\n').expect("it is given whole lines") + 1;
            if call <= taken { Step::TakeOnly(first) } else { Step::Fail(ErrorKind::StorageFull) }
        });
        let what = format!("{taken} lines taken");
        assert_eq!(given_up, (taken, ALL - taken), "{what}: the report is exact");
        assert_eq!(collect_rest(&place, &what), ALL - taken, "{what}");
    }
}

/// The line in which the first one stopped is closed as a fragment, and there is a whole one behind.
#[test]
fn after_any_number_of_bytes_the_next_collector_begins_with_a_whole_line() {
    let mut most = 1;
    while most < 700 {
        let place = Place::new();
        put_rings(&place);
        let mut left = most;
        let (written, pending) = give_up(&place, move |_, bytes| {
            let take = left.min(bytes.len());
            left -= take;
            if take > 0 { Step::TakeOnly(take) } else { Step::Fail(ErrorKind::StorageFull) }
        });
        let what = format!("{most} bytes taken");
        let whole = place.text().matches('\n').count() as u64;
        assert_eq!((written, pending), (whole, ALL - whole), "{what}: the report is exact");
        assert_eq!(collect_rest(&place, &what), ALL - whole, "{what}");
        most += 37;
    }
}

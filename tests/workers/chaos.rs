//! Workers that are killed and stopped at random moments: what they have logged is in the log, and nobody else notices.

use std::time::Duration;

use crate::{
    support::{child::Child, holds_within, ledger::Ledger, verify::Expect, wait_until},
    workers_kit::{LATEST, Place, Random, SMALL, Work, resume, stop},
};

/// Threads of a worker.
const THREADS: u32 = 3;

/// What becomes of a worker.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It kills itself when so many lines of it are written.
    Kills(u64),
    /// It is killed from outside when so many are.
    IsKilled(u64),
    /// It is stopped then, and goes on when all others have ended.
    Stops(u64),
    /// It is stopped for a moment, again and again.
    Stutters,
    Works,
}

impl Fate {
    /// Eight of them: whose turn it is is random, and when.
    fn eight(random: &mut Random, lines: u64) -> Vec<Fate> {
        let all = lines * u64::from(THREADS);
        let mut when = || 1 + random.below(all * 9 / 10);
        let mut fates = vec![
            Fate::Kills(when()),
            Fate::Kills(when()),
            Fate::IsKilled(when()),
            Fate::Stops(when()),
            Fate::Stops(when()),
            Fate::Stutters,
            Fate::Stutters,
            Fate::Works,
        ];
        for at in (1..fates.len()).rev() {
            fates.swap(at, random.below(at as u64 + 1) as usize);
        }
        fates
    }
}

/// A worker under way.
struct Victim {
    at: u32,
    fate: Fate,
    child: Child,
    is_stopped: bool,
}

impl Victim {
    fn new(place: &Place, at: u32, fate: Fate, lines: u64) -> Self {
        let work =
            Work { threads: THREADS, capacity: 16 * 1024, begin: "begin", ..Work::of(at * THREADS, lines) };
        let fated = if let Fate::Kills(when) = fate { when } else { 0 };
        let mut child = Work { fate: fated, ..work }.spawn(place);
        child.wait_for_stdout_line(|line| line == "ready");
        Victim { at, fate, child, is_stopped: false }
    }

    /// How many of its lines are written.
    fn lines(&self, ledger: &Ledger) -> u64 {
        ledger.read()[(self.at * THREADS) as usize..][..THREADS as usize].iter().map(|slot| slot.1).sum()
    }

    /// Does what its fate has for it, when it is time. Returns whether it has ended, or stands still until the others have.
    fn goes_on(&mut self, ledger: &Ledger, random: &mut Random) -> bool {
        match self.fate {
            Fate::IsKilled(when) if self.lines(ledger) >= when => self.child.kill(),
            Fate::Stops(when) if !self.is_stopped && self.lines(ledger) >= when => {
                self.is_stopped = stop(&mut self.child);
            }
            Fate::Stutters if stop(&mut self.child) => {
                holds_within(Duration::from_millis(random.below(20)), || false);
                resume(&self.child);
            }
            _ => {}
        }
        !self.is_stopped && self.child.is_running()
    }

    /// Its last words: whoever wasn't killed has ended well. One that is killed from outside may have ended before.
    fn end(self) {
        let (fate, output) = (self.fate, self.child.wait());
        match fate {
            Fate::IsKilled(_) => {}
            Fate::Kills(_) => assert!(!output.status.success(), "{fate:?}: {output}"),
            _ => assert!(output.status.success(), "{fate:?}: {output}"),
        }
    }
}

/// Eight workers with their fates; the lines whose calls have returned must be in the log.
fn run(seed: u64, lines: u64, limit: Duration) {
    let mut random = Random::new(seed);
    let place = Place::with_limit(limit);
    let ledger = place.ledger(8 * THREADS);
    let collector = place.collector();
    let fates = Fate::eight(&mut random, lines);
    let mut workers: Vec<Victim> =
        (0..).zip(&fates).map(|(at, fate)| Victim::new(&place, at, *fate, lines)).collect();
    place.give("begin");
    // The others end while two of them stand still: nobody waits for them.
    wait_until("all workers end that can", limit, || {
        workers.iter_mut().filter_map(|worker| worker.goes_on(&ledger, &mut random).then_some(())).count()
            == 0
    });
    let (stopped, ended): (Vec<_>, Vec<_>) = workers.into_iter().partition(|worker| worker.is_stopped);
    let told = stopped.iter().map(|worker| worker.fate).collect::<Vec<_>>();
    ended.into_iter().for_each(Victim::end);
    wait_until("the rings of the dead are removed", LATEST, || place.rings().len() <= stopped.len());
    for worker in stopped {
        resume(&worker.child);
        worker.end();
    }
    place.wait_for_no_rings();
    let report = place.end(collector);
    let verdict = place.verify(&Expect::from_ledger(&ledger).bare_lines());
    assert!(verdict.faults.is_empty(), "{fates:?}, stopped {told:?}: {verdict}");
    assert_eq!((report.written, report.dropped, report.pending), (verdict.found, 0, 0), "{report:?}");
    let complete = ledger.read().iter().filter(|(_, returned)| *returned == lines).count();
    assert!(complete >= 5 * THREADS as usize, "{fates:?}: {:?}", ledger.read());
}

#[test]
fn lines_of_workers_that_are_killed_and_stopped_at_random_moments_are_there_once_and_in_order() {
    (1..=3).for_each(|seed| run(seed, 1_500, 3 * LATEST));
}

#[test]
#[ignore = "deep: 50 times 8 workers with 100,000 lines each"]
fn deep_lines_of_workers_that_are_killed_and_stopped_at_random_moments() {
    (101..=150).for_each(|seed| run(seed, 100_000 / u64::from(THREADS), 15 * LATEST));
}

/// The workers wait again and again, all of their threads, with the smallest of rings.
#[test]
fn rings_that_are_full_while_the_collector_stops_and_goes_on_lose_nothing_and_keep_the_order() {
    let (place, mut random) = (Place::new(), Random::new(11));
    let ledger = place.ledger(4 * THREADS);
    let mut collector = place.collector();
    let work =
        |at| Work { threads: THREADS, capacity: SMALL, begin: "begin", ..Work::of(at * THREADS, 1_000) };
    let mut workers: Vec<Child> = (0..4).map(|at| work(at).spawn(&place)).collect();
    workers.iter_mut().for_each(|worker| drop(worker.wait_for_stdout_line(|line| line == "ready")));
    place.give("begin");
    let begun = || ledger.read().iter().map(|slot| slot.0).sum::<u64>();
    let mut stops = 0;
    while workers.iter_mut().any(Child::is_running) {
        assert!(stop(&mut collector));
        // All threads wait, or have ended.
        wait_until("nothing moves", LATEST, || {
            let before = begun();
            !holds_within(Duration::from_millis(30), || begun() > before)
        });
        stops += 1;
        resume(&collector);
        let (before, more) = (begun(), 1 + random.below(2_000));
        wait_until("it goes on", LATEST, || {
            begun() >= before + more || !workers.iter_mut().any(Child::is_running)
        });
    }
    assert!(stops > 3, "it was stopped {stops} times");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    place.wait_for_no_rings();
    assert_eq!(place.end(collector).written, 4 * 1_000 * u64::from(THREADS));
    let all = (0..4 * THREADS).fold(Expect::new().bare_lines(), |expect, slot| expect.worker(slot, 1_000));
    assert_eq!(place.verify(&all).assert_clean().announced_dropped, 0);
}

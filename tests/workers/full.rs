//! Rings that are full: what waits, what is dropped, and what the log says of it.

use std::time::{Duration, Instant};

use crate::{
    support::{
        child::{Child, Output},
        holds_within,
        ledger::Ledger,
        verify::Expect,
        wait_until,
    },
    workers_kit::{LATEST, Place, line_of, number_in, resume, stop},
};

/// How the collector takes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Absent {
    Stopped,
    NotThereYet,
}

const ABSENCES: [Absent; 2] = [Absent::Stopped, Absent::NotThereYet];

/// The lines of a phase that fill a ring several times over.
const MANY: u64 = 700;

/// A worker that writes ten lines while all is well (if there is a collector), `many` while nobody takes them, and ten after.
struct Scene {
    place: Place,
    worker: Child,
    collector: Option<Child>,
    absent: Absent,
}

impl Scene {
    /// Returns when the second phase begins.
    fn new(absent: Absent, overflow: &str, stall: Duration, many: u64) -> Self {
        let place = Place::new();
        drop(place.ledger(1));
        let worker = place.child("workers_kit::children::child_works_in_phases").env("SLOT", "0");
        let worker = worker.env("OVERFLOW", overflow).env("STALL", stall.as_millis().to_string());
        let worker = worker.env("PHASES", format!("10 {many} 10")).env("TASKLOG_INSTANCE", "mailer");
        let mut worker = worker.spawn();
        worker.wait_for_stdout_line(|line| line == "ready");
        let mut collector = (absent == Absent::Stopped).then(|| place.collector());
        place.give("go0");
        worker.wait_for_stdout_line(|line| line.starts_with("phase0"));
        if let Some(collector) = &mut collector {
            wait_until("the first lines are written", LATEST, || place.dir.lines("tasks.log").len() == 10);
            assert!(stop(collector));
        }
        place.give("go1");
        worker.wait_for_stdout_line(|line| line == "begin1");
        Scene { place, worker, collector, absent }
    }

    /// Waits until the second phase is over. Returns what the worker has said of it.
    fn second_phase(&mut self) -> String {
        self.worker.wait_for_stdout_line(|line| line.starts_with("phase1"))
    }

    /// Has lines taken again, or for the first time.
    fn collect(&mut self) {
        match self.absent {
            Absent::Stopped => resume(self.collector.as_ref().expect("it was stopped")),
            Absent::NotThereYet => self.collector = Some(self.place.collector()),
        }
    }

    /// Has the third phase run when what is in the ring is written, which `lines` lines are, and ends everything.
    fn end(mut self, lines: u64) -> Ended {
        let place = self.place;
        let found = || place.dir.lines("tasks.log").iter().filter(|line| line.starts_with("w=")).count();
        wait_until("what is in the ring is written", LATEST, || found() as u64 == lines);
        place.give("go2");
        self.worker.wait_for_stdout_line(|line| line.starts_with("phase2"));
        wait_until("the last lines are written", LATEST, || found() as u64 == lines + 10);
        place.give("end");
        let worker = self.worker.wait().assert_success();
        let report = place.end(self.collector.expect("it is there"));
        assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
        assert_eq!(report.written, lines + 10, "{report:?}");
        Ended { place, worker }
    }
}

/// What is left of a scene.
struct Ended {
    place: Place,
    worker: Output,
}

impl Ended {
    /// Panics unless `dropped` of `all` lines are missing, the worker has counted them, and the log tells of them, where they
    /// are missing.
    fn assert_dropped(&self, dropped: u64, all: u64, reason: &str, what: Absent) {
        let verdict = self.place.verify(&Expect::new().worker(0, all).bare_lines().announced_losses());
        assert!(verdict.faults.is_empty(), "{what:?}: {verdict}");
        assert_eq!((verdict.missing, verdict.found), (dropped, all - dropped), "{what:?}: {verdict}");
        let last = line_of(&self.worker, "last ");
        let counts = ["accepted", "written", "dropped", "queued"].map(|key| number_in(&last, key));
        assert_eq!(counts, [all, all - dropped, dropped, 0], "{what:?}: {last}");
        let announcements = self.place.announcements();
        if dropped == 0 {
            return assert!(announcements.is_empty(), "{what:?}: {announcements:?}");
        }
        let begin = format!("{dropped} lines dropped reason={reason:?} worker=\"mailer\" pid=\"");
        assert!(
            announcements.len() == 1 && announcements[0].starts_with(&begin),
            "{what:?}: {announcements:?}"
        );
        let lines = self.place.dir.lines("tasks.log");
        let at = lines.iter().position(|line| line.starts_with("[-] ")).expect("it is announced");
        assert_eq!(lines.len() - at - 1, 10, "{what:?}: before the lines that came through after");
    }
}

#[test]
fn drop_newest_drops_at_once_and_exactly_what_is_announced_by_the_workers_name() {
    for absent in ABSENCES {
        let began = Instant::now();
        let mut scene = Scene::new(absent, "newest", LATEST, MANY);
        let said = scene.second_phase();
        let dropped = number_in(&said, "dropped");
        assert!(dropped > MANY / 2 && dropped == number_in(&said, "full"), "{absent:?}: {said}");
        scene.collect();
        let ended = scene.end(10 + MANY - dropped);
        ended.assert_dropped(dropped, MANY + 20, "queue full", absent);
        let (told, most) = (ended.worker.stdout.matches("told ").count(), 1 + began.elapsed().as_secs() / 10);
        assert!(told >= 1 && told as u64 <= most, "once in 10 s: {}", ended.worker);
    }
}

#[test]
fn block_for_waits_so_long_for_each_line_and_drops_it_then() {
    for absent in ABSENCES {
        let mut scene = Scene::new(absent, "15", LATEST, 150);
        let said = scene.second_phase();
        let dropped = number_in(&said, "dropped");
        assert!(dropped > 20 && dropped == number_in(&said, "full"), "{absent:?}: {said}");
        assert!(number_in(&said, "took") >= 15 * dropped, "{absent:?}: {said}");
        scene.collect();
        scene.end(10 + 150 - dropped).assert_dropped(dropped, 170, "queue full", absent);
    }
}

#[test]
fn block_waits_and_loses_nothing() {
    for absent in ABSENCES {
        let mut scene = Scene::new(absent, "block", 3 * LATEST, MANY);
        let ledger = Ledger::open(scene.place.dir.path("ledger"));
        let begun = || ledger.read()[0].0;
        wait_until("the worker waits", LATEST, || {
            let before = begun();
            before > 20 && !holds_within(Duration::from_millis(300), || begun() > before)
        });
        assert!(begun() < MANY, "{absent:?}: it didn't wait");
        scene.collect();
        let said = scene.second_phase();
        assert_eq!((number_in(&said, "dropped"), number_in(&said, "accepted")), (0, MANY + 10), "{said}");
        scene.end(10 + MANY).assert_dropped(0, MANY + 20, "", absent);
    }
}

#[test]
fn after_the_stall_timeout_block_drops_until_the_collector_moves_again() {
    for absent in ABSENCES {
        let stall = Duration::from_millis(300);
        let mut scene = Scene::new(absent, "block", stall, MANY);
        let said = scene.second_phase();
        let (dropped, took) = (number_in(&said, "dropped"), u128::from(number_in(&said, "took")));
        assert!(dropped > MANY / 2 && dropped == number_in(&said, "stalled"), "{absent:?}: {said}");
        assert!(
            took >= stall.as_millis() && took < 10 * stall.as_millis(),
            "{absent:?}: waited once: {said}"
        );
        scene.collect();
        let ended = scene.end(10 + MANY - dropped);
        ended.assert_dropped(dropped, MANY + 20, "queue stalled", absent);
        assert_eq!(number_in(&line_of(&ended.worker, "phase2"), "stalled"), dropped, "it moves again");
    }
}

/// Three rings, the first by the side of the others, the second of a worker that is dead, the third without a name.
#[test]
fn what_each_of_several_workers_has_dropped_is_announced_by_its_name() {
    let place = Place::new();
    drop(place.ledger(3));
    let lines = |slot: u32| 200 + 100 * u64::from(slot);
    let spawn = |slot: u32| {
        let worker =
            place.child("workers_kit::children::child_works_in_phases").env("SLOT", slot.to_string());
        let worker =
            worker.env("OVERFLOW", "newest").env("STALL", "1000").env("PHASES", lines(slot).to_string());
        if slot == 2 { worker.spawn() } else { worker.env("TASKLOG_INSTANCE", format!("w-{slot}")).spawn() }
    };
    let mut workers: Vec<Child> = (0..3).map(spawn).collect();
    place.give("go0");
    let say = |worker: &mut Child| worker.wait_for_stdout_line(|line| line.starts_with("phase0"));
    let dropped: Vec<u64> = workers.iter_mut().map(|worker| number_in(&say(worker), "dropped")).collect();
    let pids: Vec<u32> = workers.iter().map(Child::id).collect();
    workers[1].kill();
    let collector = place.collector();
    wait_until("all three are announced", LATEST, || place.announcements().len() == 3);
    place.give("end");
    workers.into_iter().for_each(|worker| drop(worker.wait()));
    place.wait_for_no_rings();
    drop(place.end(collector));
    let mut expected: Vec<String> = (0..3)
        .map(|at| {
            let (dropped, pid) = (dropped[at], pids[at]);
            let of = if at == 2 { format!("\"{pid}\"") } else { format!("\"w-{at}\" pid=\"{pid}\"") };
            format!("{dropped} lines dropped reason=\"queue full\" worker={of}")
        })
        .collect();
    let mut announcements = place.announcements();
    announcements.sort();
    expected.sort();
    assert_eq!(announcements, expected);
    let expect = Expect::new().bare_lines().announced_losses();
    let expect = (0..3).fold(expect, |expect, slot| expect.worker(slot, lines(slot)));
    place.verify(&expect).assert_clean();
}

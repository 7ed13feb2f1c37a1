//! Everything at once, for a while: workers, more rings than files, a collector that is killed and stopped, a log that rotates, and a
//! cleaner and an operator at work in the directory.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    io::Write as _,
    time::{Duration, Instant},
};

use tracing_tasklog::writer::SharedQueue;

use crate::{
    support::{
        child::{Child, role, say},
        holds_within,
        ledger::Ledger,
        verify::Expect,
        wait_until,
    },
    workers_kit::{
        LATEST, Place, Random, Work,
        children::{place, write_line},
        resume, stop,
    },
};

/// The workers, and their threads.
const WORKERS: u32 = 4;
const THREADS: u32 = 2;

/// The rings of one process more, that has little to say: too many for a collector with 64 open files.
const CROWD: u32 = 60;
const SLOTS: u32 = WORKERS * THREADS + CROWD;

/// The most that a killed collector had on its way into the sink, and that is written again.
const BATCH: u64 = 64 * 1024;

#[test]
fn child_is_a_crowd() {
    if !role("soak::child_is_a_crowd") {
        return;
    }
    let ledger = Ledger::open(place("ledger"));
    let connect =
        |_| SharedQueue::builder().capacity_bytes(4096).stall_timeout(3 * LATEST).connect(place("q"));
    let queues: Vec<SharedQueue> = (0..CROWD).map(|at| connect(at).expect("a ring can be made")).collect();
    say("ready");
    for n in 1.. {
        for (slot, queue) in (WORKERS * THREADS..).zip(&queues) {
            write_line(queue, &ledger, slot, n);
            holds_within(Duration::from_millis(1), || false);
        }
        if place("stop").exists() {
            return;
        }
    }
}

/// What a process has: its memory in KiB, and its open files.
fn measure(child: &Child) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next())?;
    let files = fs::read_dir(format!("/proc/{}/fd", child.id())).ok()?.count() as u64;
    Some((memory.parse().ok()?, files))
}

/// The most that was measured, in the first half of the time and in the second.
#[derive(Debug, Default)]
struct Most([(u64, u64); 2]);

impl Most {
    fn add(&mut self, measured: Option<(u64, u64)>, is_second: bool) {
        let most = &mut self.0[usize::from(is_second)];
        let (memory, files) = measured.unwrap_or_default();
        *most = (most.0.max(memory), most.1.max(files));
    }

    /// The second half is as the first one, but for what a ring's pages are when they are touched for the first time.
    fn assert_flat(&self, who: &str) {
        let [first, second] = self.0;
        assert!(second.0 <= first.0 + first.0 / 8 + 2048, "memory of {who}: {self:?}");
        assert!(second.1 <= first.1 + 2, "open files of {who}: {self:?}");
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Deeds {
    kills: u64,
    stops: u64,
    locks: u64,
    pipes: u64,
    renames: u64,
    links: u64,
}

struct Soak {
    place: Place,
    random: Random,
    collector: Child,
    deeds: Deeds,
    names: u64,
}

fn start_collector(place: &Place) -> Child {
    let child = place.child_after("workers_kit::children::child_collects", "ulimit -n 64");
    let child =
        child.env("LOG", "tasks.log").env("SINK", "instance").env("MAX_BYTES", (512 * 1024).to_string());
    let mut collector = child.spawn();
    collector.wait_for_stdout_line(|line| line == "collects");
    collector
}

impl Soak {
    fn pause(&mut self, most: u64) {
        let pause = Duration::from_millis(self.random.below(most));
        holds_within(pause, || false);
    }

    fn do_something(&mut self) {
        match self.random.below(20) {
            0..2 => self.kill(),
            2..5 => {
                assert!(stop(&mut self.collector), "it runs until it is killed");
                self.deeds.stops += 1;
                self.pause(400);
                resume(&self.collector);
            }
            5..9 => {
                self.deeds.locks +=
                    u64::from(fs::remove_file(self.place.queue().join("collector.lock")).is_ok())
            }
            9 => self.deeds.pipes += u64::from(fs::remove_file(self.place.queue().join("wake")).is_ok()),
            10..17 => self.deeds.renames += u64::from(self.name_a_ring(|from, to| fs::rename(from, to))),
            _ => self.deeds.links += u64::from(self.name_a_ring(|from, to| fs::hard_link(from, to))),
        }
    }

    fn kill(&mut self) {
        self.collector.kill();
        wait_until("it is dead", LATEST, || !self.collector.is_running());
        self.deeds.kills += 1;
        self.pause(300);
        self.collector = start_collector(&self.place);
    }

    /// Returns whether that was possible: a ring may have another name by now.
    fn name_a_ring(
        &mut self,
        name: impl FnOnce(&std::path::Path, &std::path::Path) -> std::io::Result<()>,
    ) -> bool {
        let rings = self.place.rings();
        let rings: Vec<&String> = rings.iter().filter(|name| name.ends_with(".ring")).collect();
        let from = self.place.queue().join(rings[self.random.below(rings.len() as u64) as usize]);
        self.names += 1;
        let to = format!("{:08x}-{}.ring", self.random.below(1 << 32), self.names);
        name(&from, &self.place.queue().join(to)).is_ok()
    }
}

/// So many seconds of it. All lines are there, none is torn, and those that are there twice are no more than killed collectors explain.
fn soak(seconds: u64, seed: u64) {
    let limit = Duration::from_secs(seconds);
    let place = Place::with_limit(limit + 6 * LATEST);
    let ledger = place.ledger(SLOTS);
    let work = |at| Work { threads: THREADS, rest_after: 1, ..Work::of(at * THREADS, 0) };
    let mut workers: Vec<Child> = (0..WORKERS).map(|at| work(at).spawn(&place)).collect();
    workers.push(place.child("soak::child_is_a_crowd").spawn());
    workers.iter_mut().for_each(|worker| drop(worker.wait_for_stdout_line(|line| line == "ready")));
    let (collector, random) = (start_collector(&place), Random::new(seed));
    let mut soak = Soak { place, random, collector, deeds: Deeds::default(), names: 0 };
    let mut most: Vec<Most> = (0..=workers.len()).map(|_| Most::default()).collect();
    let began = Instant::now();
    while began.elapsed() < limit {
        soak.pause(200);
        soak.do_something();
        let all = workers.iter().chain([&soak.collector]);
        all.zip(&mut most).for_each(|(child, most)| most.add(measure(child), began.elapsed() > limit / 2));
    }
    let Soak { place, collector, deeds, .. } = soak;
    place.give("stop");
    workers.into_iter().for_each(|worker| drop(worker.wait().assert_success()));
    place.wait_for_no_rings();
    let report = place.end(collector);
    assert_eq!((report.dropped, report.pending), (0, 0), "{report:?}");
    let verdict = place.verify(&Expect::from_ledger(&ledger).bare_lines());
    let mut files = place.dir.names();
    files.retain(|name| name.starts_with("tasks.log"));
    let figures = format!(
        "seed {seed}, {seconds} s: {} lines in {} files, {} twice, {} closed fragments, {deeds:?}, most KiB and open files in each \
         half: {most:?}\n",
        verdict.found,
        files.len(),
        verdict.duplicates,
        verdict.closed_fragments
    );
    let _ = std::io::stderr().write_all(figures.as_bytes());
    let faults = verdict.faults.len() as u64 + verdict.unlisted;
    assert_eq!((faults, verdict.missing), (verdict.duplicates, 0), "nothing else: {figures}{verdict}");
    let bytes: u64 =
        files.iter().map(|name| place.dir.path(name).metadata().map_or(0, |meta| meta.len())).sum();
    let length = bytes / (verdict.found + verdict.duplicates); // on average
    assert!(verdict.duplicates <= deeds.kills * BATCH / length, "{figures}{verdict}");
    most.iter()
        .zip(["worker 0", "worker 1", "worker 2", "worker 3", "the crowd", "the collector"])
        .for_each(|(most, who)| most.assert_flat(who));
}

#[test]
fn ten_seconds_of_all_accidents_at_once_lose_nothing() {
    soak(10, 7);
}

/// `TASKLOG_SOAK_SECONDS` counts instead of ten minutes.
#[test]
#[ignore = "deep: ten minutes of all accidents at once"]
fn deep_ten_minutes_of_all_accidents_at_once_lose_nothing() {
    let seconds = env::var("TASKLOG_SOAK_SECONDS").map_or(600, |seconds| seconds.parse().expect("seconds"));
    let seed = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
    soak(seconds, seed);
}

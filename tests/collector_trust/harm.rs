//! Rings that somebody damages while their worker, in another process, logs and the collector reads.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use tracing_tasklog::writer::{Overflow, SharedQueue};

use super::crafted::{HEAD, MAIN_END};
use crate::{
    collector_kit::{LATEST, Place, queue_path, write, write_lines},
    queue_kit::{Gate, Step, Told},
    support::{
        child::{Child, role, say},
        holds_within,
        verify::{Expect, LogFamily, numbered},
        wait_until,
    },
};

/// The lines of the good worker.
const LINES: u64 = 500;

/// More lines than the damaged worker writes.
const ANY: u64 = 1 << 40;

#[test]
fn child_logs_on() {
    if !role("harm::child_logs_on") {
        return;
    }
    // It never waits: who has damaged its ring may have said that nothing is taken any more.
    let builder = SharedQueue::builder().capacity_bytes(64 * 1024).overflow(Overflow::DropNewest);
    let queue = builder.on_error(|_| ()).connect(queue_path()).expect("the directory is the test's own");
    write_lines(&queue, 1, 200);
    say("written");
    let mut n = 200;
    holds_within(std::time::Duration::from_secs(15), || {
        (1..=20).for_each(|i| write(&queue, 1, n + i));
        n += 20;
        false
    });
}

/// A simple generator of numbers that nobody would call random, but bytes are.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut next = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as u8
        };
        (0..len).map(|_| next()).collect()
    }
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).expect("it is the test's own")
}

/// Has a good worker and one in another process log, damages the ring of that one while the collector is on its way, and checks
/// that the good one's lines arrive all the same. Returns the log.
fn damage(what: &str, damage: impl Fn(&Path)) -> Place {
    let place = Place::new();
    let worker = Child::of_test_after("harm::child_logs_on", "ulimit -c 0");
    let mut worker = place.told(worker).spawn();
    worker.wait_for_stdout_line(|line| line == "written");
    let bad: PathBuf = place.rings().pop().expect("it has a ring");
    let (gate, told, good) = (Gate::shut(), Told::default(), place.connect());
    let (at_gate, log) = (gate.clone(), place.log());
    let sink = crate::queue_kit::scripted(&log, move |_, _| {
        at_gate.pass();
        Step::Take
    });
    write(&good, 0, 1);
    let guard = place.collector().on_error(told.hook()).spawn(sink).expect("nobody else collects");
    wait_until("a batch is on its way", LATEST, || gate.has_visitors());
    (2..=LINES / 2).for_each(|n| write(&good, 0, n));
    damage(&bad);
    gate.open();
    guard.flush(LATEST).unwrap_or_else(|error| panic!("{what}: {error}"));
    (LINES / 2 + 1..=LINES).for_each(|n| write(&good, 0, n));
    guard.flush(LATEST).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = guard.shutdown(LATEST);
    assert_eq!((report.pending, report.dropped), (0, 0), "{what}: {report:?}");
    worker.kill();
    let bytes = fs::read(&log).expect("there is a log");
    let own = bytes.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"w=0 "));
    let expected = (1..=LINES).map(|n| numbered(0, n, 9).into_bytes());
    assert!(expected.eq(own.map(<[u8]>::to_vec)), "{what}: the good worker's lines, once, in order");
    let told = told.all();
    assert!(told.len() <= 3, "{what}: {told:#?}");
    place
}

#[test]
fn a_ring_that_is_cut_short_while_it_is_in_use_harms_nobody_else() {
    for len in [0, 100, 200, HEAD as u64, HEAD as u64 + 10, HEAD as u64 + 4096] {
        let what = format!("cut to {len}");
        let place = damage(&what, |path| open(path).set_len(len).expect("it is cut"));
        // Nothing is made up in its place: what is there of it are lines of its worker.
        let expect = Expect::new().bare_lines().worker(0, LINES).allowed(1, ANY);
        let faults = LogFamily::of(place.log()).verify(&expect).faults;
        assert!(faults.is_empty(), "{what}: {:?}", &faults[..faults.len().min(3)]);
    }
}

#[test]
fn a_ring_that_is_overwritten_while_it_is_in_use_harms_nobody_else() {
    let mut seed = 0;
    for part in ["all", "head", "lanes", "ends", "zeros"] {
        for _ in 0..2 {
            seed += 1;
            damage(&format!("{part}, seed {seed}"), |path| {
                let (file, mut noise) = (open(path), Noise(seed));
                let len = file.metadata().expect("it is open").len() as usize;
                let (at, bytes) = match part {
                    "head" => (0, noise.bytes(HEAD)),
                    "lanes" => (HEAD, noise.bytes(len - HEAD)),
                    "ends" => (MAIN_END, noise.bytes(48)),
                    "zeros" => (0, vec![0; len]),
                    _ => (0, noise.bytes(len)),
                };
                file.write_all_at(&bytes, at as u64).expect("it is written over");
            });
        }
    }
}

#[test]
fn a_ring_that_is_removed_or_replaced_while_it_is_in_use_harms_nobody_else() {
    damage("removed", |path| fs::remove_file(path).expect("it is the test's own"));
    damage("replaced by text", |path| {
        fs::remove_file(path).expect("it is the test's own");
        fs::write(path, "text").expect("the folder is the test's own");
    });
    damage("readable by all", |path| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("it is the test's own");
    });
}

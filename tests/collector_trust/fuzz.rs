//! Rings with anything in them: no panic, no hang, no more in the log than is in the file, and a good ring beside it is complete.
//!
//! `PROPTEST_CASES` says how many cases there are.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proptest::{prelude::*, sample::Index, test_runner::TestRunner};

use super::crafted::{ASIDE_END, HEAD, MAIN_END, Ring};
use crate::{
    collector_kit::Place,
    queue_kit::Told,
    support::{
        child::{Child, role},
        verify::numbered,
    },
};

/// How many lines are in each ring.
const LINES: u64 = 30;

/// How many announcements of losses are let pass: a ring may say that any number of lines was dropped.
const ANNOUNCED: usize = 3 * 200;

/// How long a collector may take for two rings: a case that hangs is tried again, made smaller, many times.
const SOON: Duration = Duration::from_secs(3);

/// Where something is changed, and to what.
#[derive(Clone, Debug)]
enum Change {
    /// A byte of the head.
    HeadByte(Index, u8),
    /// A number of the head, wherever it is.
    HeadNumber(Index, u64),
    /// A number of the head that means something.
    Named(usize, u64),
    /// A named number, by a little.
    Nearly(usize, i8),
    /// Bytes somewhere behind the head.
    Lanes(Index, Vec<u8>),
    Len(Index),
}

/// All numbers that are named in the layout.
const NAMED: [usize; 22] =
    [8, 16, 24, 32, 40, 128, 136, 144, 152, 160, 168, 256, 264, 272, 280, 288, 296, 320, 328, 336, 344, 384];

fn named() -> impl Strategy<Value = usize> {
    prop::sample::select(&NAMED[..])
}

fn number() -> impl Strategy<Value = u64> {
    let small = 0_u64..200_000;
    let near_the_end = (0_u64..200_000).prop_map(|less| u64::MAX - less);
    prop_oneof![small, near_the_end, any::<u64>(), Just(1 << 30), Just(1 << 63)]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, to)| Change::HeadByte(at, to)),
        1 => (any::<Index>(), number()).prop_map(|(at, to)| Change::HeadNumber(at, to)),
        4 => (named(), number()).prop_map(|(at, to)| Change::Named(at, to)),
        4 => (named(), any::<i8>()).prop_map(|(at, by)| Change::Nearly(at, by)),
        2 => (any::<Index>(), prop::collection::vec(any::<u8>(), 1..200))
            .prop_map(|(at, bytes)| Change::Lanes(at, bytes)),
        1 => any::<Index>().prop_map(Change::Len),
    ]
}

fn apply(ring: &mut Ring, change: &Change) {
    let len = ring.0.len();
    let mut set = |at: usize, number: u64| {
        if let Some(place) = ring.0.get_mut(at..at + 8) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
    };
    match change {
        Change::HeadByte(at, to) if len > 0 => ring.0[at.index(len.min(512))] = *to,
        Change::HeadNumber(at, to) => set(8 * at.index(64), *to),
        Change::Named(at, to) => set(*at, *to),
        Change::Nearly(at, by) => {
            let at = *at;
            if len >= at + 8 {
                let number = ring.number(at).wrapping_add_signed(i64::from(*by));
                ring.0[at..at + 8].copy_from_slice(&number.to_ne_bytes());
            }
        }
        Change::Lanes(at, bytes) if len > HEAD + 64 * 1024 => {
            // Where something is: the beginning of a lane.
            let lanes = [HEAD, len - 64 * 1024];
            let at = (lanes[at.index(2)] + at.index(2000)).min(len - bytes.len());
            ring.0[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Change::Len(to) => ring.0.truncate(to.index(len + 1)),
        Change::HeadByte(..) | Change::Lanes(..) => {}
    }
}

/// A sink that keeps what it is given, in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A good worker's ring with lines in both lanes, and one that nobody has changed yet.
fn rings() -> [Ring; 2] {
    [0, 1].map(|worker| {
        let ring = Ring::of_worker(worker, LINES);
        let end = ring.number(MAIN_END);
        let ring = ring.with_entry(end, 6, b"aside\n");
        assert_eq!(ring.number(ASIDE_END), 22);
        ring
    })
}

fn check([good, bad]: &[Ring; 2], changes: &[Change]) -> Result<(), TestCaseError> {
    let (place, sink, told) = (Place::new(), Memory::default(), Told::default());
    let mut bad = bad.clone();
    changes.iter().for_each(|change| apply(&mut bad, change));
    good.put(&place, "2-good.ring");
    bad.put(&place, "1-bad.ring");
    bad.put(&place, "3-bad.ring");
    let guard = place.collector().on_error(told.hook()).spawn(sink.clone()).expect("nobody else collects");
    let flushed = guard.flush(SOON);
    let report = guard.shutdown(SOON);
    prop_assert!(flushed.is_ok() && report.pending == 0, "{flushed:?} {report:?} {:?}", told.all());
    let bytes = sink.bytes();
    let most = good.0.len() + 2 * bad.0.len() + ANNOUNCED;
    prop_assert!(bytes.len() <= most, "{} bytes out of {most}", bytes.len());
    let own = bytes.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"w=0 "));
    let own: Vec<_> = own.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let expected: Vec<_> = (1..=LINES).map(|n| numbered(0, n, 9)).collect();
    prop_assert_eq!(own, expected);
    prop_assert!(!place.queue().join("2-good.ring").exists(), "it is drained: {:?}", told.all());
    Ok(())
}

#[test]
fn child_reads_rings_with_anything_in_them() {
    if !role("fuzz::child_reads_rings_with_anything_in_them") {
        return;
    }
    let rings = rings();
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_time: 10_000, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let changes = prop::collection::vec(change(), 1..6);
    runner.run(&changes, |changes| check(&rings, &changes)).unwrap_or_else(|error| panic!("{error}"));
}

/// In a process of its own: a collector that spins or eats memory can't be ended otherwise.
#[test]
fn no_ring_whatever_breaks_a_collector_or_its_neighbours() {
    let cases = u64::from(ProptestConfig::default().cases);
    let child = Child::of_test_after("fuzz::child_reads_rings_with_anything_in_them", "ulimit -v 2000000");
    child.limit(Duration::from_secs(30) + Duration::from_millis(100 * cases)).spawn().wait().assert_success();
}

//! Sinks that do anything at random, with any room and any overflow: the account holds, and what is lost is announced.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tracing_tasklog::writer::{Overflow, SharedQueue};

use super::queue_kit::{LATEST, Log, Step, write};

const LINES: u64 = 400;

/// Xorshift: the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What a sink does: each thing as often in a hundred calls as the seed has it.
fn step(random: &mut Random, often: [u64; 5]) -> Step {
    let steps = [
        Step::Break,
        Step::Fail(ErrorKind::StorageFull),
        Step::Fail(ErrorKind::Interrupted),
        Step::Panic,
        Step::TakeHalf,
    ];
    let mut drawn = random.below(100);
    for (step, often) in steps.into_iter().zip(often) {
        match drawn.checked_sub(often) {
            Some(rest) => drawn = rest,
            None => return step,
        }
    }
    if random.below(4) == 0 { Step::TakeOnly(1 + random.below(60) as usize) } else { Step::Take }
}

fn survives(seed: u64) {
    let mut random = Random::new(seed);
    let capacity = [60, 500, 5_000, 100_000][random.below(4) as usize];
    let overflow = [Overflow::Block, Overflow::DropNewest, Overflow::BlockFor(Duration::from_millis(1))]
        [random.below(3) as usize];
    let often = [random.below(12), random.below(4), random.below(12), random.below(8), random.below(30)];
    let log = Log::named(format!("seed {seed}: {capacity} bytes, {overflow:?}, {often:?}"));
    let works = Arc::new(AtomicBool::new(false));
    let does_work = Arc::clone(&works);
    let mut of_sink = Random::new(seed + 1);
    let sink =
        log.sink(
            move |_, _| {
                if does_work.load(Ordering::SeqCst) { Step::Take } else { step(&mut of_sink, often) }
            },
        );
    let builder = SharedQueue::builder().capacity_bytes(capacity).overflow(overflow).on_error(|_| {});
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    for part in 0..4 {
        write(&queue, part * LINES / 4 + 1, (part + 1) * LINES / 4);
        if random.below(2) == 0 {
            // It may be refused: what the sink keeps is nothing here.
            let _ = guard.flush(LATEST);
        }
    }
    works.store(true, Ordering::SeqCst); // a sink that is broken at the end can't be told what is lost
    guard.flush(LATEST).expect("it works again");
    write(&queue, LINES + 1, LINES + 1);
    log.settle(&queue, guard, LINES + 1);
}

#[test]
fn whatever_a_sink_does_the_account_holds() {
    (0..25).for_each(survives);
}

#[test]
#[ignore = "deep: a thousand seeds"]
fn deep_whatever_a_sink_does_the_account_holds() {
    (25..1025).for_each(survives);
}

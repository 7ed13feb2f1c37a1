//! Numbers of threads: each thread that logs has one that no other live thread has, as small as possible. So threads that end and
//! begin all the time use the same few lanes. Without a lock: a signal handler may ask, and a child of fork.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

/// The number of a thread that has none yet.
const NONE: u32 = u32::MAX;

/// So many threads have numbers of their own, a bit each; those beyond share them.
const MANY: u32 = 4096;
static TAKEN: [AtomicU64; MANY as usize / 64] = [const { AtomicU64::new(0) }; MANY as usize / 64];
static BEYOND: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Without a destructor: those of other thread-local values may log. They then use a number that another thread may have by now.
    static NUMBER: Cell<u32> = const { Cell::new(NONE) };
    static HELD: Cell<Held> = const { Cell::new(Held(NONE)) };
}

/// A number that is given back at the end of its thread.
struct Held(u32);

impl Drop for Held {
    fn drop(&mut self) {
        if self.0 < MANY {
            // Relaxed: the lanes have locks.
            TAKEN[self.0 as usize / 64].fetch_and(!(1 << (self.0 % 64)), Ordering::Relaxed);
        }
    }
}

/// Returns the number of this thread.
#[inline]
pub(super) fn number() -> u32 {
    match NUMBER.get() {
        NONE => first(),
        number => number,
    }
}

#[cold]
fn first() -> u32 {
    let (number, held) = match take() {
        Some(number) => (number, Held(number)),
        None => (BEYOND.fetch_add(1, Ordering::Relaxed) % MANY, Held(NONE)),
    };
    NUMBER.set(number);
    // A thread that is past its destructors has given its number back before anybody could tell.
    let _ = HELD.try_with(|of_thread| of_thread.set(held));
    number
}

/// Takes the smallest number that no thread has.
fn take() -> Option<u32> {
    (0..).zip(&TAKEN).find_map(|(at, word)| {
        let with_one_more = |taken: u64| (taken != u64::MAX).then(|| taken | (taken + 1));
        let before = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with_one_more).ok()?;
        Some(at * 64 + before.trailing_ones())
    })
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use std::{collections::HashSet, sync::Barrier, thread};

    use super::*;

    #[test]
    fn live_threads_have_numbers_of_their_own_and_those_of_dead_threads_are_used_again() {
        let mut most = 0;
        for _ in 0..20 {
            let together = Barrier::new(50);
            let numbers: Vec<u32> = thread::scope(|scope| {
                let threads: Vec<_> = (0..50)
                    .map(|_| {
                        scope.spawn(|| {
                            together.wait();
                            let mine = number();
                            together.wait(); // all have one now
                            assert_eq!(number(), mine);
                            mine
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 50);
            most = most.max(*numbers.iter().max().expect("some"));
        }
        assert!(most < 500, "{most}: numbers of threads that have ended are not used again");
    }
}

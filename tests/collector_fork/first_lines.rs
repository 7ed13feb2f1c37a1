//! The first lines of a child, from many threads at once: one of them makes the child's ring, and the others wait for it.

use std::{sync::Barrier, thread};

use super::run_beside_collector;
use crate::{
    collector_kit::{connect, write, write_lines},
    support::{
        child::role,
        fork::{forked, wait_for},
        verify::Expect,
    },
};

const THREADS: u32 = 8;

/// The lines of each thread.
const LINES: u64 = 5;

const CHILDREN: u32 = 10;

#[test]
fn child_forks_children_of_many_threads() {
    if !role("first_lines::child_forks_children_of_many_threads") {
        return;
    }
    let queue = connect();
    write(&queue, 0, 1);
    for child in 0..CHILDREN {
        wait_for(forked(|| {
            let at_once = Barrier::new(THREADS as usize);
            thread::scope(|scope| {
                for worker in 1 + child * THREADS..=(child + 1) * THREADS {
                    let (queue, at_once) = (&queue, &at_once);
                    scope.spawn(move || {
                        at_once.wait();
                        write_lines(queue, worker, LINES);
                    });
                }
            });
            let stats = queue.stats();
            let all = u64::from(THREADS) * LINES;
            assert_eq!((stats.accepted_lines, stats.dropped_lines), (all, 0), "{stats:?}");
        }));
    }
    write(&queue, 0, 2);
    assert_eq!(queue.stats().dropped_lines, 0);
}

#[test]
fn the_first_lines_of_a_child_may_come_from_many_threads_at_once() {
    let (place, output) = run_beside_collector("first_lines::child_forks_children_of_many_threads", "");
    let expect = Expect::new().bare_lines().worker(0, 2);
    let expect = (1..=CHILDREN * THREADS).fold(expect, |expect, worker| expect.worker(worker, LINES));
    place.assert_log(&expect, output);
}

//! Forks on a machine that stands still for a while.

use std::{
    io::{self, Write},
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};

use super::{LINES, assert_log, file, run_once, spawn, write};
use crate::support::{
    child::role,
    fork::{PATIENCE, forked, wait_for},
    holds_within,
    verify::Expect,
    wait_until,
};

const FORKS: u32 = 8;

/// How many forks have begun.
static BEGUN: AtomicU32 = AtomicU32::new(0);

/// How many writes of the sink have begun.
static WRITES: AtomicU32 = AtomicU32::new(0);

/// A sink during whose every write a fork begins, and then the process stops until somebody lets it go on.
struct Stops(std::fs::File);

impl Write for Stops {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = WRITES.fetch_add(1, Ordering::SeqCst) + 1;
        if id() == PARENT.load(Ordering::SeqCst) && write <= FORKS {
            wait_until("the fork begins", PATIENCE, || BEGUN.load(Ordering::SeqCst) == write);
            holds_within(Duration::from_millis(20), || false); // it waits for this sink now
            kill_process(getpid(), Signal::STOP)?;
            holds_within(Duration::from_millis(5), || false);
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The process that forks.
static PARENT: AtomicU32 = AtomicU32::new(0);

#[test]
fn child_forks_while_it_stands_still() {
    if !role("still::child_forks_while_it_stands_still") {
        return;
    }
    PARENT.store(id(), Ordering::SeqCst);
    let script = "while sleep 0.4; do kill -CONT $PPID || exit; done";
    let mut others = Command::new("sh").args(["-c", script]).spawn().expect("sh is there");
    let (queue, guard) = spawn(Box::new(Stops(file())));
    for round in 1..=FORKS {
        write(&queue, 0, round.into());
        wait_until("it is being written", PATIENCE, || WRITES.load(Ordering::SeqCst) == round);
        BEGUN.store(round, Ordering::SeqCst);
        wait_for(forked(|| (1..=LINES).for_each(|n| write(&queue, round, n))));
    }
    drop(guard);
    others.kill().and_then(|()| others.wait()).expect("it is ours");
}

#[test]
fn a_fork_waits_for_its_sink_no_less_because_the_machine_stands_still() {
    let (dir, output) = run_once("still::child_forks_while_it_stands_still", "file", "");
    let output = output.assert_success();
    let expect = Expect::new().bare_lines().worker(0, FORKS.into());
    let expect = (1..=FORKS).fold(expect, |expect, worker| expect.worker(worker, LINES));
    assert_log(&dir, &expect, output);
}

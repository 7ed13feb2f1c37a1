//! Forks while the sink hangs, and what a child says then.

use std::{
    fs::File,
    io::{self, Write},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{LINES, ROUNDS, STALL, assert_log, file, run_once, spawn_with, write};
use crate::support::{
    child::{role, say},
    fork::{PATIENCE, forked, wait_for, while_others_log},
    stopwatch::Stopwatch,
    verify::Expect,
    wait_until,
};

/// A sink that hangs until it is let go.
struct Hangs {
    sink: File,
    is_let_go: Arc<AtomicBool>,
    is_hanging: Arc<AtomicBool>,
}

impl Write for Hangs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_hanging.store(true, Ordering::Relaxed);
        wait_until("the sink is let go", Duration::from_secs(50), || self.is_let_go.load(Ordering::Relaxed));
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[test]
fn child_forks_while_its_sink_hangs() {
    if !role("hanging::child_forks_while_its_sink_hangs") {
        return;
    }
    let (is_let_go, is_hanging) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let sink = Hangs { sink: file(), is_let_go: Arc::clone(&is_let_go), is_hanging: Arc::clone(&is_hanging) };
    let (queue, guard) = spawn_with(sink, STALL);
    write(&queue, 0, 1);
    wait_until("it hangs", PATIENCE, || is_hanging.load(Ordering::Relaxed));
    for round in 0..5 {
        let watch = Stopwatch::start();
        let pid = forked(|| {
            let began = Instant::now();
            (1..=LINES).for_each(|n| write(&queue, 1 + round, n));
            let stats = queue.stats();
            let settled = stats.written_lines + stats.dropped_lines + stats.queued_lines;
            assert_eq!((stats.accepted_lines, settled), (LINES, LINES), "they are counted");
            if round % 2 == 0 {
                process::exit(0);
            }
            assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
        });
        let forked_in = watch.elapsed();
        say(&format!("forked in {forked_in:?}"));
        assert!(forked_in < Duration::from_millis(400), "{forked_in:?}");
        wait_for(pid);
    }
    (2..=10).for_each(|n| write(&queue, 0, n));
    is_let_go.store(true, Ordering::Relaxed);
    let report = guard.shutdown(PATIENCE);
    assert_eq!((report.written, report.dropped, report.pending), (10, 0, 0));
}

#[test]
fn a_sink_that_hangs_delays_a_fork_by_a_quarter_of_a_second_at_most_and_hangs_no_child() {
    let (dir, output) = run_once("hanging::child_forks_while_its_sink_hangs", "file", "");
    let output = output.assert_success();
    let children = (1..=5).fold(Expect::new().bare_lines(), |expect, worker| expect.allowed(worker, LINES));
    assert_log(&dir, &children.worker(0, 10), &output);
    assert!(output.stderr.contains("forked"), "the children say that their lines are lost: {output}");
}

#[test]
fn child_forks_while_others_speak_on_stderr() {
    if !role("hanging::child_forks_while_others_speak_on_stderr") {
        return;
    }
    let (is_let_go, is_hanging) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let sink = Hangs { sink: file(), is_let_go: Arc::clone(&is_let_go), is_hanging: Arc::clone(&is_hanging) };
    let (queue, guard) = spawn_with(sink, STALL);
    write(&queue, 0, 1);
    wait_until("it hangs", PATIENCE, || is_hanging.load(Ordering::Relaxed));
    let speak = |_, _| io::stderr().write_all(b"..........").expect("somebody reads it");
    while_others_log(speak, || {
        // The lock of stderr is held by one of them nearly always, and for ever in the child.
        (0..ROUNDS / 2)
            .for_each(|round| wait_for(forked(|| (1..=LINES).for_each(|n| write(&queue, 1 + round, n)))));
    });
    is_let_go.store(true, Ordering::Relaxed);
    drop(guard);
}

#[test]
fn a_child_that_says_what_is_lost_waits_for_nobody_who_speaks_on_stderr() {
    let (dir, output) = run_once("hanging::child_forks_while_others_speak_on_stderr", "file", "");
    let output = output.assert_success();
    let stderr = output.stderr.chars().filter(|&char| char != '.').collect::<String>();
    assert!(stderr.contains("forked"), "the children say that their lines are lost: {stderr}");
    assert_log(&dir, &Expect::new().bare_lines().worker(0, 1), stderr);
}

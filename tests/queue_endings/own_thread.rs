//! The end begins on the queue's own thread: in its sink, or in its error hook. Nobody may wait for himself there.

use std::{
    io::{self, Write},
    mem, process,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread,
    time::Duration,
};

use tracing_tasklog::writer::{QueueGuard, SharedQueue};

use crate::{
    BoxedSink, Held, LET_GO, LIMIT, SINKS, append_to, assert_log, case, log, log_path, message, run_with,
    set_global, sink,
    support::{
        child::{hang, role, say},
        must,
        verify::{Expect, LogFamily},
        wait_until,
    },
};

/// Where the guard is until somebody on the queue's thread takes it.
type Place = Arc<Mutex<Option<QueueGuard>>>;

fn take(place: &Place) -> Option<QueueGuard> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What ends the queue, or the program.
#[derive(Clone)]
struct Ender(Place);

impl Ender {
    /// Ends it if there is a guard, which is so once.
    fn end(&self) {
        let Some(guard) = take(&self.0) else { return };
        assert_eq!(thread::current().name(), Some("tasklog-queue"));
        let case = case();
        if case.ends_with("drop") {
            drop(guard);
        } else if case.ends_with("shutdown") {
            let report = guard.shutdown(Duration::from_secs(60));
            say(&format!("pending={}", report.pending));
        } else if case.ends_with("flush") {
            assert!(guard.flush(Duration::from_secs(60)).expect_err("it would wait for itself").is_timeout());
        } else {
            process::exit(0);
        }
        say("ended");
    }
}

/// A sink that ends its queue in a write or in a flush; or that fails once, so that the error hook does it.
struct Ends {
    sink: BoxedSink,
    ender: Ender,
    failed: bool,
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if case().starts_with("write") {
            self.ender.end();
        }
        if case().starts_with("hook") && !self.failed {
            self.failed = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if case().starts_with("flush") {
            self.ender.end();
        }
        self.sink.flush()
    }
}

/// The queue, its guard at a place that its thread can reach.
fn start() -> SharedQueue {
    let ender = Ender(Place::default());
    let (of_hook, of_sink) = (ender.clone(), ender.clone());
    let builder = SharedQueue::builder().on_error(move |_| of_hook.end());
    let sink = Ends { sink: sink(), ender: of_sink, failed: false };
    let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
    *ender.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    queue
}

#[test]
fn child_ends_its_queue_on_the_queues_thread() {
    if !role("own_thread::child_ends_its_queue_on_the_queues_thread") {
        return;
    }
    let queue = start();
    set_global(&queue);
    (1..=3000).for_each(|n| log(0, n));
    wait_until("it has begun to write", LIMIT, || queue.stats().written_lines > 0);
    (3001..=6000).for_each(|n| log(0, n));
}

#[test]
fn a_guard_that_is_used_on_the_queues_own_thread_waits_for_nothing_and_no_line_is_lost() {
    for how in
        ["write, drop", "write, shutdown", "write, flush", "flush, drop", "hook, drop", "hook, shutdown"]
    {
        for sink in SINKS {
            let (dir, output) = run_with("own_thread::child_ends_its_queue_on_the_queues_thread", sink, how);
            let output = output.assert_success();
            assert!(output.stdout.contains("\nended\n"), "{how}: {output}");
            assert_log(&dir, &Expect::new().worker(0, 6000), format_args!("{sink} {how}: {output}"));
        }
    }
}

#[test]
fn child_exits_on_the_queues_thread() {
    if !role("own_thread::child_exits_on_the_queues_thread") {
        return;
    }
    let other = append_to(log_path().with_file_name("other.log"));
    let (mut other, other_guard) = SharedQueue::builder().spawn(Held(other)).expect("a thread can be made");
    (1..=100).for_each(|n| must(writeln!(other, "{}", message(0, n)), "write"));
    mem::forget(other_guard);
    let queue = start();
    set_global(&queue);
    LET_GO.store(true, Ordering::Relaxed);
    (1..=3000).for_each(|n| log(0, n));
    hang();
}

#[test]
fn a_sink_or_an_error_hook_that_exits_ends_the_process_at_once_and_other_queues_are_written() {
    for how in ["write, exit", "flush, exit", "hook, exit"] {
        let (dir, output) = run_with("own_thread::child_exits_on_the_queues_thread", "file", how);
        output.assert_success();
        // What is in the queue can't be written: this thread, which has the sink, is about to end.
        assert_log(&dir, &Expect::new().allowed(0, 3000).open_fragments(), how);
        let verdict = LogFamily::of(dir.path("other.log")).verify(&Expect::new().worker(0, 100).bare_lines());
        assert!(verdict.faults.is_empty(), "{how}: {verdict}");
    }
}

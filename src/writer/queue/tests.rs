use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{SharedQueueBuilder, core::Mode, for_children::ForChildren, inner, outlet::Outlet, run};
use crate::writer::LineKind;

/// A line that has no room as long as anything is lent is logged by a signal handler that has interrupted its thread in its lane.
fn log_in_a_lane(mode: Mode) {
    let options = SharedQueueBuilder::new().capacity_bytes(4096).options;
    let outlet = Box::new(Outlet::new(Box::new(std::io::sink())));
    let queue = Arc::new(inner::make(options, mode, outlet, ForChildren::default()).expect("memory"));
    if mode == Mode::Threaded {
        let for_thread = Arc::clone(&queue);
        let writer = thread::spawn(move || run::run(&for_thread));
        queue.thread.get_or_init(|| writer.thread().clone());
    }
    let (tell, told) = mpsc::channel();
    let logs = Arc::clone(&queue);
    thread::spawn(move || {
        logs.take(b"short\n", LineKind::default(), false);
        let held = logs.lanes.hold_mine();
        logs.take(&[&[b'x'; 4090][..], b"\n"].concat(), LineKind::default(), false);
        drop(held);
        tell.send(()).expect("it is waited for");
    });
    told.recv_timeout(Duration::from_secs(4)).expect("it doesn't wait for what it has interrupted");
    assert!(queue.flush(Duration::from_secs(10)).is_ok());
    let stats = queue.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (2, 2, 0), "{mode:?}");
    queue.close();
}

#[test]
fn a_handler_does_not_wait_for_the_log_call_that_it_has_interrupted() {
    log_in_a_lane(Mode::Threaded);
}

#[test]
fn nor_does_it_where_there_is_no_thread_that_writes() {
    log_in_a_lane(Mode::Direct);
}

//! The end of a program that logs through a queue for many processes: of a worker, whose every line is there whose log call has
//! returned, however it ends; and of the collector's process, which leaves to the next one what its sink hasn't taken.

#![cfg(all(unix, feature = "multiprocess"))]

#[path = "collector_endings/buffers.rs"]
mod buffers;
mod collector_kit;
#[path = "collector_endings/collectors.rs"]
mod collectors;
#[path = "collector_trust/crafted.rs"]
mod crafted;
#[path = "collector_endings/given_up.rs"]
mod given_up;
mod queue_kit;
#[path = "collector_endings/sinks.rs"]
mod sinks;
mod support;
#[path = "collector_endings/workers.rs"]
mod workers;

use support::child::role;

#[test]
fn child_leaves_lines() {
    if role("child_leaves_lines") {
        collector_kit::leave_lines();
    }
}

#[test]
fn child_writes_and_lives() {
    if role("child_writes_and_lives") {
        collector_kit::write_and_live();
    }
}

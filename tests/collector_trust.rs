//! Whom a queue for many processes trusts: the directory it makes and those it refuses, what lies in the directory and is no
//! ring, and rings that are broken, before they are opened or while they are read.

#![cfg(all(unix, feature = "multiprocess"))]

mod collector_kit;
#[path = "collector_trust/crafted.rs"]
mod crafted;
#[path = "collector_trust/directory.rs"]
mod directory;
#[path = "collector_trust/foreign.rs"]
mod foreign;
#[path = "collector_trust/fuzz.rs"]
mod fuzz;
#[path = "collector_trust/harm.rs"]
mod harm;
mod queue_kit;
mod support;

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

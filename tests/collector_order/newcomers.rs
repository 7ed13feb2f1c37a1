//! The token goes to a worker that has just come, and back to one whose ring the collector has known for long.

use std::{env, process};

use super::{LARGE, Place, SOON, TINY, connect, order_kit::Pen};
use crate::support::child::{Child, hang, role, say};

#[test]
fn a_token_that_goes_to_a_ring_that_has_just_been_made() {
    let place = Place::new();
    let (collector, old) = (place.collect(), Pen::of(&place.connect(LARGE)));
    for round in 0..200 {
        let new = Pen::of(&place.connect(TINY));
        new.token(2 * round);
        old.token(2 * round + 1);
    }
    drop(old);
    place.end(collector, 400);
}

/// A worker of one line, which says when it has logged it.
#[test]
fn child_logs_one_line() {
    if !role("newcomers::child_logs_one_line") {
        return;
    }
    let variable = |name| env::var(name).expect("the parent says so");
    let queue = connect(variable("PLACE").into(), TINY);
    Pen::of(&queue).token(variable("NUMBER").parse().expect("a number"));
    say("logged");
    match variable("END").as_str() {
        "hang" => hang(),
        "exit" => process::exit(0),
        _ => {}
    }
}

#[test]
fn a_token_that_goes_to_a_worker_that_has_just_come() {
    let place = Place::new();
    let (collector, old) = (place.collect(), Pen::of(&place.connect(LARGE)));
    for round in 0..24 {
        let child = Child::of_test("newcomers::child_logs_one_line").env("PLACE", place.queue());
        let child = child.env("NUMBER", (2 * round).to_string()).limit(SOON);
        let mut child = child.env("END", ["return", "exit", "hang"][round as usize % 3]).spawn();
        child.wait_for_stdout_line(|line| line == "logged");
        old.token(2 * round + 1);
        child.kill(); // the one that hangs
    }
    drop(old);
    place.end(collector, 48);
}

//! Lanes under loom: the real producer, reader and merge, in every order in which their threads can run. The clock is a number that all
//! read in one order, and that orders nothing else.
//!
//! `bash .ci/deep loom` runs it.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Lanes, Local, Room, Shape, protocol, shape};
use crate::{sys::words::Words, writer::LineKind};

/// Tries all orders in which each thread is interrupted so many times at most: all without a limit take hours.
fn model(interruptions: usize, f: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(interruptions);
    model.check(f);
}

/// Two lanes with blocks for two short lines each.
fn lanes(blocks: usize) -> (Arc<Lanes>, Room) {
    let shape = Shape { head: 512, lanes: 2, block: 64, blocks };
    let lanes = Lanes::new(Words::new(shape.len()).expect("memory"), shape);
    (Arc::new(lanes), Room::new(1000, &shape))
}

/// Has the lanes 0 and 1 take a line without the lock of the room.
fn lend(lanes: &Lanes, room: &mut Room) {
    for number in 0..2 {
        assert!(lanes.append_near(number, room, b"-\n", 1, true));
    }
}

/// Logs, as a log call does it.
fn log(lanes: &Lanes, number: usize, line: &[u8]) -> bool {
    assert!(lanes.append_as(0, number, line, 1), "it was lent");
    protocol::wakes(lanes.number(shape::STATE), false)
}

fn read(local: &mut Local, lanes: &Lanes, into: &mut Vec<u8>) {
    local.look(lanes);
    local.gather(lanes, u64::MAX, usize::MAX, into);
}

fn place(text: &[u8], line: &[u8]) -> Option<usize> {
    text.windows(line.len()).position(|part| part == line)
}

#[test]
fn a_line_that_follows_another_one_comes_behind_it() {
    loom::model(|| {
        let (lanes, mut room) = lanes(8);
        lend(&lanes, &mut room);
        let (mut local, mut out) = (Local::default(), Vec::new());
        read(&mut local, &lanes, &mut out);
        let token = Arc::new(AtomicBool::new(false));
        let first = thread::spawn({
            let (lanes, token) = (Arc::clone(&lanes), Arc::clone(&token));
            move || {
                log(&lanes, 0, b"a\n"); // the lane that is looked at first
                token.store(true, Ordering::Release);
            }
        });
        let second = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || {
                if token.load(Ordering::Acquire) {
                    log(&lanes, 1, b"b\n");
                }
            }
        });
        read(&mut local, &lanes, &mut out);
        first.join().expect("no panic");
        second.join().expect("no panic");
        read(&mut local, &lanes, &mut out);
        let a = place(&out, b"a\n").expect("it was logged");
        assert!(place(&out, b"b\n").is_none_or(|b| a < b), "{:?}", String::from_utf8_lossy(&out));
    });
}

#[test]
fn memory_that_is_used_again_was_read() {
    model(3, || {
        let (lanes, room) = lanes(3);
        let room = Arc::new(Mutex::new(room));
        let producer = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || {
                let mut taken = 0;
                for line in [
                    b"1 is a line of 48 characters with its line feed\n",
                    b"2 is a line of 48 characters with its line feed\n",
                    b"3 is a line of 48 characters with its line feed\n",
                ] {
                    let mut room = room.lock().expect("no panic");
                    if !lanes.has_room(&mut room, line.len(), LineKind::default()) {
                        break;
                    }
                    assert!(lanes.append_near(0, &mut room, line, 1, false));
                    lanes.take_back(&mut room);
                    taken += 1;
                }
                taken
            }
        });
        let (mut local, mut out) = (Local::default(), Vec::new());
        read(&mut local, &lanes, &mut out);
        let taken = producer.join().expect("no panic");
        read(&mut local, &lanes, &mut out);
        let all = "1 is a line of 48 characters with its line feed\n2 is a line of 48 characters with its line feed\n3 is a line of 48 characters with its line feed\n";
        assert_eq!(String::from_utf8_lossy(&out), all[..48 * taken]);
    });
}

#[test]
fn no_line_is_left_while_the_writer_sleeps() {
    model(3, || {
        let (lanes, mut room) = lanes(8);
        lend(&lanes, &mut room);
        let (mut local, mut out) = (Local::default(), Vec::new());
        read(&mut local, &lanes, &mut out);
        let writer = thread::spawn({
            let lanes = Arc::clone(&lanes);
            move || {
                let mut out = Vec::new();
                while out.len() < 4 {
                    lanes.number(shape::STATE).store(protocol::SLEEPS, Ordering::Relaxed);
                    protocol::between_reads();
                    if lanes.waiting() == 0 {
                        thread::park();
                    }
                    read(&mut local, &lanes, &mut out);
                }
            }
        });
        let other = thread::spawn({
            let (lanes, writer) = (Arc::clone(&lanes), writer.thread().clone());
            move || {
                if log(&lanes, 1, b"b\n") {
                    writer.unpark();
                }
            }
        });
        if log(&lanes, 0, b"a\n") {
            writer.thread().unpark();
        }
        other.join().expect("no panic");
        writer.join().expect("no panic");
    });
}

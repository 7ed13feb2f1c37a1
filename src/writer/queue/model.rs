//! The protocol under loom: every order in which its threads can run.
//!
//! `bash .ci/deep loom` runs it.

use loom::{
    sync::{Arc, Mutex},
    thread,
};

use super::{
    batches::Batches,
    core::{Core, Mode, Writer},
    side::{BYTES, Room},
};

const LINE: &[u8] = b"line\n";

/// What the model's threads share: the real core and the real batches, under a lock of loom's.
struct Queue {
    core: Mutex<Core>,
    batches: Batches,
}

/// A log call, as `Inner::take` has it. Says whether it wakes the writer's thread.
fn log(queue: &Queue, is_urgent: bool) -> bool {
    let mut core = queue.core.lock().expect("no panic");
    core.append(LINE, &queue.batches);
    core.is_urgent |= is_urgent;
    core.wakes_writer_for_lines()
}

/// The writer's thread, as `Inner::wait_for_work` has it. A time to linger passes at any moment. Ends after so many bytes.
fn write(queue: &Queue, bytes: usize) {
    let (mut written, mut lingers) = (0, false);
    while written < bytes {
        let mut core = queue.core.lock().expect("no panic");
        core.writer = Writer::Awake;
        let is_over = lingers;
        if let Some(batch) = queue.batches.next() {
            core.settle(batch.len());
            written += batch.len();
        } else if core.has_open() && (is_over || core.is_pressing()) {
            let batch = core.take_open(&queue.batches).expect("there is one");
            core.settle(batch.len());
            written += batch.len();
            lingers = false;
        } else if core.has_open() {
            core.writer = Writer::Lingers;
            lingers = true;
            drop(core);
            thread::yield_now();
        } else {
            core.writer = Writer::Sleeps;
            lingers = false;
            drop(core);
            thread::park();
        }
    }
    assert!(queue.core.lock().expect("no panic").is_settled());
}

#[test]
fn no_line_is_left_while_the_writer_sleeps() {
    for is_urgent in [false, true] {
        loom::model(move || {
            let batches = Batches::new(64);
            let core = Mutex::new(Core::new(Mode::Threaded, 64, &batches));
            let queue = Arc::new(Queue { core, batches });
            let writer = thread::spawn({
                let queue = Arc::clone(&queue);
                move || write(&queue, 2 * LINE.len())
            });
            let other = thread::spawn({
                let (queue, writer) = (Arc::clone(&queue), writer.thread().clone());
                move || {
                    if log(&queue, false) {
                        writer.unpark();
                    }
                }
            });
            if log(&queue, is_urgent) {
                writer.thread().unpark();
            }
            other.join().expect("no panic");
            writer.join().expect("no panic");
        });
    }
}

#[test]
fn the_side_buffer_never_has_more_than_its_room() {
    loom::model(|| {
        let room = Arc::new(Room::new());
        let push = |room: &Room| {
            let has_room = room.take(BYTES / 2 + 1);
            assert!(room.taken() <= BYTES);
            if has_room {
                room.give_back(BYTES / 2 + 1);
            }
            has_room
        };
        let other = thread::spawn({
            let room = Arc::clone(&room);
            move || push(&room)
        });
        let had_room = push(&room);
        assert!(other.join().expect("no panic") | had_room, "one of them always has room");
        assert_eq!(room.taken(), 0);
    });
}

//! The side buffer under loom: every order in which its threads can run.
//!
//! `bash .ci/deep loom` runs it.

use loom::{sync::Arc, thread};

use super::side::{BYTES, Room};

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

use std::{sync::Mutex, thread};

use proptest::prelude::*;

use super::{Lanes, Local, Room, Shape};
use crate::{sys::words::Words, writer::LineKind};

const PLAIN: LineKind = LineKind(0);

/// Lanes for so many bytes of lines, with blocks that are as small as can be.
fn small(capacity: usize, block: usize) -> (Lanes, Room) {
    let blocks = 4 * (capacity + 128 * 1024) / block + 8;
    let shape = Shape { head: 512, lanes: 4, block, blocks };
    (Lanes::new(Words::new(shape.len()).expect("memory"), shape), Room::new(capacity, &shape))
}

/// Appends lines as a log call does, if there is room.
fn log(lanes: &Lanes, room: &mut Room, number: usize, line: &[u8]) -> bool {
    lanes.append_as(0, number, line, 1)
        || (lanes.has_room(room, line.len(), PLAIN) && lanes.append_near(number, room, line, 1, true))
}

fn read(lanes: &Lanes, local: &mut Local, most: usize) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    local.look(lanes);
    let to = local.gather(lanes, u64::MAX, most, &mut bytes);
    (bytes, to)
}

#[test]
fn lines_of_any_length_come_out_as_they_went_in_also_over_blocks() {
    let (lanes, mut room) = small(1 << 20, 64);
    let lines: Vec<Vec<u8>> =
        (0..400_usize).map(|n| [vec![b'a' + (n % 26) as u8; n * 7 % 331], vec![b'\n']].concat()).collect();
    let mut local = Local::default();
    for lines in lines.chunks(50) {
        lines.iter().for_each(|line| assert!(log(&lanes, &mut room, 1, line)));
        assert_eq!(read(&lanes, &mut local, usize::MAX).0, lines.concat());
        room.give_back(lines.concat().len());
    }
    assert_eq!(lanes.totals(), (400, lines.concat().len() as u64));
}

#[test]
fn what_is_read_a_part_at_a_time_ends_with_a_line_and_says_up_to_where() {
    let (lanes, mut room) = small(1 << 20, 256);
    let mut local = Local::default();
    for n in 0..100 {
        assert!(log(&lanes, &mut room, n % 3, format!("line {n:03}\n").as_bytes()));
    }
    let (mut all, mut before) = (String::new(), 0);
    while all.len() < 900 {
        let (part, to) = read(&lanes, &mut local, 100);
        assert!(part.len() >= 100.min(900 - all.len()) && part.len() < 109 && part.ends_with(b"\n"));
        assert!(to >= before);
        (all, before) = (all + &String::from_utf8_lossy(&part), to);
    }
    let expected: String = (0..100).map(|n| format!("line {n:03}\n")).collect();
    assert_eq!(all, expected, "whatever the lane");
}

#[test]
fn the_room_is_for_all_lanes_together_to_the_byte() {
    let (lanes, mut room) = small(1000, 4096);
    let mut local = Local::default();
    for round in 0..5 {
        for n in 0..10 {
            assert!(log(&lanes, &mut room, n % 4, &[&[b'x'; 99][..], b"\n"].concat()), "{round} {n}");
        }
        assert!(!log(&lanes, &mut room, 0, b"\n") && !log(&lanes, &mut room, 3, b"\n"), "it is full");
        assert_eq!(read(&lanes, &mut local, usize::MAX).0.len(), 1000);
        assert!(!log(&lanes, &mut room, 0, b"\n"), "read isn't written");
        room.give_back(1000);
    }
}

#[test]
fn lines_that_must_not_wait_have_room_beyond() {
    let (lanes, mut room) = small(100, 4096);
    let [plain, error, about_task, both] =
        [0, LineKind::URGENT, LineKind::ABOUT_TASK, LineKind::URGENT | LineKind::ABOUT_TASK].map(LineKind);
    assert!(lanes.has_room(&mut room, 1000, plain), "it passes alone");
    assert!(lanes.append_near(0, &mut room, &[b'x'; 60], 1, true));
    let (half, all) = (64 * 1024, 128 * 1024);
    for (kind, most) in [(plain, 40), (error, 40 + half), (about_task, 40 + all), (both, 40 + all)] {
        assert!(
            lanes.has_room(&mut room, most, kind) && !lanes.has_room(&mut room, most + 1, kind),
            "{kind:?}"
        );
        assert!(!lanes.has_room(&mut room, usize::MAX, kind));
    }
    room.give_back(60);
    assert!(lanes.has_room(&mut room, 1000, plain));
}

#[test]
fn blocks_come_back_from_lanes_that_were_read() {
    let (lanes, mut room) = small(1 << 16, 64);
    let (mut local, before) = (Local::default(), room.blocks());
    for round in 0..200 {
        assert!(log(&lanes, &mut room, round % 4, &[&[b'x'; 600][..], b"\n"].concat()));
        read(&lanes, &mut local, usize::MAX);
        room.give_back(601);
    }
    lanes.take_back(&mut room);
    assert_eq!(room.blocks(), before);
    assert!(room.is_empty() && lanes.waiting() == 0);
}

#[test]
fn who_finds_every_lane_held_is_told_so() {
    let (lanes, mut room) = small(1 << 16, 4096);
    assert!(log(&lanes, &mut room, 0, b"line\n"));
    let held: Vec<_> = (0..4).map(|number| lanes.hold(number)).collect();
    assert!(!lanes.append_as(0, 0, b"line\n", 1) && !lanes.append_near(0, &mut room, b"line\n", 1, true));
    drop(held);
    assert!(lanes.append_as(0, 0, b"line\n", 1));
}

#[test]
fn lines_of_many_threads_are_read_once_and_each_thread_s_in_order() {
    const THREADS: usize = 6; // more than lanes
    const LINES: usize = 20_000;
    let (lanes, room) = small(64 * 1024, 256);
    let room = Mutex::new(room);
    let line = |thread: usize, n: usize| format!("{thread} {n} {}\n", "x".repeat(n % 90));
    let produce = |thread: usize| {
        for n in 0..LINES {
            let line = line(thread, n);
            while !lanes.append_as(thread as u32, thread % 4, line.as_bytes(), 1)
                && !log(&lanes, &mut room.lock().expect("no panic"), thread % 4, line.as_bytes())
            {
                thread::yield_now();
            }
        }
    };
    let mut next = [0; THREADS];
    thread::scope(|scope| {
        let produce = &produce;
        (0..THREADS).for_each(|thread| drop(scope.spawn(move || produce(thread))));
        let mut local = Local::default();
        while next != [LINES; THREADS] {
            let (bytes, _) = read(&lanes, &mut local, 64 * 1024);
            room.lock().expect("no panic").give_back(bytes.len());
            for found in String::from_utf8(bytes).expect("text").split_inclusive('\n') {
                let thread: usize = found[..1].parse().expect("a thread");
                assert_eq!(found, line(thread, next[thread]));
                next[thread] += 1;
            }
        }
    });
    assert_eq!(lanes.totals().0 as usize, THREADS * LINES);
}

proptest! {
    #[test]
    fn whatever_is_logged_and_read_by_turns_comes_out_in_order(
        acts in prop::collection::vec((0..6_usize, 1..700_usize), 1..300),
        block in prop::sample::select(vec![64_usize, 128, 1024]),
    ) {
        let (lanes, mut room) = small(4096, block);
        let (mut local, mut logged, mut found) = (Local::default(), Vec::new(), Vec::new());
        for (number, (act, len)) in acts.into_iter().enumerate() {
            match act {
                lane @ 0..4 => {
                    let line = [number.to_string().as_bytes(), &vec![b'x'; len][..], b"\n"].concat();
                    if log(&lanes, &mut room, lane, &line) {
                        logged.extend(line);
                    } else {
                        prop_assert!(logged.len() - found.len() + len + 1 > 4096 - 5, "there is room");
                    }
                }
                4 => {
                    let (bytes, _) = read(&lanes, &mut local, len);
                    room.give_back(bytes.len());
                    found.extend(bytes);
                }
                _ => lanes.take_back(&mut room),
            }
        }
        found.extend(read(&lanes, &mut local, usize::MAX).0);
        prop_assert_eq!(found, logged);
    }
}

#[test]
fn lines_of_level_error_have_lanes_however_small_the_queue_is() {
    let (lanes, mut room) = small(1, 4096);
    let (line, error) = ([&[b'x'; 999][..], b"\n"].concat(), LineKind(LineKind::URGENT));
    for number in 0..60 {
        assert!(lanes.has_room(&mut room, 1000, error) && !room.is_too_large(1000), "{number}");
        assert!(lanes.append_near(number % 4, &mut room, &line, 1, true));
    }
    assert_eq!(read(&lanes, &mut Local::default(), usize::MAX).0, line.repeat(60));
    let (_, mut empty) = small(1, 4096);
    assert!(lanes.has_room(&mut empty, 1 << 20, PLAIN) && empty.is_too_large(1 << 20), "it passes alone");
}

#[test]
fn a_block_that_ends_where_it_was_read_to_is_kept_until_the_next_one_is_found() {
    let (lanes, mut room) = small(1 << 20, 64);
    let line = [&[b'x'; 47][..], b"\n"].concat(); // its entry fills a block
    let long = [&[b'y'; 200][..], b"\n"].concat();
    let (mut local, mut out) = (Local::default(), Vec::new());
    assert!(lanes.append_near(0, &mut room, &line, 1, true));
    local.look(&lanes); // it ends with the first block
    assert!(lanes.append_near(0, &mut room, &line, 1, true)); // in the second
    local.gather(&lanes, u64::MAX, usize::MAX, &mut out);
    local.look(&lanes); // it ends with the second, and begins with the first
    assert!(lanes.append_near(0, &mut room, &long, 1, true)); // would use the first block again
    local.gather(&lanes, u64::MAX, usize::MAX, &mut out);
    out.extend(read(&lanes, &mut local, usize::MAX).0);
    assert_eq!(out, [line.clone(), line, long].concat());
}

#[test]
fn what_a_lane_is_granted_does_not_pile_up() {
    let capacity = 1 << 20;
    let (lanes, mut room) = small(capacity, 4096);
    let (mut local, line) = (Local::default(), [&[b'x'; 99][..], b"\n"].concat());
    for n in 1..=100_000 {
        assert!(log(&lanes, &mut room, 0, &line));
        if n % 100 == 0 {
            room.give_back(read(&lanes, &mut local, usize::MAX).0.len());
            assert!(!room.is_half_full(), "after {n} lines, with none in the queue: {room:?}");
        }
    }
    lanes.take_back(&mut room);
    assert!(room.is_empty());
}

#[test]
fn short_lines_leave_the_memory_that_is_reserved() {
    let (lanes, mut room) = small(64 * 1024, 4096);
    while log(&lanes, &mut room, 0, b"\n") {}
    let error = LineKind(LineKind::URGENT);
    for _ in 0..60 {
        assert!(lanes.has_room(&mut room, 1000, error));
        assert!(lanes.append_near(1, &mut room, &[&[b'x'; 999][..], b"\n"].concat(), 1, false));
    }
}

#[test]
fn a_signal_handler_knows_that_it_has_interrupted_its_thread_in_a_lane() {
    let (lanes, _) = small(1 << 16, 4096);
    assert!(!lanes.is_interrupted());
    let held = lanes.hold(lanes.mine());
    assert!(lanes.is_interrupted());
    thread::scope(|scope| assert!(!scope.spawn(|| lanes.is_interrupted()).join().expect("no panic")));
    drop(held);
    assert!(!lanes.is_interrupted());
}

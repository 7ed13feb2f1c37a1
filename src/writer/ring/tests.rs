//! Both ends of a ring, beside a list of the lines that should be in it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::PathBuf,
};

use proptest::prelude::*;

use super::{
    consumer::{Consumer, Flaw},
    directory::{self, Directory, Listed},
    layout::{self, Passport, Taken},
    producer::{self, DroppedFor, Lane, Producer},
};
use crate::writer::queue::lanes::protocol;

struct Ring {
    _folder: tempfile::TempDir,
    directory: Directory,
    producer: Producer,
    main: Lane,
    aside: Lane,
}

fn ring(capacity: u64) -> Ring {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory::open(&folder.path().join("q")).expect("a directory");
    let (producer, [main, aside]) =
        producer::make(&directory, [capacity, 0], "mailer-1", false).expect("a ring");
    Ring { _folder: folder, directory, producer, main, aside }
}

fn path_in(directory: &Directory) -> PathBuf {
    directory.list().expect("a list").rings[0].names[0].clone()
}

impl Ring {
    fn consumer(&self) -> Consumer {
        let Listed { rings, unfinished } = self.directory.list().expect("a list");
        assert!(unfinished.is_empty() && rings.len() == 1);
        Consumer::open(&rings[0].names[0]).expect("it can be read")
    }

    fn path(&self) -> PathBuf {
        path_in(&self.directory)
    }

    fn log(&mut self, line: &str) -> bool {
        let (bytes, size) = (line.as_bytes(), self.main.size());
        let has_room = self.main.has_room(&self.producer, bytes.len() as u64, size);
        if has_room {
            self.main.append(&self.producer, bytes);
        }
        has_room
    }

    fn log_aside(&mut self, line: &str) -> bool {
        self.aside.append_entry(&self.producer, self.producer.main_end(), line.as_bytes())
    }
}

/// Takes what fits into `most` bytes.
fn take(consumer: &mut Consumer, most: usize) -> String {
    consumer.look().expect("sound");
    let mut bytes = Vec::new();
    let taken = consumer.taken();
    let main =
        consumer.read_lines(&mut bytes, taken.main, consumer.progress().main, most).expect("there are lines");
    consumer.take(Taken { main, lines: taken.lines + 1, ..taken }).expect("written");
    String::from_utf8(bytes).expect("text")
}

fn nonsense<T>(result: Result<T, Flaw>) -> String {
    match result {
        Err(Flaw::Nonsense(what)) => what,
        Err(Flaw::Io(error)) => panic!("{error}"),
        Ok(_) => panic!("it should be refused"),
    }
}

proptest! {
    #[test]
    fn each_line_comes_out_once_and_in_order(steps in prop::collection::vec((any::<bool>(), 1..3000_usize), 1..200)) {
        let mut ring = ring(4096);
        let mut consumer = ring.consumer();
        let (mut expected, mut number) = (VecDeque::new(), 0);
        for (logs, size) in steps {
            if logs {
                number += 1;
                let line = format!("{number} {}\n", "x".repeat(size));
                let used: usize = expected.iter().map(String::len).sum();
                prop_assert_eq!(ring.log(&line), used + line.len() <= 4096);
                if used + line.len() <= 4096 {
                    expected.push_back(line);
                }
            } else {
                let found = take(&mut consumer, size);
                let lines = found.matches('\n').count();
                prop_assert!(lines > 0 || expected.is_empty());
                prop_assert_eq!(found, expected.drain(..lines).collect::<String>());
            }
        }
    }
}

#[test]
fn an_aside_line_bears_the_place_where_it_belongs() {
    let mut ring = ring(4096);
    assert!(ring.log("one\n") && ring.log_aside("aside\n") && ring.log("two\n") && ring.log_aside("last\n"));
    let mut consumer = ring.consumer();
    consumer.look().expect("sound");
    let progress = consumer.progress();
    let (at, lines, next) = consumer.read_entry(0, progress.aside).expect("read").expect("one");
    assert_eq!((at, lines.as_slice()), (4, b"aside\n".as_slice()));
    let (at, lines, next) = consumer.read_entry(next, progress.aside).expect("read").expect("another");
    assert_eq!((at, lines.as_slice(), next), (8, b"last\n".as_slice(), progress.aside));
    assert!(consumer.read_entry(next, progress.aside).expect("read").is_none());
}

#[test]
fn the_aside_lane_takes_what_has_room_and_no_more() {
    let mut ring = ring(4096);
    let line = format!("{}\n", "x".repeat(1000));
    let lines = (0..100).take_while(|_| ring.log_aside(&line)).count() as u64;
    assert_eq!(lines, layout::ASIDE / (layout::ENTRY as u64 + 1001));
    assert!(ring.log_aside("short\n"), "what fits still goes in");
}

#[test]
fn a_worker_whose_lines_are_taken_goes_back_to_the_beginning() {
    let mut ring = ring(4096);
    let directory = ring.directory.clone();
    let place = |line: &str| {
        let bytes = fs::read(path_in(&directory)).expect("read");
        bytes.windows(line.len()).position(|window| window == line.as_bytes()).expect("it is there")
            - layout::HEAD
    };
    let line = |number: u64| format!("{number} {}\n", "x".repeat(100));
    let mut consumer = ring.consumer();
    for number in [1, 2] {
        assert!(ring.main.has_room(&ring.producer, 103, 4096));
        ring.main.append(&ring.producer, line(number).as_bytes());
    }
    assert_eq!((place(&line(1)), place(&line(2))), (0, 103), "there was something in it");
    assert_eq!(take(&mut consumer, 4096), line(1) + &line(2));
    ring.main.append(&ring.producer, line(3).as_bytes());
    assert_eq!(place(&line(3)), 0);
    assert_eq!(take(&mut ring.consumer(), 4096), line(3), "whoever comes later knows");
    assert_eq!(take(&mut consumer, 4096), line(3), "and whoever has seen what was before");
}

#[test]
fn who_comes_later_goes_on_where_the_last_collector_was() {
    let mut ring = ring(4096);
    assert!(ring.log("one\n") && ring.log("two\n"));
    assert_eq!(take(&mut ring.consumer(), 4), "one\n");
    assert_eq!(take(&mut ring.consumer(), 4), "two\n");
    assert_eq!(ring.producer.taken_lines(), 2);
}

#[test]
fn a_collector_that_was_killed_while_it_said_how_far_it_was_leaves_no_worker_waiting() {
    let mut ring = ring(4096);
    let line = format!("{}\n", "x".repeat(3000));
    assert!(ring.log(&line) && !ring.log(&line));
    let half = Taken { main: 3001, lines: 1, ..Taken::default() };
    let path = ring.path();
    ring.producer.file().write_all_at(&half.encode(), layout::TAKEN as u64).expect("the first copy");
    assert!(!ring.log(&line), "it isn't believed yet");
    let next = Consumer::open(&path).expect("it can be read");
    assert_eq!(next.taken(), half);
    assert!(ring.log(&line));
}

#[test]
fn the_worker_wakes_a_collector_that_sleeps_and_only_once() {
    let ring = ring(4096);
    let mut consumer = ring.consumer();
    let is_woken = |bytes: &mut [u8; 8]| {
        std::io::Read::read(&mut ring.directory.open_pipe().expect("a pipe"), bytes).is_ok()
    };
    let mut bytes = [0; 8];
    assert!(is_woken(&mut bytes), "for the new ring");
    for (state, is_pressing, wakes) in [
        (protocol::SLEEPS, false, true),
        (protocol::LINGERS, false, false),
        (protocol::LINGERS, true, true),
        (protocol::AWAKE, true, false),
    ] {
        consumer.write_state(state).expect("written");
        ring.producer.wake_if_needed(is_pressing);
        ring.producer.wake_if_needed(is_pressing);
        assert_eq!(is_woken(&mut bytes), wakes, "{state} {is_pressing}");
        assert!(!is_woken(&mut bytes));
    }
}

/// Its process has read and closed its own ring, say, and so released the lock that says that it lives.
#[test]
fn a_worker_whose_ring_is_taken_for_that_of_a_dead_one_looks_after_it_with_its_next_line() {
    let mut ring = ring(4096);
    let mut consumer = ring.consumer();
    consumer.write_state(protocol::AWAKE).expect("written");
    consumer.remove(&[ring.path()]).expect("removed");
    assert!(ring.log("one\n") && !ring.producer.is_lost(&ring.directory), "it is still read");
    drop(consumer);
    assert!(ring.producer.wake_if_needed(false) && ring.producer.is_lost(&ring.directory));
}

#[test]
fn a_ring_is_lost_where_no_collector_finds_it_whatever_its_name() {
    let ring = ring(4096);
    let (path, directory) = (ring.path(), ring.directory.clone());
    let rename = |from: &PathBuf, to: &PathBuf| fs::rename(from, to).expect("renamed");
    let [other, link, aside] =
        ["other.ring", "link.ring", "ring.bak"].map(|name| directory.path().join(name));
    rename(&path, &other);
    assert!(!ring.producer.is_lost(&directory), "a collector finds it");
    fs::hard_link(&other, &link).expect("linked");
    rename(&other, &aside);
    assert!(!ring.producer.is_lost(&directory), "by the link");
    fs::remove_file(&link).expect("removed");
    assert!(ring.producer.is_lost(&directory), "it has a name, but none of a ring");
    ring.producer.leave();
    rename(&aside, &path);
    let again = ring.consumer();
    assert!(again.is_abandoned().expect("known") && again.progress().main == again.taken().main);
}

#[test]
fn dropped_lines_are_counted_where_the_collector_finds_them() {
    let ring = ring(4096);
    ring.producer.drop_lines(DroppedFor::Full, 1);
    ring.producer.drop_lines(DroppedFor::Stalled, 20);
    ring.producer.drop_lines(DroppedFor::Nested, 300);
    assert_eq!(ring.consumer().progress().dropped, [1, 20, 300]);
    assert_eq!(ring.producer.dropped(), [1, 20, 300]);
}

#[test]
fn a_worker_that_ends_with_an_empty_ring_leaves_none() {
    let Ring { _folder, directory, producer, mut main, mut aside } = ring(4096);
    producer.close([&mut main, &mut aside]);
    assert!(directory.list().expect("a list").rings.is_empty());
}

#[test]
fn a_worker_that_ends_with_lines_or_losses_leaves_its_ring() {
    for drops in [false, true] {
        let mut ring = ring(4096);
        if drops {
            ring.producer.drop_lines(DroppedFor::Full, 1);
        } else {
            assert!(ring.log("one\n"));
        }
        assert!(!ring.consumer().is_abandoned().expect("known"));
        ring.producer.close([&mut ring.main, &mut ring.aside]);
        let mut consumer = ring.consumer();
        consumer.look().expect("sound");
        assert!(consumer.is_abandoned().expect("known"), "drops: {drops}");
    }
}

#[test]
fn what_makes_no_sense_is_named_and_never_read() {
    let mut ring = ring(4096);
    assert!(ring.log("one\n"));
    let mut consumer = ring.consumer();
    let put = |place: usize, number: u64| {
        ring.producer.file().write_all_at(&number.to_ne_bytes(), place as u64).expect("written");
    };
    put(layout::MAIN_END, 5000);
    assert!(nonsense(consumer.look()).contains("main lane ends at 5000"));
    put(layout::MAIN_END, 3);
    assert!(nonsense(consumer.look()).contains("ends at 3: it did at 4"));
    put(layout::MAIN_END, 8);
    consumer.look().expect("within the lane");
    let read = |to| consumer.read_lines(&mut Vec::new(), 4, to, 100);
    assert!(nonsense(read(8)).contains("no end of a line behind 4"));
    put(layout::ASIDE_END, 8);
    assert!(nonsense(consumer.read_entry(0, 8)).contains("no entry at 0"));
    assert!(nonsense(consumer.read_entry(0, 40)).contains("no entry at 0"), "an entry without a line");
}

#[test]
fn a_file_that_is_cut_short_is_an_error() {
    let ring = ring(4096);
    let mut consumer = ring.consumer();
    ring.producer.file().set_len(100).expect("cut");
    assert_eq!(nonsense(consumer.look()), "was cut short");
    let path = consumer.path().to_owned();
    assert_eq!(nonsense(Consumer::open(&path)), "was cut short");
    std::mem::forget(ring); // its map must not be touched any more
}

#[test]
fn what_is_no_ring_of_this_user_alone_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.ring");
    assert!(matches!(Consumer::open(&path), Err(Flaw::Io(_))), "it isn't there");
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(Consumer::open(&path), Err(Flaw::Io(_) | Flaw::Nonsense(_))));
    fs::remove_dir(&path).expect("removed");
    File::create(&path).expect("a file").set_permissions(fs::Permissions::from_mode(0o640)).expect("mode");
    assert!(nonsense(Consumer::open(&path)).contains("has mode 640, not only to this user"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
    assert_eq!(nonsense(Consumer::open(&path)), "was cut short");
    let link = folder.path().join("y.ring");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    assert_eq!(nonsense(Consumer::open(&link)), "is a symbolic link");
}

#[test]
fn a_ring_has_all_its_blocks() {
    use std::os::unix::fs::MetadataExt as _;

    let ring = ring(1024 * 1024);
    let meta = ring.producer.file().metadata().expect("known");
    assert_eq!(meta.len(), layout::HEAD as u64 + 1024 * 1024 + layout::ASIDE);
    assert!(meta.blocks() * 512 >= meta.len(), "{} blocks", meta.blocks());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let mut bytes = [0; layout::PASSPORT];
    ring.producer.file().read_exact_at(&mut bytes, 0).expect("read");
    let passport = Passport::decode(&bytes, meta.len()).expect("its own");
    assert_eq!((passport.name.as_str(), passport.pid), ("mailer-1", std::process::id()));
}

#[test]
fn an_unfinished_ring_of_a_process_that_is_gone_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let make = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode");
        directory::remove_unfinished(&path).expect("looked at");
        path.exists()
    };
    assert!(!make("1-a-1.new", "") && !make("1-a-2.new", "tasklog\nand more"));
    assert!(make("1-a-3.new", "a text") && make("notes.new", "") && make("1-x-1.new", ""));
    let directory = Directory::open(&folder.path().join("q")).expect("a directory");
    let own = directory.make_ring().expect("a file");
    let path = directory.list().expect("a list").unfinished.remove(0);
    directory::remove_unfinished(&path).expect("looked at");
    assert!(path.exists());
    drop(own);
    assert!(!path.exists());
}

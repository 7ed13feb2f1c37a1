//! Things in the directory that are no rings, and rings that nobody can read: named once, left as they are, and nobody else
//! suffers.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
    time::Duration,
};

use super::crafted::{
    ASIDE_END, ASIDE_SIZE, COLLECTOR, DROPPED, HEAD, MAIN_END, MAIN_SIZE, Ring, VERSION, make_queue, put,
    run_beside,
};
use crate::{
    collector_kit::{LATEST, Place, write},
    queue_kit::{Told, alone},
    support::verify::numbered,
};

/// The lines in a crafted ring.
const LINES: u64 = 20;

/// Short enough for many cases.
const AT_ONCE: Duration = Duration::ZERO;

fn ring() -> Ring {
    Ring::of_worker(1, LINES)
}

/// What is at a path, but for what collectors say in the heads of rings.
fn look(path: &Path) -> String {
    let meta = path.symlink_metadata().unwrap_or_else(|error| panic!("{path:?} is gone: {error}"));
    let kind = meta.file_type();
    let mut bytes = if kind.is_file() { fs::read(path).expect("it is a file") } else { Vec::new() };
    if let Some(state) = bytes.get_mut(COLLECTOR..COLLECTOR + 8) {
        state.fill(0);
    }
    let link = fs::read_link(path).ok();
    format!("{:o} {} {link:?} {}", meta.permissions().mode(), kind.is_fifo(), bytes.escape_ascii())
}

/// Runs a collector beside what `make` puts at `q/foreign.ring`: it is named once with these words, and stays as it is.
fn assert_named_once(words: &str, make: impl FnOnce(&Place, &Path)) {
    let place = Place::new();
    let path = make_queue(&place).join("foreign.ring");
    make(&place, &path);
    let before = look(&path);
    let beside = run_beside(&place, AT_ONCE, words);
    let naming: Vec<_> = beside.told.iter().filter(|told| told.contains("foreign.ring")).collect();
    assert_eq!(naming.len(), 1, "{words}: it is named once: {:#?}", beside.told);
    assert!(naming[0].contains(words), "{words}: {naming:?}");
    assert_eq!(beside.told.len(), 1, "{words}: and nothing else is: {:#?}", beside.told);
    assert!(look(&path) == before, "{words}: it stays as it is");
}

fn assert_ring_named_once(words: &str, ring: &Ring) {
    assert_named_once(words, |place, _| drop(ring.put(place, "foreign.ring")));
}

#[test]
fn what_has_another_name_is_nobodys_business() {
    let place = Place::new();
    let names = ["notes.txt", "ring", "wake.bak", "4711-ab-0.ring.bak", "x.ring~"];
    names.iter().for_each(|name| drop(put(&place, name, b"text")));
    let beside = run_beside(&place, AT_ONCE, "other names");
    assert!(beside.told.is_empty(), "{:?}", beside.told);
    names.iter().for_each(|name| assert_eq!(place.dir.read(&format!("q/{name}")), "text", "{name}"));
}

/// Unfinished rings are removed when their worker is gone; but only those.
#[test]
fn a_file_of_somebody_elses_that_ends_in_new_stays() {
    let place = Place::new();
    let names = ["draft.new", "4711.new", "notes-1-x.new"];
    names.iter().for_each(|name| drop(put(&place, name, b"the only copy of a text")));
    run_beside(&place, AT_ONCE, "*.new");
    names.iter().for_each(|name| assert!(place.queue().join(name).exists(), "{name} was removed"));
}

#[test]
fn what_is_no_file_is_no_ring() {
    assert_named_once("", |_, path| fs::create_dir(path).expect("a directory"));
    assert_named_once("no regular file", |_, path| {
        make_fifo(path);
    });
    assert_named_once("", |_, path| drop(UnixListener::bind(path).expect("a socket")));
}

/// By the tool: not every system has the call where rustix has it.
fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo can be run").success());
}

fn is_a_fifo(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_fifo())
}

#[test]
fn nobody_waits_for_the_other_end_of_a_pipe() {
    let place = Place::new();
    let path = make_queue(&place).join("foreign.ring");
    make_fifo(&path);
    let report = place.collect().shutdown(LATEST);
    assert_eq!(report.pending, 0, "{report:?}");
    assert!(is_a_fifo(&path));
}

#[test]
fn a_link_is_not_followed() {
    assert_named_once("symbolic link", |place, path| {
        let ring = ring().put(place, "elsewhere");
        symlink(ring, path).expect("a link");
    });
    assert_named_once("symbolic link", |_, path| symlink("nowhere", path).expect("a link"));
}

#[test]
fn text_and_nothing_are_no_rings() {
    assert_named_once("cut short", |place, _| drop(put(place, "foreign.ring", b"")));
    assert_named_once("", |place, _| drop(put(place, "foreign.ring", b"[-] [x] somebody else's text\n")));
    assert_named_once("doesn't begin", |place, _| {
        drop(put(place, "foreign.ring", "somebody else's text\n".repeat(1000).as_bytes()));
    });
}

#[test]
fn a_ring_that_others_may_open_is_not_trusted() {
    for mode in [0o644, 0o640, 0o660, 0o604, 0o666] {
        assert_named_once(&format!("mode {mode:o}"), |place, path| {
            drop(ring().put(place, "foreign.ring"));
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is the test's own");
        });
    }
}

#[test]
fn a_ring_of_another_version_or_machine_is_not_read() {
    let version_2 = ring().with(VERSION, &2_u32.to_ne_bytes());
    assert_ring_named_once("version 2", &version_2);
    let mut swapped = ring();
    swapped.0[8..48].chunks_exact_mut(4).take(2).for_each(<[u8]>::reverse);
    assert_ring_named_once("byte order", &swapped);
}

#[test]
fn a_ring_that_was_cut_short_is_not_read() {
    let len = ring().0.len();
    for cut in [1, 100, 127, HEAD - 1, HEAD, HEAD + 50, len / 2, len - 1] {
        assert_ring_named_once("", &ring().cut(cut));
    }
    let mut longer = ring();
    longer.0.push(0);
    assert_ring_named_once("bytes long, and should be", &longer);
}

#[test]
fn a_ring_that_ends_where_it_can_not_is_not_read() {
    let (size, end) = (ring().number(MAIN_SIZE), ring().number(MAIN_END));
    assert_ring_named_once("main lane ends", &ring().set(MAIN_END, size + 1));
    assert_ring_named_once("main lane ends", &ring().set(MAIN_END, u64::MAX));
    assert_ring_named_once("main lane ends", &ring().set_taken(0, end + 1));
    assert_ring_named_once("main lane ends", &ring().set_taken(0, u64::MAX));
    let near = u64::MAX - u64::MAX % size; // the place 0 of the lane, in the last round of all times
    assert_ring_named_once("main lane ends", &ring().set_taken(0, near).set(MAIN_END, near + end));
    let size = ring().number(ASIDE_SIZE);
    assert_ring_named_once("aside lane ends", &ring().set(ASIDE_END, size + 1));
    assert_ring_named_once("aside lane ends", &ring().set_taken(8, 1));
}

#[test]
fn a_line_without_an_end_is_not_read() {
    let end = HEAD + ring().number(MAIN_END) as usize;
    let mut no_end = ring();
    no_end.0[HEAD..end].iter_mut().for_each(|byte| *byte = if *byte == b'\n' { b'.' } else { *byte });
    assert_ring_named_once("no end of a line", &no_end);
    let mut zeros = ring();
    zeros.0[HEAD..end].fill(0);
    assert_ring_named_once("no end of a line", &zeros);
}

#[test]
fn lines_before_one_without_an_end_are_written() {
    let (place, end) = (Place::new(), HEAD + ring().number(MAIN_END) as usize);
    ring().with(end - 1, b".").put(&place, "foreign.ring");
    let beside = run_beside(&place, AT_ONCE, "the last line");
    let expected = (1..LINES).map(|n| numbered(1, n, 9));
    assert!(expected.eq(beside.other_lines), "those before it are there");
    assert!(beside.told.len() == 1 && beside.told[0].contains("no end of a line"), "{:?}", beside.told);
}

#[test]
fn nonsense_in_the_aside_lane_is_not_read() {
    let at = ring().number(MAIN_END);
    for (what, ring) in [
        ("less than an entry", ring().set(ASIDE_END, 5)),
        ("longer than there is", ring().with_entry(at, 100, b"short\n")),
        ("very long", ring().with_entry(at, u64::MAX, b"short\n")),
        ("without an end of the line", ring().with_entry(at, 4, b"text")),
        ("empty", ring().with_entry(at, 0, b"")),
    ] {
        let place = Place::new();
        ring.put(&place, "foreign.ring");
        let beside = run_beside(&place, AT_ONCE, what);
        assert_eq!(beside.told.len(), 1, "{what}: {:#?}", beside.told);
        assert!(beside.told[0].contains("foreign.ring"), "{what}: {:?}", beside.told);
    }
}

/// Lines that a worker has logged aside stand where they belong, also when that is nowhere any more.
#[test]
fn an_entry_that_belongs_behind_the_end_comes_at_the_end() {
    let end = ring().number(MAIN_END);
    for belongs_at in [end + 1, end + 1_000_000, u64::MAX] {
        let place = Place::new();
        let path = ring().with_entry(belongs_at, 6, b"aside\n").put(&place, "foreign.ring");
        let beside = run_beside(&place, Duration::from_millis(300), "behind the end");
        let mut expected: Vec<_> = (1..=LINES).map(|n| numbered(1, n, 9)).collect();
        expected.push("aside".to_owned());
        assert_eq!(beside.other_lines, expected, "{:?}", beside.told);
        assert!(!path.exists(), "it is drained, and its worker is gone");
        assert!(beside.idle_micros < 100_000, "it spins: {} µs", beside.idle_micros);
    }
}

/// Numbers that may be anything: no sum of them overflows.
#[test]
fn counters_near_their_end_break_nothing() {
    let max = u64::MAX;
    for (what, ring) in [
        ("dropped", ring().set(DROPPED, max).set(DROPPED + 8, max).set(DROPPED + 16, max)),
        ("dropped, half", ring().set(DROPPED, 1 << 63).set(DROPPED + 8, 1 << 63)),
        ("taken lines", ring().set_taken(16, max)),
        ("told", ring().set_taken(24, max).set(DROPPED, 5)),
    ] {
        let place = Place::new();
        ring.put(&place, "foreign.ring");
        let beside = run_beside(&place, AT_ONCE, what);
        let own = beside.other_lines.iter().filter(|line| line.starts_with("w=1 "));
        assert_eq!(own.count() as u64, LINES, "{what}: its lines can be read: {:?}", beside.told);
    }
}

/// All of it at once: the collector's thread sleeps when there is nothing to do, however many foreign things are there.
#[test]
fn a_collector_beside_foreign_things_does_not_spin() {
    let place = Place::new();
    let end = ring().number(MAIN_END);
    fs::create_dir(make_queue(&place).join("directory.ring")).expect("a directory");
    put(&place, "text.ring", b"text");
    put(&place, "notes.txt", b"text");
    symlink("nowhere", place.queue().join("link.ring")).expect("a link");
    ring().cut(HEAD + 50).put(&place, "cut.ring");
    ring().with(HEAD + end as usize - 1, b".").put(&place, "no-lf.ring");
    ring().with_entry(end, 100, b"short\n").put(&place, "entry.ring");
    ring().set(MAIN_END, u64::MAX).put(&place, "beyond.ring");
    let beside = run_beside(&place, Duration::from_secs(1), "all at once");
    assert!(beside.idle_micros < 100_000, "{} µs in a second", beside.idle_micros);
    assert!(beside.told.len() <= 8, "each is told once: {:#?}", beside.told);
}

/// A ring whose file says that it is a gigabyte, of which nothing is on the disk.
#[test]
fn a_huge_ring_takes_no_memory() {
    alone("foreign::a_huge_ring_takes_no_memory", || {
        let place = Place::new();
        let (giga, small) = (1_u64 << 30, ring().number(MAIN_SIZE));
        let huge_lane = ring().set(MAIN_SIZE, giga).set(MAIN_END, giga);
        let huge_entry = ring().set(ASIDE_SIZE, giga).with_entry(0, giga - 16, b"").set(ASIDE_END, giga);
        for (name, ring, len) in [
            ("lane.ring", huge_lane, HEAD as u64 + giga + ring().number(ASIDE_SIZE)),
            ("entry.ring", huge_entry, HEAD as u64 + small + giga),
        ] {
            let path = ring.put(&place, name);
            let file = fs::File::options().write(true).open(path).expect("it is the test's own");
            file.set_len(len).expect("it takes no room");
        }
        let beside = run_beside(&place, Duration::from_millis(500), "huge");
        assert!(beside.idle_micros < 200_000, "it spins: {} µs", beside.idle_micros);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default(); // where there is none it isn't known
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        let peak: u64 = peak.map_or(0, |kib| kib.parse().expect("a number"));
        assert!(peak < 200 * 1024, "{peak} KiB");
    });
}

/// An entry that is longer than any worker's: another version of this crate may have more room aside.
#[test]
fn an_entry_longer_than_a_batch_is_written() {
    let place = Place::new();
    let end = ring().number(MAIN_END);
    let line = "x".repeat(100 * 1024) + "\n";
    let mut large = ring();
    large.0.resize(HEAD + large.number(MAIN_SIZE) as usize + 256 * 1024, 0);
    let large = large.set(ASIDE_SIZE, 256 * 1024).with_entry(end, line.len() as u64, line.as_bytes());
    large.put(&place, "foreign.ring");
    let beside = run_beside(&place, Duration::from_millis(300), "a long entry");
    assert!(beside.idle_micros < 100_000, "it spins: {} µs", beside.idle_micros);
    let is_there = beside.other_lines.iter().any(|other| other.len() + 1 == line.len());
    assert!(is_there || !beside.told.is_empty(), "it is there, or told of");
}

/// File systems give the number of a file that is gone to the next one.
#[test]
fn a_ring_that_gets_the_inode_of_a_refused_file_is_read() {
    let (place, told) = (Place::new(), Told::default());
    make_queue(&place);
    let guard = place.collector().on_error(told.hook()).spawn(place.file()).expect("nobody else collects");
    let mut same = 0;
    for worker in 0..20 {
        let path = put(&place, "foreign.ring", b"text");
        let inode = path.metadata().expect("it is there").ino();
        guard.flush(LATEST).expect("it is told of");
        fs::remove_file(&path).expect("it is the test's own");
        let queue = place.connect();
        same +=
            u32::from(place.rings().iter().any(|ring| ring.metadata().is_ok_and(|meta| meta.ino() == inode)));
        write(&queue, worker, 1);
        guard.flush(LATEST).expect("the sink takes everything");
        assert!(place.text().contains(&numbered(worker, 1, 9)), "round {worker}, {same} with the same inode");
    }
    assert_eq!(told.all().len(), 20, "each is told of");
}

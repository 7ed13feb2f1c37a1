//! Tests of the tests: every kind of damage to a log is found by the verifier, and named. A verifier
//! that can't fail proves nothing.

#[path = "support/own_tests.rs"]
mod own_tests;
mod support;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use flate2::Compression;
use flate2::write::GzEncoder;
use support::dir::Dir;
use support::verify::{Expect, Kind, LogFamily, Verdict, numbered};

/// Worker `w`'s line `n` as the crate would write it.
fn line(w: u32, n: u64) -> String {
    format!("[job{w}] [send] 2026-01-01T12:00:00 {}", numbered(w, n, 9))
}

/// Four lines of each of two workers, one after the other: the line `w` `n` is number `2 * n + w - 2`.
fn good() -> Vec<String> {
    (1..=4).flat_map(|n| [line(1, n), line(2, n)]).collect()
}

/// What [`good`] is good for.
fn expect() -> Expect {
    Expect::new().worker(1, 4).worker(2, 4).tag(|w, _| (format!("job{w}"), "send".to_owned()))
}

fn bytes(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).and_then(|()| packed.finish()).expect("memory takes all bytes")
}

/// The verdict on one file with these bytes.
fn verdict(bytes: &[u8], expect: &Expect) -> Verdict {
    let dir = Dir::new();
    dir.write("tasks.log", bytes);
    LogFamily::of(dir.path("tasks.log")).verify(expect)
}

/// Asserts that the verdict holds these faults and no others: kind, place, and a part of the text.
#[track_caller]
fn assert_faults(verdict: &Verdict, wanted: &[(Kind, &str, &str)]) {
    assert_eq!(verdict.kinds(), wanted.iter().map(|(kind, ..)| *kind).collect::<Vec<_>>(), "{verdict}");
    for (fault, (_, place, text)) in verdict.faults.iter().zip(wanted) {
        assert_eq!(fault.place, *place, "{fault}");
        assert!(fault.text.contains(text), "{fault}\nshould say: {text}");
    }
}

/// The message of the panic that `f` ends in.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    panic.downcast_ref::<String>().cloned().expect("the panic has a formatted message")
}

#[test]
fn a_clean_log_over_live_rotated_and_packed_files() {
    let (dir, lines) = (Dir::new(), good());
    dir.write("tasks.log.20260101.gz", gzip(&bytes(&lines[..1])));
    dir.write("tasks.log-20260102", bytes(&lines[1..2]));
    dir.write("tasks.log.10", bytes(&lines[2..3]));
    dir.write("tasks.log.2.gz", gzip(&bytes(&lines[3..5])));
    dir.write("tasks.log.1", bytes(&lines[5..7]));
    dir.write("tasks.log", bytes(&lines[7..]));
    for stranger in ["tasks.log.lock", "tasks.log.1.gz.tmp", "tasks.log-2", "other.log.1", "tasks.log.gz"] {
        dir.write(stranger, "not a line\n");
    }
    let family = LogFamily::of(dir.path("tasks.log"));
    let order =
        [".20260101.gz", "-20260102", ".10", ".2.gz", ".1", ""].map(|suffix| format!("tasks.log{suffix}"));
    assert_eq!(family.names(), order);
    assert_eq!(family.lines(), lines);
    let verdict = family.verify(&expect()).assert_clean();
    assert_eq!((verdict.lines, verdict.found, verdict.missing), (8, 8, 0));
    LogFamily::files(family.paths()).verify(&expect()).assert_clean();
}

#[test]
fn all_that_the_grammar_allows_is_clean() {
    let mut lines = good();
    lines[2].push_str(" pid=7 key=\"a value\"");
    lines[3] = lines[3].replacen(" w=", " WARN my::module: w=", 1);
    lines[4] = lines[4].replace("12:00:00", "12:00:00.123456+02:00");
    lines.insert(0, "[job1] [send] 2026-01-01T12:00:00 -- RUNNING".to_owned());
    lines.insert(3, "[job1] [send] --- Retry 1 ---".to_owned());
    lines.push("[job1] [send] 2026-01-01T12:00:00 -- FAILED elapsed=1.2s error=\"w=1\"".to_owned());
    lines.push("[-] [tracing_tasklog] 2026-01-01T12:00:00 12 lines dropped reason=\"queue full\"".to_owned());
    lines.push("[-] [tracing_tasklog] 2026-01-01T12:00:00 1 lines dropped reason=\"disk full\"".to_owned());
    let verdict = verdict(&bytes(&lines), &expect()).assert_clean();
    assert_eq!((verdict.found, verdict.announced_dropped), (8, 13));
}

#[test]
fn lost_lines() {
    let all = good();
    let lines = [0, 2, 5, 6].map(|kept| all[kept].clone());
    let verdict = verdict(&bytes(&lines), &expect());
    let faults = [
        (Kind::Lost, "tasks.log:2", "w=1 n=3 is missing"),
        (Kind::Lost, "(log)", "w=2 n=1..=2 are missing"),
        (Kind::Lost, "tasks.log:3", "w=2 n=4 is missing"),
    ];
    assert_faults(&verdict, &faults);
    assert_eq!((verdict.found, verdict.missing), (4, 4));
}

#[test]
fn a_duplicate() {
    let (dir, lines) = (Dir::new(), good());
    dir.write("tasks.log.1", bytes(&lines[..3]));
    dir.write("tasks.log", bytes(&lines[2..]));
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&expect());
    let twice = (Kind::Duplicate, "tasks.log:1", "w=1 n=2 again, first at tasks.log.1:3");
    assert_faults(&verdict, &[twice]);
    assert_eq!((verdict.found, verdict.duplicates), (8, 1));
}

#[test]
fn swapped_lines() {
    let mut lines = good();
    lines.swap(0, 2);
    assert_faults(&verdict(&bytes(&lines), &expect()), &[(Kind::Order, "tasks.log:3", "w=1 n=1 after n=2")]);
    lines = good();
    lines.swap(0, 1); // of two workers, either may be the first
    verdict(&bytes(&lines), &expect()).assert_clean();
}

#[test]
fn torn_and_mixed_lines() {
    let mut lines = good();
    let other = lines[4].clone();
    lines[2].replace_range(45.., &other[45..]); // they are of one length
    let lost = (Kind::Lost, "tasks.log:1", "w=1 n=2 is missing");
    assert_faults(&verdict(&bytes(&lines), &expect()), &[(Kind::Torn, "tasks.log:3", "wrong crc"), lost]);
}

/// Wherever a line breaks off or begins late, with LF or glued to a whole one of the same task, there
/// is a fault, even when nobody misses the line and no tag is known.
#[test]
fn no_tear_goes_unnoticed() {
    let expect = Expect::new().allowed(1, 9);
    let (victim, next) = (line(1, 2), line(1, 3));
    for (head, tail) in (1..victim.len()).map(|cut| victim.split_at(cut)) {
        for piece in [head, tail] {
            for text in [format!("{piece}\n"), format!("{piece}{next}\n"), format!("{next}{piece}\n")] {
                assert_eq!(verdict(text.as_bytes(), &expect).kinds().len(), 1, "{text}");
            }
        }
    }
}

#[test]
fn glued_lines() {
    let mut lines = good();
    let next = lines.remove(3);
    lines[2].push_str(&next);
    let faults = [
        (Kind::Torn, "tasks.log:3", "something is glued to the message"),
        (Kind::Lost, "tasks.log:1", "w=1 n=2 is missing"),
        (Kind::Lost, "tasks.log:2", "w=2 n=2 is missing"),
    ];
    assert_faults(&verdict(&bytes(&lines), &expect()), &faults);
}

#[test]
fn a_wrong_tag() {
    let mut lines = good();
    lines[5] = lines[5].replace("[job2] [send]", "[job1] [send]");
    lines[6] = lines[6].replace("[job1] [send]", "[job1] [fetch]");
    let first = (Kind::Tag, "tasks.log:6", "w=2 n=3 should bear [job2] [send]");
    let second = (Kind::Tag, "tasks.log:7", "w=1 n=4 should bear [job1] [send]");
    assert_faults(&verdict(&bytes(&lines), &expect()), &[first, second]);
}

#[test]
fn foreign_lines() {
    let mut lines = good();
    lines.extend([line(3, 1), line(1, 5)]);
    lines.push("[job1] [tracing_tasklog] 2026-01-01T12:00:00 9 lines dropped reason=\"hello\"".to_owned());
    lines.push("hello".to_owned());
    lines.push("[job1] hello".to_owned());
    let faults = [
        (Kind::Foreign, "tasks.log:9", "w=3 n=1 was never written"),
        (Kind::Foreign, "tasks.log:10", "w=1 n=5 was never written"),
        (Kind::Foreign, "tasks.log:11", "hello"),
        (Kind::Shape, "tasks.log:12", "hello"),
        (Kind::Shape, "tasks.log:13", "hello"),
    ];
    assert_faults(&verdict(&bytes(&lines), &expect()), &faults);
    let lenient = verdict(&bytes(&lines), &expect().worker(3, 1).allowed(1, 1).other_lines());
    assert_eq!((lenient.kinds(), lenient.announced_dropped), (vec![Kind::Shape; 2], 0), "{lenient}");
}

#[test]
fn raw_control_characters() {
    let mut lines = good();
    lines[1] = format!("{}{}", "\0".repeat(4096), lines[1]);
    let hole = (Kind::Control, "tasks.log:2", "raw U+0000 at byte 0");
    let lost = (Kind::Lost, "(log)", "w=2 n=1 is missing");
    assert_faults(&verdict(&bytes(&lines), &expect()), &[hole, lost]);
    for raw in ["\x1b", "\r", "\x7f", "\u{85}", "\u{2028}", "\u{202e}", "\u{2066}"] {
        let found = verdict(format!("[a] [b] x{raw}y\n").as_bytes(), &Expect::new().other_lines());
        assert_eq!(found.kinds(), [Kind::Control], "{raw:?}");
    }
    verdict("[a] [b] tab\t and ö\n".as_bytes(), &Expect::new().other_lines()).assert_clean();
    let text = [&bytes(&good())[..], b"[a] [b] \xff\n"].concat();
    assert_faults(&verdict(&text, &expect()), &[(Kind::Control, "tasks.log:9", "not UTF-8")]);
}

#[test]
fn a_last_line_without_lf() {
    let mut text = bytes(&good());
    text.truncate(text.len() - 1);
    let lost = (Kind::Lost, "tasks.log:6", "w=2 n=4 is missing");
    assert_faults(&verdict(&text, &expect()), &[(Kind::Fragment, "tasks.log:8", "no LF at the end"), lost]);
    let killed = verdict(&text, &expect().worker(2, 3).allowed(2, 1).open_fragments()).assert_clean();
    assert_eq!((killed.fragments, killed.found, killed.missing_allowed), (1, 7, 1));
}

#[test]
fn a_closed_fragment_is_counted_and_replaces_no_line() {
    let mut lines = good();
    lines.insert(2, format!("{}\u{18}", &line(1, 2)[..30]));
    lines.insert(5, "\u{18}".to_owned());
    assert_eq!(verdict(&bytes(&lines), &expect()).assert_clean().closed_fragments, 2);
    lines[3].push('\u{18}');
    assert_faults(&verdict(&bytes(&lines), &expect()), &[(Kind::Lost, "tasks.log:1", "w=1 n=2 is missing")]);
    lines[3] = format!("[job\u{18}{}", line(1, 2));
    assert_eq!(verdict(&bytes(&lines), &expect()).kinds(), [Kind::Control, Kind::Lost]);
}

#[test]
fn a_corrupt_packed_backup() {
    let (dir, lines) = (Dir::new(), good());
    let mut packed = gzip(&bytes(&lines[..4]));
    let middle = packed.len() / 2;
    packed[middle] ^= 0x55;
    dir.write("tasks.log.1.gz", packed);
    dir.write("tasks.log", bytes(&lines[4..]));
    let verdict = LogFamily::of(dir.path("tasks.log")).verify(&expect());
    let lost = [(Kind::Lost, "(log)", "w=1 n=1..=2 are"), (Kind::Lost, "(log)", "w=2 n=1..=2 are")];
    assert_faults(&verdict, &[&[(Kind::Unreadable, "tasks.log.1.gz:0", "")][..], &lost].concat());
}

#[test]
fn required_and_allowed() {
    let known = || expect().worker(1, 3).allowed(1, 1);
    verdict(&bytes(&good()), &known()).assert_clean();
    let mut lines = good();
    lines.remove(6);
    let short = verdict(&bytes(&lines), &known()).assert_clean();
    assert_eq!((short.found, short.missing, short.missing_allowed), (7, 0, 1));
    lines.extend([line(1, 4), line(1, 4)]);
    assert_faults(&verdict(&bytes(&lines), &known()), &[(Kind::Duplicate, "tasks.log:9", "w=1 n=4 again")]);
    lines.retain(|line| !line.contains("w=1 n=3 "));
    assert_eq!(verdict(&bytes(&lines), &known()).kinds(), [Kind::Duplicate, Kind::Lost]);
}

#[test]
fn announced_losses_must_be_exact() {
    let mut lines = good();
    lines.drain(3..6);
    let announce =
        |n: u32| format!("[-] [tracing_tasklog] 2026-01-01T12:00:00 {n} lines dropped reason=\"queue full\"");
    lines.insert(3, announce(3));
    assert_eq!(verdict(&bytes(&lines), &expect()).kinds(), [Kind::Lost, Kind::Lost]);
    let found = verdict(&bytes(&lines), &expect().announced_losses()).assert_clean();
    assert_eq!(found.found + found.announced_dropped, 8);
    for wrong in [2, 4] {
        lines[3] = announce(wrong);
        let said = format!("{wrong} lines announced as dropped, but 3 are missing");
        let found = verdict(&bytes(&lines), &expect().announced_losses());
        assert_faults(&found, &[(Kind::Announced, "(log)", &said)]);
    }
}

#[test]
fn bare_lines_only_where_they_are_expected() {
    let lines: Vec<_> = (1..=4).flat_map(|n| [numbered(1, n, 0), line(2, n)]).collect();
    verdict(&bytes(&lines), &expect().bare_lines()).assert_clean();
    let faults = [[Kind::Shape; 4].as_slice(), &[Kind::Lost]].concat();
    assert_eq!(verdict(&bytes(&lines), &expect()).kinds(), faults);
}

#[test]
fn a_broken_log_is_reported_in_bounds() {
    let lines: Vec<_> = (1..=3_000).map(|n| line(1, n)).collect();
    let message = panic_of(|| verdict(&bytes(&lines), &Expect::new()).assert_clean());
    assert!(message.starts_with("3000 faults ") && message.ends_with("and 2980 more"), "{message}");
    assert_eq!(message.lines().count(), 22);
    let long = panic_of(|| verdict("x".repeat(1 << 20).as_bytes(), &Expect::new()).assert_clean());
    assert!(long.len() < 400 && long.contains("tasks.log:1: Fragment"), "{long}");
}

//! How the log says that lines were lost.

use std::io::{self, Write};

use super::{Gate, LATEST, Log, Overflow, Step, alone, small, stopped, write};
use crate::support::wait_until;
use tracing_tasklog::writer::{Announce, SharedQueue};

/// Drops lines 12 and later of a hundred; returns how many.
fn lose_some(announce: Announce, log: &Log) -> u64 {
    let builder = small().overflow(Overflow::DropNewest).announce(announce);
    let (queue, guard, gate) = stopped(builder, log);
    write(&queue, 2, 100);
    gate.open();
    guard.flush(LATEST).expect("the sink goes on");
    let dropped = queue.drops().queue_full;
    assert!(dropped > 80, "{:?}", queue.drops());
    let report = guard.shutdown(LATEST);
    assert_eq!((report.written, report.dropped), (100 - dropped, dropped));
    dropped
}

/// The lines that aren't numbered ones.
fn others(log: &Log) -> Vec<String> {
    log.dir.lines("tasks.log").into_iter().filter(|line| !line.starts_with("w=")).collect()
}

/// A text with each digit as `0`.
fn form(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "0")
}

#[test]
fn a_line_with_tag_and_timestamp() {
    let log = Log::new();
    let dropped = lose_some(Announce::Line, &log);
    let others = others(&log);
    assert_eq!(others.len(), 1, "{others:?}");
    let (head, text) = others[0].split_at("[-] [tracing_tasklog] 2026-01-01T12:00:00".len());
    assert_eq!(form(head), "[-] [tracing_tasklog] 0000-00-00T00:00:00");
    assert_eq!(text, format!(" {dropped} lines dropped reason=\"queue full\""));
    let line = tracing_tasklog::line::parse(&others[0]).expect("it is a line like any other");
    assert_eq!((line.id, line.name), ("-", "tracing_tasklog"));
}

#[test]
fn json() {
    let log = Log::new();
    let dropped = lose_some(Announce::Json, &log);
    let others = others(&log);
    assert_eq!(others.len(), 1, "{others:?}");
    let (head, rest) = others[0].split_at(r#"{"timestamp":"2026-01-01T12:00:00"#.len());
    assert_eq!(form(head), r#"{"timestamp":"0000-00-00T00:00:00"#);
    let fields = format!(
        r#"Z","level":"WARN","fields":{{"message":"{dropped} lines dropped","lines":{dropped},"reason":"queue full"}},"target":"tracing_tasklog"}}"#
    );
    assert_eq!(rest, fields);
}

#[test]
fn nothing_at_all() {
    let log = Log::new();
    lose_some(Announce::Off, &log);
    assert_eq!(others(&log), [""; 0]);
}

#[test]
fn each_gap_with_its_own_number() {
    alone("announcements::each_gap_with_its_own_number", || {
        let log = Log::new();
        let (queue, guard, gate) = stopped(small().overflow(Overflow::DropNewest), &log);
        let mut gaps = Vec::new();
        for (from, to) in [(2, 100), (102, 150), (152, 300)] {
            let before = queue.drops().queue_full;
            write(&queue, from, to);
            gaps.push(queue.drops().queue_full - before);
            gate.open();
            guard.flush(LATEST).expect("the sink goes on");
            gate.set(true);
            write(&queue, to + 1, to + 1);
            wait_until("the sink is stopped", LATEST, || gate.has_visitors());
        }
        gate.open();
        assert_eq!(log.settle(&queue, guard, 301).lost, gaps.iter().sum::<u64>());
        let said = gaps.iter().map(|gap| format!("{gap} lines dropped reason=\"queue full\""));
        assert_eq!(log.announcements(), said.collect::<Vec<_>>());
    });
}

/// Where the first of them is missing: behind the lines that were there already, and in front of one that found room again.
#[test]
fn a_loss_is_announced_in_the_very_place_of_the_lines() {
    alone("announcements::a_loss_is_announced_in_the_very_place_of_the_lines", || {
        let log = Log::new();
        let gates = [Gate::shut(), Gate::shut()];
        let before = gates.clone();
        let sink = log.sink(move |call, _| {
            before.get(call as usize - 1).into_iter().for_each(Gate::pass);
            Step::Take
        });
        let builder = small().overflow(Overflow::DropNewest);
        let (queue, guard) = builder.spawn(sink).expect("a thread can be made");
        write(&queue, 1, 1);
        wait_until("the sink has the first line", LATEST, || gates[0].has_visitors());
        write(&queue, 2, 30);
        let lost = queue.drops().queue_full;
        gates[0].open();
        wait_until("the sink has the next lines", LATEST, || gates[1].has_visitors());
        write(&queue, 31, 31);
        assert_eq!(queue.drops().queue_full, lost, "there is room for one more");
        write(&queue, 32, 40);
        assert_eq!(queue.drops().queue_full, lost + 9);
        gates[1].open();
        assert_eq!(log.settle(&queue, guard, 40).lost, lost + 9);
        let lines = log.dir.lines("tasks.log");
        let place = lines.iter().position(|line| !line.starts_with("w="));
        assert_eq!((place, lines.len() as u64), (Some(lines.len() - 2), 30 - lost + 2), "{lines:?}");
    });
}

/// A sink that refuses each line with `x` in it, with an error that has all that JSON and lines can't bear.
struct Fussy(std::fs::File);

const CAUSE: &str = "a \"b\" \\ c\nd\u{1}e\u{1b}[0m";

impl Write for Fussy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| at + 1);
        if bytes[..line].contains(&b'x') {
            return Err(io::Error::other(CAUSE));
        }
        self.0.write(&bytes[..line])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refuse(announce: Announce, log: &Log) -> String {
    let builder = SharedQueue::builder().announce(announce).on_error(|_| ());
    let (mut queue, guard) = builder.spawn(Fussy(log.file())).expect("a thread can be made");
    queue.write_all(b"a\nx\nb\n").expect("writing never fails");
    assert_eq!(guard.shutdown(LATEST).dropped, 1);
    let text = log.text();
    assert!(text.starts_with("a\n") && text.ends_with("b\n"), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    lines[1].to_owned()
}

#[test]
fn what_the_sink_says_breaks_no_line() {
    let line = refuse(Announce::Line, &Log::new());
    let reason = line.split_once(" 1 lines dropped reason=").expect("it is announced").1;
    assert!(!line.contains(char::is_control), "{line:?}");
    assert!(reason.starts_with("\"a ") && reason.ends_with('"'), "{reason}");
    tracing_tasklog::line::parse(&line).expect("it is a line like any other");
}

#[test]
fn what_the_sink_says_breaks_no_json() {
    let line = refuse(Announce::Json, &Log::new());
    let reason = line.split_once(r#""lines":1,"reason":""#).expect("it is announced").1;
    let reason = reason.strip_suffix(r#""},"target":"tracing_tasklog"}"#).expect("it ends so");
    let said = unescaped(reason);
    assert!(said.starts_with("a \"b\" \\ c"), "{said:?}");
}

/// What a JSON string stands for (RFC 8259, 7); panics where it is none.
fn unescaped(string: &str) -> String {
    let mut chars = string.chars();
    let mut text = String::new();
    while let Some(char) = chars.next() {
        assert!(char >= ' ' && char != '"', "{char:?} in {string}");
        if char != '\\' {
            text.push(char);
            continue;
        }
        text.push(match chars.next().expect("something is escaped") {
            char @ ('"' | '\\' | '/') => char,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let digits: String = chars.by_ref().take(4).collect();
                char::from_u32(u32::from_str_radix(&digits, 16).expect("four digits")).expect("a character")
            }
            other => panic!("\\{other} in {string}"),
        });
    }
    text
}

//! Lines that are lost: why, how many, and how the log says so.

use std::fmt::Write as _;

use crate::{clock, line::is_control_or_tab};

/// How the log says that lines were lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Announce {
    /// By a line like those of [`TaskLayer`](crate::TaskLayer), the default:
    /// `[-] [tracing_tasklog] 2026-01-01T12:00:00 152 lines dropped reason="queue full"`.
    #[default]
    Line,
    /// By a line as the JSON format of `tracing_subscriber::fmt` has them.
    Json,
    /// Not at all. They are counted, and the error hook or stderr is told.
    Off,
}

/// Lines that a queue has lost, by what was the cause: [`SharedQueue::drops`](super::SharedQueue::drops).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drops {
    /// There was no room for them: [`Overflow`](super::Overflow).
    pub queue_full: u64,
    /// There was no room for them, and the sink had taken nothing for
    /// [`stall_timeout`](super::SharedQueueBuilder::stall_timeout).
    pub queue_stalled: u64,
    /// The sink has failed, or panicked, and nothing suggests that this will heal.
    pub sink_failed: u64,
    /// They were logged where nobody may wait (on the writer's thread, in a log call inside of another), and there was no
    /// room for them there; or the writing of such lines has caused them.
    pub nested: u64,
}

/// Why a line is lost, but for those that are `nested`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Full,
    Stalled,
}

impl Drops {
    pub(super) fn count(&mut self, cause: Cause, lines: u64) {
        *match cause {
            Cause::Full => &mut self.queue_full,
            Cause::Stalled => &mut self.queue_stalled,
        } += lines;
    }

    /// Returns the number of all.
    pub(super) fn total(&self) -> u64 {
        self.queue_full + self.queue_stalled + self.sink_failed + self.nested
    }

    /// Returns what has come since `before`.
    pub(super) fn since(&self, before: &Drops) -> Drops {
        self.with(before, |now, before| now - before)
    }

    /// Returns the sums.
    pub(super) fn and(&self, more: &Drops) -> Drops {
        self.with(more, |all, more| all + more)
    }

    fn with(&self, other: &Drops, f: impl Fn(u64, u64) -> u64) -> Drops {
        Drops {
            queue_full: f(self.queue_full, other.queue_full),
            queue_stalled: f(self.queue_stalled, other.queue_stalled),
            sink_failed: f(self.sink_failed, other.sink_failed),
            nested: f(self.nested, other.nested),
        }
    }

    /// Returns the losses one cause at a time, those that there are.
    pub(super) fn by_cause(&self) -> impl Iterator<Item = Drops> {
        let none = Drops::default();
        [
            Drops { queue_full: self.queue_full, ..none },
            Drops { queue_stalled: self.queue_stalled, ..none },
            Drops { sink_failed: self.sink_failed, ..none },
            Drops { nested: self.nested, ..none },
        ]
        .into_iter()
        .filter(|drops| drops.total() > 0)
    }

    /// The reason, if there is one cause only. `sink` is what the sink has said.
    pub(super) fn reason<'a>(&self, sink: &'a str) -> &'a str {
        match self {
            Drops { queue_full: 1.., .. } => "queue full",
            Drops { queue_stalled: 1.., .. } => "queue stalled",
            Drops { nested: 1.., .. } => "logged by the writing",
            _ => sink,
        }
    }
}

impl Announce {
    /// Returns what the log says of losses that have one cause, as a line; nothing if it is not to say it. `of` says whose they
    /// are: further fields, by name.
    pub(super) fn line(self, drops: &Drops, sink: &str, of: &[(&str, String)]) -> String {
        let (lines, reason, stamp) = (drops.total(), drops.reason(sink), clock::stamp_now());
        let now = clock::text_of(&stamp);
        match self {
            Announce::Off => String::new(),
            Announce::Line => {
                let of: String = of.iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
                format!("[-] [tracing_tasklog] {now} {lines} lines dropped reason={reason:?}{of}\n")
            }
            Announce::Json => {
                let of: String =
                    of.iter().map(|(name, value)| format!(",\"{name}\":\"{}\"", in_json(value))).collect();
                format!(
                    "{{\"timestamp\":\"{now}Z\",\"level\":\"WARN\",\"fields\":{{\"message\":\"{lines} lines dropped\",\
                     \"lines\":{lines},\"reason\":\"{}\"{of}}},\"target\":\"tracing_tasklog\"}}\n",
                    in_json(reason)
                )
            }
        }
    }
}

/// A text as it may stand between quotes in JSON (RFC 8259, 7).
fn in_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        let _ = match char {
            '"' | '\\' => write!(escaped, "\\{char}"),
            char if is_control_or_tab(char) => write!(escaped, "\\u{:04x}", u32::from(char)),
            char => write!(escaped, "{char}"),
        };
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(announce: Announce, sink: &str) -> String {
        let lost = Drops { queue_full: 2, sink_failed: 1, ..Drops::default() };
        lost.by_cause().map(|lost| announce.line(&lost, sink, &[])).collect()
    }

    #[test]
    fn each_cause_has_a_line_that_can_be_read_back() {
        let text = announced(Announce::Line, "disk \"full\"\n");
        let lines: Vec<_> = text.lines().map(|line| crate::line::parse(line).expect("a line")).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| (line.id, line.name) == ("-", "tracing_tasklog")));
        assert!(text.contains(" 2 lines dropped reason=\"queue full\"\n"), "{text}");
        assert!(text.ends_with(" 1 lines dropped reason=\"disk \\\"full\\\"\\n\"\n"), "{text}");
    }

    #[test]
    fn in_json_a_reason_is_escaped() {
        let text = announced(Announce::Json, "disk \"full\" \\ \n\u{9b}\u{202e}");
        let (first, second) = text.split_once('\n').expect("two lines");
        assert!(
            first.starts_with("{\"timestamp\":\"20") && first.contains("Z\",\"level\":\"WARN\","),
            "{first}"
        );
        let end = ",\"fields\":{\"message\":\"2 lines dropped\",\"lines\":2,\"reason\":\"queue full\"},\
                   \"target\":\"tracing_tasklog\"}";
        assert!(first.ends_with(end), "{first}");
        assert!(second.contains(r#""reason":"disk \"full\" \\ \u000a\u009b\u202e"}"#), "{second}");
    }

    #[test]
    fn nothing_is_said_when_nobody_wants_to_hear_it() {
        assert_eq!(announced(Announce::Off, ""), "");
    }
}

//! The line: its grammar, written and parsed in this one room.
//!
//! One record is one line, and one line is one `write`. A line names the task it belongs to, so that
//! `grep '^\[abc12345\] '` finds everything a task said, and nothing else.
//!
//! ```text
//! [abc12345] [send_email] 2026-01-01T12:00:00 -- RUNNING
//! [abc12345] [send_email] 2026-01-01T12:00:00 Connecting to SMTP server host="mx1" port=25
//! [abc12345] [send_email] --- Retry 1 ---
//! [abc12345] [send_email] 2026-01-01T12:00:02 Connecting to SMTP server host="mx1" port=25
//! [abc12345] [send_email] 2026-01-01T12:00:03 -- SUCCESS
//! ```
//!
//! # Grammar
//!
//! ```text
//! line      = "[" id "] [" name "] " body LF
//! body      = timestamp " " [level " "] [target ": "] text        ; a log line
//!           | timestamp " -- " status *(" " key "=" value)         ; a lifecycle line
//!           | "--- Retry " number " ---"                           ; a retry separator, which has no timestamp
//! status    = "RUNNING" | "SUCCESS" | "FAILED" | "INTERRUPTED"
//! level     = "ERROR" | "WARN" | "INFO" | "DEBUG" | "TRACE"        ; with TaskLayer::with_level(true)
//! target    = text without ": "                                    ; with TaskLayer::with_target(true)
//! timestamp = YYYY-MM-DD "T" hh:mm:ss [fraction] [zone]            ; by default UTC, whole seconds, no zone
//! fraction  = "." 1*digit
//! zone      = "Z" | ("+" | "-") hh ":" mm
//! number    = 1 to 4294967295, no leading zero
//! text      = message *(" " key "=" value)                         ; the message comes first
//! torn      = anything CAN LF                                      ; a fragment that a later writer closed
//! ```
//!
//! `id` and `name` are never empty (an empty one shows as `-`) and hold neither `[` nor `]`. A line whose id
//! shows as `-`, which is what an event outside any task has, bears no target after its timestamp: the
//! target stands in the place of the name. Lifecycle lines bear neither level nor target.
//! CAN is the byte 0x18, "disregard what precedes".
//!
//! # Nothing in the data can forge or tear a line
//!
//! * Control characters (C0 but TAB, DEL, C1), the line and paragraph separators U+2028 and U+2029 and the
//!   bidirectional embeddings, overrides and isolates come out as `\n`, `\r` or `\u{1b}` in any text; in ids and
//!   names `[` and `]` do too.
//! * A text that begins with `-- ` or `--- `, or that is `--` or `---`, comes out with its first `-` as
//!   `\u{2d}`; so do a target and a timer's text, and, without a timer, what stands behind a timestamp at the start
//!   of a text. In a target the `:` of a `: ` comes out as `\u{3a}`.
//! * A backslash stays as it is: what you grep for is what you logged. Other Unicode stays too.
//!
//! # Examples
//!
//! ```
//! use tracing_tasklog::line::{parse, Body, Status};
//!
//! let table = [
//!     ("[a1] [mail] 2026-01-01T12:00:00 -- RUNNING", Body::Lifecycle(Status::Running)),
//!     ("[a1] [mail] 2026-01-01T12:00:00 Sending size=3", Body::Message("Sending size=3")),
//!     ("[a1] [mail] 2026-01-01T12:00:00.25+02:00 Sending", Body::Message("Sending")),
//!     (r"[a1] [mail] 2026-01-01T12:00:00 one\ntwo", Body::Message(r"one\ntwo")),
//!     (r"[a1] [mail] 2026-01-01T12:00:00 \u{2d}- SUCCESS", Body::Message(r"\u{2d}- SUCCESS")),
//!     ("[a1] [mail] --- Retry 2 ---", Body::Retry(2)),
//!     ("[a1] [mail] 2026-01-01T12:00:09 -- FAILED elapsed=9.104s error=\"no route\"", Body::Lifecycle(Status::Failed)),
//!     ("[-] [my_app::main] 2026-01-01T12:00:09 outside any task", Body::Message("outside any task")),
//!     ("[a1] [mail] 2026-01-01T12:00:0\u{18}", Body::Torn("[a1] [mail] 2026-01-01T12:00:0")),
//! ];
//! for (text, body) in table {
//!     let line = parse(text).unwrap();
//!     assert_eq!(line.body, body);
//!     assert_eq!(line.to_string(), text); // writing it again gives the same bytes
//! }
//!
//! for (text, offset) in [
//!     ("not a line", 0),
//!     ("[a1] mail 2026-01-01T12:00:00 no name", 5),
//!     ("[a1] [mail] yesterday", 12),
//!     ("[a1] [mail] 2026-01-01T12:00:00 -- BANANAS", 35),
//!     ("[a1] [mail] --- Retry 0 ---", 22),
//! ] {
//!     assert_eq!(parse(text).unwrap_err().offset(), offset, "{text}");
//! }
//! ```

mod buf;
mod escape;
mod id;
mod parse;
mod write;

use std::{fmt, time::Duration};

use tracing::Level;

pub(crate) use self::{
    buf::{Buf, copy},
    escape::{Escaped, is_control_or_tab},
    id::{NO_TASK, push_prefix},
    write::{Draft, Outcome},
};
pub use self::{
    id::IdFormat,
    parse::{ParseError, Parser, parse},
};

/// A fragment ends in this character, CAN, when a later writer had to close it.
pub(crate) const CAN: char = '\u{18}';

/// The two spellings of one expression, which differ in how a named group begins.
macro_rules! expression {
    ($group:literal) => {
        concat!(
            r"^\[",
            $group,
            r"id>[^\[\]]+)\] \[",
            $group,
            r"name>[^\[\]]+)\] (?:--- Retry ",
            $group,
            r"retry>[1-9][0-9]*) ---|",
            $group,
            r"timestamp>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})?) (?:-- ",
            $group,
            r"status>RUNNING|SUCCESS|FAILED|INTERRUPTED)",
            $group,
            r"outcome>(?: [^\x18]*)?)|",
            $group,
            r"text>[^\x18]*)))$"
        )
    };
}

/// A regular expression for log shippers: every line of the default form matches it, with the named groups
/// `id`, `name`, `retry`, `timestamp`, `status`, `outcome` and `text`.
///
/// Named groups are spelled in two ways, and some tools have none. Take the constant that your tool reads:
///
/// | constant | spelling | tools |
/// |---|---|---|
/// | [`REGEX`] | `(?P<id>…)` | RE2, Go, Python, the `regex` crate: Promtail, Loki, Vector, the OpenTelemetry Collector, Telegraf |
/// | [`REGEX_ANGLE`] | `(?<id>…)` | Onigmo and Oniguruma, Ruby, PCRE2, Perl, JavaScript, .NET, Java: Fluent Bit, Fluentd, Logstash, `grep -P` |
/// | [`REGEX_ERE`] | no names | POSIX: `grep -E`, `awk`, `sed -E` |
///
/// Each takes one line without its LF. A torn line (its last character is CAN) and a line of another program match
/// nothing; of a date they check the shape only. [`parse()`] is the stricter judge.
///
/// ```
/// use tracing_tasklog::line::REGEX;
///
/// let regex = regex::Regex::new(REGEX).unwrap();
/// let found = regex.captures("[a1] [mail] 2026-01-01T12:00:09 -- FAILED elapsed=9.104s").unwrap();
/// assert_eq!(&found["id"], "a1");
/// assert_eq!(&found["status"], "FAILED");
/// assert_eq!(&found["outcome"], " elapsed=9.104s");
/// ```
pub const REGEX: &str = expression!("(?P<");

/// [`REGEX`] in the spelling of Onigmo (Fluent Bit, Fluentd, Ruby), PCRE2, JavaScript, .NET and Java: `(?<id>…)`.
///
/// ```
/// use tracing_tasklog::line::{REGEX, REGEX_ANGLE};
///
/// assert_eq!(REGEX_ANGLE, REGEX.replace("(?P<", "(?<"));
/// ```
pub const REGEX_ANGLE: &str = expression!("(?<");

/// [`REGEX`] as an extended regular expression of POSIX, for `grep -E`, `awk` and `sed -E`: without names, and without
/// anything that not all of them know. Beyond [`REGEX`] it matches no line with a raw control character in its text.
///
/// Its groups have no meaning of their own: take a line apart at its brackets, by `awk -F'[][]'` say.
///
/// ```
/// use tracing_tasklog::line::REGEX_ERE;
///
/// // grep -vE "$EXPRESSION" tasks.log: the lines that are none
/// assert!(REGEX_ERE.starts_with('^') && REGEX_ERE.ends_with('$') && !REGEX_ERE.contains("(?"));
/// ```
pub const REGEX_ERE: &str = concat!(
    r"^\[[^][]+\] \[[^][]+\] (--- Retry [1-9][0-9]* ---|[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]",
    r"(\.[0-9]+)?(Z|[+-][0-9][0-9]:[0-9][0-9])? (-- (RUNNING|SUCCESS|FAILED|INTERRUPTED)( ([^[:cntrl:]]|[[:blank:]])*)?|",
    r"([^[:cntrl:]]|[[:blank:]])*))$"
);

/// One line, parsed: borrowed from the input, every text as it is shown (escapes are not undone).
///
/// Its [`Display`](fmt::Display) writes the line again, without LF, in the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Line<'a> {
    /// The task's id as shown: `-` outside any task and for an empty id, empty for a torn line.
    pub id: &'a str,
    /// The task's name as shown; the target for a line outside any task, empty for a torn line.
    pub name: &'a str,
    /// The timestamp as shown; `None` for retry separators and torn lines.
    pub timestamp: Option<&'a str>,
    /// The level, where the line bears one and the [`Parser`] was told to look for it.
    pub level: Option<Level>,
    /// The target, where the line bears one and the [`Parser`] was told to look for it.
    pub target: Option<&'a str>,
    /// What the line says.
    pub body: Body<'a>,
    /// The outcome of a lifecycle line as shown, from its first space on; else empty.
    outcome: &'a str,
}

/// What a [`Line`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Body<'a> {
    /// A log line: the message and, after it, the fields.
    Message(&'a str),
    /// A transition of the task; its fields are in [`Line::elapsed`], [`Line::error`] and [`Line::outcome`].
    Lifecycle(Status),
    /// The separator before attempt `n + 1`.
    Retry(u32),
    /// What precedes the CAN of a fragment that a later writer closed.
    Torn(&'a str),
}

/// A task's status, as its lifecycle lines show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// The task has begun.
    Running,
    /// The task is done, and nothing said that it failed.
    Success,
    /// The task is done and failed.
    Failed,
    /// The task was ended before it was done.
    Interrupted,
}

impl Status {
    const ALL: [Status; 4] = [Status::Running, Status::Success, Status::Failed, Status::Interrupted];

    /// Returns the word in the line: `RUNNING`, `SUCCESS`, `FAILED` or `INTERRUPTED`.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "RUNNING",
            Status::Success => "SUCCESS",
            Status::Failed => "FAILED",
            Status::Interrupted => "INTERRUPTED",
        }
    }

    /// Returns the natural level of the line: FAILED is ERROR, INTERRUPTED is WARN, the others are INFO.
    pub fn level(self) -> Level {
        match self {
            Status::Failed => Level::ERROR,
            Status::Interrupted => Level::WARN,
            Status::Running | Status::Success => Level::INFO,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<'a> Line<'a> {
    /// Returns a field of a lifecycle line's outcome as shown, quotes included.
    ///
    /// ```
    /// let line = tracing_tasklog::line::parse(r#"[a] [b] 2026-01-01T12:00:00 -- FAILED elapsed=1.204s error="x""#)?;
    /// assert_eq!(line.outcome("error"), Some(r#""x""#));
    /// assert_eq!(line.outcome("cost"), None);
    /// # Ok::<(), tracing_tasklog::line::ParseError>(())
    /// ```
    pub fn outcome(&self, key: &str) -> Option<&'a str> {
        parse::outcome_fields(self.outcome).find(|field| field.0 == key).map(|field| field.1)
    }

    /// Returns how long the task ran, from RUNNING to the closing line (milliseconds are shown).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let line = tracing_tasklog::line::parse("[a] [b] 2026-01-01T12:00:00 -- SUCCESS elapsed=1.204s")?;
    /// assert_eq!(line.elapsed(), Some(Duration::from_millis(1204)));
    /// # Ok::<(), tracing_tasklog::line::ParseError>(())
    /// ```
    pub fn elapsed(&self) -> Option<Duration> {
        let (seconds, millis) = self.outcome("elapsed")?.strip_suffix('s')?.split_once('.')?;
        if millis.len() != 3 {
            return None;
        }
        Some(Duration::new(seconds.parse().ok()?, millis.parse::<u32>().ok()? * 1_000_000))
    }

    /// Returns the error of a FAILED line without its quotes, escapes as shown.
    pub fn error(&self) -> Option<&'a str> {
        let shown = self.outcome("error")?.strip_prefix('"')?;
        Some(shown.strip_suffix('"').unwrap_or(shown))
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Body::Torn(text) = self.body {
            return write!(f, "{text}{CAN}");
        }
        write!(f, "[{}] [{}] ", self.id, self.name)?;
        if let Some(timestamp) = self.timestamp {
            write!(f, "{timestamp} ")?;
        }
        match self.body {
            Body::Lifecycle(status) => write!(f, "-- {status}{}", self.outcome),
            Body::Retry(number) => write!(f, "--- Retry {number} ---"),
            Body::Message(text) | Body::Torn(text) => {
                if let Some(level) = self.level {
                    write!(f, "{level} ")?;
                }
                if let Some(target) = self.target {
                    write!(f, "{target}: ")?;
                }
                f.write_str(text)
            }
        }
    }
}

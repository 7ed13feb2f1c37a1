//! The verifier's own reading of a line. Strict, small, and independent of the crate's parser.

use std::io;

/// The smallest piece of a log that has a tag.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Tagged<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// All that follows the tag and its space.
    pub(super) rest: &'a str,
}

/// What a line says after its tag.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Body<'a> {
    /// A whole numbered line.
    Numbered {
        worker: u32,
        counter: u64,
    },
    /// Something that began as a numbered line; why it is none.
    Torn(&'static str),
    Running,
    /// `SUCCESS`, `FAILED` or `INTERRUPTED`, with the outcome's fields.
    Closing(&'a str),
    Retry(u32),
    /// A log line of some other message.
    Other(&'a str),
}

/// The message of worker `worker`'s line `counter`: `w=3 n=17 pad=xyzab crc=0a1b2c3d`.
///
/// The padding is different for every line and place in it, so that a line that was mixed from two
/// others is noticed even when all have one length.
pub fn numbered(worker: u32, counter: u64, padding: usize) -> String {
    let start = u64::from(worker).wrapping_mul(7).wrapping_add(counter);
    let letters = (b'a'..=b'z').cycle().skip((start % 26) as usize);
    let pad: String = letters.take(padding).map(char::from).collect();
    let text = format!("w={worker} n={counter} pad={pad}");
    let crc = fnv1a(text.as_bytes());
    format!("{text} crc={crc:08x}")
}

/// Writes worker 0's lines `from..=to`, each with a call and a clone of `file` of its own.
pub fn write_numbered<W: io::Write + Clone>(file: &W, from: u64, to: u64) {
    for counter in from..=to {
        let line = numbered(0, counter, 9) + "\n";
        file.clone().write_all(line.as_bytes()).expect("writing never fails");
    }
}

/// FNV-1a of 32 bits: enough to notice that a line was torn, and nothing to depend on.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Why this line can't be text of the log's, if it can't.
pub(super) fn text_of(line: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    match text.char_indices().find(|(_, c)| must_be_escaped(*c)) {
        None => Ok(text),
        Some((place, c)) => Err(format!("raw U+{:04X} at byte {place}", u32::from(c))),
    }
}

/// Control characters, separators of lines, and what turns the direction of text.
fn must_be_escaped(c: char) -> bool {
    let turns = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && c != '\t')
}

impl<'a> Tagged<'a> {
    /// Splits `[id] [name] rest`; neither id nor name holds a bracket or is empty.
    pub(super) fn split(line: &'a str) -> Option<Self> {
        let (id, line) = bracketed(line)?;
        let (name, rest) = bracketed(line)?;
        Some(Self { id, name, rest })
    }

    /// Whether the crate itself speaks, outside any task.
    pub(super) fn is_own(&self) -> bool {
        self.id == "-" && self.name == "tracing_tasklog"
    }

    /// The number in the crate's own `N lines dropped reason="…"`, 0 in any other line.
    pub(super) fn announced_dropped(&self) -> u64 {
        let (_, text) = split_timestamp(self.rest);
        let announced = text.split_once(' ').filter(|(_, said)| {
            self.is_own()
                && (said.starts_with("lines dropped reason=\"") || said.starts_with("line dropped reason=\""))
        });
        announced.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
    }
}

/// Splits `[text] rest` into both.
fn bracketed(line: &str) -> Option<(&str, &str)> {
    let (text, rest) = line.strip_prefix('[')?.split_once("] ")?;
    (!text.is_empty() && !text.contains(['[', ']'])).then_some((text, rest))
}

impl<'a> Body<'a> {
    /// Reads what follows a tag. Timestamps must have the default's form or be missing.
    pub(super) fn read(rest: &'a str) -> Self {
        if let Some(number) = rest.strip_prefix("--- Retry ").and_then(|rest| rest.strip_suffix(" ---")) {
            return number.parse().map_or(Self::Other(rest), Self::Retry);
        }
        let (_, text) = split_timestamp(rest);
        if let Some(status) = text.strip_prefix("-- ") {
            return Self::status(status).unwrap_or(Self::Other(text));
        }
        match start_of_numbered(text) {
            Some(start) => Self::numbered(&text[..start], &text[start..]),
            None => Self::Other(text),
        }
    }

    fn status(text: &'a str) -> Option<Self> {
        if text == "RUNNING" {
            return Some(Self::Running);
        }
        let status = text.split(' ').next().unwrap_or(text);
        ["SUCCESS", "FAILED", "INTERRUPTED"].contains(&status).then_some(Self::Closing(text))
    }

    /// `before` may hold a level and a target; `message` begins with `w=`.
    fn numbered(before: &str, message: &str) -> Self {
        let is_level = |word: &str| ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].contains(&word);
        if !before.split_terminator(' ').all(|word| is_level(word) || word.ends_with(':')) {
            return Self::Torn("something precedes the message");
        }
        let Some((text, crc)) = message.split_once(" crc=") else {
            return Self::Torn("no crc");
        };
        let Some((crc, after)) = crc.split_at_checked(8) else {
            return Self::Torn("crc cut off");
        };
        if u32::from_str_radix(crc, 16) != Ok(fnv1a(text.as_bytes())) {
            return Self::Torn("wrong crc");
        }
        if !(after.is_empty() || after.starts_with(' ')) || after.contains(" crc=") {
            return Self::Torn("something is glued to the message");
        }
        counters(text).unwrap_or(Self::Torn("no counters"))
    }
}

/// Reads `w=3 n=17 …`.
fn counters(text: &str) -> Option<Body<'static>> {
    let mut words = text.split(' ');
    let worker = words.next()?.strip_prefix("w=")?.parse().ok()?;
    let counter = words.next()?.strip_prefix("n=")?.parse().ok()?;
    Some(Body::Numbered { worker, counter })
}

/// Where the message of a numbered line begins, if this text holds one or the torn start of one.
fn start_of_numbered(text: &str) -> Option<usize> {
    if text.starts_with("w=") { Some(0) } else { text.find(" w=").map(|space| space + 1) }
}

/// Splits the timestamp off, `2026-01-01T12:00:00` with or without fraction and zone.
fn split_timestamp(rest: &str) -> (Option<&str>, &str) {
    let is_stamp = |word: &str| {
        let form = b"dddd-dd-ddTdd:dd:dd";
        let fits =
            |(want, byte): (&u8, u8)| if *want == b'd' { byte.is_ascii_digit() } else { *want == byte };
        word.len() >= form.len()
            && form.iter().zip(word.bytes()).all(fits)
            && word[form.len()..].chars().all(|c| c.is_ascii_digit() || ".Z+-:".contains(c))
    };
    match rest.split_once(' ') {
        Some((word, text)) if is_stamp(word) => (Some(word), text),
        _ => (None, rest),
    }
}

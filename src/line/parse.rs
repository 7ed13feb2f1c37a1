//! Reading lines back: each piece of the grammar is one function that takes its part off the front.

use std::{fmt, str};

use tracing::Level;

use super::{Body, CAN, Line, NO_TASK, Status, escape};

/// Why a text is no line, and where: [`offset`](ParseError::offset) is the byte at which the grammar was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    offset: usize,
    expected: &'static str,
}

impl ParseError {
    /// Returns the offset, in bytes, of the first character that doesn't fit.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}", self.expected, self.offset)
    }
}

impl std::error::Error for ParseError {}

/// Parses a line of the default form, given without its LF.
///
/// The text of a line may be anything, so a line with level or target parses too: they are part of its message
/// then. Tell a [`Parser`] to have them apart.
///
/// # Errors
///
/// Returns where the text leaves the [grammar](super).
///
/// ```
/// use tracing_tasklog::line::{parse, Body};
///
/// let line = parse("[abc12345] [send_email] 2026-01-01T12:00:00 Connecting port=25")?;
/// assert_eq!((line.id, line.name), ("abc12345", "send_email"));
/// assert_eq!(line.timestamp, Some("2026-01-01T12:00:00"));
/// assert_eq!(line.body, Body::Message("Connecting port=25"));
/// # Ok::<(), tracing_tasklog::line::ParseError>(())
/// ```
pub fn parse(line: &str) -> Result<Line<'_>, ParseError> {
    Parser::new().parse(line)
}

/// A parser that is told which optional parts the lines bear.
///
/// ```
/// use tracing_tasklog::line::{Body, Parser};
///
/// let line = Parser::new().with_level(true).with_target(true).parse("[a] [b] 2026-01-01T12:00:00 WARN my_app::mail: slow")?;
/// assert_eq!(line.level, Some(tracing::Level::WARN));
/// assert_eq!(line.target, Some("my_app::mail"));
/// assert_eq!(line.body, Body::Message("slow"));
/// # Ok::<(), tracing_tasklog::line::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Parser {
    level: bool,
    target: bool,
}

impl Parser {
    /// Returns a parser of the default form: no level, no target.
    pub fn new() -> Self {
        Parser::default()
    }

    /// Says whether log lines bear a level, as with `TaskLayer::with_level(true)` (default: false).
    #[must_use]
    pub fn with_level(mut self, level: bool) -> Self {
        self.level = level;
        self
    }

    /// Says whether log lines bear a target, as with `TaskLayer::with_target(true)` (default: false).
    ///
    /// Lines whose id shows as `-` bear none.
    #[must_use]
    pub fn with_target(mut self, target: bool) -> Self {
        self.target = target;
        self
    }

    /// Parses a line, given without its LF.
    ///
    /// # Errors
    ///
    /// Returns where the text leaves the [grammar](super).
    pub fn parse(self, line: &str) -> Result<Line<'_>, ParseError> {
        if let Some(fragment) = line.strip_suffix(CAN) {
            return Ok(Line::of("", "", None, Body::Torn(fragment)));
        }
        let mut rest = Rest { line, at: 0 };
        rest.reject_raw_controls()?;
        let id = rest.bracketed()?;
        rest.expect(" ", "a space")?;
        let name = rest.bracketed()?;
        rest.expect(" ", "a space")?;
        if rest.text().starts_with("--- ") {
            return Ok(Line::of(id, name, None, Body::Retry(rest.separator()?)));
        }
        let timestamp = Some(rest.timestamp()?);
        rest.expect(" ", "a space")?;
        if let Some(status) = rest.text().strip_prefix("-- ") {
            rest.skip_to(status);
            let status = rest.status()?;
            let outcome = rest.outcome()?;
            return Ok(Line { outcome, ..Line::of(id, name, timestamp, Body::Lifecycle(status)) });
        }
        let level = if self.level { Some(rest.level()?) } else { None };
        let target = if self.target && id != NO_TASK { Some(rest.target()?) } else { None };
        if escape::poses_as_lifecycle(rest.text().as_bytes()) {
            return Err(rest.expected("a text that can't be taken for a lifecycle line"));
        }
        Ok(Line { level, target, ..Line::of(id, name, timestamp, Body::Message(rest.text())) })
    }
}

impl<'a> Line<'a> {
    fn of(id: &'a str, name: &'a str, timestamp: Option<&'a str>, body: Body<'a>) -> Self {
        Line { id, name, timestamp, level: None, target: None, body, outcome: "" }
    }
}

/// What of the line is still to be parsed.
struct Rest<'a> {
    line: &'a str,
    /// Always at a character of `line`, or at its end.
    at: usize,
}

impl<'a> Rest<'a> {
    fn text(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn expected(&self, expected: &'static str) -> ParseError {
        ParseError { offset: self.at, expected }
    }

    /// Goes on at `tail`, which is the end of the line from some place on.
    fn skip_to(&mut self, tail: &str) {
        self.at = self.line.len() - tail.len();
    }

    fn expect(&mut self, text: &str, expected: &'static str) -> Result<(), ParseError> {
        let tail = self.text().strip_prefix(text).ok_or_else(|| self.expected(expected))?;
        self.skip_to(tail);
        Ok(())
    }

    fn reject_raw_controls(&self) -> Result<(), ParseError> {
        match self.line.char_indices().find(|&(_, c)| escape::is_control(c)) {
            Some((offset, _)) => Err(ParseError { offset, expected: "no raw control character" }),
            None => Ok(()),
        }
    }

    fn bracketed(&mut self) -> Result<&'a str, ParseError> {
        self.expect("[", "`[`")?;
        let text = self.text();
        let end = text.find(['[', ']']).unwrap_or(text.len());
        if end == 0 {
            return Err(self.expected("at least one character between brackets"));
        }
        self.at += end;
        self.expect("]", "`]`")?;
        Ok(&text[..end])
    }

    fn separator(&mut self) -> Result<u32, ParseError> {
        self.expect("--- Retry ", "`--- Retry `")?;
        let text = self.text();
        let digits = digits(text);
        let number = match text[..digits].parse::<u32>() {
            Ok(number) if number > 0 && !text.starts_with('0') => number,
            _ => return Err(self.expected("a number from 1 to 4294967295")),
        };
        self.at += digits;
        self.expect(" ---", "` ---`")?;
        self.end().map(|()| number)
    }

    fn end(&self) -> Result<(), ParseError> {
        if self.text().is_empty() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    fn timestamp(&mut self) -> Result<&'a str, ParseError> {
        match timestamp_len(self.text().as_bytes()) {
            Some(len) => {
                let timestamp = &self.text()[..len];
                self.at += len;
                Ok(timestamp)
            }
            None => Err(self.expected("a timestamp like 2026-01-01T12:00:00 or a retry separator")),
        }
    }

    fn status(&mut self) -> Result<Status, ParseError> {
        let word = self.text().split(' ').next().unwrap_or_default();
        let status = Status::ALL.into_iter().find(|status| status.as_str() == word);
        let status = status.ok_or_else(|| self.expected("RUNNING, SUCCESS, FAILED or INTERRUPTED"))?;
        self.at += word.len();
        Ok(status)
    }

    /// The outcome's fields, to the end of the line.
    fn outcome(&mut self) -> Result<&'a str, ParseError> {
        let outcome = self.text();
        let mut fields = OutcomeFields { rest: outcome };
        while fields.next().is_some() {}
        self.skip_to(fields.rest);
        self.end().map(|()| outcome)
    }

    fn level(&mut self) -> Result<Level, ParseError> {
        let all = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        let found = all.into_iter().find_map(|level| {
            let tail = self.text().strip_prefix(level.as_str())?.strip_prefix(' ')?;
            Some((level, tail))
        });
        let (level, tail) = found.ok_or_else(|| self.expected("a level"))?;
        self.skip_to(tail);
        Ok(level)
    }

    fn target(&mut self) -> Result<&'a str, ParseError> {
        let (target, tail) =
            self.text().split_once(": ").ok_or_else(|| self.expected("a target and `: `"))?;
        if escape::poses_as_lifecycle(target.as_bytes()) {
            return Err(self.expected("a target that can't be taken for a lifecycle line"));
        }
        self.skip_to(tail);
        Ok(target)
    }
}

/// The fields of an outcome as (key, value), both as shown; what doesn't fit stays in `rest`.
pub(super) fn outcome_fields(outcome: &str) -> impl Iterator<Item = (&str, &str)> {
    OutcomeFields { rest: outcome }
}

struct OutcomeFields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for OutcomeFields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.rest.strip_prefix(' ')?.split_once('=')?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            return None;
        }
        let len =
            if value.starts_with('"') { quoted_len(value) } else { value.find(' ').unwrap_or(value.len()) };
        self.rest = &value[len..];
        Some((key, &value[..len]))
    }
}

/// The length of a text in Debug quotes; one that was cut has no closing quote and goes to the end.
fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How many ASCII digits `text` begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The length of the timestamp at the start of `text`, if there is one with all its numbers in range.
fn timestamp_len(text: &[u8]) -> Option<usize> {
    let len = timestamp_shape_len(text)?;
    let number = |at: usize| (text[at] - b'0') * 10 + (text[at + 1] - b'0');
    let in_range = (1..=12).contains(&number(5))
        && (1..=31).contains(&number(8))
        && number(11) <= 23
        && number(14) <= 59
        && number(17) <= 60;
    in_range.then_some(len)
}

/// The length of what at the start of `text` has the shape of a timestamp, whatever its numbers.
pub(super) fn timestamp_shape_len(text: &[u8]) -> Option<usize> {
    const SHAPE: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    let fits =
        |(&shape, &byte): (&u8, &u8)| if shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    if text.len() < SHAPE.len() || !SHAPE.iter().zip(text).all(fits) {
        return None;
    }
    let fraction = match &text[SHAPE.len()..] {
        [b'.', tail @ ..] => match tail.iter().take_while(|b| b.is_ascii_digit()).count() {
            0 => return None,
            digits => digits + 1,
        },
        _ => 0,
    };
    let len = SHAPE.len() + fraction;
    Some(len + zone_len(&text[len..]))
}

fn zone_len(text: &[u8]) -> usize {
    match text {
        [b'Z', ..] => 1,
        [b'+' | b'-', a, b, b':', c, d, ..] if [a, b, c, d].iter().all(|b| b.is_ascii_digit()) => 6,
        _ => 0,
    }
}

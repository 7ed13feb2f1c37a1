//! From the values of spans and events to text: the only place that runs a user's `Display` and `Debug`.
//!
//! They may log, panic or be slow: nothing is locked or borrowed here meanwhile, and a panic ends at the value.

use std::{
    error::Error,
    fmt::{self, Debug, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
};

use tracing::{
    Metadata,
    field::{self, Field, Visit},
};

use crate::{
    ascii,
    error::{Trouble, report},
    line::{Buf, Status, copy},
};

/// The reserved fields of a task's span.
const ID: &str = "task.id";
const NAME: &str = "task.name";
const RETRY: &str = "task.retry";
const STATUS: &str = "task.status";
const CONTINUED: &str = "task.continued";
const RESERVED: [&str; 5] = [ID, NAME, RETRY, STATUS, CONTINUED];

/// Returns whether a span with this metadata is a task or can become one.
#[inline]
pub(crate) fn declares_task(meta: &Metadata<'_>) -> bool {
    meta.fields().iter().any(|field| field.name() == ID)
}

/// Returns whether an event has the shape of those that `#[instrument(err)]` makes: one field, `error`.
#[inline]
pub(crate) fn is_err_shaped(meta: &Metadata<'_>) -> bool {
    meta.fields().len() == 1 && meta.fields().iter().all(|field| field.name() == "error")
}

/// What the reserved fields of a span, or of a later record, say.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    /// At least 1.
    pub(crate) retry: Option<u32>,
    pub(crate) status: Option<Status>,
    pub(crate) continued: Option<bool>,
}

impl Reserved {
    fn text(&mut self, field: &Field, text: impl FnOnce() -> String) {
        match field.name() {
            ID => self.id = Some(text()),
            NAME => self.name = Some(text()),
            STATUS => self.status = status(&text()).or(self.status),
            _ => {}
        }
    }

    fn integer<N: TryInto<u32> + Copy + Debug>(&mut self, field: &Field, number: N) {
        match field.name() {
            RETRY => self.retry = number.try_into().ok().filter(|&number| number > 0).or(self.retry),
            _ => self.text(field, || format!("{number:?}")),
        }
    }
}

impl Visit for Reserved {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, || to_text(format_args!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, || value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.text(field, || to_text(format_args!("{value}")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            CONTINUED => self.continued = Some(value),
            _ => self.text(field, || value.to_string()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field, value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.integer(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.integer(field, value);
    }
}

fn status(text: &str) -> Option<Status> {
    match text {
        "success" => Some(Status::Success),
        "failed" => Some(Status::Failed),
        "interrupted" => Some(Status::Interrupted),
        _ => {
            report(
                Trouble::Status,
                format_args!(
                    "task.status = {text:.100?} is ignored: expected success, failed or interrupted"
                ),
            );
            None
        }
    }
}

/// The text of an event: the message, then ` key=value` for every other field, in the way of tracing-subscriber.
#[derive(Debug)]
pub(crate) struct EventText<'a> {
    out: &'a mut Buf,
    /// Where the text begins in `out`.
    start: usize,
    /// Where the last value ended that was formatted whole.
    whole: usize,
}

impl<'a> EventText<'a> {
    /// Appends the text that `record` visits to `out`, behind what is there from `start` on.
    #[inline]
    pub(crate) fn push(out: &'a mut Buf, start: usize, record: impl FnOnce(&mut dyn Visit)) {
        let whole = out.len();
        let mut text = EventText { out, start, whole };
        if catch_unwind(AssertUnwindSafe(|| record(&mut text))).is_err() {
            let EventText { out, whole, .. } = text;
            out.truncate(whole);
            out.push(b" [a value panicked while it was formatted]");
            report(Trouble::Panic, format_args!("a value panicked while it was formatted; its line says so"));
        }
    }

    /// Appends the key of a field, and room for so many bytes of its value, which it returns; nothing at all where that takes more
    /// thought.
    #[inline(always)]
    fn field(&mut self, name: &str, value: usize) -> Option<&mut [u8]> {
        let name = name.strip_prefix("r#").unwrap_or(name);
        if self.out.len() > self.start { self.out.push_field(name.as_bytes(), value) } else { None }
    }

    fn key(&mut self, name: &str) {
        if self.out.len() > self.start {
            self.out.push_array(b" ");
        }
        self.out.push(name.strip_prefix("r#").unwrap_or(name).as_bytes());
        self.out.push_array(b"=");
    }

    #[inline(always)]
    fn format(&mut self, value: fmt::Arguments<'_>) {
        if self.out.write_fmt(value).is_err() {
            self.out.push(b" [a value could not be formatted]");
        }
        self.whole = self.out.len();
    }

    /// Puts the message before the fields that came before it, once it is there: a panic leaves the fields as they are.
    fn late_message(&mut self, value: fmt::Arguments<'_>) {
        let fields_end = self.out.len();
        self.format(value);
        if self.out.len() > fields_end {
            self.out.push_array(b" ");
            self.out.rotate(self.start, fields_end);
        }
        self.whole = self.out.len();
    }

    /// An integer, without the detour through `fmt`.
    #[inline(always)]
    fn integer(&mut self, field: &Field, value: u64, is_negative: bool) {
        match field.name() {
            "message" => self.message(format_args!("{}{value}", if is_negative { "-" } else { "" })),
            name if name.starts_with("log.") => {}
            name => {
                self.decimal(name, value, is_negative);
                self.whole = self.out.len();
            }
        }
    }

    /// A text in Debug quotes, the short way where nothing in it needs an escape.
    #[inline(always)]
    fn quoted(&mut self, name: &str, text: &str) {
        if ascii::is_plain(text.as_bytes())
            && let Some([opens, room @ .., closes]) = self.field(name, text.len() + 2)
        {
            *opens = b'"';
            copy(room, text.as_bytes());
            *closes = b'"';
        } else {
            self.key(name);
            // The buffer takes everything: the result can't be an error.
            let _ = write!(self.out, "{text:?}");
        }
    }

    /// A number in decimal digits, the short way for the most frequent.
    #[inline(always)]
    fn decimal(&mut self, name: &str, number: u64, is_negative: bool) {
        let digit = |number: u64| b'0' + (number % 10) as u8;
        if number < 10
            && !is_negative
            && let Some([one]) = self.field(name, 1)
        {
            *one = digit(number);
        } else if (10..100).contains(&number)
            && !is_negative
            && let Some([ten, one]) = self.field(name, 2)
        {
            (*ten, *one) = (digit(number / 10), digit(number));
        } else {
            self.key(name);
            push_decimal(self.out, number, is_negative);
        }
    }

    #[inline]
    fn message(&mut self, value: fmt::Arguments<'_>) {
        if self.out.len() == self.start { self.format(value) } else { self.late_message(value) }
    }
}

impl Visit for EventText<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message(format_args!("{value:?}")),
            name if name.starts_with("log.") => {}
            name => {
                if self.field(name, 0).is_none() {
                    self.key(name);
                }
                self.format(format_args!("{value:?}"));
            }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message(format_args!("{value}")),
            name if name.starts_with("log.") => {}
            name => {
                self.quoted(name, value);
                self.whole = self.out.len();
            }
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.integer(field, value.unsigned_abs(), value < 0);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.integer(field, value, false);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        record_error(self, field, value);
    }
}

/// Records an error as its Display and, behind that, its sources.
fn record_error(visitor: &mut dyn Visit, field: &Field, value: &(dyn Error + 'static)) {
    match value.source() {
        None => visitor.record_debug(field, &format_args!("{value}")),
        Some(first) => {
            let name = field.name();
            visitor.record_debug(field, &format_args!("{value} {name}.sources={}", Sources(first)));
        }
    }
}

/// An error's sources, the way tracing-subscriber shows them: `[first, second]`.
struct Sources<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = Some(self.0);
        let chain = std::iter::from_fn(|| {
            let source = next?;
            next = source.source();
            Some(field::display(source)) // its Debug is the Display of the source
        });
        f.debug_list().entries(chain).finish()
    }
}

/// The fields of a span that are its own, rendered as in a text.
#[derive(Debug, Default)]
pub(crate) struct SpanFields(Vec<(&'static str, String)>);

impl SpanFields {
    /// Returns what `record` visits, but for the reserved fields and those of the `log` crate.
    pub(crate) fn of(record: impl FnOnce(&mut dyn Visit)) -> Vec<(&'static str, String)> {
        let mut fields = SpanFields::default();
        record(&mut fields);
        fields.0
    }
}

impl Visit for SpanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let name = field.name();
        if !RESERVED.contains(&name) && !name.starts_with("log.") {
            self.0.push((name.strip_prefix("r#").unwrap_or(name), to_text(format_args!("{value:?}"))));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        record_error(self, field, value);
    }
}

/// Formats a value on its own. A panic leaves a note in its place.
pub(crate) fn to_text(value: fmt::Arguments<'_>) -> String {
    catch_unwind(AssertUnwindSafe(|| {
        let mut text = String::new();
        match text.write_fmt(value) {
            Ok(()) => text,
            Err(_) => text + " (a value could not be formatted)",
        }
    }))
    .unwrap_or_else(|_| {
        report(Trouble::Panic, format_args!("a value panicked while it was formatted; its line says so"));
        "(a value panicked while it was formatted)".to_owned()
    })
}

/// Appends a number in decimal digits.
#[inline(never)]
fn push_decimal(out: &mut Buf, mut number: u64, is_negative: bool) {
    let mut text = [0; 1 + "18446744073709551615".len()];
    let mut from = text.len();
    loop {
        from -= 1;
        text[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    if is_negative {
        from -= 1;
        text[from] = b'-';
    }
    out.push(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of an event with these fields.
    fn shown(fields: impl FnOnce(&mut EventText<'_>)) -> String {
        let mut out = Buf::new();
        out.push(b"...");
        let (start, whole) = (out.len(), out.len());
        fields(&mut EventText { out: &mut out, start, whole });
        String::from_utf8(out.bytes()[start..].to_vec()).expect("UTF-8")
    }

    #[test]
    fn numbers_are_shown_as_display_shows_them() {
        for number in [0, 7, 9, 10, 25, 99, 100, 12_345_678_901, u64::MAX] {
            for (sign, is_negative) in [("", false), ("-", true)] {
                let text =
                    shown(|text| ["a", "b"].iter().for_each(|name| text.decimal(name, number, is_negative)));
                assert_eq!(text, format!("a={sign}{number} b={sign}{number}"));
            }
        }
    }

    #[test]
    fn quotes_are_those_of_debug_and_the_first_field_has_no_space_before_it() {
        for value in
            ["", "plain", "a \"quote\"", "back\\slash", "Größe", "\u{1b}[0m", "\n", &"long ".repeat(1000)]
        {
            let text = shown(|text| ["r#type", "r#b", ""].iter().for_each(|name| text.quoted(name, value)));
            assert_eq!(text, format!("type={value:?} b={value:?} ={value:?}"));
        }
    }
}

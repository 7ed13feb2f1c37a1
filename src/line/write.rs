//! A line on its way out: the parts are pushed in the order of the grammar, then escaped and cut in one go.

use std::fmt::{self, Write as _};

use super::{
    Buf, Status,
    escape::{Place, escape_into, holds_control, poses_as_lifecycle},
    parse::timestamp_shape_len,
};
use crate::clock::with_stamp_now;

/// A line being written, in a buffer that is used again and again.
///
/// The parts come in the order of the grammar: prefix, timestamp, level, target, text. Where each of them
/// begins is kept, so that [`Draft::finish`] can look at all of them in one scan and, in the rare case that it
/// finds something, escape each after its own rule.
#[derive(Debug)]
pub(crate) struct Draft {
    buf: Buf,
    /// Where the timer's text begins: right after the prefix.
    stamp: usize,
    /// Where the timer's text ends; without one equal to `stamp`.
    stamp_end: usize,
    /// Where the target begins; equal to `text` without one, else `text` is behind its `: `.
    target: usize,
    /// Where the text begins.
    text: usize,
    /// Whether the timer is our own, whose text is as it should be.
    is_stamp_ours: bool,
}

impl Draft {
    pub(crate) const fn new() -> Self {
        Draft { buf: Buf::new(), stamp: 0, stamp_end: 0, target: 0, text: 0, is_stamp_ours: false }
    }

    /// Returns the buffer for the prefix: what is appended before [`Draft::end_prefix`].
    #[inline]
    pub(crate) fn prefix(&mut self) -> &mut Buf {
        &mut self.buf
    }

    /// Forgets the line.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.buf.clear();
    }

    /// Ends the prefix.
    #[inline]
    pub(crate) fn end_prefix(&mut self) {
        let end = self.buf.len();
        (self.stamp, self.stamp_end, self.target, self.text) = (end, end, end, end);
        self.is_stamp_ours = false;
    }

    /// Returns the id that the prefix shows.
    #[inline]
    pub(crate) fn id(&self) -> &[u8] {
        self.buf.bytes()[1..self.stamp].split(|&byte| byte == b']').next().unwrap_or_default()
    }

    /// Returns the buffer, for the timer: what is appended before [`Draft::end_stamp`] is the timestamp.
    #[inline]
    pub(crate) fn stamp(&mut self) -> &mut Buf {
        &mut self.buf
    }

    /// Pushes the timestamp of [`UtcSeconds`](crate::UtcSeconds).
    #[inline]
    pub(crate) fn our_stamp(&mut self) {
        let buf = &mut self.buf;
        with_stamp_now(|stamp| buf.push_array(stamp));
        self.is_stamp_ours = true;
        self.stamp_end = self.buf.len() - 1;
        self.target = self.buf.len();
        self.text = self.target;
    }

    /// Ends the timestamp. Nothing is put behind one that is empty.
    #[inline]
    pub(crate) fn end_stamp(&mut self) {
        self.stamp_end = self.buf.len();
        if self.stamp_end > self.stamp {
            self.buf.push_array(b" ");
        }
        self.target = self.buf.len();
        self.text = self.target;
    }

    /// Pushes the level of a log line.
    #[inline]
    pub(crate) fn level(&mut self, level: tracing::Level) {
        self.buf.push(level.as_str().as_bytes());
        self.buf.push_array(b" ");
        self.target = self.buf.len();
        self.text = self.target;
    }

    /// Pushes the target of a log line.
    #[inline]
    pub(crate) fn target(&mut self, target: &str) {
        self.buf.push(target.as_bytes());
        self.buf.push_array(b": ");
        self.text = self.buf.len();
    }

    /// Returns the buffer and where in it the text begins, for those who append the text.
    #[inline]
    pub(crate) fn text(&mut self) -> (&mut Buf, usize) {
        (&mut self.buf, self.text)
    }

    /// Escapes and cuts a log line, ends it, and returns how much was cut: 0 bytes for nearly every line.
    #[inline]
    pub(crate) fn finish(&mut self, max_line: usize) -> usize {
        if self.needs_escapes() {
            self.escape();
        }
        let cut = if self.buf.len() < max_line { 0 } else { self.cut(max_line) };
        self.buf.push_array(b"\n");
        cut
    }

    /// Returns whether anything must not stay as it is. As a rule there is only a text to look at.
    #[inline(always)]
    fn needs_escapes(&self) -> bool {
        if self.is_stamp_ours && self.target == self.text {
            let text = &self.buf.bytes()[self.text..];
            holds_control(text) || poses_as_lifecycle(text)
        } else {
            self.any_part_needs_escapes()
        }
    }

    #[inline(never)]
    fn any_part_needs_escapes(&self) -> bool {
        let buf = self.buf.bytes();
        holds_control(&buf[self.stamp..])
            || poses_as_lifecycle(&buf[self.text..])
            || poses_as_lifecycle(&buf[self.stamp..self.stamp_end])
            || (self.text > self.target && {
                let target = &buf[self.target..self.text - 2];
                poses_as_lifecycle(target) || target.windows(2).any(|pair| pair == b": ")
            })
            || self.posing_dash().is_some()
    }

    /// Where a dash stands that, behind what reads as a timestamp and is more or less than the timer's text, makes
    /// the body read as a lifecycle line or a separator: `2026-01-01T12:00:00 -- SUCCESS`, logged without a timer.
    fn posing_dash(&self) -> Option<usize> {
        if self.stamp_end - self.stamp == "2026-01-01T12:00:00".len() {
            return None; // a timestamp ends here or nowhere, and what follows is looked at by itself
        }
        let body = &self.buf.bytes()[self.stamp..];
        let dash = timestamp_shape_len(body)? + 1;
        (body.get(dash - 1) == Some(&b' ') && poses_as_lifecycle(&body[dash..])).then_some(self.stamp + dash)
    }

    /// Escapes timestamp, target and text, each after its own rule: the rare way.
    #[cold]
    fn escape(&mut self) {
        let raw = self.buf.as_vec().split_off(self.stamp);
        // Text is pushed as `str` only, so nothing is ever replaced here.
        let raw = String::from_utf8_lossy(&raw);
        let base = self.stamp;
        let part = |from: usize, to: usize| &raw[from - base..to - base];
        escape_into(&mut self.buf, part(self.stamp, self.stamp_end), Place::Text);
        self.buf.push(part(self.stamp_end, self.target).as_bytes());
        if self.text > self.target {
            escape_into(&mut self.buf, part(self.target, self.text - 2), Place::Target);
            self.buf.push_array(b": ");
        }
        let text = self.buf.len();
        escape_into(&mut self.buf, &raw[self.text - base..], Place::Text);
        self.text = text;
        if let Some(dash) = self.posing_dash() {
            self.buf.as_vec().splice(dash..=dash, *b"\\u{2d}");
            self.text += if dash < text { "\\u{2d}".len() - 1 } else { 0 };
        }
    }

    /// Cuts the text so that the line, with its LF and the mark, has `max_line` bytes, as far as the text goes.
    #[cold]
    fn cut(&mut self, max_line: usize) -> usize {
        let full = self.buf.len() - self.text;
        if full == 0 {
            return 0;
        }
        let mark_len = " [cut  bytes]\n".len() + decimal_digits(full);
        let room = max_line.saturating_sub(self.text + mark_len).min(full);
        self.buf.truncate(self.text + floor_char_boundary(&self.buf.bytes()[self.text..], room));
        // "-- [cut …" would read as a lifecycle line, "- [cut …" does not.
        if poses_as_lifecycle(&self.buf.bytes()[self.text..]) {
            self.buf.truncate(self.text + 1);
        } else if let Some(dash) = self.posing_dash().filter(|&dash| dash >= self.text) {
            self.buf.truncate(dash + 1);
        }
        let kept = self.buf.len() - self.text;
        let cut = full - kept;
        push_fmt(&mut self.buf, format_args!(" [cut {cut} bytes]"));
        cut
    }

    /// Ends a lifecycle line: ` -- STATUS`, then the outcome, of which only the error's text is ever cut.
    pub(crate) fn finish_lifecycle(
        &mut self,
        status: Status,
        outcome: &Outcome<'_>,
        max_line: usize,
    ) -> usize {
        if self.needs_escapes() {
            self.escape();
        }
        self.buf.push(b"-- ");
        self.buf.push(status.as_str().as_bytes());
        if let Some(elapsed) = outcome.elapsed {
            let millis = elapsed.subsec_millis();
            push_fmt(&mut self.buf, format_args!(" elapsed={}.{millis:03}s", elapsed.as_secs()));
        }
        let mut cut = 0;
        if let Some(error) = outcome.error {
            self.buf.push(b" error=");
            self.text = self.buf.len() + 1; // the opening quote is never cut
            escape_into(&mut self.buf, &format!("{error:?}"), Place::Text);
            cut = if self.buf.len() < max_line { 0 } else { self.cut(max_line) };
        }
        self.buf.push_array(b"\n");
        cut
    }

    /// Ends a retry separator, right after the prefix: it has no timestamp.
    pub(crate) fn finish_retry(&mut self, number: u32) {
        push_fmt(&mut self.buf, format_args!("--- Retry {number} ---\n"));
    }

    /// Returns the line, with its LF once it is finished.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.buf.bytes()
    }
}

/// What a closing line says beyond the status.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome<'a> {
    /// How long the task ran.
    pub(crate) elapsed: Option<std::time::Duration>,
    /// What went wrong, as its Display printed it.
    pub(crate) error: Option<&'a str>,
}

fn push_fmt(out: &mut Buf, text: fmt::Arguments<'_>) {
    // The buffer takes everything, and what is formatted here are numbers: the result can't be an error.
    let _ = out.write_fmt(text);
}

fn decimal_digits(n: usize) -> usize {
    n.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// The end of the last whole character at or before `at`.
fn floor_char_boundary(text: &[u8], at: usize) -> usize {
    let is_boundary = |&at: &usize| text.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (0..=at.min(text.len())).rev().find(is_boundary).unwrap_or(0)
}

#[cfg(test)]
mod tests;

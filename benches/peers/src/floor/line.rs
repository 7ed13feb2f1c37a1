//! The line while it grows: a fixed array, short copies inline, and one look for what needs escapes.

use std::fmt::{self, Write as _};

/// The most bytes of a line. What is beyond is cut.
const ROOM: usize = 4096;

pub(super) struct Line {
    bytes: [u8; ROOM],
    len: usize,
}

impl Line {
    pub(super) const NEW: Line = Line { bytes: [0; ROOM], len: 0 };

    #[inline(always)]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline(always)]
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        copy(&mut room[..len], &text[..len]);
        self.len += len;
    }

    #[inline(always)]
    pub(super) fn push_array<const N: usize>(&mut self, text: [u8; N]) {
        if let Some(room) = self.bytes[self.len..].first_chunk_mut() {
            *room = text;
            self.len += N;
        }
    }

    /// Appends a text in Debug quotes.
    #[inline(always)]
    pub(super) fn push_quoted(&mut self, text: &str) {
        if any(text.as_bytes(), |byte| !is_printable(byte) | (byte == b'"') | (byte == b'\\')) {
            let _ = write!(self, "{text:?}"); // the line takes or cuts everything
        } else {
            self.push_array(*b"\"");
            self.push(text.as_bytes());
            self.push_array(*b"\"");
        }
    }

    #[inline(always)]
    pub(super) fn push_decimal(&mut self, number: u64) {
        let digit = |number: u64| b'0' + (number % 10) as u8;
        match number {
            0..=9 => self.push_array([digit(number)]),
            10..=99 => self.push_array([digit(number / 10), digit(number)]),
            _ => drop(write!(self, "{number}")), // the line takes or cuts everything
        }
    }

    /// Ends the line, with escapes for the control characters from `from` on.
    #[inline(always)]
    pub(super) fn finish(&mut self, from: usize) {
        if any(&self.bytes[from..self.len], |byte| !is_printable(byte)) {
            self.escape(from);
        }
        self.len = self.len.min(ROOM - 1);
        self.push_array(*b"\n");
    }

    #[cold]
    fn escape(&mut self, from: usize) {
        let text = String::from_utf8_lossy(&self.bytes[from..self.len]).into_owned();
        self.len = from;
        for char in text.chars() {
            let mut shown = [0; 4];
            if char.is_control() && char != '\t' {
                let _ = write!(self, "{}", char.escape_default());
            } else {
                self.push(char.encode_utf8(&mut shown).as_bytes());
            }
        }
    }
}

impl fmt::Write for Line {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Copies a text of the same length. A short one goes in two pieces that overlap, without a call.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        1 => to[0] = from[0],
        4..=7 => in_two::<4>(to, from),
        8..=15 => in_two::<8>(to, from),
        16..=32 => in_two::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn in_two<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        to[..N].copy_from_slice(first);
        let end = to.len() - N;
        to[end..].copy_from_slice(last);
    }
}

#[inline(always)]
fn is_printable(byte: u8) -> bool {
    byte.wrapping_sub(b' ') < 0x5f
}

/// Returns whether a test finds any byte, 16 at a time. The last piece overlaps the one before.
#[inline(always)]
fn any(text: &[u8], test: impl Fn(u8) -> bool) -> bool {
    let in_piece = |piece: &[u8; 16]| piece.iter().fold(false, |found, &byte| found | test(byte));
    let Some(last) = text.last_chunk() else { return text.iter().any(|&byte| test(byte)) };
    let (pieces, _) = text[..text.len() - 1].as_chunks::<16>();
    pieces.iter().fold(in_piece(last), |found, piece| found | in_piece(piece))
}

//! The bytes of a line while it is being made.

use std::fmt;

/// As long as most lines are.
const SHORT: usize = 1024;
/// In the place of a length: the line is a long one.
const LONG: usize = SHORT + 1;
/// Room that a rare long line has made larger than this is not kept.
const KEPT: usize = 64 * 1024;

/// Bytes that grow at the end, like a `Vec<u8>`.
///
/// A short line is in an array: how much room is in it is no question for memory, and a short text is copied without a call.
/// In a `Vec` an event took a tenth more of a processor's cycles. When a line gets long, it moves into one.
#[derive(Debug)]
pub(crate) struct Buf {
    short: [u8; SHORT],
    /// How much of `short` is in use, or `LONG`.
    len: usize,
    long: Vec<u8>,
}

impl Buf {
    pub(crate) const fn new() -> Self {
        Buf { short: [0; SHORT], len: 0, long: Vec::new() }
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.len == LONG {
            self.long.clear();
            self.long.shrink_to(KEPT);
        }
        self.len = 0;
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.short.get(..self.len).unwrap_or(&self.long)
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.short.get_mut(..self.len).unwrap_or(&mut self.long)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        if self.len == LONG { self.long.len() } else { self.len }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a text.
    #[inline(always)]
    pub(crate) fn push(&mut self, text: &[u8]) {
        let end = self.len + text.len();
        match self.short.get_mut(self.len..end) {
            Some(room) => {
                copy(room, text);
                self.len = end;
            }
            None => self.push_long(text),
        }
    }

    /// Appends ` key=` and room for a value of so many bytes, which it returns; nothing at all where the line isn't short.
    ///
    /// The length is written once for all of it: it goes through memory, and each time that takes 2 ns.
    #[inline(always)]
    pub(crate) fn push_field(&mut self, key: &[u8], value: usize) -> Option<&mut [u8]> {
        let middle = key.len() + 2;
        let end = self.len + middle + value;
        let (before, value) = self.short.get_mut(self.len..end)?.split_at_mut_checked(middle)?;
        let [space, name @ .., equals] = before else { return None };
        *space = b' ';
        copy(name, key);
        *equals = b'=';
        self.len = end;
        Some(value)
    }

    /// Appends a text whose length is known when this is compiled.
    #[inline(always)]
    pub(crate) fn push_array<const N: usize>(&mut self, text: &[u8; N]) {
        match self.short.get_mut(self.len..).and_then(|room| room.first_chunk_mut()) {
            Some(room) => {
                *room = *text;
                self.len += N;
            }
            None => self.push_long(text),
        }
    }

    #[cold]
    #[inline(never)]
    fn push_long(&mut self, text: &[u8]) {
        self.as_vec().extend_from_slice(text);
    }

    /// Returns the bytes as a `Vec`, into which they move if they are not in one yet: for what only that can.
    pub(crate) fn as_vec(&mut self) -> &mut Vec<u8> {
        if self.len != LONG {
            self.long.clear();
            self.long.extend_from_slice(&self.short[..self.len]);
            self.len = LONG;
        }
        &mut self.long
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if self.len == LONG {
            self.long.truncate(len);
        } else {
            self.len = self.len.min(len);
        }
    }

    /// Moves what is behind `middle` before what is between `start` and that.
    pub(crate) fn rotate(&mut self, start: usize, middle: usize) {
        self.bytes_mut()[start..].rotate_left(middle - start);
    }
}

impl fmt::Write for Buf {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Copies a text into room of the same length: a short one in two pieces that overlap.
#[inline(always)]
pub(crate) fn copy(room: &mut [u8], text: &[u8]) {
    if text.len() >= 16 {
        if text.len() <= 32 {
            in_two::<16>(room, text);
        } else {
            room.copy_from_slice(text);
        }
    } else if text.len() >= 8 {
        in_two::<8>(room, text);
    } else if text.len() >= 4 {
        in_two::<4>(room, text);
    } else {
        room.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    }
}

#[inline(always)]
fn in_two<const N: usize>(room: &mut [u8], text: &[u8]) {
    if let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) {
        if let Some(room) = room.first_chunk_mut() {
            *room = *first;
        }
        if let Some(room) = room.last_chunk_mut() {
            *room = *last;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn what_is_pushed_is_there_however_long_it_is() {
        for step in (0..40).chain([SHORT - 1, SHORT, SHORT + 1]) {
            let (mut buf, mut expected) = (Buf::new(), Vec::new());
            for n in 0..=u8::MAX {
                let text: Vec<u8> = (0..step).map(|at| n.wrapping_add(at as u8)).collect();
                buf.push(&text);
                buf.push_array(&[n, 1, 2]);
                match buf.push_field(&text, step) {
                    Some(room) => copy(room, &text),
                    None => buf.push(&[b" ", &text[..], b"=", &text].concat()),
                }
                write!(buf, "{n}").expect("it takes everything");
                expected.extend(
                    [&text[..], &[n, 1, 2], b" ", &text, b"=", &text, n.to_string().as_bytes()].concat(),
                );
                assert!(buf.bytes() == expected && buf.len() == expected.len() && !buf.is_empty());
            }
            buf.clear();
            assert!(buf.is_empty() && buf.bytes().is_empty());
        }
    }

    #[test]
    fn short_and_long_lines_are_changed_alike() {
        for filler in [0, 2 * SHORT] {
            let mut buf = Buf::new();
            buf.push(&vec![b'x'; filler]);
            buf.push(b"fields message ");
            buf.rotate(filler, filler + "fields ".len());
            assert_eq!(&buf.bytes()[filler..], b"message fields ");
            buf.truncate(filler + 3);
            buf.truncate(1_000_000);
            buf.push(b"!");
            assert_eq!(&buf.bytes()[filler..], b"mes!");
            buf.as_vec().insert(0, b'y');
            buf.push(b"?");
            assert_eq!((buf.bytes()[0], &buf.bytes()[filler + 1..]), (b'y', &b"mes!?"[..]));
        }
    }

    #[test]
    fn room_that_was_very_large_is_not_kept() {
        let mut buf = Buf::new();
        buf.push(&vec![b'x'; 10 * KEPT]);
        buf.clear();
        assert!(buf.long.capacity() <= KEPT);
    }
}

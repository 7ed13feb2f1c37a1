//! What the layer and the writers of this crate tell each other about the line at hand, past whatever `MakeWriter`
//! combinators stand between them. It goes through the thread, because a line is handed over on one thread.

use std::cell::Cell;

thread_local! {
    // Without destructors, so they can be had even while the thread ends.
    static LINE: Cell<Offer> = const { Cell::new(Offer { start: 0, len: 0 }) };
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

/// A line that is being written on this thread. Two words, which registers carry: what goes through memory in pieces, and is
/// read as a whole, the processor waits for, 5 ns here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    start: usize,
    /// Four times the length, and the two marks.
    len: usize,
}

/// The line was cut.
const CUT: usize = 1;
/// A writer of this crate has taken it.
const TAKEN: usize = 2;

/// An event that a layer of this thread is making a line of, until this is dropped.
#[derive(Debug)]
pub(crate) struct InEvent(());

/// The layer: it makes a line of an event now. Its values may log.
#[inline]
pub(crate) fn begin_event() -> InEvent {
    EVENTS.set(EVENTS.get() + 1);
    InEvent(())
}

impl Drop for InEvent {
    #[inline]
    fn drop(&mut self) {
        EVENTS.set(EVENTS.get() - 1);
    }
}

/// A writer of this crate: whether the line at hand was logged while another line of this thread was being made.
#[inline]
pub(crate) fn is_nested() -> bool {
    EVENTS.get() > 1
}

/// The layer: a line is about to be written, cut or whole. Returns what was offered before, by a line whose writer
/// logs this one.
#[inline]
pub(crate) fn offer(line: &[u8], is_cut: bool) -> Offer {
    let Offer { start, len } = place(line);
    LINE.replace(Offer { start, len: len | if is_cut { CUT } else { 0 } })
}

fn place(bytes: &[u8]) -> Offer {
    Offer { start: bytes.as_ptr().addr(), len: bytes.len() << 2 }
}

/// A writer of this crate: it has taken the line. Returns whether the line was cut.
#[inline]
pub(crate) fn take() -> bool {
    let Offer { start, len } = LINE.get();
    LINE.set(Offer { start, len: len | TAKEN });
    len & CUT > 0
}

/// A writer of this crate: whether these bytes are the very line that the layer offers: then they need not be counted, which
/// spares 85 instructions.
#[cfg(feature = "queue")]
#[inline]
pub(crate) fn is_one_line(bytes: &[u8]) -> bool {
    let (line, asked) = (LINE.get(), place(bytes));
    line.start == asked.start && line.len & !(CUT | TAKEN) == asked.len
}

/// The layer: the line is written, and the offer `before` holds again. Returns whether a writer of this crate has taken
/// the line.
pub(crate) fn settle(before: Offer) -> bool {
    LINE.replace(before).len & TAKEN > 0
}

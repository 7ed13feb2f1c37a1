//! What the layer and the writers of this crate tell each other about the line at hand, past whatever `MakeWriter`
//! combinators stand between them. It goes through the thread, because a line is handed over on one thread.

use std::cell::Cell;

thread_local! {
    // Without destructors, so they can be had even while the thread ends.
    static CUT: Cell<bool> = const { Cell::new(false) };
    static LINE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    static TAKEN: Cell<bool> = const { Cell::new(false) };
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

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

/// The layer: a line is about to be written, `cut` or whole. Returns what was offered before, by a line whose writer
/// logs this one.
#[inline]
pub(crate) fn offer(line: &[u8], cut: bool) -> Offer {
    Offer { line: LINE.replace(place(line)), cut: CUT.replace(cut), taken: TAKEN.replace(false) }
}

fn place(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

/// What an offer stands for while another is made inside of it.
#[derive(Debug)]
pub(crate) struct Offer {
    line: (usize, usize),
    cut: bool,
    taken: bool,
}

/// A writer of this crate: it has taken the line. Returns whether the line was cut.
#[inline]
pub(crate) fn take() -> bool {
    TAKEN.set(true);
    CUT.get()
}

/// A writer of this crate: whether these bytes are the very line that the layer offers: then they need not be counted, which
/// spares 85 of some 1,700 instructions.
#[cfg(feature = "queue")]
#[inline]
pub(crate) fn is_one_line(bytes: &[u8]) -> bool {
    LINE.get() == place(bytes)
}

/// The layer: the line is written, and the offer `before` holds again. Returns whether a writer of this crate has taken
/// the line.
#[inline]
pub(crate) fn settle(before: &Offer) -> bool {
    LINE.set(before.line);
    CUT.set(before.cut);
    TAKEN.replace(before.taken)
}

//! What the layer and the writers of this crate tell each other about the line at hand, past whatever `MakeWriter`
//! combinators stand between them. It goes through the thread, because a line is handed over on one thread.

use std::cell::Cell;

thread_local! {
    // Without destructors, so they can be had even while the thread ends.
    static LINE: Cell<Offer> = const { Cell::new(Offer { start: 0, len: 0, is_cut: false, is_taken: false }) };
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

/// A line that is being written on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    start: usize,
    len: usize,
    is_cut: bool,
    is_taken: bool,
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

/// The layer: a line is about to be written, cut or whole. Returns what was offered before, by a line whose writer
/// logs this one.
///
/// The place comes in registers: inlined it would be read, as one vector, where the length was just written, and the
/// processor would wait for that for 10 ns.
#[inline(never)]
pub(crate) fn offer(line: &[u8], is_cut: bool) -> Offer {
    LINE.replace(Offer { start: line.as_ptr().addr(), len: line.len(), is_cut, is_taken: false })
}

/// A writer of this crate: it has taken the line. Returns whether the line was cut.
#[inline]
pub(crate) fn take() -> bool {
    let line = LINE.get();
    LINE.set(Offer { is_taken: true, ..line });
    line.is_cut
}

/// A writer of this crate: whether these bytes are the very line that the layer offers: then they need not be counted, which
/// spares 85 of some 1,700 instructions.
#[cfg(feature = "queue")]
#[inline]
pub(crate) fn is_one_line(bytes: &[u8]) -> bool {
    let line = LINE.get();
    (line.start, line.len) == (bytes.as_ptr().addr(), bytes.len())
}

/// The layer: the line is written, and the offer `before` holds again. Returns whether a writer of this crate has taken
/// the line.
#[inline(never)]
pub(crate) fn settle(before: Offer) -> bool {
    LINE.replace(before).is_taken
}

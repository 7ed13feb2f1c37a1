//! What the layer and the writers of this crate tell each other about the line at hand, past whatever `MakeWriter`
//! combinators stand between them. It goes through the thread, because a line is handed over on one thread.

use std::cell::Cell;

thread_local! {
    // Without destructors, so they can be had even while the thread ends.
    static CUT: Cell<bool> = const { Cell::new(false) };
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// The layer: a line is about to be written, `cut` or whole. Returns what was offered before, by a line whose writer
/// logs this one.
#[inline]
pub(crate) fn offer(cut: bool) -> Offer {
    Offer { cut: CUT.replace(cut), taken: TAKEN.replace(false) }
}

/// What an offer stands for while another is made inside of it.
#[derive(Debug)]
pub(crate) struct Offer {
    cut: bool,
    taken: bool,
}

/// A writer of this crate: it has taken the line. Returns whether the line was cut.
#[inline]
pub(crate) fn take() -> bool {
    TAKEN.set(true);
    CUT.get()
}

/// The layer: the line is written, and the offer `before` holds again. Returns whether a writer of this crate has taken
/// the line.
#[inline]
pub(crate) fn settle(before: &Offer) -> bool {
    CUT.set(before.cut);
    TAKEN.replace(before.taken)
}

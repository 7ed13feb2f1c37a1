//! What the layer and the writers of this crate tell each other about the line at hand, past whatever `MakeWriter`
//! combinators stand between them. It goes through the thread, because a line is handed over on one thread.

use std::cell::Cell;

thread_local! {
    // Without destructors, so they can be had even while the thread ends.
    static CUT: Cell<bool> = const { Cell::new(false) };
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// The layer: a line is about to be written, `cut` or whole.
#[inline]
pub(crate) fn offer(cut: bool) {
    CUT.set(cut);
    TAKEN.set(false);
}

/// A writer of this crate: it has taken the line. Returns whether the line was cut.
#[inline]
pub(crate) fn take() -> bool {
    TAKEN.set(true);
    CUT.take()
}

/// The layer: the line is written. Returns whether a writer of this crate has taken it.
#[inline]
pub(crate) fn settle() -> bool {
    CUT.set(false);
    TAKEN.get()
}

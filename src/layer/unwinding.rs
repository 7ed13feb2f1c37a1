//! A panic fails a task when it leaves the task's span. A span that is entered while a panic is unwinding already,
//! by a destructor, is left while it still does, and nothing has failed in it: those are kept here.

use std::{
    cell::RefCell,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::span::Id;

thread_local! {
    /// Layer and span, for each enter during a panic that has no exit yet.
    static ENTERED: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Whether there ever was one, on whatever thread. Each thread looks for its own, which it has seen itself: no ordering is needed.
static WAS_ANY: AtomicBool = AtomicBool::new(false);

/// Notes that `span` is entered while a panic is unwinding.
pub(super) fn entered(layer: u64, span: &Id) {
    WAS_ANY.store(true, Ordering::Relaxed);
    // While the thread ends, a panic counts against the task: better than not at all.
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push((layer, span.into_u64())));
}

/// Forgets the last such enter of `span`. Returns whether there was one.
#[inline]
pub(super) fn exited(layer: u64, span: &Id) -> bool {
    WAS_ANY.load(Ordering::Relaxed) && forget(layer, span)
}

fn forget(layer: u64, span: &Id) -> bool {
    let forget = |entered: &RefCell<Vec<(u64, u64)>>| {
        let mut entered = entered.borrow_mut();
        let last = entered.iter().rposition(|&enter| enter == (layer, span.into_u64()));
        last.map(|at| entered.remove(at)).is_some()
    };
    ENTERED.try_with(forget).unwrap_or(false)
}

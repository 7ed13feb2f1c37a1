//! What a thread remembers of the place it is in: the prefix of its lines, so that most events find their tag without
//! a look into the registry.
//!
//! A slot holds for one layer, and only for one stay. Three things end a stay, and each is noticed:
//!
//! - The thread enters or leaves a span: the layer is told, and [`moved`] forgets what was known. Nothing is kept by a
//!   span's id: ids are used again (tracing-subscriber's after 8,191 spans at the soonest), and what surrounds a span that the
//!   layer's filter hides may be another task the next time. Such a span moves a thread nowhere.
//! - A span becomes a task after its creation: [`epoch`] has changed.
//! - Another layer takes the slot, or replaces this one: it has another number.
//!
//! A stay is known when an event has found its task, and as a rule from its beginning on: who enters a task's span, and is in it then,
//! as the registry says, is in that task; and who enters a child of the span that it was in, which is no task, stays in the same.
//!
//! Three things are not noticed. Another layer that logs in its own `on_enter` or `on_exit` does so before this one is
//! told, and the line has the tag of the place that is being left. A layer that a reload takes away, and puts back, isn't told
//! what the thread did meanwhile: until the thread moves, its lines may have the tag of the place before. And a thread that
//! gives up a span that it never leaves (`mem::forget` of the guard) stays in it until it moves.

use std::{
    cell::RefCell,
    sync::atomic::{Ordering, compiler_fence},
};

use crate::{line::Buf, task::epoch};

/// How many layers a thread remembers at once.
const SLOTS: usize = 4;

/// The epoch of a place that is not known.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
struct Slot {
    /// The layer's number; 0 for an empty slot.
    layer: u64,
    /// The epoch in which the prefix was found.
    epoch: u64,
    /// The span that the thread is in, as the layer sees it; 0 for none.
    place: u64,
    /// The prefix of the innermost task's lines; empty outside any task.
    prefix: Vec<u8>,
}

type Slots = [Slot; SLOTS];

const EMPTY: Slot = Slot { layer: 0, epoch: UNKNOWN, place: 0, prefix: Vec::new() };

thread_local! {
    static REMEMBERED: RefCell<Slots> = const { RefCell::new([EMPTY; SLOTS]) };
}

/// Notes that the thread has entered or left a span.
pub(crate) fn moved(layer: u64) {
    with_slot(layer, |slot| {
        if slot.layer == layer {
            slot.epoch = UNKNOWN;
        }
    });
}

/// Returns the span that the thread is in, 0 for none, if its task is known.
pub(crate) fn place(layer: u64) -> Option<u64> {
    with_slot(layer, |slot| slot.is_known(layer).then_some(slot.place)).flatten()
}

/// Notes that the thread has entered a span that is no task, in `place`, and is in it now: it stays in its task, if that is still
/// known.
pub(crate) fn stayed(layer: u64, place: u64, span: u64) {
    with_slot(layer, |slot| {
        if slot.is_known(layer) && slot.place == place {
            slot.place = span;
        } else if slot.layer == layer {
            slot.epoch = UNKNOWN;
        }
    });
}

impl Slot {
    fn is_known(&self, layer: u64) -> bool {
        self.layer == layer && self.epoch == epoch()
    }
}

/// Appends the prefix of the task that the thread is in (nothing outside any task), if it is known. Returns whether it is.
#[inline]
pub(crate) fn recall(layer: u64, out: &mut Buf) -> bool {
    let known = |slot: &mut Slot| {
        let is_known = slot.is_known(layer);
        if is_known {
            out.push(&slot.prefix);
        }
        is_known
    };
    with_slot(layer, known).unwrap_or(false)
}

/// Remembers the prefix for this stay in a span, 0 for none, found when the epoch was `epoch`; empty outside any task.
///
/// The task has begun: who recalls the prefix need not begin it.
pub(crate) fn remember(layer: u64, place: u64, epoch: u64, prefix: &[u8]) {
    with_slot(layer, |slot| {
        (slot.layer, slot.epoch, slot.place) = (layer, epoch, place);
        slot.prefix.clear();
        slot.prefix.extend_from_slice(prefix);
    });
}

/// Does `f` with the slot that the layer has, or may take. While the thread ends there is none, and none for a signal handler
/// that interrupts this.
#[inline(always)]
fn with_slot<R>(layer: u64, f: impl FnOnce(&mut Slot) -> R) -> Option<R> {
    let look = |slots: &RefCell<Slots>| {
        let mut slots = slots.try_borrow_mut().ok()?;
        compiler_fence(Ordering::SeqCst); // borrowed first
        let result = f(&mut slots[(layer % SLOTS as u64) as usize]);
        compiler_fence(Ordering::SeqCst);
        Some(result)
    };
    REMEMBERED.try_with(look).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of the place that the thread is in.
    fn known(layer: u64) -> Option<Vec<u8>> {
        let mut out = Buf::new();
        recall(layer, &mut out).then(|| out.bytes().to_vec())
    }

    #[test]
    fn a_thread_stays_only_where_it_still_is_when_a_signal_handler_has_moved_it_meanwhile() {
        const LAYER: u64 = u64::MAX;
        let handlers: [(fn(), bool); 4] = [
            (|| {}, true),
            (|| moved(LAYER), false),
            (|| remember(LAYER, 3, epoch(), b"other"), false),
            (|| remember(LAYER - SLOTS as u64, 1, epoch(), b"of another layer"), false),
        ];
        for (handler, is_known) in handlers {
            remember(LAYER, 1, epoch(), b"task");
            let place = place(LAYER).expect("it is known");
            handler();
            stayed(LAYER, place, 2);
            assert_eq!(known(LAYER).as_deref(), is_known.then_some(&b"task"[..]));
        }
    }
}

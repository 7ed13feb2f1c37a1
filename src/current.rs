//! What a thread remembers of the span it is in: the prefix of its lines, so that most events find their tag without
//! a look into the registry.
//!
//! A slot holds for one layer. Three things can make it wrong, and each is noticed:
//!
//! - The thread enters or leaves a span: the layer is told, and [`moved`] makes the slot wait for the next event, which
//!   asks the registry for the current span. If it is the same one, as in an async task that is polled again,
//!   the prefix is right as it is. (Span ids count generations: an id is not used for another span of the same
//!   registry. Spans that the layer's filter hides move it nowhere: their events have the tag of what surrounds them.)
//! - A span becomes a task after its creation: [`epoch`] has changed.
//! - Another layer takes the slot, or replaces this one: it has another number.

use std::cell::RefCell;

use crate::task::epoch;

/// How many layers a thread remembers at once.
const SLOTS: usize = 4;

#[derive(Debug)]
struct Slot {
    /// The layer's number; 0 for an empty slot.
    layer: u64,
    span: u64,
    /// Whether the thread has entered and left nothing since it was in `span`.
    is_current: bool,
    epoch: u64,
    /// The prefix of the innermost task's lines; empty outside any task.
    prefix: Vec<u8>,
}

type Slots = [Slot; SLOTS];

const EMPTY: Slot = Slot { layer: 0, span: 0, is_current: false, epoch: 0, prefix: Vec::new() };

thread_local! {
    static REMEMBERED: RefCell<Slots> = const { RefCell::new([EMPTY; SLOTS]) };
}

/// Notes that the thread has entered or left a span.
#[inline]
pub(crate) fn moved(layer: u64) {
    with_slot(layer, |slot| slot.is_current = false);
}

/// Appends the prefix of the task that the thread is in (nothing outside any task). `current` tells the current span, and
/// is asked only if the thread has moved. Returns whether the prefix is known.
#[inline]
pub(crate) fn recall(layer: u64, out: &mut Vec<u8>, current: impl FnOnce() -> Option<u64>) -> bool {
    let known = |slot: &mut Slot| {
        let is_current = slot.epoch == epoch() && (slot.is_current || current() == Some(slot.span));
        slot.is_current = is_current;
        if is_current {
            out.extend_from_slice(&slot.prefix);
        }
        is_current
    };
    with_slot(layer, known).unwrap_or(false)
}

/// Returns whether the thread remembers the task of `span`, which has begun then, or that there is none.
#[inline]
pub(crate) fn is_remembered(layer: u64, span: u64) -> bool {
    with_slot(layer, |slot| slot.span == span && slot.epoch == epoch()).unwrap_or(false)
}

/// Remembers the prefix for the current span, found when the epoch was `epoch`; `None` outside any task.
///
/// The task has begun: who recalls the prefix need not begin it.
pub(crate) fn remember(layer: u64, span: u64, epoch: u64, prefix: Option<&[u8]>) {
    // While the thread ends there is nothing to remember for.
    let _ = REMEMBERED.try_with(|slots| {
        if let Ok(mut slots) = slots.try_borrow_mut() {
            let slot = &mut slots[slot_of(layer)];
            slot.prefix.clear();
            slot.prefix.extend_from_slice(prefix.unwrap_or_default());
            let prefix = std::mem::take(&mut slot.prefix);
            *slot = Slot { layer, span, is_current: true, epoch, prefix };
        }
    });
}

#[inline]
fn with_slot<R>(layer: u64, f: impl FnOnce(&mut Slot) -> R) -> Option<R> {
    let look = |slots: &RefCell<Slots>| {
        let mut slots = slots.try_borrow_mut().ok()?;
        let slot = &mut slots[slot_of(layer)];
        (slot.layer == layer).then(|| f(slot))
    };
    REMEMBERED.try_with(look).ok()?
}

#[inline]
fn slot_of(layer: u64) -> usize {
    (layer % SLOTS as u64) as usize
}

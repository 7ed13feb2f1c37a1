//! What a thread remembers of the span it is in: the prefix of its lines, so that most events find their tag without
//! a look into the registry.
//!
//! A slot holds for one layer and one span. It is right as long as no span has become a task in the meantime
//! ([`epoch`]); span ids are not used again for another span of the same registry, because they count
//! generations.

use std::cell::RefCell;

use crate::task::epoch;

/// How many layers a thread remembers at once.
const SLOTS: usize = 4;

#[derive(Debug)]
struct Slot {
    /// The layer's number; 0 for an empty slot.
    layer: u64,
    span: u64,
    epoch: u64,
    /// The prefix of the innermost task's lines; empty outside any task.
    prefix: String,
}

thread_local! {
    static REMEMBERED: RefCell<[Slot; SLOTS]> = const {
        RefCell::new([const { Slot { layer: 0, span: 0, epoch: 0, prefix: String::new() } }; SLOTS])
    };
}

/// Appends the prefix of the task that `span` is in (nothing outside any task), if the thread remembers it for this
/// layer. Returns whether it does.
pub(crate) fn recall(layer: u64, span: u64, out: &mut String) -> bool {
    with_slot(layer, span, |prefix| out.push_str(prefix)).is_some()
}

/// Returns whether the thread remembers `span` for this layer.
pub(crate) fn is_remembered(layer: u64, span: u64) -> bool {
    with_slot(layer, span, |_| ()).is_some()
}

fn with_slot<R>(layer: u64, span: u64, f: impl FnOnce(&str) -> R) -> Option<R> {
    let look = |slots: &RefCell<[Slot; SLOTS]>| {
        let slots = slots.try_borrow().ok()?;
        let slot = &slots[slot_of(layer)];
        let fits = slot.layer == layer && slot.span == span && slot.epoch == epoch();
        fits.then(|| f(&slot.prefix))
    };
    REMEMBERED.try_with(look).ok()?
}

/// Remembers the prefix for `span`, found when the epoch was `epoch`; `None` outside any task.
///
/// The task has begun: who recalls the prefix need not begin it.
pub(crate) fn remember(layer: u64, span: u64, epoch: u64, prefix: Option<&str>) {
    // While the thread ends there is nothing to remember for.
    let _ = REMEMBERED.try_with(|slots| {
        if let Ok(mut slots) = slots.try_borrow_mut() {
            let slot = &mut slots[slot_of(layer)];
            (slot.layer, slot.span, slot.epoch) = (layer, span, epoch);
            slot.prefix.clear();
            slot.prefix.push_str(prefix.unwrap_or_default());
        }
    });
}

fn slot_of(layer: u64) -> usize {
    (layer % SLOTS as u64) as usize
}

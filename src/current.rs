//! What a thread remembers of the place it is in: the prefix of its lines, so that most events find their tag without
//! a look into the registry.
//!
//! A slot holds for one layer, and only for one stay. Three things end a stay, and each is noticed:
//!
//! - The thread enters or leaves a span: the layer is told, and [`entered`] and [`left`] forget what was known. Nothing is
//!   kept by a span's id: ids are used again (tracing-subscriber's after 8,191 spans at the soonest), and what surrounds a
//!   span that the layer's filter hides may be another task the next time. Such a span moves a thread nowhere.
//! - A span becomes a task after its creation: [`epoch`] has changed.
//! - Another layer takes the slot, or replaces this one: it has another number.
//!
//! Whoever enters the span of a task is in that task, unless the thread was in that span already: then the registry goes on
//! in the span that was entered last, and so do we. So each slot has the ids of the spans that the thread is in. And whoever enters
//! a child, which is no task, of the span that the thread is in stays in its task. A layer that came later than the spans, by a
//! reload, doesn't know them all, and asks the registry.
//!
//! Two things are not noticed. Another layer that logs in its own `on_enter` or `on_exit` does so before this one is
//! told, and the line has the tag of the place that is being left. And a layer that a reload takes away, and puts back, isn't told
//! what the thread did meanwhile: until the thread moves again, its lines may have the tag of the place before.

use std::{
    cell::RefCell,
    sync::atomic::{Ordering, compiler_fence},
};

use tracing::span::Id;

use crate::{
    line::Buf,
    task::{LayerMark, epoch},
};

/// How many layers a thread remembers at once.
const SLOTS: usize = 4;

/// How many spans a thread may be in before they are not counted any more: the registry's own look through them takes longer
/// than what is spared.
const DEEPEST: usize = 64;

/// The epoch of a place that is not known.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
struct Slot {
    /// The layer's number; 0 for an empty slot.
    layer: u64,
    /// The largest number of a layer that has ever had the slot.
    newest: u64,
    /// The epoch in which the prefix was found.
    epoch: u64,
    /// The prefix of the innermost task's lines; empty outside any task.
    prefix: Vec<u8>,
    /// Whether all spans that the thread is in, as far as the layer sees them, are among those `entered`.
    is_whole: bool,
    /// The spans that the thread is in, once for each time that they were entered.
    entered: Vec<u64>,
}

type Slots = [Slot; SLOTS];

const EMPTY: Slot =
    Slot { layer: 0, newest: 0, epoch: UNKNOWN, prefix: Vec::new(), is_whole: false, entered: Vec::new() };

thread_local! {
    static REMEMBERED: RefCell<Slots> = const { RefCell::new([EMPTY; SLOTS]) };
}

impl Slot {
    /// Gives the slot to the layer, if it isn't its own.
    fn take(&mut self, mark: &LayerMark) {
        let layer = mark.id();
        if self.layer != layer {
            // Numbers only grow: a layer that is newer than all before has never been told of a span in this thread.
            self.is_whole = mark.has_seen_all() && layer > self.newest;
            (self.layer, self.newest, self.epoch) = (layer, self.newest.max(layer), UNKNOWN);
            self.entered.clear();
        }
    }

    /// Returns whether this span of this layer was entered last.
    fn is_last(&self, layer: u64, span: &Id) -> bool {
        self.layer == layer && self.entered.last() == Some(&span.into_u64())
    }

    fn remember(&mut self, epoch: u64, prefix: &[u8]) {
        self.epoch = epoch;
        self.prefix.clear();
        self.prefix.extend_from_slice(prefix);
    }

    /// Notes which span the thread is in, 0 for none, as the registry says.
    fn check(&mut self, span: u64) {
        if self.is_whole && place(&self.entered).is_some_and(|place| place != span) {
            self.lose_count(); // the layer wasn't told of all: it was taken away for a while
        }
    }

    /// The spans that the thread is in are not known any more.
    fn lose_count(&mut self) {
        self.is_whole = false;
        self.entered.clear();
    }
}

/// What is known of a thread that has entered a span.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// The epoch in which it was entered.
    pub(crate) epoch: u64,
    /// Whether the thread is in this span now.
    pub(crate) is_in: bool,
    /// Whether the prefix of the place before was known.
    pub(crate) is_known: bool,
}

/// Notes that the thread has entered a span. Returns what is known.
pub(crate) fn entered(mark: &LayerMark, span: &Id) -> Arrival {
    let epoch = epoch();
    let note = |slot: &mut Slot| {
        slot.take(mark);
        let is_known = slot.epoch == epoch;
        slot.epoch = UNKNOWN;
        if slot.entered.len() == DEEPEST {
            slot.lose_count();
        }
        if !slot.is_whole {
            return Arrival::default();
        }
        let is_in = !slot.entered.contains(&span.into_u64());
        slot.entered.push(span.into_u64());
        Arrival { epoch, is_in, is_known }
    };
    with_slot(mark.id(), note).unwrap_or_default()
}

/// Notes that the thread has left a span.
pub(crate) fn left(layer: u64, span: &Id) {
    let note = |slot: &mut Slot| {
        if slot.layer != layer {
            return;
        }
        slot.epoch = UNKNOWN;
        match slot.entered.iter().rposition(|entered| *entered == span.into_u64()) {
            Some(at) => drop(slot.entered.remove(at)),
            None => slot.lose_count(),
        }
    };
    with_slot(layer, note);
}

/// Appends the prefix of the task that the thread is in (nothing outside any task), if it is known. Returns whether it is.
#[inline]
pub(crate) fn recall(layer: u64, out: &mut Buf) -> bool {
    let known = |slot: &mut Slot| {
        let is_known = slot.layer == layer && slot.epoch == epoch();
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
pub(crate) fn remember(mark: &LayerMark, span: u64, epoch: u64, prefix: &[u8]) {
    with_slot(mark.id(), |slot| {
        slot.take(mark);
        slot.check(span);
        slot.remember(epoch, prefix);
    });
}

/// Remembers the prefix of the task whose span was just [`entered`], and is the one that the thread is in now; as [`remember`] does.
pub(crate) fn remember_entered(layer: u64, span: &Id, epoch: u64, prefix: &[u8]) {
    with_slot(layer, |slot| {
        if slot.is_last(layer, span) {
            slot.remember(epoch, prefix);
        }
    });
}

/// Goes on with what was known of the place before, in which a span was just [`entered`] that is no task: if it is a child of the
/// span that the thread was in, or of none.
pub(crate) fn stay(layer: u64, span: &Id, parent: u64, epoch: u64) {
    with_slot(layer, |slot| {
        if slot.is_last(layer, span) && place(&slot.entered[..slot.entered.len() - 1]) == Some(parent) {
            slot.epoch = epoch;
        }
    });
}

/// Returns which span a thread is in that has entered these, 0 for none, unless that takes more thought: one that it was in
/// already is not it.
fn place(entered: &[u64]) -> Option<u64> {
    match entered.split_last() {
        None => Some(0),
        Some((last, before)) => (!before.contains(last)).then_some(*last),
    }
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
    use std::sync::Arc;

    use super::*;

    /// A layer that was there before any span, in a thread that has seen no other.
    fn mark() -> Arc<LayerMark> {
        let mark = LayerMark::new();
        mark.sees_all();
        mark
    }

    fn enter(mark: &LayerMark, span: u64) -> Arrival {
        entered(mark, &Id::from_u64(span))
    }

    fn leave(mark: &LayerMark, span: u64) {
        left(mark.id(), &Id::from_u64(span));
    }

    /// What is known of the place.
    fn known(mark: &LayerMark) -> Option<String> {
        let mut out = Buf::new();
        recall(mark.id(), &mut out).then(|| String::from_utf8(out.bytes().to_vec()).expect("UTF-8"))
    }

    fn remember_a(mark: &LayerMark, span: u64) {
        remember_entered(mark.id(), &Id::from_u64(span), epoch(), b"a");
    }

    #[test]
    fn a_prefix_is_remembered_for_the_span_that_was_entered_last_and_for_no_other() {
        let mark = mark();
        assert!(enter(&mark, 1).is_in);
        remember_a(&mark, 2);
        assert_eq!(known(&mark), None);
        remember_a(&mark, 1);
        assert_eq!(known(&mark).as_deref(), Some("a"));
        assert!(enter(&mark, 2).is_known);
        assert_eq!(known(&mark), None);
        leave(&mark, 2);
        assert_eq!(known(&mark), None);
    }

    #[test]
    fn who_enters_a_child_stays_and_who_enters_another_span_does_not() {
        for (parent, expected) in [(1, Some("a")), (0, None), (3, None)] {
            let mark = mark();
            enter(&mark, 1);
            remember_a(&mark, 1);
            let arrival = enter(&mark, 2);
            assert!(arrival.is_in && arrival.is_known);
            stay(mark.id(), &Id::from_u64(2), parent, arrival.epoch);
            assert_eq!(known(&mark).as_deref(), expected, "a child of {parent}");
        }
    }

    #[test]
    fn who_enters_a_span_again_is_where_it_was_and_who_leaves_it_then_too() {
        let mark = mark();
        assert!(enter(&mark, 1).is_in && enter(&mark, 2).is_in);
        assert!(!enter(&mark, 1).is_in);
        assert_eq!(place(&[1, 2, 1]), None);
        leave(&mark, 1);
        assert!(!enter(&mark, 1).is_in, "it is left once, and was entered twice");
    }

    #[test]
    fn a_layer_that_does_not_know_all_spans_says_nothing() {
        let unseen = mark();
        leave(&unseen, 9);
        assert!(enter(&unseen, 1).is_in, "nobody has asked for this layer before");
        leave(&unseen, 9);
        assert!(!enter(&unseen, 2).is_in, "it was left, and never entered");

        let away = mark();
        enter(&away, 1);
        remember(&away, 1, epoch(), b"a");
        assert!(enter(&away, 2).is_in);
        remember(&away, 1, epoch(), b"a");
        assert!(!enter(&away, 3).is_in, "the registry says that it is in another one");

        let late = LayerMark::new();
        assert!(!enter(&late, 1).is_in, "it came by a reload");
    }

    #[test]
    fn too_many_spans_are_not_counted() {
        let mark = mark();
        assert!((1..=DEEPEST as u64).all(|span| enter(&mark, span).is_in));
        assert!(!enter(&mark, DEEPEST as u64 + 1).is_in);
    }
}

//! What a thread remembers of the place it is in: the prefix of its lines, so that most events find their tag without
//! a look into the registry.
//!
//! A slot holds for one layer, and what it holds of the place only for one stay. Three things end a stay, and each is noticed:
//!
//! - The thread enters or leaves a span: the layer is told, and [`moved`] forgets where the thread is. (A span that the layer's
//!   filter hides moves a thread nowhere.)
//! - A span becomes a task after its creation: [`epoch`] has changed.
//! - Another layer takes the slot, replaces this one or puts this one elsewhere: it has another number, or [`put_elsewhere`] has
//!   raised the epoch.
//!
//! A stay is known when an event has found its task, and as a rule from its beginning on. If a thread enters a task's span and
//! is in it then, as the registry says, it is in that task. If it enters a child of the span that it was in, and the child is no
//! task, it stays in the same task.
//!
//! A thread that comes back to a task's span, as each poll of a future does, finds its [`Tag`] by the span's id. A tag doesn't
//! change while the span is there. Ids are used again (tracing-subscriber's after 8,191 spans at the soonest), so each tag has
//! a token that is gone before its id is. Nothing else is kept by an id: what surrounds a span that is no task, or one that
//! the layer's filter hides, may be another task the next time.
//!
//! Three things are not noticed. Another layer that logs in its own `on_enter` or `on_exit` does so before this one is
//! told, and the line has the tag of the place that is being left. A thread that gives up a span that it never leaves
//! (`mem::forget` of the guard) stays in it until it moves. And a layer that a program has in two subscribers at once, by a
//! wrapper of its own, may take a span of one for the open task of the other that has the same id.

use std::{
    cell::RefCell,
    mem,
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering, compiler_fence},
    },
};

use crate::{
    line::Buf,
    task::{epoch, raise_epoch},
};

/// How many layers a thread remembers at once.
const SLOTS: usize = 4;

/// How many tasks a thread remembers for a layer, besides the last one: each in the place that its span's id has modulo this.
const TAGS: usize = 64;

/// The epoch of a place that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Raised whenever a layer may have been put into another subscriber, where a span's id is another span.
static PLACEMENT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Slot {
    /// The layer's number; 0 for an empty slot.
    layer: u64,
    /// The placement in which the tags were found.
    placement: u64,
    /// The epoch in which it was found that `tag` is the one of `place`.
    epoch: u64,
    /// The span that the thread is in, as the layer sees it; 0 for none.
    place: u64,
    tag: Tag,
    /// Others that the thread may come back to; empty before there is one.
    others: Vec<Tag>,
}

/// What the lines of a task begin with.
#[derive(Debug)]
struct Tag {
    /// The task's own span; 0 if it isn't known.
    span: u64,
    /// Gone when the span is.
    token: Weak<()>,
    /// Empty outside any task.
    prefix: Vec<u8>,
}

type Slots = [Slot; SLOTS];

const EMPTY: Slot = Slot {
    layer: 0,
    placement: 0,
    epoch: UNKNOWN,
    place: 0,
    tag: Tag { span: 0, token: Weak::new(), prefix: Vec::new() },
    others: Vec::new(),
};

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

/// Notes that a layer may have been put into another subscriber, or back into its own after threads have moved.
pub(crate) fn put_elsewhere() {
    PLACEMENT.fetch_add(1, Ordering::Relaxed); // nothing else depends on it
    raise_epoch();
}

impl Slot {
    fn is_known(&self, layer: u64) -> bool {
        self.layer == layer && self.epoch == epoch()
    }

    fn has_tags_of(&self, layer: u64) -> bool {
        self.layer == layer && self.placement == PLACEMENT.load(Ordering::Relaxed)
    }

    /// Puts the tag by, if it can be found again.
    fn put_by(&mut self) {
        if self.tag.span != 0 {
            self.others.resize_with(TAGS, || EMPTY.tag);
            let at = at(self.tag.span);
            mem::swap(&mut self.tag, &mut self.others[at]);
        }
    }

    /// Fetches the tag of a task's span, if it is there. Returns whether it is.
    fn fetch(&mut self, span: u64) -> bool {
        if self.tag.span != span {
            if !self.others.get(at(span)).is_some_and(|tag| tag.is_of(span)) {
                return false;
            }
            self.put_by();
            if self.tag.span != span {
                mem::swap(&mut self.tag, &mut self.others[at(span)]);
            }
        }
        self.tag.is_of(span)
    }
}

impl Tag {
    /// Keeps nothing but the memory: a log call allocates none if it can be helped.
    fn forget(&mut self) {
        (self.span, self.token) = (0, Weak::new());
        self.prefix.clear();
    }

    /// Returns whether it is the one of this task's span, which is still there.
    fn is_of(&self, span: u64) -> bool {
        self.span == span && self.token.strong_count() > 0
    }
}

/// The place of a tag among the others.
fn at(span: u64) -> usize {
    (span % TAGS as u64) as usize
}

/// Notes that the thread has come back to a task's span, if it remembers the span's tag and `is_in` the span now. Returns
/// whether it has. A line that `is_in` logs finds its tag in the registry.
pub(crate) fn is_back(layer: u64, span: u64, is_in: &dyn Fn() -> bool) -> bool {
    let back = |slot: &mut Slot| {
        if !slot.has_tags_of(layer) || !slot.fetch(span) {
            return false;
        }
        slot.epoch = UNKNOWN; // the tag may be another one now
        let is_in = is_in();
        if is_in {
            (slot.epoch, slot.place) = (epoch(), span);
        }
        is_in
    };
    with_slot(layer, back).unwrap_or(false)
}

/// Appends the prefix of the task that the thread is in (nothing outside any task), if it is known. Returns whether it is.
#[inline]
pub(crate) fn recall(layer: u64, out: &mut Buf) -> bool {
    let known = |slot: &mut Slot| {
        let is_known = slot.is_known(layer);
        if is_known {
            out.push(&slot.tag.prefix);
        }
        is_known
    };
    with_slot(layer, known).unwrap_or(false)
}

/// Remembers the prefix for this stay in a span, 0 for none, found when the epoch was `epoch`; empty outside any task. If the
/// span is the task's own, its `token` has it remembered for later stays as well.
///
/// The task has begun: who recalls the prefix need not begin it.
pub(crate) fn remember(layer: u64, place: u64, epoch: u64, token: Option<Weak<()>>, prefix: &[u8]) {
    with_slot(layer, |slot| {
        if !slot.has_tags_of(layer) {
            (slot.layer, slot.placement) = (layer, PLACEMENT.load(Ordering::Relaxed));
            slot.others.iter_mut().chain([&mut slot.tag]).for_each(Tag::forget);
        }
        (slot.epoch, slot.place) = (epoch, place);
        if token.is_some() || slot.tag.prefix != prefix {
            slot.put_by();
            slot.tag.span = if token.is_some() { place } else { 0 };
            slot.tag.token = token.unwrap_or_default();
            slot.tag.prefix.clear();
            slot.tag.prefix.extend_from_slice(prefix);
        }
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
            (|| remember(LAYER, 3, epoch(), None, b"other"), false),
            (|| remember(LAYER - SLOTS as u64, 1, epoch(), None, b"of another layer"), false),
        ];
        for (handler, is_known) in handlers {
            remember(LAYER, 1, epoch(), None, b"task");
            let place = place(LAYER).expect("it is known");
            handler();
            stayed(LAYER, place, 2);
            assert_eq!(known(LAYER).as_deref(), is_known.then_some(&b"task"[..]));
        }
    }
}

//! What one layer keeps of one task: the prefix of its lines and the course it takes.

use std::{
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Identity, LayerMark, gate::Gate, lock, state::State};
use crate::{
    clock,
    line::{Buf, Outcome, Status, push_prefix},
    sink::Sink,
    sys,
};

/// One layer's view of one task.
#[derive(Debug)]
pub(crate) struct Entry {
    identity: Arc<Identity>,
    mark: Weak<LayerMark>,
    sink: Arc<dyn Sink>,
    /// `[id] [name] `, in the layer's id format.
    prefix: OnceLock<Vec<u8>>,
    life: Arc<Life>,
    /// The place among the layer's open tasks; 0 for none.
    seat: AtomicU64,
    /// The span's own fields, rendered; kept only for layers that show them.
    fields: Mutex<Vec<(&'static str, String)>>,
}

/// The course of a task, which outlives the layer if that is replaced.
#[derive(Debug)]
struct Life {
    gate: Gate,
    state: Mutex<State>,
}

impl Entry {
    /// Returns a new entry, which goes on where `orphan` stopped, if there is one.
    pub(super) fn new(
        identity: &Arc<Identity>,
        mark: &Arc<LayerMark>,
        sink: Arc<dyn Sink>,
        orphan: Option<&Entry>,
    ) -> Arc<Self> {
        let entry = Arc::new(Entry {
            identity: Arc::clone(identity),
            mark: Arc::downgrade(mark),
            sink,
            prefix: OnceLock::new(),
            life: orphan.map_or_else(
                || Arc::new(Life { gate: Gate::default(), state: Mutex::new(identity.first_state()) }),
                |orphan| Arc::clone(&orphan.life),
            ),
            seat: AtomicU64::new(0),
            fields: Mutex::new(orphan.map_or_else(Vec::new, |orphan| lock(&orphan.fields).clone())),
        });
        if orphan.is_some_and(Entry::leave_open) {
            entry.join_open();
        }
        entry
    }

    /// Returns whether this is the entry of the layer with `mark`.
    pub(super) fn is_of(&self, mark: &Arc<LayerMark>) -> bool {
        std::ptr::eq(self.mark.as_ptr(), Arc::as_ptr(mark))
    }

    /// Returns whether the layer is gone.
    pub(super) fn is_orphan(&self) -> bool {
        self.mark.strong_count() == 0
    }

    /// Returns who the task is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns `[id] [name] `. Fixes id and name.
    pub(crate) fn prefix(&self) -> &[u8] {
        self.prefix.get_or_init(|| {
            let tag = self.identity.tag();
            let mut prefix = Buf::new();
            push_prefix(&mut prefix, self.sink.options().id_format.shown(&tag.id), &tag.name);
            prefix.bytes().to_vec()
        })
    }

    /// Returns the prefix, if id and name are fixed and the task has begun.
    pub(super) fn begun_prefix(&self) -> Option<&[u8]> {
        self.prefix.get().map(Vec::as_slice).filter(|_| self.life.gate.is_open())
    }

    /// Begins the task before its first line: RUNNING, then the retry it was made with.
    ///
    /// Returns when RUNNING is written, by whichever thread; the thread that is writing it returns at once.
    pub(crate) fn begin(self: &Arc<Self>) {
        self.life.gate.pass(|| {
            let retry = lock(&self.life.state).begin(clock::instant(), sys::forks());
            if self.identity.is_continued() {
                return;
            }
            if self.sink.options().lifecycle {
                self.join_open();
                self.sink.write_lifecycle(self, Status::Running, &Outcome::default());
            }
            if let Some(number) = retry {
                self.sink.write_retry(self, number);
            }
        });
    }

    /// Notes a retry and writes its separator. One that is noted before the span is a task waits until it begins.
    ///
    /// If the layer is gone, the separator waits for the one in its place.
    pub(crate) fn retry(self: &Arc<Self>, number: u32) {
        if self.is_orphan() {
            return lock(&self.life.state).defer(number);
        }
        if self.identity.is_task() {
            self.begin(); // and with it comes the retry that the task was made with
        }
        let has_begun = lock(&self.life.state).retry(number);
        if has_begun && !self.identity.is_continued() {
            self.sink.write_retry(self, number);
        }
    }

    /// Writes the separator that has waited for this layer.
    pub(super) fn catch_up(self: &Arc<Self>) {
        let deferred = lock(&self.life.state).take_deferred();
        if let Some(number) = deferred {
            self.retry(number);
        }
    }

    /// Notes what was said about the task's end.
    pub(crate) fn say(&self, status: Status, error: Option<String>) {
        lock(&self.life.state).say(status, error);
    }

    /// Notes that a panic left the task's own span.
    pub(crate) fn panicked(&self) {
        lock(&self.life.state).panicked();
    }

    /// Notes that the helper's future was dropped before it was done.
    pub(crate) fn dropped(&self) {
        lock(&self.life.state).dropped();
    }

    /// Writes the closing line, with `forced` or with what follows from the task's course, if the task has begun
    /// and none was written yet.
    pub(crate) fn close(&self, forced: Option<Status>) {
        let closing = lock(&self.life.state).close(clock::instant(), sys::forks(), forced);
        let Some(closing) = closing else { return };
        self.leave_open();
        if self.sink.options().lifecycle && !self.identity.is_continued() {
            let outcome = Outcome { elapsed: Some(closing.elapsed), error: closing.error.as_deref() };
            self.sink.write_lifecycle(self, closing.status, &outcome);
        }
    }

    /// Closes the task from outside, as INTERRUPTED. If a thread is writing its RUNNING just now, that comes first,
    /// unless it takes longer than `limit`.
    pub(super) fn interrupt(&self, limit: Duration) {
        self.life.gate.wait(limit);
        self.close(Some(Status::Interrupted));
    }

    /// Returns whether the task's lines reach a writer of this crate.
    pub(super) fn has_our_writer(&self) -> bool {
        self.sink.has_our_writer()
    }

    fn join_open(self: &Arc<Self>) {
        let seat = self.sink.open_tasks().add(Arc::clone(self));
        self.seat.store(seat, Ordering::Release); // pairs with the AcqRel in `leave_open`
    }

    /// Leaves the set of open tasks. Returns whether it was in there.
    fn leave_open(&self) -> bool {
        let seat = self.seat.swap(0, Ordering::AcqRel); // pairs with the Release in `join_open`
        self.sink.open_tasks().remove(seat)
    }

    /// Keeps the span's own fields: a key that is recorded again shows its last value, in its first place.
    pub(crate) fn set_fields(&self, fields: Vec<(&'static str, String)>) {
        let mut known = lock(&self.fields);
        for (key, value) in fields {
            match known.iter_mut().find(|field| field.0 == key) {
                Some(field) => field.1 = value,
                None => known.push((key, value)),
            }
        }
    }

    /// Appends the span's own fields to a text.
    pub(crate) fn push_fields(&self, out: &mut Buf, text_start: usize) {
        for (key, value) in lock(&self.fields).iter() {
            if out.len() > text_start {
                out.push_array(b" ");
            }
            out.push(key.as_bytes());
            out.push_array(b"=");
            out.push(value.as_bytes());
        }
    }
}

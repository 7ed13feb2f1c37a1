//! A task: what its span's extension holds for all layers together, and for each layer on its own.
//!
//! ```text
//! span ── extension ── Task ─┬─ Identity: id, name, retry (the same for everybody)
//!                            └─ Entry, one a layer: prefix, state, gate, and the way to the layer's writer
//! ```
//!
//! Every layer drives its own entry from its own callbacks, so that each writer sees each transition exactly once,
//! whatever other layers there are. The helpers (`in_task`, `record_retry` …) have no layer at hand: they go
//! through the extension to all entries.
//!
//! No lock in here is held while a writer, a timer or a user's `Display` runs.

mod entry;
mod gate;
mod identity;
mod open;
mod state;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use tracing::{Dispatch, Metadata, dispatcher, span::Id};
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

pub use self::open::InterruptGuard;
pub(crate) use self::{
    entry::Entry,
    identity::{Identity, epoch, raise_epoch},
    open::OpenTasks,
};
use crate::{
    sink::Sink,
    visit::{Reserved, declares_task},
};

/// The mark of one layer, shared by everything that it made. Gone when the layer is, for example reloaded away.
///
/// Each event reads it and each new task counts its references: those are not to share a cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct LayerMark(u64);

impl LayerMark {
    /// Returns a mark that no other layer of this process has or had.
    pub(crate) fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(LayerMark(NEXT.fetch_add(1, Ordering::Relaxed))) // to be unique is all that is asked of it
    }

    /// Returns the number of the layer.
    pub(crate) fn id(&self) -> u64 {
        self.0
    }
}

/// What every span that declares `task.id` has among its extensions.
#[derive(Debug)]
pub(crate) struct TaskExtension {
    pub(crate) task: Arc<Task>,
    /// Only the extension holds it, so that it is gone before the registry uses the span's id again.
    token: Arc<()>,
}

impl TaskExtension {
    pub(crate) fn new(task: &Arc<Task>) -> Self {
        TaskExtension { task: Arc::clone(task), token: Arc::default() }
    }

    /// Returns what tells whether the span is still there. Never upgrade it: that would make it stay.
    pub(crate) fn token(&self) -> Weak<()> {
        Arc::downgrade(&self.token)
    }
}

/// Returns the task of a span that declares `task.id`.
pub(crate) fn task_of<'r, R: LookupSpan<'r>>(span: &SpanRef<'r, R>) -> Option<Arc<Task>> {
    let task = |extension: &TaskExtension| Arc::clone(&extension.task);
    if declares_task(span.metadata()) { with_extension(span, task) } else { None }
}

/// Does `f` with the extension of a span that, as is known already, declares `task.id`. It must not call anything of the
/// user's: a lock is held.
pub(crate) fn with_extension<'r, R: LookupSpan<'r>, T>(
    span: &SpanRef<'r, R>,
    f: impl FnOnce(&TaskExtension) -> T,
) -> Option<T> {
    let extensions = span.extensions();
    extensions.get::<TaskExtension>().map(f)
}

/// Returns the innermost task that a span is in, itself included.
pub(crate) fn innermost_task<'r, R: LookupSpan<'r>>(span: &SpanRef<'r, R>) -> Option<Arc<Task>> {
    span.scope().filter_map(|span| task_of(&span)).find(|task| task.identity().is_task_or_passed())
}

/// Returns the task of a span by its handle, whatever layers and wrappers there are, if the registry is
/// tracing-subscriber's.
pub(crate) fn task_of_handle(span: &tracing::Span) -> Option<Arc<Task>> {
    let task = |(id, dispatch): (&Id, &Dispatch)| task_of(&dispatch.downcast_ref::<Registry>()?.span(id)?);
    span.with_subscriber(task).flatten()
}

/// Returns the innermost task of this thread's current span.
pub(crate) fn current_task() -> Option<Arc<Task>> {
    dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        innermost_task(&registry.span(dispatch.current_span().id()?)?)
    })
}

/// A span that declares `task.id`: a task as soon as the id is there.
#[derive(Debug)]
pub(crate) struct Task {
    identity: Arc<Identity>,
    /// At most one for each living layer.
    entries: Mutex<Vec<Arc<Entry>>>,
}

impl Task {
    /// Returns the task of a new span, with what its reserved fields say.
    pub(crate) fn new(meta: &'static Metadata<'static>, reserved: Reserved) -> Arc<Self> {
        Arc::new(Task { identity: Arc::new(Identity::new(meta, reserved)), entries: Mutex::default() })
    }

    /// Returns what the task is for everybody.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns what a layer keeps of this task, made at its first use.
    ///
    /// A layer that came later, through a reload, goes on where the one that is gone stopped: with its state, so
    /// that there is still at most one RUNNING and one closing line.
    pub(crate) fn entry(&self, mark: &Arc<LayerMark>, sink: impl FnOnce() -> Arc<dyn Sink>) -> Arc<Entry> {
        let orphan; // goes after the lock does: with it may go a writer, which may log
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.iter().find(|entry| entry.is_of(mark)) {
            return Arc::clone(entry);
        }
        let place = entries.iter().position(|entry| entry.is_orphan());
        orphan = place.map(|at| entries.swap_remove(at));
        let entry = Entry::new(&self.identity, mark, sink(), orphan.as_deref());
        entries.push(Arc::clone(&entry));
        drop(entries);
        if orphan.is_some() {
            entry.catch_up();
        }
        entry
    }

    /// Does `f` with a layer's prefix of this task, if that is fixed and the task has begun for this layer. Returns whether
    /// it has. `f` must not call anything of the user's: a lock is held.
    pub(crate) fn has_begun(&self, mark: &Arc<LayerMark>, f: impl FnOnce(&[u8])) -> bool {
        let entries = lock(&self.entries);
        let begun = entries.iter().find(|entry| entry.is_of(mark)).and_then(|entry| entry.begun_prefix());
        begun.map(f).is_some()
    }

    /// Does `f` for every layer's entry.
    pub(crate) fn for_each_entry(&self, f: impl Fn(&Arc<Entry>)) {
        let entries = lock(&self.entries).clone();
        entries.iter().for_each(f);
    }

    /// Notes a retry, from a helper: for all layers.
    pub(crate) fn record_retry(&self, number: u32) {
        if number > 0 {
            self.identity.set_retry(number);
            self.for_each_entry(|entry| entry.retry(number));
        }
    }
}

/// Enters a lock whatever became of the thread that held it: the data behind ours is whole after every statement.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

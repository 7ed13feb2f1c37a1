//! Who a task is: id, name and retry, the same for all layers and for other processes.

use std::sync::{
    Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use tracing::Metadata;

use super::{lock, state::State};
use crate::{line::Status, visit::Reserved};

static EPOCH: AtomicU64 = AtomicU64::new(0);

/// Returns a number that changes whenever the task of an existing span may have changed, so that what a thread
/// remembers of "which task am I in" is outdated. The thread that recorded an id sees the change at once.
#[inline]
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Acquire) // pairs with the Release in `raise_epoch`
}

/// Outdates what all threads remember of the task that they are in.
pub(crate) fn raise_epoch() {
    EPOCH.fetch_add(1, Ordering::Release); // pairs with the Acquire in `epoch`
}

/// Who a task is.
#[derive(Debug)]
pub(crate) struct Identity {
    meta: &'static Metadata<'static>,
    /// What the tag will be made of; changes after `tag` is set don't count.
    draft: Mutex<Draft>,
    /// Id and name, fixed at the task's first line.
    tag: OnceLock<Tag>,
    /// Whether the id is there. Set after `draft` has it, never unset.
    is_task: AtomicBool,
    /// Whether a lookup ever went past the span because it was no task. Never unset.
    passed: AtomicBool,
    /// Whether the span was ever entered. Never unset.
    entered: AtomicBool,
    /// Whether lifecycle and separators belong to another process. Never unset.
    continued: AtomicBool,
    /// The last retry, for `TaskContext`; 0 before the first. Nothing else depends on it.
    retry: AtomicU32,
}

/// What the reserved fields have said so far.
#[derive(Debug, Default)]
struct Draft {
    id: Option<String>,
    name: Option<String>,
    /// Recorded before any layer had an entry: what an entry begins with.
    retry: Option<u32>,
    status: Option<Status>,
}

/// Id and name of a task, whole and raw.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Identity {
    pub(super) fn new(meta: &'static Metadata<'static>, reserved: Reserved) -> Self {
        let identity = Identity {
            meta,
            draft: Mutex::new(Draft { retry: reserved.retry, status: reserved.status, ..Draft::default() }),
            tag: OnceLock::new(),
            is_task: AtomicBool::new(false),
            passed: AtomicBool::new(false),
            entered: AtomicBool::new(false),
            continued: AtomicBool::new(false),
            retry: AtomicU32::new(0),
        };
        identity.take_over(reserved); // nobody can remember anything of a span that is just being made
        identity
    }

    /// Takes over what a later record of the span says about who the task is. The first id stays; of the names the
    /// last before the task's first line.
    pub(crate) fn identify(&self, reserved: Reserved) {
        if self.take_over(reserved) && self.passed.load(Ordering::SeqCst) {
            raise_epoch(); // see `is_task_or_passed`
        }
    }

    /// Returns whether the span has become a task.
    fn take_over(&self, reserved: Reserved) -> bool {
        if reserved.continued == Some(true) {
            self.continued.store(true, Ordering::Release); // pairs with the Acquire in `is_continued`
        }
        if let Some(number) = reserved.retry {
            self.set_retry(number);
        }
        let mut draft = lock(&self.draft);
        if reserved.name.is_some() {
            draft.name = reserved.name;
        }
        let has_become_task = draft.id.is_none() && reserved.id.is_some();
        if has_become_task {
            draft.id = reserved.id;
            self.is_task.store(true, Ordering::SeqCst); // see `is_task`
        }
        has_become_task
    }

    /// Returns what a layer's state begins with.
    pub(super) fn first_state(&self) -> State {
        let draft = lock(&self.draft);
        State::new(draft.retry, draft.status)
    }

    /// Returns whether the span is a task: whether its id is there.
    ///
    /// `is_task` and `entered` are in one order for all threads (SeqCst): of the thread that records a late id and then
    /// asks whether the span was entered, and one that enters it and then asks for the id, at least one sees both.
    pub(crate) fn is_task(&self) -> bool {
        self.is_task.load(Ordering::SeqCst)
    }

    /// Returns whether the span is a task, for a lookup that goes past it if it is none.
    ///
    /// `is_task` and `passed` are in one order for all threads (SeqCst): of the thread that records a late id and the one that
    /// looks, at least one sees the other, and either the lookup finds the task or its epoch is outdated.
    pub(crate) fn is_task_or_passed(&self) -> bool {
        self.is_task() || {
            self.passed.store(true, Ordering::SeqCst);
            self.is_task()
        }
    }

    /// Notes that the span was entered.
    pub(crate) fn set_entered(&self) {
        if !self.was_entered() {
            self.entered.store(true, Ordering::SeqCst); // see `is_task`
        }
    }

    /// Returns whether the span was ever entered.
    pub(crate) fn was_entered(&self) -> bool {
        self.entered.load(Ordering::SeqCst) // see `is_task`
    }

    /// Returns whether lifecycle and separators belong to another process.
    pub(crate) fn is_continued(&self) -> bool {
        self.continued.load(Ordering::Acquire) // pairs with the Release in `take_over`
    }

    /// Returns the metadata of the task's span.
    pub(crate) fn meta(&self) -> &'static Metadata<'static> {
        self.meta
    }

    /// Returns id and name, which from now on stay as they are.
    pub(crate) fn tag(&self) -> &Tag {
        self.tag.get_or_init(|| {
            let draft = lock(&self.draft);
            let name = draft.name.clone().unwrap_or_else(|| self.meta.name().to_owned());
            Tag { id: draft.id.clone().unwrap_or_default(), name }
        })
    }

    /// Returns the last retry, 0 before the first.
    pub(crate) fn retry(&self) -> u32 {
        self.retry.load(Ordering::Relaxed)
    }

    pub(super) fn set_retry(&self, number: u32) {
        self.retry.store(number, Ordering::Relaxed);
    }
}

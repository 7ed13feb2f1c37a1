//! Who is told about trouble that nobody who logs can be told about: the program's own hook, or stderr.

use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use crate::{
    Error,
    error::{Trouble, report},
};

thread_local! {
    /// Whether this thread is in a hook: trouble that it makes there goes to stderr. No destructor, so it is always there.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Tells the hook of a writer, or stderr. Called without any lock.
#[derive(Clone, Default)]
pub(crate) struct Notice {
    hook: Option<Arc<Hook>>,
}

/// What is called with each error.
type Hook = dyn Fn(&Error) + Send + Sync;

impl Notice {
    /// Returns a notice that calls `hook`.
    pub(crate) fn hook(hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Notice { hook: Some(Arc::new(hook)) }
    }

    /// Tells about an error. A hook that panics, or that makes trouble itself, is told about on stderr.
    pub(crate) fn tell(&self, trouble: Trouble, error: &Error) {
        self.tell_with(trouble, error, 0);
    }

    /// Tells about an error, and stderr, which nobody asks for stats, how many lines are lost so far.
    pub(crate) fn tell_with(&self, trouble: Trouble, error: &Error, lost: u64) {
        let Some(hook) = self.hook.as_ref().filter(|_| !IN_HOOK.get()) else {
            let lost = if lost > 0 { format!("; lines lost so far: {lost}") } else { String::new() };
            return report(trouble, format_args!("{error:?}{lost}"));
        };
        IN_HOOK.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| hook(error)));
        IN_HOOK.set(false);
        if result.is_err() {
            report(Trouble::Panic, format_args!("the error hook panicked, it was called with: {error:?}"));
        }
    }

    /// Tells stderr at the end of a file how many lines were lost, if nobody has asked to be told of each loss: of each file that
    /// is there when the process ends, and before that once in 10 s.
    pub(crate) fn tell_total(&self, path: &Path, lost: u64) {
        if lost > 0 && self.hook.is_none() {
            report(Trouble::Total, format_args!("lines lost in all: {lost}, which {path:?} could not take"));
        }
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.hook.is_some() { "hook" } else { "stderr" })
    }
}

//! The collectors of this process, and what the end of the process does about them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::shared::Shared;
use crate::sys;

/// How long the list is waited for where their holder may never run again.
const PATIENCE: Duration = Duration::from_millis(200);

static COLLECTORS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Locks the list, within a limit where its holder may never run again: in a child of fork, and while the process ends.
fn lock_list() -> Option<MutexGuard<'static, Vec<Weak<Shared>>>> {
    if sys::forks() > 0 || sys::is_exiting() {
        return sys::lock_within(&COLLECTORS, PATIENCE);
    }
    Some(COLLECTORS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Has a collector ended when the process ends.
pub(super) fn register(collector: &Arc<Shared>) {
    sys::at_exit(sys::AtExit::Collectors, end_at_exit);
    let Some(mut collectors) = lock_list() else { return };
    collectors.retain(|collector| collector.strong_count() > 0);
    collectors.push(Arc::downgrade(collector));
}

fn end_at_exit() {
    let collectors: Vec<Arc<Shared>> = match lock_list() {
        Some(collectors) => collectors.iter().filter_map(Weak::upgrade).collect(),
        None => return,
    };
    collectors.iter().for_each(|collector| collector.close()); // all at once
    collectors.iter().for_each(|collector| collector.end());
}

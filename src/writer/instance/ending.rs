//! The end of a log: what it is still to say of lines that are lost is said with the last clone, or when the process ends.

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use super::shared::{Shared, State};
use crate::sys;

/// How long the list of the files is waited for, which could be locked for ever in a child of fork, and a file's turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The files of this process.
static FILES: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Makes a file known.
pub(super) fn register(file: &Arc<Shared>) {
    let Some(mut files) = sys::lock_within(&FILES, PATIENCE) else { return };
    files.retain(|file| file.strong_count() > 0);
    files.push(Arc::downgrade(file));
}

/// Lines are lost: has all files finished when the process ends, if their last clones are there still.
pub(super) fn see_to_exit() {
    sys::at_exit(sys::AtExit::Files, finish_at_exit);
}

fn finish_at_exit() {
    let files = sys::lock_at_exit(&FILES).map(|files| files.iter().filter_map(Weak::upgrade).collect());
    let files: Vec<Arc<Shared>> = files.unwrap_or_default();
    files.iter().for_each(|file| file.finish());
}

impl Shared {
    /// Writes what the log is still to say, and tells stderr what was lost in all: perhaps no line comes after this.
    pub(super) fn finish(&self) {
        let finish = |state: &mut State| {
            state.write_announcements();
            state.tail.stats.dropped_lines
        };
        let lost = if self.is_forked() {
            self.forked.with_own(finish)
        } else {
            self.turns.try_lock(Some(PATIENCE)).map(|mut state| finish(&mut state))
        };
        self.notice.tell_total(&self.path, lost.unwrap_or_default());
    }
}

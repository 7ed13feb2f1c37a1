//! What is told of events in directories, by notify: the only place that knows it.
//!
//! inotify(7) is asked for names that are made, renamed or removed, and for nothing else: a line that is written, by whatever
//! process, wakes nobody. notify calls back on a thread of its own, where it also logs (through the `log` crate, so perhaps
//! into our own file). There a hint is left and the thread that looks is woken; that one watches and unwatches, without any
//! lock, because notify's thread has to answer it.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf, is_separator},
    sync::{Arc, atomic::Ordering},
    thread::Thread,
    time::{Duration, Instant},
};

use notify::{
    Config, Event, EventKind, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{ModifyKind, RenameMode},
};

use super::{hub::List, shared::Shared};
use crate::{
    Error, clock,
    error::Trouble,
    file::{self, FileId, FileSystem as _, RealFileSystem},
};

/// How long after a failure watching is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The directories that are watched.
pub(super) struct Events {
    list: Arc<List>,
    /// The thread that looks.
    looker: Thread,
    watcher: Option<RecommendedWatcher>,
    /// How many descriptors other code had closed when the watcher was made.
    closed: u64,
    /// Which directory was at a path when it was watched: the watch goes with the directory, not with the path.
    watched: HashMap<PathBuf, FileId>,
    /// Why a directory could not be watched, and when that is tried again.
    outages: HashMap<PathBuf, (io::Error, Instant)>,
}

impl Events {
    pub(super) fn new(list: Arc<List>, looker: Thread) -> Self {
        Events {
            list,
            looker,
            watcher: None,
            closed: file::closed_by_others(),
            watched: HashMap::new(),
            outages: HashMap::new(),
        }
    }

    /// Watches the directories of these files, and no others. Trouble is told once, until it is over. Returns whether one
    /// is watched anew: then all files are hinted at, because what happened before was not told.
    pub(super) fn watch(&mut self, files: &[Arc<Shared>]) -> bool {
        self.give_up_if_closed();
        let directories_of = |file: &Arc<Shared>| parents(&file.find_spots());
        let directories: Vec<_> = files.iter().map(directories_of).collect();
        self.forget_others(&directories);
        let mut is_new = false;
        for path in directories.iter().flatten() {
            is_new |= self.see_to(path);
        }
        for (file, directories) in files.iter().zip(&directories) {
            self.tell(file, directories);
        }
        if is_new {
            files.iter().for_each(|file| file.hints.hint());
        }
        is_new
    }

    /// Tells a file whether every change in these directories is told, and its program once if not. Nobody can watch a
    /// directory that isn't there; that it isn't is found by looking.
    fn tell(&self, file: &Shared, directories: &[PathBuf]) {
        let is_told = directories.iter().all(|path| self.watched.contains_key(path));
        let was_told = file.hints.is_told.swap(is_told, Ordering::Relaxed);
        file.hints.is_seen_to.store(true, Ordering::Relaxed);
        if is_told {
            file.hints.is_outage_told.store(false, Ordering::Relaxed);
        }
        let Some((cause, _)) = directories.iter().find_map(|path| self.outages.get(path)) else { return };
        if !file.hints.is_outage_told.swap(true, Ordering::Relaxed) {
            let what = if was_told { "go on watching the directory of" } else { "watch the directory of" };
            let cause = io::Error::new(cause.kind(), format!("{cause}; a timer looks at it instead"));
            file.notice.tell(Trouble::Watch, &Error::io(what, &file.path, cause));
        }
    }

    fn forget_others(&mut self, directories: &[Vec<PathBuf>]) {
        let is_wanted = |path: &PathBuf| directories.iter().flatten().any(|wanted| wanted == path);
        self.outages.retain(|path, _| is_wanted(path));
        let others: Vec<_> = self.watched.keys().filter(|path| !is_wanted(path)).cloned().collect();
        others.iter().for_each(|path| self.unwatch(path));
    }

    /// Watches a directory unless it is watched already, or that has failed a moment ago. Returns whether it is watched anew.
    fn see_to(&mut self, path: &Path) -> bool {
        let found = RealFileSystem.find_target(path).ok().flatten().map(|found| found.id);
        if found.is_some() && self.watched.get(path) == found.as_ref() {
            return false;
        }
        if self.watched.contains_key(path) {
            self.unwatch(path);
        }
        let Some(id) = found else {
            self.outages.remove(path);
            return false;
        };
        if self.outages.get(path).is_some_and(|(_, at)| clock::instant() < *at) {
            return false;
        }
        match self.try_watch(path) {
            Ok(()) => {
                self.outages.remove(path);
                self.watched.insert(path.to_owned(), id);
                true
            }
            Err(cause) => {
                if path.is_dir() {
                    self.outages.insert(path.to_owned(), (cause, clock::instant() + RETRY_AFTER));
                }
                false
            }
        }
    }

    fn try_watch(&mut self, path: &Path) -> io::Result<()> {
        let mut watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => self.start()?,
        };
        // notify panics if its thread is gone.
        let watched = catch_unwind(AssertUnwindSafe(|| watcher.watch(path, RecursiveMode::NonRecursive)));
        match watched {
            Ok(result) => {
                self.watcher = Some(watcher);
                result.map_err(into_io)
            }
            Err(_) => {
                std::mem::forget(watcher);
                Err(io::Error::other("the thread that is told of events has ended"))
            }
        }
    }

    /// Lets go of a watcher whose descriptors other code may have closed: it panics when it is used or dropped.
    fn give_up_if_closed(&mut self) {
        let closed = file::closed_by_others();
        if closed != self.closed {
            self.closed = closed;
            std::mem::forget(self.watcher.take());
            self.watched.clear();
        }
    }

    fn start(&mut self) -> io::Result<RecommendedWatcher> {
        self.watched.clear();
        let (list, looker) = (Arc::clone(&self.list), self.looker.clone());
        let told = move |event: notify::Result<Event>| {
            let concerned = list.files().into_iter().filter(|file| hint(file, &event)).count();
            if concerned > 0 {
                looker.unpark();
            }
        };
        let kinds = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME;
        RecommendedWatcher::new(told, Config::default().with_event_kinds(kinds)).map_err(into_io)
    }

    fn unwatch(&mut self, path: &Path) {
        self.watched.remove(path);
        if let Some(watcher) = &mut self.watcher {
            // It fails for a directory that was removed: then there is no watch any more.
            let _ = catch_unwind(AssertUnwindSafe(|| watcher.unwatch(path)));
        }
    }
}

/// notify's thread may be gone: then dropping what talks to it panics.
impl Drop for Events {
    fn drop(&mut self) {
        self.give_up_if_closed();
        let watcher = self.watcher.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

/// Leaves a hint if the event may concern the file. Returns whether it does.
fn hint(file: &Shared, event: &notify::Result<Event>) -> bool {
    let Some(event) = event.as_ref().ok().filter(|event| !event.need_rescan() && !event.paths.is_empty())
    else {
        file.hints.was_moved.store(true, Ordering::Relaxed); // nobody knows
        file.hints.hint();
        return true;
    };
    let spots = file.spots();
    let (is_its, directories) = (event.paths.iter().any(|path| spots.contains(path)), parents(&spots));
    if is_its && event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::From)) {
        file.hints.was_moved.store(true, Ordering::Relaxed);
    }
    let is_beside = |path: &PathBuf| spots.iter().any(|spot| is_longer(path, spot));
    let is_copy = matches!(event.kind, EventKind::Create(_)) && event.paths.iter().any(is_beside);
    if is_copy {
        file.hints.is_copied.store(true, Ordering::Relaxed);
    }
    // It may be the open file, which was renamed.
    let is_elsewhere = file.hints.is_elsewhere.load(Ordering::Relaxed);
    let concerns =
        is_its || is_copy || is_elsewhere || event.paths.iter().any(|path| directories.contains(path));
    if concerns {
        file.hints.hint();
    }
    concerns
}

/// The directories of some paths, each once.
fn parents(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut parents: Vec<_> = paths.iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    parents.dedup();
    parents
}

/// Returns whether a path is another one and something behind it: the name of a copy.
fn is_longer(path: &Path, other: &Path) -> bool {
    let (path, other) = (path.as_os_str().as_encoded_bytes(), other.as_os_str().as_encoded_bytes());
    path.len() > other.len() && path.starts_with(other) && !is_separator(char::from(path[other.len()]))
}

fn into_io(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(cause) => cause,
        notify::ErrorKind::MaxFilesWatch => io::Error::new(
            io::ErrorKind::QuotaExceeded,
            "no inotify watch is left (fs.inotify.max_user_watches)",
        ),
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        _ => io::Error::other(error.to_string()),
    }
}

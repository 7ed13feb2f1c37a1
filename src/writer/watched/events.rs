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
    path::{Path, PathBuf},
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
    file::{FileId, FileSystem as _, RealFileSystem},
};

/// How long after a failure watching is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The directories that are watched.
pub(super) struct Events {
    list: Arc<List>,
    /// The thread that looks.
    looker: Thread,
    watcher: Option<RecommendedWatcher>,
    /// Which directory was at a path when it was watched: the watch goes with the directory, not with the path.
    watched: HashMap<PathBuf, FileId>,
    /// How often watching a directory was begun.
    begun: u64,
    /// Why the last try failed, and when there is another.
    outage: Option<(io::Error, Instant)>,
}

impl Events {
    pub(super) fn new(list: Arc<List>, looker: Thread) -> Self {
        Events { list, looker, watcher: None, watched: HashMap::new(), begun: 0, outage: None }
    }

    /// Watches the directories of these files, and no others. Trouble is told once, until it is over. Returns whether one
    /// is watched anew: what happened before was not told.
    pub(super) fn watch(&mut self, files: &[Arc<Shared>]) -> bool {
        let before = self.begun;
        let directories: Vec<_> = files.iter().map(|file| file.directories()).collect();
        self.forget_others(&directories);
        for (file, directories) in files.iter().zip(&directories) {
            // Nobody can watch a directory that isn't there; that it isn't is found by looking.
            let are_watched =
                directories.iter().filter(|path| self.is_watched(path, file)).count() == directories.len();
            self.tell(file, are_watched);
        }
        self.begun > before
    }

    fn tell(&self, file: &Shared, is_told: bool) {
        let was_told = file.hints.is_told.swap(is_told, Ordering::Relaxed);
        if is_told {
            file.hints.is_outage_told.store(false, Ordering::Relaxed);
        }
        let Some((cause, _)) = &self.outage else { return };
        if !is_told && !file.hints.is_outage_told.swap(true, Ordering::Relaxed) {
            let what = if was_told { "go on watching the directory of" } else { "watch the directory of" };
            let cause = io::Error::new(cause.kind(), format!("{cause}; a timer looks at it instead"));
            file.notice.tell(Trouble::Watch, &Error::io(what, &file.path, cause));
        }
    }

    fn forget_others(&mut self, directories: &[Vec<PathBuf>]) {
        let is_wanted = |path: &PathBuf| directories.iter().flatten().any(|wanted| wanted == path);
        let others: Vec<_> = self.watched.keys().filter(|path| !is_wanted(path)).cloned().collect();
        others.iter().for_each(|path| self.unwatch(path));
    }

    /// Watches a directory unless it is watched already. Returns whether it is.
    fn is_watched(&mut self, path: &Path, file: &Shared) -> bool {
        let found = RealFileSystem.find_target(path).ok().flatten().map(|found| found.id);
        if found.is_some() && self.watched.get(path) == found.as_ref() {
            return true;
        }
        if self.watched.contains_key(path) {
            self.unwatch(path);
        }
        let Some(id) = found else { return false };
        if self.outage.as_ref().is_some_and(|(_, at)| clock::instant() < *at) {
            return false;
        }
        match self.try_watch(path) {
            Ok(()) => {
                self.outage = None;
                self.watched.insert(path.to_owned(), id);
                self.begun += 1;
                file.hints.hint();
                true
            }
            Err(cause) => {
                let is_there = path.is_dir();
                self.outage = is_there.then(|| (cause, clock::instant() + RETRY_AFTER));
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
        let watcher = self.watcher.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(watcher)));
    }
}

/// Leaves a hint if the event may concern the file. Returns whether it does.
fn hint(file: &Shared, event: &notify::Result<Event>) -> bool {
    let target = file.target();
    let is_its = |path: &PathBuf| *path == file.path || *path == target;
    let concerns = match event {
        Ok(event) if !event.need_rescan() && !event.paths.is_empty() => {
            if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::From))
                && event.paths.iter().any(is_its)
            {
                file.hints.was_moved.store(true, Ordering::Relaxed);
            }
            let directories = file.directories();
            event.paths.iter().any(|path| is_its(path) || directories.contains(path))
        }
        _ => {
            file.hints.was_moved.store(true, Ordering::Relaxed); // nobody knows
            true
        }
    };
    if concerns {
        file.hints.hint();
    }
    concerns
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

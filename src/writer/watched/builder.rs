//! Setting up a `WatchedFile`.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use super::{
    Log, WatchedFile, follow::settle_end, forked::Forked, hints::Hints, hub::Hub, shared::Shared,
    state::State,
};
use crate::{
    Error,
    clock::Clock,
    error::Trouble,
    file::{FileSystem, Opened, RealFileSystem, no_regular_file, trust},
    notice::Notice,
    sys,
    writer::{handle::Handle, path, turns::Turns},
};

/// How often the path may change under the hands of the one who opens it.
const TRIES: usize = 5;

/// Sets up a [`WatchedFile`]: what [`WatchedFile::builder`] returns.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct WatchedFileBuilder {
    path: PathBuf,
    create_after: Duration,
    mode: Option<u32>,
    trusts_path: bool,
    notice: Notice,
    pub(super) clock: Clock,
}

impl WatchedFileBuilder {
    pub(super) fn new(path: &Path) -> Self {
        WatchedFileBuilder {
            path: path.to_owned(),
            create_after: Duration::from_millis(100),
            mode: None,
            trusts_path: false,
            notice: Notice::default(),
            clock: Clock::System,
        }
    }

    /// Sets how long the path may be vacant before this process makes the file again (default: 100 ms).
    ///
    /// logrotate(8) makes it itself, right after it has renamed the old one, when it is told to `create`. If it finds one
    /// there already, it renames that away too, as `….backup`. Nothing is lost by waiting: meanwhile lines go on into the old
    /// file. If that was removed, or is being compressed, there is no wait.
    pub fn create_after(mut self, create_after: Duration) -> Self {
        self.create_after = create_after;
        self
    }

    /// Sets the mode of files that this process makes, exactly, whatever the umask (default: the mode of the file before it; of
    /// the first one what the umask leaves of 0666). A file that is there already keeps the mode that it has. One that is made
    /// in the place of another belongs to the same owner and group, as far as this process may give it away. Where a file system
    /// has no such mode, the error hook is told, and lines are written all the same.
    #[cfg(unix)]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Trusts the users who may change the way to the log (default: false).
    ///
    /// It is for root only: without it, a root process refuses the links and directories of other users, when it opens the file and
    /// when it follows the path. See [`InstanceFileBuilder::trust_path`](crate::writer::InstanceFileBuilder::trust_path).
    #[cfg(unix)]
    pub fn trust_path(mut self, trust: bool) -> Self {
        self.trusts_path = trust;
        self
    }

    /// Has `hook` called with each error that nobody who logs can be told (default: stderr is told, one line for each
    /// kind of trouble in 10 s).
    ///
    /// It is called on the thread whose line met the error, or on the one that looks where the path leads to, without any
    /// lock: it may log. Trouble that this makes in turn goes to stderr.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.notice = Notice::hook(hook);
        self
    }

    /// Opens the file, which is made if it isn't there.
    ///
    /// # Errors
    ///
    /// - A placeholder is unknown, has no end, or stands for a variable that is unset or empty.
    /// - `file_mode` is more than 0o7777.
    /// - The path is a directory, a FIFO, a socket or a block device, or can't be opened, or its directory can't be made.
    /// - This is a root process, and other users may change the way to the log: see [`trust_path`](Self::trust_path).
    /// - The thread that looks can't be started.
    ///
    /// Nothing is changed on disk then, but that parent directories and an empty file may have been made.
    pub fn build(self) -> Result<WatchedFile, Error> {
        let (shared, is_watched) = self.build_on(Box::new(RealFileSystem))?;
        let hub = is_watched.then(|| Hub::look_after(&shared)).transpose();
        let hub = hub.map_err(|cause| Error::io("start the thread that looks after", &shared.path, cause))?;
        Ok(WatchedFile(Handle::new(Log { shared, _hub: hub })))
    }

    /// Opens the file. Returns also whether it is to be looked after.
    pub(super) fn build_on(self, files: Box<dyn FileSystem>) -> Result<(Arc<Shared>, bool), Error> {
        let path = path::expand(&self.path)?.path;
        if let Some(mode) = self.mode.filter(|mode| *mode > 0o7777) {
            return Err(Error::invalid(format!(
                "file_mode of {path:?} is {mode:#o}: expected at most 0o7777"
            )));
        }
        if let Some(parent) = path.parent() {
            files.create_dir_all(parent).map_err(|cause| Error::io("make the directory", parent, cause))?;
        }
        let check = |open| if self.trusts_path { Ok(()) } else { trust::check(&path, open) };
        let opened = check(None).and_then(|()| open(&*files, &path, self.mode));
        let opened = opened.and_then(|opened| check(Some(opened.0.id)).map(|()| opened));
        let (mut opened, is_watched) =
            opened.map_err(|cause| Error::own_or_io("open the log file", &path, cause))?;
        opened.mode_trouble(&path).iter().for_each(|error| self.notice.tell(Trouble::Trust, error));
        settle_end(&mut opened);
        sys::watch_forks();
        let target = path.canonicalize().unwrap_or_else(|_| path.clone());
        let shared = Shared {
            path,
            mode: self.mode,
            trusts_path: self.trusts_path,
            create_after: self.create_after,
            is_watched,
            files,
            notice: self.notice,
            turns: Turns::new(State::new(opened, target.clone(), self.clock.now())),
            target: Mutex::new(target),
            spots: Mutex::default(),
            is_synced: AtomicBool::new(false),
            hints: Hints::new(&self.clock),
            clock: self.clock,
            forks: sys::forks(),
            forked: Forked::new(),
        };
        Ok((Arc::new(shared), is_watched))
    }
}

/// Opens what the path leads to. Returns also whether it can be rotated.
fn open(files: &dyn FileSystem, path: &Path, mode: Option<u32>) -> io::Result<(Opened, bool)> {
    for _ in 0..TRIES {
        let opened = match files.find_target(path)? {
            Some(found) if found.is_char_device => return Ok((files.open_device(path)?, false)),
            Some(found) if found.is_dir => return Err(ErrorKind::IsADirectory.into()),
            Some(found) if !found.is_file => return Err(no_regular_file()),
            Some(_) => files.open_existing(path),
            None => files.create_new(path, mode),
        };
        match opened {
            // It was rotated away, or made by another process, since it was looked for.
            Err(error) if [ErrorKind::NotFound, ErrorKind::AlreadyExists].contains(&error.kind()) => {}
            opened => return Ok((opened?, true)),
        }
    }
    // It is a link that leads nowhere yet.
    Ok((files.create_new(&trust::leads_to(path)?, mode)?, true))
}

//! Setting up an `InstanceFile`: everything is checked before anything is made.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(unix)]
use super::prune::prune;
use super::{
    InstanceFile, Log, ending,
    family::{Claim, Family},
    forked::Forked,
    lock::{Terms, lock_or_say},
    name::{NAMES, numbered},
    shared::{Shared, State},
};
use crate::{
    Error,
    calendar::{Every, Zone},
    clock::Clock,
    error::Trouble,
    file::{FileId, FileSystem, RealFileSystem, no_regular_file, trust},
    notice::Notice,
    sys,
    writer::{handle::Handle, path, turns::Turns},
};

/// What happens if another process has the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InUse {
    /// `build` returns an error that names the path and, if it is known, the process (the default).
    #[default]
    Refuse,
    /// The log takes the next free name: `tasks-2.log`, then `tasks-3.log` and so on, up to `tasks-1000.log`.
    NextFree,
}

/// Sets up an [`InstanceFile`]: what [`InstanceFile::builder`] returns.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct InstanceFileBuilder {
    path: PathBuf,
    /// What was asked for: `None` for the default.
    max_bytes: Option<u64>,
    every: Option<Every>,
    #[cfg(feature = "local-time")]
    local_time: bool,
    /// The zone of a machine that a test runs on.
    #[cfg(all(test, feature = "local-time"))]
    pub(super) zone: Option<Zone>,
    #[cfg(all(feature = "gzip", unix))]
    compress: bool,
    backups: usize,
    mode: Option<u32>,
    if_in_use: InUse,
    terms: Terms,
    keep_instances: Option<usize>,
    notice: Notice,
    pub(super) clock: Clock,
}

impl InstanceFileBuilder {
    pub(super) fn new(path: &Path) -> Self {
        InstanceFileBuilder {
            path: path.to_owned(),
            max_bytes: None,
            every: None,
            #[cfg(feature = "local-time")]
            local_time: false,
            #[cfg(all(test, feature = "local-time"))]
            zone: None,
            #[cfg(all(feature = "gzip", unix))]
            compress: false,
            backups: 5,
            mode: None,
            if_in_use: InUse::Refuse,
            terms: Terms { locks: true, trusts: false },
            keep_instances: None,
            notice: Notice::default(),
            clock: Clock::System,
        }
    }

    /// Sets the size, in bytes, that the file doesn't exceed (default: 10 MiB, or no limit with
    /// [`every`](InstanceFileBuilder::every)). 0 is an error.
    ///
    /// A line that would take it over the limit goes into the next file; only a single line that is larger than the
    /// limit makes a larger file. In any case it stays below RLIMIT_FSIZE, which a process is killed for passing: a
    /// line that can't be written without is counted as lost.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// Lets the file grow without a limit.
    pub fn unlimited(mut self) -> Self {
        self.max_bytes = Some(u64::MAX);
        self
    }

    /// Rotates the file when its hour, day or week is over, by UTC (default: not), alone or together with
    /// [`max_bytes`](InstanceFileBuilder::max_bytes).
    ///
    /// The first line of the next one rotates it, whenever that comes; an empty file is not rotated. Backups have numbers
    /// all the same. A clock that is set back rotates nothing twice.
    pub fn every(mut self, every: Every) -> Self {
        self.every = Some(every);
        self
    }

    /// Says whether hours, days and weeks are those of the system's time zone (default: UTC).
    #[cfg(feature = "local-time")]
    pub fn local_time(mut self, local_time: bool) -> Self {
        self.local_time = local_time;
        self
    }

    /// Says whether backups are compressed, as `tasks.log.1.gz` (default: false; Unix only).
    ///
    /// A thread of its own does it after each rotation, and at the start what an earlier process has left. Dropping the
    /// last clone waits for it.
    #[cfg(all(feature = "gzip", unix))]
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// Sets how many backups are kept beside the live file (default: 5). 0 is an error: it would throw lines away.
    ///
    /// What an earlier run has left beyond the number is removed when the log is opened, the oldest ones. While a rotation is
    /// under way there is one more.
    pub fn backups(mut self, backups: usize) -> Self {
        self.backups = backups;
        self
    }

    /// Sets the mode of the live file, exactly, whatever the umask (default: what the umask leaves of 0666 when it is made).
    ///
    /// A rotation keeps the owner, the group and, without this, the mode that the live file has then, as far as this process may
    /// give files away. Backups keep what they had as the live file; compressed, the time of their last change too. A file of another
    /// user keeps its mode at the start: the error hook is told, and lines are written all the same. The lock beside the log has mode
    /// 0600 whatever is set here.
    #[cfg(unix)]
    pub fn file_mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Says whether the path is locked (default: true). Set it to false on a file system that has no locks.
    ///
    /// It costs the protection: a second process on the path is not refused, and the two rename and remove each other's backups. So
    /// give each process a path of its own. What [`if_in_use`](Self::if_in_use) says has no effect, and
    /// [`keep_instances`](Self::keep_instances) leaves the files of such an instance, which can't be known to be dead.
    #[cfg(unix)]
    pub fn lock(mut self, lock: bool) -> Self {
        self.terms.locks = lock;
        self
    }

    /// Trusts the users who may change the way to the log (default: false).
    ///
    /// No permission stops root. Whoever may put a link or a file into the log's directory could have a root process append to another
    /// file, change its mode, rename and remove it. So a root process gets an error, as from logrotate(8) without `su`, if
    ///
    /// - a link on the path belongs to another user than root, or the log is a link in a directory like the next;
    /// - the directory that holds the log belongs to another user, or other users or groups may write to it. A sticky one, as `/tmp`, is
    ///   fine, unless the file that is there is another user's.
    ///
    /// A directory that isn't there is made for root alone to write to: `/var/log/app/tasks.log` works also where group `syslog` may
    /// write to `/var/log`. Set this to true where every user who may write there is as trusted as root, in a container for example.
    ///
    /// For every user it says also that a lock file may belong to another user, and that its list of files is believed although others
    /// could write to it: set it on a file system that keeps no owners and modes.
    #[cfg(unix)]
    pub fn trust_path(mut self, trust: bool) -> Self {
        self.terms.trusts = trust;
        self
    }

    /// Says what happens if another process has the path (default: [`InUse::Refuse`]).
    pub fn if_in_use(mut self, if_in_use: InUse) -> Self {
        self.if_in_use = if_in_use;
        self
    }

    /// Keeps the files of `instances` instances, this one included, when it is built (default: all). 0 is an error.
    ///
    /// Those that wrote last stay, and those whose process is alive. An instance is another path of the same
    /// family: the same but for `{pid}` and `{instance}`. Only files of this user that the lists beside them name as
    /// written by their instance are removed, and never those of a process that is alive. A list is believed if no other
    /// user but root may write to it.
    #[cfg(unix)]
    pub fn keep_instances(mut self, instances: usize) -> Self {
        self.keep_instances = Some(instances);
        self
    }

    /// Has `hook` called with each error that nobody who logs can be told (default: stderr is told, one line for each
    /// kind of trouble in 10 s).
    ///
    /// It is called on the thread whose line met the error, without any lock: it may log. Trouble that this
    /// makes in turn goes to stderr.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.notice = Notice::hook(hook);
        self
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// - A placeholder is unknown, has no end, or stands for a variable that is unset or empty.
    /// - `max_bytes`, `backups` or `keep_instances` is 0, `file_mode` is more than 0o7777.
    /// - The path is a directory, a FIFO or a device, or can't be opened, or the directory can't be made.
    /// - This is a root process, and other users may change the way to the log: see [`trust_path`](Self::trust_path).
    /// - The lock beside the log belongs to another user, or is no lock, or the file system has no locks: see [`lock`](Self::lock).
    /// - Another process has the path ([`Error::is_in_use`]).
    /// - The system's time zone can't be found, or the thread that compresses can't be started, if they are asked for.
    ///
    /// Nothing is changed on disk then, but that parent directories may have been made.
    pub fn build(self) -> Result<InstanceFile, Error> {
        self.build_on(Box::new(RealFileSystem))
    }

    pub(super) fn build_on(self, files: Box<dyn FileSystem>) -> Result<InstanceFile, Error> {
        let expanded = path::expand(&self.path)?;
        self.check(&expanded.path)?;
        if let Some(parent) = expanded.path.parent() {
            files.create_dir_all(parent).map_err(|cause| Error::io("make the directory", parent, cause))?;
        }
        let name = expanded.family.to_string_lossy().into_owned();
        let every = self.zoned()?;
        sys::watch_forks();
        let (path, family) = self.claim(&*files, &expanded.path, &name)?;
        let state = self.open(&*files, &path, family, every.as_ref())?;
        let without_limit = if every.is_some() { u64::MAX } else { 10 * 1024 * 1024 };
        let shared = Arc::new(Shared {
            path,
            max_bytes: self.max_bytes.unwrap_or(without_limit),
            backups: self.backups,
            every,
            mode: self.mode,
            terms: self.terms,
            files,
            clock: self.clock,
            notice: self.notice,
            turns: Turns::new(state),
            forks: sys::forks(),
            forked: Forked::new(),
            opener: std::process::id(),
            family: name.clone(),
            #[cfg(all(feature = "gzip", unix))]
            compress: self.compress.then(Arc::default),
        });
        let log = Log::new(Arc::clone(&shared))?;
        ending::register(&shared);
        let surplus = shared.remove_surplus(&shared.state());
        if let Err(cause) = surplus {
            let error = Error::io("remove the surplus backups of", &shared.path, cause);
            shared.notice.tell(Trouble::Rotation, &error);
        }
        #[cfg(unix)]
        if let Some(keep) = self.keep_instances
            && let Err(cause) = prune(&*shared.files, &shared.path, &name, keep)
        {
            let error = Error::own_or_io("remove old instances of", &shared.path, cause);
            shared.notice.tell(Trouble::Rotation, &error);
        }
        Ok(InstanceFile(Handle::new(log)))
    }

    /// Returns by which hours, days or weeks the file is rotated.
    fn zoned(&self) -> Result<Option<(Every, Zone)>, Error> {
        #[cfg(all(test, feature = "local-time"))]
        if let Some(zone) = &self.zone {
            return Ok(self.every.map(|every| (every, zone.clone())));
        }
        #[cfg(feature = "local-time")]
        if self.local_time {
            return self.every.map(|every| Ok((every, Zone::local()?))).transpose();
        }
        Ok(self.every.map(|every| (every, Zone::Utc)))
    }

    fn check(&self, path: &Path) -> Result<(), Error> {
        if self.max_bytes == Some(0) {
            return Err(Error::invalid(format!("max_bytes of {path:?} is 0: expected at least 1")));
        }
        if self.backups == 0 {
            return Err(Error::invalid(format!(
                "backups of {path:?} is 0, which would throw lines away: expected at least 1"
            )));
        }
        if self.keep_instances == Some(0) {
            return Err(Error::invalid(format!(
                "keep_instances of {path:?} is 0: expected at least 1, which is this instance"
            )));
        }
        match self.mode {
            Some(mode) if mode > 0o7777 => {
                Err(Error::invalid(format!("file_mode of {path:?} is {mode:#o}: expected at most 0o7777")))
            }
            _ => Ok(()),
        }
    }

    /// Takes the lock of the path, or of the next free one.
    fn claim(&self, files: &dyn FileSystem, path: &Path, name: &str) -> Result<(PathBuf, Family), Error> {
        let names = if self.if_in_use == InUse::NextFree { NAMES } else { 1 };
        let mut pid = None;
        for number in 1..=names {
            let way = numbered(path, number);
            let path = self
                .check_way(&way, None)
                .and_then(|()| resolved(files, &way))
                .map_err(|cause| Error::own_or_io("open the log file", path, cause))?;
            match Family::claim(files, &path, name, self.terms)
                .map_err(|cause| Error::own_or_io("lock the log file", &path, cause))?
            {
                // A name that this crate has chosen is not free if somebody else's file has it.
                Claim::Held(family) if number > 1 && is_foreign(files, &path, &family) => {
                    family.give_up(files, &path, ());
                }
                Claim::Held(family) => return Ok((path, family)),
                Claim::InUse(by) => pid = by,
            }
        }
        Err(Error::in_use(path, pid))
    }

    /// Returns an error if this is a root process, and other users may change the way to the log.
    fn check_way(&self, path: &Path, open: Option<FileId>) -> io::Result<()> {
        if self.terms.trusts { Ok(()) } else { trust::check(path, open) }
    }

    /// Opens the live file, and puts it on the list of what is its own.
    fn open(
        &self,
        files: &dyn FileSystem,
        path: &Path,
        mut family: Family,
        every: Option<&(Every, Zone)>,
    ) -> Result<State, Error> {
        let open = || {
            let failed = |cause| Error::own_or_io("open the log file", path, cause);
            let mut opened = files.open(path, self.mode).map_err(failed)?;
            self.check_way(path, Some(opened.id)).map_err(failed)?;
            if family.locks_log() && !lock_or_say(&mut *opened.file, path).map_err(failed)? {
                return Err(Error::in_use(path, opened.file.holder(None)));
            }
            Ok(opened)
        };
        match open() {
            Ok(mut opened) => {
                family.add(opened.id);
                let troubles = [family.trouble.take(), opened.mode_trouble(path)];
                troubles.iter().flatten().for_each(|error| self.notice.tell(Trouble::Trust, error));
                if let Err(cause) = family.write(sys::file_size_limit()) {
                    // A full disk is no reason not to start: the first rotation begins with it.
                    let error = Error::io("write the list of files beside", path, cause);
                    self.notice.tell(Trouble::Rotation, &error);
                }
                Ok(State::new(opened, family, every, &self.clock))
            }
            Err(error) => Err(family.give_up(files, path, error)),
        }
    }
}

fn is_foreign(files: &dyn FileSystem, path: &Path, family: &Family) -> bool {
    files.find(path).map_or(true, |found| found.is_some_and(|found| !family.owns(found.id)))
}

/// Returns where a path leads to: a log that is a link rotates at the place of the file, in the folder that a linked one
/// leads to now. Refuses what is no regular file before anything is made beside it.
fn resolved(files: &dyn FileSystem, path: &Path) -> io::Result<PathBuf> {
    let found = files.find(path)?;
    let target = match found.is_some_and(|found| found.is_link).then(|| path.metadata()) {
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => return trust::leads_to(path),
        target => target.transpose()?,
    };
    let is_dir =
        found.is_some_and(|found| found.is_dir) || target.as_ref().is_some_and(|target| target.is_dir());
    let is_file =
        found.is_none_or(|found| found.is_file) || target.as_ref().is_some_and(|target| target.is_file());
    match (path.parent(), path.file_name()) {
        _ if is_dir => Err(ErrorKind::IsADirectory.into()),
        _ if !is_file => Err(no_regular_file()),
        _ if target.is_some() => path.canonicalize(),
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Ok(path.to_owned()),
    }
}

//! A file system whose n-th call fails: the seam through which tests see every way a writer can be let down.

#[cfg(all(feature = "gzip", unix))]
use std::time::SystemTime;
use std::{
    fmt,
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[cfg(all(feature = "gzip", unix))]
use super::Reading;
use super::{AppendFile, FileSystem, Found, Opened, RealFileSystem};

/// What happens to the call that fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It returns this error of the operating system, by its number, and does nothing.
    Os(i32),
    /// A write takes half of the bytes; other calls return `Interrupted`.
    Short,
    /// A write takes half of the bytes and the next one fails with `StorageFull`, as on a real full disk; and so on by
    /// turns, as if a little room came free again and again.
    ShortThenFull,
}

/// The real file system, but for `times` calls from the n-th on (counted from 1), which fail.
#[derive(Clone, Debug)]
pub(crate) struct FaultyFileSystem(Arc<Mutex<Plan>>);

struct Plan {
    /// The calls so far, by name.
    calls: Vec<&'static str>,
    fired: u64,
    from: u64,
    times: u64,
    fault: Fault,
    /// Whether nobody tells the last name of a file.
    #[cfg(feature = "watch")]
    hides_names: bool,
    /// What somebody else does right before the next call of this name.
    meanwhile: Option<(&'static str, Meanwhile)>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

impl FaultyFileSystem {
    /// Returns a file system whose `from`-th call fails, and those after it up to `times` in all.
    pub(crate) fn new(from: u64, times: u64, fault: Fault) -> Self {
        let calls = Vec::new();
        FaultyFileSystem(Arc::new(Mutex::new(Plan {
            calls,
            fired: 0,
            from,
            times,
            fault,
            #[cfg(feature = "watch")]
            hides_names: false,
            meanwhile: None,
        })))
    }

    /// Returns a file system that fails when it is told to.
    pub(crate) fn healthy() -> Self {
        Self::new(0, 0, Fault::Short)
    }

    /// Lets the next calls fail, `times` in all.
    pub(crate) fn fail_next(&self, times: u64, fault: Fault) {
        self.fail_after(0, times, fault);
    }

    /// Lets calls fail that come after `calls` more, `times` in all.
    pub(crate) fn fail_after(&self, calls: u64, times: u64, fault: Fault) {
        let mut plan = self.plan();
        (plan.from, plan.times, plan.fault) = (plan.calls.len() as u64 + 1 + calls, times, fault);
    }

    /// Has somebody else do something right before the next call of this name.
    pub(crate) fn meanwhile(&self, name: &'static str, what: impl FnOnce() + Send + 'static) {
        self.plan().meanwhile = Some((name, Box::new(what)));
    }

    /// Has nobody tell the last name of a file, as on systems that don't know it.
    #[cfg(feature = "watch")]
    pub(crate) fn hide_names(&self) {
        self.plan().hides_names = true;
    }

    /// Returns the calls so far, by name: `"open"`, `"rename"`; of an open file `"append"`, `"try_lock"`, `"sync_file"`.
    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.plan().calls.clone()
    }

    /// Returns how many calls failed so far.
    pub(crate) fn fired(&self) -> u64 {
        self.plan().fired
    }

    /// Ends the trouble: no later call fails.
    pub(crate) fn heal(&self) {
        self.plan().times = 0;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call. Returns how the call that is due now fails, and whether it is the first, third, fifth… that does.
    fn fault(&self, name: &'static str) -> Option<(Fault, bool)> {
        let mut plan = self.plan();
        if let Some((_, what)) = plan.meanwhile.take_if(|(before, _)| *before == name) {
            what();
        }
        plan.calls.push(name);
        let call = plan.calls.len() as u64;
        let fails = (plan.from..plan.from.saturating_add(plan.times)).contains(&call);
        plan.fired += u64::from(fails);
        fails.then(|| (plan.fault, (call - plan.from).is_multiple_of(2)))
    }

    fn fail(&self, name: &'static str) -> io::Result<()> {
        match self.fault(name) {
            None => Ok(()),
            Some((Fault::Os(code), _)) => Err(io::Error::from_raw_os_error(code)),
            Some((Fault::Short, _)) => Err(io::ErrorKind::Interrupted.into()),
            Some((Fault::ShortThenFull, _)) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

impl FaultyFileSystem {
    fn faulty(&self, opened: Opened) -> Opened {
        Opened { file: Box::new(FaultyFile { file: opened.file, files: self.clone() }), ..opened }
    }
}

impl FileSystem for FaultyFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.fail("create_dir_all")?;
        RealFileSystem.create_dir_all(path)
    }

    fn open(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        self.fail("open")?;
        let mut opened = RealFileSystem.open(path, mode)?;
        opened.mode_error = mode.and_then(|_| self.fail("mode").err()).or(opened.mode_error);
        Ok(self.faulty(opened))
    }

    fn open_lock(&self, path: &Path, may_create: bool) -> io::Result<Opened> {
        self.fail("open_lock")?;
        Ok(self.faulty(RealFileSystem.open_lock(path, may_create)?))
    }

    #[cfg(feature = "watch")]
    fn open_existing(&self, path: &Path) -> io::Result<Opened> {
        self.fail("open_existing")?;
        Ok(self.faulty(RealFileSystem.open_existing(path)?))
    }

    #[cfg(feature = "watch")]
    fn open_device(&self, path: &Path) -> io::Result<Opened> {
        self.fail("open_device")?;
        Ok(self.faulty(RealFileSystem.open_device(path)?))
    }

    fn create_new(&self, path: &Path, mode: Option<u32>) -> io::Result<Opened> {
        self.fail("create_new")?;
        Ok(self.faulty(RealFileSystem.create_new(path, mode)?))
    }

    #[cfg(all(feature = "gzip", unix))]
    fn open_read(&self, path: &Path) -> io::Result<Reading> {
        self.fail("open_read")?;
        RealFileSystem.open_read(path)
    }

    #[cfg(feature = "watch")]
    fn read_ends(&self, path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
        self.fail("read_ends")?;
        RealFileSystem.read_ends(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fail("rename")?;
        RealFileSystem.rename(from, to)
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fail("replace")?;
        RealFileSystem.replace(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.fail("remove")?;
        RealFileSystem.remove(path)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Found>> {
        self.fail("find")?;
        RealFileSystem.find(path)
    }

    #[cfg(feature = "watch")]
    fn find_target(&self, path: &Path) -> io::Result<Option<Found>> {
        self.fail("find_target")?;
        RealFileSystem.find_target(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.fail("list")?;
        RealFileSystem.list(path)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.fail("sync")?;
        path.metadata().map(drop) // no test sees what is on the disk, and it takes its time
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("from", &self.from).field("fault", &self.fault).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Box<dyn AppendFile>,
    files: FaultyFileSystem,
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.files.fault("append") {
            None => self.file.append(bytes),
            Some((Fault::Os(code), _)) => Err(io::Error::from_raw_os_error(code)),
            Some((Fault::ShortThenFull, false)) => Err(io::ErrorKind::StorageFull.into()),
            Some((Fault::Short | Fault::ShortThenFull, _)) => {
                self.file.append(&bytes[..bytes.len().div_ceil(2)])
            }
        }
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.files.fail("metadata")?;
        self.file.metadata()
    }

    fn take_after(&mut self, other: &Metadata, mode: Option<u32>) -> io::Result<()> {
        self.files.fail("take_after")?;
        self.file.take_after(other, mode)
    }

    #[cfg(all(feature = "gzip", unix))]
    fn set_modified(&mut self, time: SystemTime) -> io::Result<()> {
        self.files.fail("set_modified")?;
        self.file.set_modified(time)
    }

    fn check(&mut self) -> io::Result<u64> {
        self.files.fail("check")?;
        self.file.check()
    }

    fn try_lock(&mut self) -> io::Result<bool> {
        self.files.fail("try_lock")?;
        self.file.try_lock()
    }

    fn holder(&self, said: Option<u32>) -> Option<u32> {
        self.file.holder(said)
    }

    fn set_mode(&mut self, mode: u32) -> io::Result<()> {
        self.files.fail("set_mode")?;
        self.file.set_mode(mode)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.files.fail("read")?;
        self.file.read()
    }

    #[cfg(feature = "watch")]
    fn unlock(&mut self) -> io::Result<()> {
        self.files.fail("unlock")?;
        self.file.unlock()
    }

    #[cfg(feature = "watch")]
    fn len(&self) -> io::Result<u64> {
        self.files.fail("len")?;
        self.file.len()
    }

    #[cfg(feature = "watch")]
    fn links(&self) -> io::Result<u64> {
        self.files.fail("links")?;
        self.file.links()
    }

    #[cfg(feature = "watch")]
    fn last_byte(&mut self, len: u64) -> io::Result<Option<u8>> {
        self.files.fail("last_byte")?;
        self.file.last_byte(len)
    }

    #[cfg(feature = "watch")]
    fn read_between(&mut self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        self.files.fail("read_between")?;
        self.file.read_between(from, to)
    }

    #[cfg(feature = "watch")]
    fn last_name(&self) -> Option<(PathBuf, bool)> {
        self.files.fail("last_name").ok()?;
        if self.files.plan().hides_names { None } else { self.file.last_name() }
    }

    #[cfg(feature = "watch")]
    fn settled_ending(&mut self) -> io::Result<(u64, Option<u8>)> {
        self.files.fail("settled_ending")?;
        self.file.settled_ending()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.files.fail("sync_file") // no test sees what is on the disk
    }
}

//! The few calls that need care: the exit hook, and locks at the end of the process.
//!
//! The only room with unsafe code.
#![allow(unsafe_code)]

#[cfg(all(feature = "multiprocess", unix))]
pub(crate) mod map;
#[cfg(feature = "queue")]
pub(crate) mod stamp;
#[cfg(feature = "queue")]
pub(crate) mod try_lock;
#[cfg(feature = "queue")]
pub(crate) mod words;

use std::{
    ffi::c_int,
    panic::catch_unwind,
    sync::{
        Mutex, MutexGuard, Once, OnceLock, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    clock::unix_seconds,
    error::{Trouble, report},
};

unsafe extern "C" {
    /// atexit(3), C11 7.22.4.2: the same everywhere.
    fn atexit(hook: extern "C" fn()) -> c_int;

    /// pthread_atfork(3), POSIX.1-2017.
    #[cfg(unix)]
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
}

/// How often this process was made by a fork since [`watch_forks`] was called: 0 in the process that called it, 1 in
/// its children, 2 in theirs.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// Has forks counted from now on.
pub(crate) fn watch_forks() {
    #[cfg(unix)]
    {
        static WATCH: Once = Once::new();
        WATCH.call_once(|| {
            // SAFETY: `in_child` is an `extern "C"` function without arguments that never unwinds, and does nothing
            // that is not safe between fork and exec: it increments an atomic number, and calls fstat(2) and close(2).
            let refused = unsafe { pthread_atfork(None, None, Some(in_child)) };
            if refused != 0 {
                report(Trouble::ExitHook, format_args!("a fork of this process won't be noticed"));
            }
        });
    }
}

#[cfg(unix)]
extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed); // the child has one thread, which made it
    #[cfg(feature = "multiprocess")]
    not_inherited::close_all();
}

/// Files that children made by fork(2) don't have: a lock of flock(2) on them would live on in a child.
#[cfg(all(feature = "multiprocess", unix))]
pub(crate) mod not_inherited {
    use std::{
        ffi::c_int,
        fs::File,
        io,
        mem::ManuallyDrop,
        os::{
            fd::{AsRawFd as _, FromRawFd as _},
            unix::fs::MetadataExt as _,
        },
        sync::{
            OnceLock,
            atomic::{AtomicI32, AtomicU64, Ordering},
        },
    };

    /// A place in the list of these files. It only grows, and is never locked: a child could not wait for that.
    #[derive(Debug)]
    struct Place {
        /// The descriptor, or one of the two below.
        fd: AtomicI32,
        /// What tells the file from another one that has the descriptor by now.
        device: AtomicU64,
        inode: AtomicU64,
        next: OnceLock<Box<Place>>,
    }

    /// No descriptor: the place is free, or a thread is about to use it.
    const FREE: c_int = -1;
    const CLAIMED: c_int = -2;

    static FIRST: Place = Place::new();

    impl Place {
        const fn new() -> Self {
            let (device, inode) = (AtomicU64::new(0), AtomicU64::new(0));
            Place { fd: AtomicI32::new(FREE), device, inode, next: OnceLock::new() }
        }

        fn is_of(&self, file: &File) -> bool {
            let of = (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed));
            file.metadata().is_ok_and(|meta| (meta.dev(), meta.ino()) == of)
        }
    }

    /// The child: closes all of them. Only with calls that are safe there.
    pub(super) fn close_all() {
        let mut next = Some(&FIRST);
        while let Some(place) = next {
            let fd = place.fd.swap(FREE, Ordering::Relaxed);
            if fd >= 0 {
                // SAFETY: the child is the only thread, and nothing in it uses this descriptor or closes it, as `NotInherited`
                // demands. Where it isn't open any more only fstat(2) is called, which fails.
                let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
                if place.is_of(&file) {
                    drop(ManuallyDrop::into_inner(file));
                }
            }
            next = place.next.get().map(|next| &**next);
        }
    }

    /// Children made by fork(2) close a file as long as this is there. It goes before the file does; and a child must neither
    /// use nor close the file.
    #[derive(Debug)]
    pub(crate) struct NotInherited(&'static Place);

    impl NotInherited {
        pub(crate) fn new(file: &File) -> io::Result<Self> {
            let meta = file.metadata()?;
            let mut place = &FIRST;
            while place.fd.compare_exchange(FREE, CLAIMED, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                place = place.next.get_or_init(|| Box::new(Place::new()));
            }
            place.device.store(meta.dev(), Ordering::Relaxed);
            place.inode.store(meta.ino(), Ordering::Relaxed);
            place.fd.store(file.as_raw_fd(), Ordering::Release);
            Ok(NotInherited(place))
        }
    }

    impl Drop for NotInherited {
        fn drop(&mut self) {
            self.0.fd.store(FREE, Ordering::Release);
        }
    }
}

/// What is called around each fork, in the parent.
#[cfg(feature = "queue")]
static BEFORE_FORKS: OnceLock<fn()> = OnceLock::new();
#[cfg(feature = "queue")]
static AFTER_FORKS: OnceLock<fn()> = OnceLock::new();

/// Has `before` and `after` called around each fork, on the thread that forks, in the parent. Only the first call counts.
#[cfg(feature = "queue")]
pub(crate) fn around_forks(before: fn(), after: fn()) {
    watch_forks();
    if BEFORE_FORKS.set(before).is_err() || AFTER_FORKS.set(after).is_err() {
        return;
    }
    #[cfg(unix)]
    {
        extern "C" fn call_before() {
            drop(BEFORE_FORKS.get().map(catch_unwind));
        }
        extern "C" fn call_after() {
            drop(AFTER_FORKS.get().map(catch_unwind));
        }
        // SAFETY: both are `extern "C"` functions without arguments that never unwind.
        let refused = unsafe { pthread_atfork(Some(call_before), Some(call_after), None) };
        if refused != 0 {
            report(Trouble::ExitHook, format_args!("a child of this process won't have the sinks of queues"));
        }
    }
}

/// Returns a number that is another one in a child made by fork(2). Cheaper than getpid(2).
#[inline]
pub(crate) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// How long the end of the process waits for other threads in all: those that it waits for may never run again.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// When the exit hook began.
static EXIT_BEGAN: OnceLock<Instant> = OnceLock::new();

/// Whose turn it is at the end of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AtExit {
    /// Those who write lines.
    Tasks,
    /// Those who hand lines on.
    #[cfg(feature = "queue")]
    Queues,
    /// Those who collect the lines of other processes.
    #[cfg(all(feature = "multiprocess", unix))]
    Collectors,
    /// Those who see lines off.
    #[cfg(feature = "watch")]
    Writers,
    /// Those who write them into files of their own.
    Files,
}

/// What the exit hook calls, one after the other.
static HOOKS: [OnceLock<fn()>; 5] = [const { OnceLock::new() }; 5];

/// Has `hook` called when the process ends by returning from `main` or by `process::exit`. Only the first hook of each
/// turn counts.
///
/// Thread-locals of the thread that ends the process are gone by then, and other threads may still be running.
pub(crate) fn at_exit(turn: AtExit, hook: fn()) {
    static REGISTER: Once = Once::new();
    if HOOKS[turn as usize].set(hook).is_err() {
        return;
    }
    REGISTER.call_once(|| {
        // SAFETY: `run_hooks` is an `extern "C"` function without arguments that never unwinds.
        let refused = unsafe { atexit(run_hooks) };
        if refused != 0 {
            report(Trouble::ExitHook, format_args!("open tasks won't be closed when the program exits"));
        }
    });
}

extern "C" fn run_hooks() {
    EXIT_BEGAN.get_or_init(Instant::now);
    for hook in HOOKS.iter().filter_map(OnceLock::get) {
        // A panic must not leave an `extern "C"` function. It has printed its message.
        drop(catch_unwind(hook));
    }
}

/// What a thread gets for a fault of its own: blocked, it would end the process without a word.
#[cfg(all(unix, any(feature = "queue", feature = "watch")))]
const OWN_FAULTS: [libc::c_int; 7] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];

/// Runs `spawn` with all signals but those blocked, so that the thread that it makes handles none: handlers of the program run on
/// its own threads.
#[cfg(all(unix, any(feature = "queue", feature = "watch")))]
pub(crate) fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) initializes the set that it is given, sigdelset(3) changes one that is, and pthread_sigmask(3)
    // initializes the one of before if it succeeds; it changes the mask of this thread only.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr()) == 0
            && OWN_FAULTS.iter().all(|&signal| libc::sigdelset(all.as_mut_ptr(), signal) == 0)
            && libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let spawned = spawn();
    if blocked {
        // SAFETY: the call that succeeded has initialized `before`; no old set is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    spawned
}

/// There are no signals to block.
#[cfg(all(not(unix), any(feature = "queue", feature = "watch")))]
pub(crate) fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    spawn()
}

/// The second since 1970 as of the kernel's last tick, at most 10 ms ago: what the times of files are made of (clock_gettime(2),
/// `CLOCK_REALTIME_COARSE`). Takes a fifth of the time that the exact one takes.
#[cfg(all(target_os = "linux", any(feature = "queue", feature = "watch")))]
#[inline]
#[allow(clippy::useless_conversion, reason = "time_t has 32 bits elsewhere")]
pub(crate) fn coarse_second() -> i64 {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: clock_gettime(2) initializes the time that it is given if it returns 0, and only then it is looked at.
    let time = unsafe {
        (libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, time.as_mut_ptr()) == 0).then(|| time.assume_init())
    };
    time.map_or_else(|| unix_seconds(SystemTime::now()), |time| i64::from(time.tv_sec))
}

/// The second since 1970.
#[cfg(not(all(target_os = "linux", any(feature = "queue", feature = "watch"))))]
pub(crate) fn coarse_second() -> i64 {
    unix_seconds(SystemTime::now())
}

/// Returns whether the process is ending: nobody must wait for a lock without a limit any more.
pub(crate) fn is_exiting() -> bool {
    EXIT_BEGAN.get().is_some()
}

/// Returns what is left of the time that the end of the process may wait for other threads.
pub(crate) fn exit_patience() -> Duration {
    EXIT_BEGAN.get().map_or(EXIT_PATIENCE, |began| EXIT_PATIENCE.saturating_sub(began.elapsed()))
}

/// Locks while the process ends: within the time that is left, or not at all.
pub(crate) fn lock_at_exit<T: ?Sized>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    lock_within(mutex, exit_patience())
}

/// Locks within `limit`, or not at all.
pub(crate) fn lock_within<T: ?Sized>(mutex: &Mutex<T>, limit: Duration) -> Option<MutexGuard<'_, T>> {
    let deadline = Instant::now() + limit;
    loop {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1))
            }
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

/// Returns how many bytes this process may write into a file: what RLIMIT_FSIZE allows. One more would kill it
/// (setrlimit(2), SIGXFSZ).
#[cfg(unix)]
pub(crate) fn file_size_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Returns how many files this process may have open at once: RLIMIT_NOFILE (setrlimit(2)).
#[cfg(all(feature = "multiprocess", unix))]
pub(crate) fn open_files_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
pub(crate) fn file_size_limit() -> u64 {
    u64::MAX
}

/// Returns whether there is such a process, as far as this one can see.
#[cfg(unix)]
pub(crate) fn lives(pid: u32) -> bool {
    use rustix::{io::Errno, process::Pid};

    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(rustix::process::test_kill_process(pid), Err(Errno::SRCH)))
}

/// Nobody can tell.
#[cfg(not(unix))]
pub(crate) fn lives(_pid: u32) -> bool {
    true
}

/// Makes a FIFO: mkfifo(3).
#[cfg(all(feature = "multiprocess", unix))]
pub(crate) fn make_fifo(path: &std::path::Path, mode: u16) -> std::io::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;

    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path ends in NUL, and lives until the call returns.
    if unsafe { libc::mkfifo(path.as_ptr(), mode.into()) } == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}

/// Returns the name of the machine.
#[cfg(unix)]
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns the name of the machine, as the environment tells it.
#[cfg(not(unix))]
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

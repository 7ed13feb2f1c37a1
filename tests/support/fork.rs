//! Children that fork(2) made and that never call exec(2), while other threads of the parent log.

// `fork` and its like of the C library: there is no safe way to a child without exec.
#![allow(unsafe_code)]

use std::{
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::{
    child::{Child, Output, say},
    dir::Dir,
    holds_within,
};

unsafe extern "C" {
    fn fork() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn setsid() -> c_int;
    fn open(path: *const std::ffi::c_char, flags: c_int) -> c_int;
    fn dup2(from: c_int, to: c_int) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

/// How long a child of fork may take for its lines.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The workers of the parent: its threads, and after them its first.
pub const THREADS: u32 = 3;

/// waitpid(2): returns at once.
const WNOHANG: c_int = 1;

/// signal(7): the same number everywhere.
const SIGKILL: c_int = 9;

/// Forks. The child runs `in_child` and ends at once, without any exit hook; after a panic, badly.
pub fn forked(in_child: impl FnOnce()) -> c_int {
    // SAFETY: the child has this thread only, and runs code that is made for that: it is what is tested.
    let pid = unsafe { fork() };
    if pid == 0 {
        let result = catch_unwind(AssertUnwindSafe(in_child));
        // SAFETY: it ends the process.
        unsafe { _exit(result.is_err().into()) }
    }
    assert!(pid > 0, "fork");
    pid
}

/// Runs `in_daemon` in a daemon, as programs become one: two forks and a session of its own between them, and nothing at the
/// three standard descriptors. Returns when the process between is gone.
pub fn daemonized(in_daemon: impl FnOnce()) {
    let between = forked(|| {
        // SAFETY: plain system calls; the path ends in NUL.
        unsafe {
            assert!(setsid() > 0, "setsid");
            let null = open(c"/dev/null".as_ptr(), 2);
            (0..3).for_each(|fd| assert!(dup2(null, fd) == fd, "dup2"));
            close(null);
        }
        forked(in_daemon);
    });
    wait_for(between);
}

/// Closes every descriptor but the first three, as libraries do that daemonize.
pub fn close_all() {
    for fd in 3..256 {
        // SAFETY: those who own descriptors don't use them any more, but for the log: that is what is tested.
        unsafe { close(fd) };
    }
}

/// Returns whether a process is there, be it a zombie.
pub fn lives(pid: u32) -> bool {
    // SAFETY: signal 0 asks and does nothing.
    unsafe { kill(pid.cast_signed(), 0) == 0 }
}

/// Kills a process.
pub fn kill_hard(pid: u32) {
    // SAFETY: it is one of the test's own.
    assert!(unsafe { kill(pid.cast_signed(), SIGKILL) } == 0, "kill {pid}");
}

/// Ends this process well, and at once: no exit hook runs (_exit(2)).
pub fn exit_without_hooks() -> ! {
    // SAFETY: it ends the process.
    unsafe { _exit(0) }
}

/// Waits for the end of a child that must end well and in time. One that hangs is killed: nobody else would.
pub fn wait_for(pid: c_int) {
    let mut status = -1;
    // SAFETY: the status is written to a number of this frame.
    let is_over = holds_within(PATIENCE, || unsafe { waitpid(pid, &raw mut status, WNOHANG) } == pid);
    if !is_over {
        // SAFETY: it sends a signal to a child that nobody has waited for, so the number is still its own.
        unsafe { kill(pid, SIGKILL) };
        panic!("the child of the fork hangs");
    }
    assert_eq!(status, 0, "the child of the fork failed");
}

/// Where the log is that [`run`] has made a folder for.
pub fn log_path() -> PathBuf {
    std::env::var_os("LOG").expect("the parent says where").into()
}

/// Runs an entry point of this binary on a log of its own.
pub fn run(name: &str) -> (Dir, Output) {
    let dir = Dir::new();
    let child = Child::of_test(name).env("LOG", dir.path("tasks.log")).limit(Duration::from_secs(60));
    let output = child.spawn().wait().assert_success();
    (dir, output)
}

/// What follows `key=` in a line that the child said.
pub fn said(output: &Output, key: &str) -> u64 {
    let value = output.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}\n{output}"))
}

/// Has three threads write line after line while `rounds` runs; says how many lines each of them wrote.
pub fn while_others_log(write: impl Fn(u32, u64) + Sync, rounds: impl FnOnce()) {
    static OVER: AtomicBool = AtomicBool::new(false);
    let write = &write;
    thread::scope(|scope| {
        let others: Vec<_> = (0..THREADS)
            .map(|worker| {
                scope.spawn(move || {
                    let written = (1..).take_while(|&n| {
                        write(worker, n);
                        !OVER.load(Ordering::Relaxed)
                    });
                    written.count() as u64 + 1
                })
            })
            .collect();
        let result = catch_unwind(AssertUnwindSafe(rounds));
        OVER.store(true, Ordering::Relaxed); // also after a panic: else the others never end
        result.unwrap_or_else(|panic| resume_unwind(panic));
        for (worker, other) in others.into_iter().enumerate() {
            say(&format!("w{worker}={}", other.join().expect("no thread panics")));
        }
    });
}

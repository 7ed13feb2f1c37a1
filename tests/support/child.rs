//! Child processes that may be killed and can't hang a test.
//!
//! A test binary runs itself again: the entry point of a child is an ordinary `#[test]` that returns
//! at once unless it is asked for by its [`role`].
//!
//! ```ignore
//! #[test]
//! fn child_writes() {
//!     if !role("child_writes") {
//!         return;
//!     }
//!     say("ready");
//!     // …
//! }
//!
//! let mut child = Child::of_test("child_writes").env("LOG", path).spawn();
//! child.wait_for_stdout_line(|line| line == "ready");
//! child.kill();
//! let output = child.wait();
//! ```
//!
//! The entry point runs on a thread of libtest's, not on the main thread, and libtest's own lines are
//! mixed into the child's stdout.

use std::ffi::OsStr;
#[cfg(unix)]
use std::fs;
use std::io::{self, Read, Write};
#[cfg(unix)]
use std::os::unix::{
    fs::{MetadataExt, PermissionsExt},
    process::CommandExt,
};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{holds_within, must};

/// Tells a child which entry point it is.
const ROLE: &str = "TASKLOG_TEST_ROLE";

/// What a developer may have in the environment and a child must not see.
const PRIVATE: [&str; 4] = ["RUST_LOG", "RUST_TEST_THREADS", "TASKLOG_INSTANCE", "TASKLOG_LEVEL"];

/// How long a dead child's output is waited for; a grandchild may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Whether this process is the child that was started for the entry point `name`.
pub fn role(name: &str) -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == name)
}

/// Prints a line for the parent's [`Child::wait_for_stdout_line`], past libtest's capture.
pub fn say(line: &str) {
    must(io::stdout().lock().write_all(format!("{line}\n").as_bytes()), "speak to the parent");
}

/// Hangs, to be killed. Not for ever, because the parent may be gone before it kills.
pub fn hang() -> ! {
    holds_within(Duration::from_secs(60), || false);
    std::process::exit(86);
}

/// A child process that is about to be started.
#[derive(Debug)]
pub struct Spawn {
    name: String,
    command: Command,
    limit: Duration,
    of_test: bool,
}

impl Spawn {
    /// Sets an environment variable for the child.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// How long the child may live, counted from its start; 40 s if not said. The functions that wait
    /// see to it.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Starts it, and two threads that read its output, so that no full pipe stops it.
    pub fn spawn(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = must(self.command.spawn(), format_args!("start {}", self.name));
        Child {
            stdout: Capture::of(process.stdout.take().expect("stdout is piped")),
            stderr: Capture::of(process.stderr.take().expect("stderr is piped")),
            name: self.name,
            process,
            of_test: self.of_test,
            start: Instant::now(),
            limit: self.limit,
        }
    }
}

/// A running child process. Dropping it kills it.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    stdout: Capture,
    stderr: Capture,
    of_test: bool,
    start: Instant,
    limit: Duration,
}

impl Child {
    /// This very test binary, running nothing but the entry point `name` (with its modules:
    /// `"kill::child_writes"`).
    pub fn of_test(name: &str) -> Spawn {
        Self::of_test_by(name, Command::new(must(std::env::current_exe(), "find this test binary")))
    }

    /// The entry point `name` behind a shell command such as `umask 077`.
    #[cfg(unix)]
    pub fn of_test_after(name: &str, shell: &str) -> Spawn {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{shell}; exec \"$0\" \"$@\""));
        command.arg(must(std::env::current_exe(), "find this test binary"));
        Self::of_test_by(name, command)
    }

    /// The entry point `name` behind a shell command, as root of a user namespace of its own (user_namespaces(7)): what it
    /// sets below /proc/sys/user counts for nobody else.
    #[cfg(target_os = "linux")]
    pub fn of_test_in_namespace(name: &str, shell: &str) -> Spawn {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c"]).arg(format!("{shell}; exec \"$0\" \"$@\""));
        command.arg(must(std::env::current_exe(), "find this test binary"));
        Self::of_test_by(name, command)
    }

    /// The entry point `name`, started by another program: `wrapper` is that with its arguments, to which this test binary is
    /// added, or the copy of it in `folder`, which everybody may enter from now on.
    #[cfg(unix)]
    pub fn of_test_under(wrapper: &[&str], name: &str, folder: Option<&Path>) -> Spawn {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]);
        command.arg(folder.map_or_else(|| must(std::env::current_exe(), "find this test binary"), copy_into));
        Self::of_test_by(name, command)
    }

    /// The entry point `name` as an ordinary user, never as root, for whom no folder is read-only. The folder, which
    /// everybody may enter from now on, takes a copy of this test binary.
    #[cfg(unix)]
    pub fn of_test_as_nobody(name: &str, folder: &Path) -> Spawn {
        let copy = copy_into(folder);
        let mut command = Command::new(&copy);
        if must(fs::metadata(&copy), "look at the copy").uid() == 0 {
            command.uid(65534).gid(65534);
        }
        Self::of_test_by(name, command)
    }

    /// The entry point `name`, where the command, with a few arguments more, is this test binary.
    fn of_test_by(name: &str, mut command: Command) -> Spawn {
        // Two threads, because with one libtest prints "test name ... " in front of the first line said.
        command.args(["--exact", name, "--nocapture", "--include-ignored", "--test-threads=2"]);
        for key in PRIVATE {
            command.env_remove(key);
        }
        command.env(ROLE, name).env("RUST_BACKTRACE", "0");
        Spawn { of_test: true, name: name.to_owned(), ..Self::of_command(command) }
    }

    /// Any other program. Its stdin is empty and its output captured, whatever the command says.
    pub fn of_command(command: Command) -> Spawn {
        let name = format!("{command:?}");
        Spawn { name, command, limit: Duration::from_secs(40), of_test: false }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        must(self.process.try_wait(), format_args!("look after {}", self.name)).is_none()
    }

    /// SIGKILL. A child that has ended already is left in peace.
    pub fn kill(&mut self) {
        must(self.process.kill(), format_args!("kill {}", self.name));
    }

    /// Sends a signal by its name, `"TERM"` or `"STOP"`, while the child runs.
    #[cfg(unix)]
    pub fn signal(&mut self, signal: &str) {
        assert!(self.is_running(), "{} has ended, no {signal} for it", self.name);
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", self.id())).status();
        assert!(must(sent, "run sh").success(), "send {signal} to {}", self.name);
    }

    /// Waits for its end. Panics with all its output when it doesn't end within its limit.
    pub fn wait(mut self) -> Output {
        if !holds_within(self.left(), || !self.is_running()) {
            self.give_up("did not end");
        }
        let status = must(self.process.wait(), format_args!("reap {}", self.name));
        let output = self.last_words(status);
        let ran = !self.of_test || !status.success() || output.stdout.contains("running 1 test\n");
        assert!(ran, "no test is named {}\n{output}", self.name);
        output
    }

    /// Waits for a whole line on stdout (the first one since its start that fits) and returns it.
    /// Panics with all output when the child ends or its limit passes before.
    pub fn wait_for_stdout_line(&mut self, mut wanted: impl FnMut(&str) -> bool) -> String {
        let mut found = None;
        let mut read = 0;
        let settled = holds_within(self.left(), || {
            let over = !self.is_running() && self.stdout.is_complete();
            let (lines, length) = self.stdout.lines_from(read);
            read = length;
            found = lines.into_iter().find(|line| wanted(line));
            found.is_some() || over
        });
        let trouble = if settled { "ended before it said what was waited for" } else { "did not say it" };
        found.unwrap_or_else(|| self.give_up(trouble))
    }

    /// What remains of its time.
    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.start.elapsed())
    }

    /// Everything it said until its end.
    fn last_words(&self, status: ExitStatus) -> Output {
        holds_within(LAST_WORDS, || self.stdout.is_complete() && self.stderr.is_complete());
        Output { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    /// Kills the child and panics with its output.
    fn give_up(&mut self, trouble: &str) -> ! {
        self.kill();
        let status = must(self.process.wait(), format_args!("reap {}", self.name));
        panic!("{} {trouble} within {:?}\n{}", self.name, self.limit, self.last_words(status));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a child that was reaped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Copies this test binary into a folder, which everybody may enter from now on.
#[cfg(unix)]
fn copy_into(folder: &Path) -> PathBuf {
    let copy = folder.join("test-binary");
    must(fs::set_permissions(folder, fs::Permissions::from_mode(0o755)), "open the folder");
    // By cp: a descriptor of our own that is open for writing could leak into a child that another thread is just
    // starting, and then nobody may run the copy (ETXTBSY).
    let exe = must(std::env::current_exe(), "find this test binary");
    let copied = must(Command::new("cp").arg(exe).arg(&copy).status(), "run cp");
    assert!(copied.success(), "cp could not copy this test binary");
    must(fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)), "open the copy");
    copy
}

/// How a child ended and all that it printed.
#[derive(Debug)]
pub struct Output {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Panics with all output unless the child ended well.
    pub fn assert_success(self) -> Self {
        assert!(self.status.success(), "the child failed\n{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr } = self;
        write!(f, "({status})\n--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}")
    }
}

/// One stream of a child's output, collected by a thread of its own.
#[derive(Debug)]
struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Capture {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            loop {
                match stream.read(&mut chunk) {
                    Ok(length @ 1..) => locked(&sink).extend_from_slice(&chunk[..length]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Any other error ends the stream as its end does: there is nothing more to read.
                    Ok(_) | Err(_) => break,
                }
            }
        });
        Self { bytes, reader }
    }

    /// Whether nothing more can come.
    fn is_complete(&self) -> bool {
        self.reader.is_finished()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&locked(&self.bytes)).into_owned()
    }

    /// The whole lines after the first `from` bytes, and where they end.
    fn lines_from(&self, from: usize) -> (Vec<String>, usize) {
        let bytes = locked(&self.bytes);
        let fresh = &bytes[from..];
        let length = fresh.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let text = String::from_utf8_lossy(&fresh[..length]);
        (text.split_terminator('\n').map(str::to_owned).collect(), from + length)
    }
}

/// The bytes so far; a reader that panicked leaves them whole.
fn locked(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

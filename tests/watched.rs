//! `WatchedFile` on real files: what it opens, what it writes, and where it goes when the path leads elsewhere.
#![cfg(all(unix, feature = "watch"))]

#[path = "watched/descriptors.rs"]
mod descriptors;
#[path = "watched/faults.rs"]
mod faults;
#[path = "watched/moves.rs"]
mod moves;
#[path = "watched/opened.rs"]
mod opened;
#[path = "watched/removals.rs"]
mod removals;
mod support;

use std::{
    io::Write as _,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use support::{
    dir::Dir,
    holds_within,
    stopwatch::Stopwatch,
    verify::{Expect, LogFamily, Verdict, numbered},
    wait_until,
};
use tracing_tasklog::writer::{WatchedFile, WatchedFileBuilder};

/// How long the path may be followed late on a machine that is busy with other tests.
const LATEST: Duration = Duration::from_secs(20);

fn builder(dir: &Dir) -> WatchedFileBuilder {
    WatchedFile::builder(dir.path("tasks.log"))
}

fn file(dir: &Dir) -> WatchedFile {
    builder(dir).build().expect("the file can be opened")
}

fn write(file: &WatchedFile, text: impl AsRef<[u8]>) {
    file.clone().write_all(text.as_ref()).expect("writing never fails");
}

/// A hook's memory: each error with its cause.
#[derive(Clone, Debug, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn hook(&self) -> impl Fn(&tracing_tasklog::Error) + Send + Sync + 'static {
        let told = self.clone();
        move |error| told.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{error:?}"))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A thread that writes numbered lines, thousands a second, until it is told to stop.
struct Steady {
    file: WatchedFile,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Steady {
    fn start(file: &WatchedFile) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, to) = (Arc::clone(&stop), file.clone());
        let thread = thread::spawn(move || {
            for n in 1.. {
                write(&to, numbered(0, n, (n % 60) as usize) + "\n");
                if n % 10 == 0 && holds_within(Duration::from_millis(1), || stopped.load(Ordering::Relaxed)) {
                    return n;
                }
            }
            0
        });
        let steady = Steady { file: file.clone(), stop, thread };
        steady.go_on(100);
        steady
    }

    /// Waits until so many lines more are written.
    fn go_on(&self, lines: u64) {
        let target = self.file.stats().accepted_lines + lines;
        wait_until("lines are written", LATEST, || self.file.stats().accepted_lines >= target);
    }

    /// Stops, after some lines more. Returns how many were written in all.
    fn stop(self) -> u64 {
        self.go_on(100);
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the writer doesn't panic")
    }

    /// Waits until the path was followed once more, which `before` has begun. Returns how long that took.
    fn followed_within(&self, limit: Duration, change: impl FnOnce()) -> Duration {
        let before = self.file.stats().reopens;
        let (start, watch) = (Instant::now(), Stopwatch::start());
        change();
        wait_until("the path is followed", LATEST, || self.file.stats().reopens > before);
        let (took, blamed) = (start.elapsed(), watch.elapsed());
        assert!(blamed <= limit, "followed after {took:?}, of which the machine was there for {blamed:?}");
        took
    }
}

/// Checks that the files, the oldest first, hold the lines 1 to `lines` once each and nothing else.
fn assert_all_there<P: AsRef<Path>>(files: &[P], lines: u64) -> Verdict {
    let family = LogFamily::files(files.iter().map(|path| path.as_ref().to_owned()));
    let verdict = family.verify(&Expect::new().worker(0, lines).bare_lines()).assert_clean();
    assert_eq!(verdict.closed_fragments, 0, "{verdict}");
    verdict
}

fn assert_account_is_clean(file: &WatchedFile, lines: u64) {
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines), (lines, lines), "{stats:?}");
    assert_eq!((stats.dropped_lines, stats.queued_lines, stats.at_risk_lines), (0, 0, 0), "{stats:?}");
    assert_eq!((stats.rotations, stats.truncations), (0, 0), "{stats:?}");
}

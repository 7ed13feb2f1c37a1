//! Rings that a worker has left, changed by hand; and what a collector must do beside them.

// Each test binary uses a part of it.
#![allow(dead_code)]

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tracing_tasklog::writer::SharedQueue;

use crate::{
    collector_kit::{LATEST, Place, write, write_lines},
    queue_kit::Told,
    support::{holds_within, verify::numbered},
};

/// Where what is in a ring's file: the table in `ring/layout.rs`.
pub(crate) const VERSION: usize = 12;
pub(crate) const MAIN_SIZE: usize = 16;
pub(crate) const ASIDE_SIZE: usize = 32;
pub(crate) const MAIN_END: usize = 128;
pub(crate) const ASIDE_END: usize = 136;
pub(crate) const DROPPED: usize = 144;
pub(crate) const TAKEN: [usize; 2] = [256, 320];
pub(crate) const COLLECTOR: usize = 384;
pub(crate) const HEAD: usize = 4096;

/// The file of a worker that is gone, with lines that nobody has read.
#[derive(Clone, Debug)]
pub(crate) struct Ring(pub(crate) Vec<u8>);

impl Ring {
    /// The lines 1 to `lines` of a worker, in as small a ring as there is.
    pub(crate) fn of_worker(worker: u32, lines: u64) -> Ring {
        let place = Place::new();
        let queue = SharedQueue::builder().capacity_bytes(1).connect(place.queue()).expect("a new directory");
        write_lines(&queue, worker, lines);
        Ring(fs::read(&place.rings()[0]).expect("the worker has made it"))
    }

    pub(crate) fn number(&self, at: usize) -> u64 {
        u64::from_ne_bytes(*self.0[at..].first_chunk().expect("it is in the ring"))
    }

    pub(crate) fn set(mut self, at: usize, number: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&number.to_ne_bytes());
        self
    }

    /// Sets both copies of a number of the collector's.
    pub(crate) fn set_taken(self, behind: usize, number: u64) -> Self {
        self.set(TAKEN[0] + behind, number).set(TAKEN[1] + behind, number)
    }

    /// Puts bytes at a place in the file.
    pub(crate) fn with(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Puts an entry into the aside lane.
    pub(crate) fn with_entry(self, belongs_at: u64, len: u64, bytes: &[u8]) -> Self {
        let (lane, end) = (HEAD + self.number(MAIN_SIZE) as usize, 16 + bytes.len() as u64);
        let ring = self.set(lane, belongs_at).set(lane + 8, len).set(ASIDE_END, end);
        ring.with(lane + 16, bytes)
    }

    /// Cuts the file short.
    pub(crate) fn cut(mut self, len: usize) -> Self {
        self.0.truncate(len);
        self
    }

    pub(crate) fn put(&self, place: &Place, name: &str) -> PathBuf {
        put(place, name, &self.0)
    }
}

/// Puts a file of this user's alone into the queue's directory.
pub(crate) fn put(place: &Place, name: &str, bytes: &[u8]) -> PathBuf {
    let (path, made) = (make_queue(place).join(name), place.dir.path("made"));
    fs::write(&made, bytes).expect("the folder is the test's own");
    fs::set_permissions(&made, Permissions::from_mode(0o600)).expect("it is the test's own");
    fs::rename(&made, &path).expect("the folder is the test's own"); // a collector that runs never sees a part of it
    path
}

/// Makes the queue's directory, if no worker has.
pub(crate) fn make_queue(place: &Place) -> PathBuf {
    let path = place.queue();
    fs::create_dir_all(&path).expect("the folder is the test's own");
    fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("it is the test's own");
    path
}

/// A sink that knows how long its thread has used the processor.
struct Timed {
    sink: fs::File,
    micros: Arc<AtomicU64>,
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let micros = used.tv_sec as u64 * 1_000_000 + used.tv_nsec as u64 / 1000;
        self.micros.store(micros, Ordering::SeqCst);
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of the good worker.
pub(crate) const GOOD: u64 = 60;

/// What a collector has said and done beside something in its directory.
pub(crate) struct Beside {
    /// What the error hook was told.
    pub(crate) told: Vec<String>,
    /// How long its thread has used the processor while there was nothing to do.
    pub(crate) idle_micros: u64,
    /// What the log has besides the lines of the good worker.
    pub(crate) other_lines: Vec<String>,
}

/// Runs a collector with a good worker beside whatever is in the directory: every line of the good one arrives, in order, and
/// flush and shutdown return in time. In between there is nothing to do for `idle`.
pub(crate) fn run_beside(place: &Place, idle: Duration, what: &str) -> Beside {
    let (told, micros) = (Told::default(), Arc::new(AtomicU64::new(0)));
    let good = place.connect();
    write(&good, 0, 1);
    let sink = Timed { sink: place.file(), micros: Arc::clone(&micros) };
    let guard = place.collector().on_error(told.hook()).spawn(sink).expect("nobody else collects");
    for n in 2..=GOOD / 2 {
        write(&good, 0, n);
        if n % 5 == 0 {
            guard.flush(LATEST).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    guard.flush(LATEST).unwrap_or_else(|error| panic!("{what}: {error}"));
    let before = micros.load(Ordering::SeqCst);
    holds_within(idle, || false);
    (GOOD / 2 + 1..=GOOD).for_each(|n| write(&good, 0, n));
    guard.flush(LATEST).unwrap_or_else(|error| panic!("{what}: {error}"));
    let idle_micros = micros.load(Ordering::SeqCst) - before;
    let report = guard.shutdown(LATEST);
    assert_eq!(report.pending, 0, "{what}: the collector has ended: {report:?}");
    let bytes = fs::read(place.log()).expect("the sink has made it");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (own, other): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with("w=0 "));
    let expected: Vec<_> = (1..=GOOD).map(|n| numbered(0, n, 9)).collect();
    assert!(own.iter().eq(&expected), "{what}: the good worker's lines are there, once, in order: {own:#?}");
    Beside { told: told.all(), idle_micros, other_lines: other.into_iter().map(str::to_owned).collect() }
}

//! Which log calls were begun and which returned, remembered over the SIGKILL of the process that made them.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::must;

/// Two counters of eight bytes a worker: the last line begun, the last line whose call returned.
const SLOT: u64 = 16;

/// A small file with one slot a worker, written around every log call.
///
/// A line whose call returned is promised; a line begun may or may not be there. Each counter is one
/// positioned write into the page cache, which outlives the process (though not the machine). Counters
/// start at 1; 0 means "none yet". A worker writes its lines one after the other, and only it writes
/// its slot.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    workers: u32,
}

impl Ledger {
    /// A new ledger for workers `0..workers`, none of which has begun anything.
    pub fn create(path: impl AsRef<Path>, workers: u32) -> Self {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
        let file = must(file, format_args!("create the ledger {}", path.display()));
        must(file.set_len(u64::from(workers) * SLOT), "give the ledger its size");
        Self { file, workers }
    }

    /// The ledger that another process (or the test itself) made.
    pub fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = must(file, format_args!("open the ledger {}", path.display()));
        let size = must(file.metadata(), "ask the ledger's size").len();
        let workers = must(u32::try_from(size / SLOT), "count the ledger's workers");
        Self { file, workers }
    }

    /// Makes the log call for line `n` with the notes before and after it.
    pub fn around<T>(&self, worker: u32, n: u64, log_call: impl FnOnce() -> T) -> T {
        self.started(worker, n);
        let result = log_call();
        self.returned(worker, n);
        result
    }

    /// To be called right before the log call for line `n`.
    pub fn started(&self, worker: u32, n: u64) {
        self.put(worker, 0, n);
    }

    /// To be called right after the log call for line `n` returned.
    pub fn returned(&self, worker: u32, n: u64) {
        self.put(worker, 8, n);
    }

    /// For each worker the last line begun and the last line whose call returned.
    pub fn read(&self) -> Vec<(u64, u64)> {
        (0..self.workers).map(|worker| (self.get(worker, 0), self.get(worker, 8))).collect()
    }

    fn put(&self, worker: u32, offset: u64, n: u64) {
        let place = self.slot(worker) + offset;
        must(self.file.write_all_at(&n.to_le_bytes(), place), "write to the ledger");
    }

    fn get(&self, worker: u32, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        must(self.file.read_exact_at(&mut bytes, self.slot(worker) + offset), "read the ledger");
        u64::from_le_bytes(bytes)
    }

    fn slot(&self, worker: u32) -> u64 {
        assert!(worker < self.workers, "worker {worker} of a ledger for {} workers", self.workers);
        u64::from(worker) * SLOT
    }
}

//! Calls of a sink: they may fail, for a time or for good, and they may panic.

use std::{
    io::{self, ErrorKind},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a call of the sink has come to.
#[derive(Debug)]
pub(super) enum Failure {
    Error(io::Error),
    Panic,
}

impl Failure {
    /// Returns the error, and whether it goes away by itself or when somebody makes room.
    pub(super) fn into_error(self) -> (io::Error, bool) {
        match self {
            Failure::Error(error) => {
                let heals = heals(error.kind());
                (error, heals)
            }
            Failure::Panic => (io::Error::other("it panicked"), false),
        }
    }
}

/// Calls the sink, which may panic. What it panicked with may panic too when it is dropped: then it stays.
pub(super) fn calmly<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(Failure::Error),
        Err(payload) => {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(again);
            }
            Err(Failure::Panic)
        }
    }
}

fn heals(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Interrupted
            | ErrorKind::OutOfMemory
            | ErrorKind::QuotaExceeded
            | ErrorKind::ResourceBusy
            | ErrorKind::StorageFull
            | ErrorKind::TimedOut
            | ErrorKind::WouldBlock
    )
}

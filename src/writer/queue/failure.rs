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

/// Calls the sink, which may panic. So may what it returns or panics with: when it is shown, when it is dropped.
pub(super) fn calmly<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| Failure::Error(tamed(error))),
        Err(payload) => {
            let dropped = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            dropped.unwrap_or_else(mem::forget);
            Err(Failure::Panic)
        }
    }
}

/// The same error without anything of the program's in it.
fn tamed(error: io::Error) -> io::Error {
    if error.get_ref().is_none() {
        return error; // the operating system's, or just a kind
    }
    let kind = error.kind();
    let text = catch_unwind(AssertUnwindSafe(|| {
        let text = error.to_string();
        drop(error);
        text
    }));
    match text {
        Ok(text) => io::Error::new(kind, text),
        Err(payload) => {
            mem::forget(payload);
            io::Error::new(kind, "an error that panics when it is shown")
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

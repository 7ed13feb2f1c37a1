//! `Collector`: the one process that writes what all workers of a queue log.

mod batch;
mod builder;
mod guard;
mod home;
mod registry;
mod rings;
mod run;
mod shared;

use std::path::Path;

pub use self::{
    builder::{CollectorBuilder, Running},
    guard::CollectorGuard,
};

/// Writes what the processes of a queue log, as the only one, to one sink.
///
/// DOCS
#[derive(Debug)]
pub struct Collector(());

impl Collector {
    /// Returns a builder with every option at its default, for the queue of a directory.
    pub fn builder(directory: impl AsRef<Path>) -> CollectorBuilder {
        CollectorBuilder::new(directory.as_ref())
    }
}

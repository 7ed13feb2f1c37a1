//! Task log.

mod clock;
mod current;
mod error;
mod file;
mod handoff;
mod helpers;
mod layer;
mod level;
pub mod line;
mod rotation;
mod sink;
mod sys;
mod task;
mod visit;
pub mod writer;

pub use self::{
    clock::UtcSeconds,
    error::Error,
    helpers::{InTask, TaskContext, TaskFutureExt, TaskSpanExt},
    layer::TaskLayer,
    level::parse_level,
    line::IdFormat,
    task::InterruptGuard,
};

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use tracing;
}

//! For those who may depend on this crate: making tasks, running them, and passing them on to other processes.
//!
//! A library needs none of this: a span with `task.id` is a task.

mod context;
mod future;
mod macros;
mod span;

pub use self::{
    context::TaskContext,
    future::{InTask, TaskFutureExt},
    span::TaskSpanExt,
};

//! Lanes: the way of lines from the threads that log to the one that writes. Threads that log don't meet.
//!
//! A thread has a *lane*: a stream of entries that only it writes and only the writer reads. A log call copies its lines
//! into memory of its own, with a stamp of a clock, and publishes one number, where the lane ends. The writer reads all lanes, and
//! merges them by the stamps.
//!
//! Threads beyond the number of lanes share them: a lane has a lock, which as a rule nobody else wants. What all have in common is taken
//! in larger parts, under the lock of the queue: how many bytes a lane may take without asking, and blocks of memory.
//!
//! | room | what is in it |
//! |---|---|
//! | [`shape`] | what is where in the memory |
//! | [`protocol`] | who does what before what; loom has tried every order |
//! | [`threads`] | which lane is whose |
//! | [`room`] | how much may go in |
//! | [`producer`], [`consumer`] | the two ends |
//! | [`merge`] | the order of lines, and why it holds |

pub(in crate::writer) mod consumer;
mod local;
pub(in crate::writer) mod merge;
#[cfg(all(test, tasklog_loom))]
mod model;
pub(in crate::writer) mod producer;
pub(in crate::writer) mod protocol;
pub(in crate::writer) mod room;
pub(in crate::writer) mod shape;
#[cfg(all(test, not(tasklog_loom)))]
mod tests;
mod threads;

pub(in crate::writer) use self::{local::Local, producer::Lanes, room::Room, shape::Shape};

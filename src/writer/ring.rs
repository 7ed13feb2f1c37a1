//! The way of lines from one process into another: a ring in a file.
//!
//! A *worker* makes a file in the directory of the queue, has it locked, and maps it. A log call copies its line into the map and
//! moves the end; that is all. The bytes are the kernel's then: whatever becomes of the process, they are in the file. A line
//! that is only half there is behind the end, and nobody ever sees it.
//!
//! The *collector* reads the file, hands the lines to its sink, and says how far it has come: that room may be used again. When
//! the lock can be had the worker is gone; when all of its lines are taken then, the file is removed.
//!
//! A ring has two *lanes*. The main one is for one thread of the worker at a time, under a lock of the process. The *aside* lane is for
//! who can't have that lock or must not wait for room (a signal handler, a log call inside of another one, the collector's
//! own thread): what is in there bears the place in the main lane where it belongs.
//!
//! | room | what is in it |
//! |---|---|
//! | [`layout`] | what is where in the file |
//! | [`protocol`](super::queue::lanes::protocol) | who does what before what; loom has tried every order (`model`) |
//! | [`directory`] | names, locks, who may do what |
//! | [`file_system`] | which file systems a ring may be on |
//! | [`producer`], [`consumer`] | the two ends |
//! | [`own`] | which rings are this process's |

#[cfg(feature = "multiprocess")]
pub(super) mod consumer;
#[cfg(feature = "multiprocess")]
pub(super) mod directory;
#[cfg(feature = "multiprocess")]
pub(super) mod file_system;
#[cfg(feature = "multiprocess")]
pub(super) mod layout;
#[cfg(all(test, tasklog_loom))]
mod model;
#[cfg(feature = "multiprocess")]
mod own;
#[cfg(feature = "multiprocess")]
pub(super) mod producer;
#[cfg(all(test, feature = "multiprocess"))]
mod tests;

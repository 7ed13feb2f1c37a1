//! What befalls the directory of a queue for many processes while it is in use: more rings than open files, a lock that is removed or
//! taken, rings that are renamed, linked and moved; and all of it at once.

#![cfg(all(unix, feature = "multiprocess"))]

#[path = "collector_accidents/few_files.rs"]
mod few_files;
#[path = "collector_accidents/locks.rs"]
mod locks;
#[path = "collector_accidents/names.rs"]
mod names;
#[path = "collector_accidents/soak.rs"]
mod soak;
mod support;
mod workers_kit;

//! `SharedQueue` across processes: many workers, workers that are killed or stopped, collectors that come and go, full rings.
#![cfg(all(unix, feature = "multiprocess"))]

#[path = "workers/chaos.rs"]
mod chaos;
#[path = "workers/full.rs"]
mod full;
#[path = "workers/many.rs"]
mod many;
#[path = "workers/sizes.rs"]
mod sizes;
mod support;
mod workers_kit;

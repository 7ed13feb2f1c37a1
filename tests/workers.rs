//! `SharedQueue` across processes: many workers, workers that are killed or stopped, collectors that come and go, full rings.
#![cfg(all(unix, feature = "multiprocess"))]

#[path = "workers/chaos.rs"]
mod chaos;
#[path = "workers/collectors.rs"]
mod collectors;
#[path = "workers/crowds.rs"]
mod crowds;
#[path = "workers/full.rs"]
mod full;
#[path = "workers/idle.rs"]
mod idle;
#[path = "workers/limits.rs"]
mod limits;
#[path = "workers/many.rs"]
mod many;
#[path = "workers/own.rs"]
mod own;
#[path = "workers/sizes.rs"]
mod sizes;
mod support;
mod workers_kit;

//! What operators, shells and other tools do to the logs of a program that runs: each scenario is one small function.
//!
//! A *program* is this test binary, started by a shell: it logs so many numbered lines, waits until it is told to go on, logs more,
//! and leaves its counters in a file. Between its steps the scenario does what an operator would do, with the real tool. At the
//! end each line must be in the logs once, or counted.
//!
//! Those that need root or a tool of the `tools` step are ignored with the reason.

#![cfg(unix)]

#[path = "scenarios/descriptors.rs"]
mod descriptors;
#[path = "scenarios/hands.rs"]
mod hands;
#[path = "scenarios/mounts.rs"]
mod mounts;
#[path = "scenarios/others.rs"]
mod others;
#[path = "scenarios/program.rs"]
mod program;
#[path = "scenarios/rotators.rs"]
mod rotators;
#[path = "scenarios/settings.rs"]
mod settings;
#[path = "scenarios/stdout.rs"]
mod stdout;
mod support;

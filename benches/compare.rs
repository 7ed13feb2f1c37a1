//! Compares the library with its peers: `cargo bench --bench compare [-- ARGUMENTS]`. What is compared, and how, is in
//! `benches/peers`, a project of its own, so that the peers are no dependencies of the library. This has cargo build and run it.

use std::{
    env, io,
    path::Path,
    process::{Command, ExitCode},
};

fn main() -> io::Result<ExitCode> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--release", "--locked", "--quiet", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/Cargo.toml"));
    cargo.arg("--target-dir").arg(target).arg("--");
    let status = cargo.args(env::args_os().skip(1).filter(|argument| argument != "--bench")).status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

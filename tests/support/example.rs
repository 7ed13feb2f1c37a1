//! The examples, as a user runs them.

use std::{path::Path, process::Command, time::Duration};

use super::child::Child;

/// Long enough to compile an example, if nobody has done it before.
const LIMIT: Duration = Duration::from_secs(300);

/// What an example prints, with a temporary folder of its own. Its stderr must be empty.
pub fn output_of(example: &str, temp: &Path) -> String {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--offline", "--example", example])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_NET_OFFLINE", "true") // for one that builds itself again, with a feature
        .env("CARGO_TERM_QUIET", "true")
        .env("TMPDIR", temp);
    let output = Child::of_command(command).limit(LIMIT).spawn().wait().assert_success();
    assert_eq!(output.stderr, "", "{output}");
    output.stdout
}

//! The quickstart on a folder of its own: the verifier, which knows nothing of the crate, reads the log that the
//! example left and finds what the example printed.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::child::Child;
use support::dir::Dir;
use support::verify::{LogFamily, Tasks};

/// Long enough to compile the example, if nobody has done it before.
const LIMIT: Duration = Duration::from_secs(300);

/// The example as cargo runs it, with a temporary folder of its own.
fn quickstart(temp: &Path, folder: &Path, profile: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--offline", "--example", "quickstart"])
        .args(profile)
        .arg("--")
        .arg(folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .envs(["TMPDIR", "TMP", "TEMP"].map(|name| (name, temp)))
        .env_remove("TASKLOG_INSTANCE");
    Child::of_command(command).limit(LIMIT).spawn()
}

/// What the printed table says the log holds: the first number after the word.
fn printed(output: &str, row: &str) -> usize {
    let number = output.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(row)).then(|| words.next())?
    });
    number.unwrap_or_else(|| panic!("no {row} in\n{output}")).parse().expect("a number")
}

/// A folder of four files, a `Cargo.toml`, and some entries that are left out.
fn folder() -> Dir {
    let dir = Dir::new();
    dir.write("empty", "");
    dir.write("two lines", "one\ntwo\n");
    dir.write("sub/binary", [0, 159, 146, 150, 10]);
    dir.write("sub/sub/[f1] [hash_file] -- SUCCESS", "a name like a line\n");
    dir.write(".git/HEAD", "left out");
    dir.write("made/Cargo.toml", "");
    dir.write("made/target/debug/quickstart", "left out");
    #[cfg(unix)]
    {
        std::os::unix::net::UnixListener::bind(dir.path("socket")).expect("bind a socket");
        std::os::unix::fs::symlink("nowhere", dir.path("dangling")).expect("make a link");
        std::os::unix::fs::symlink(".", dir.path("loop")).expect("make a link");
    }
    dir
}

#[test]
fn the_verifier_agrees_with_the_printed_table() {
    let folder = folder();
    let (_temp, family) = assert_table(folder.root(), &[], |files| assert_eq!(files, 5));
    assert!(family.paths().len() > 1, "it rotates");
    let failed = family.tasks();
    let failed = failed.only("f6");
    assert_eq!((failed.status(), failed.retries.as_slice()), (Some("FAILED"), [1, 2].as_slice()));
}

#[test]
#[ignore = "needs /usr/include with its thousands of files: libc6-dev"]
fn the_verifier_agrees_about_thousands_of_files() {
    assert_table(Path::new("/usr/include"), &["--release"], |files| assert!(files > 1000, "{files}"));
}

/// Runs the example, has its number of files judged, and compares what it printed with what the verifier finds. Returns
/// the log, and the folder that it is in.
fn assert_table(folder: &Path, profile: &[&str], files: impl Fn(usize)) -> (Dir, LogFamily) {
    let temp = Dir::new();
    let output = quickstart(temp.root(), folder, profile).wait().assert_success().stdout;
    let live = output.split('\'').find(|part| part.ends_with(".log")).expect("the log's path is printed");

    let family = LogFamily::of(live);
    let tasks = family.tasks();
    files(tasks.all().len() - 1); // one that doesn't exist is among the tasks
    tasks.assert_every_task_complete(tasks.all().len());
    let with =
        |tasks: &Tasks, status| tasks.all().iter().filter(|task| task.status() == Some(status)).count();
    for (row, counted) in [
        ("tasks", tasks.all().len()),
        ("SUCCESS", with(&tasks, "SUCCESS")),
        ("FAILED", with(&tasks, "FAILED")),
        ("INTERRUPTED", with(&tasks, "INTERRUPTED")),
        ("retries", tasks.all().iter().map(|task| task.retries.len()).sum()),
        ("lines", family.lines().len()),
        ("files", family.paths().len()),
    ] {
        assert_eq!(printed(&output, row), counted, "{row} in\n{output}");
    }
    (temp, family)
}

#[test]
fn a_folder_that_does_not_exist_is_a_usage_error() {
    let temp = Dir::new();
    let output = quickstart(temp.root(), &temp.path("nothing"), &[]).wait();
    assert!(!output.status.success());
    assert!(output.stderr.contains("nothing\" can't be found"), "{}", output.stderr);
    assert!(output.stderr.contains("usage: cargo run --example quickstart -- [DIR]"), "{}", output.stderr);
    assert!(temp.names().is_empty(), "nothing is left behind");
}

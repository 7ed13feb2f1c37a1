//! Who may do what to the files of a log: other users, and what they leave beside it.
#![cfg(all(unix, feature = "watch"))]

#[path = "trust/lists.rs"]
mod lists;
#[path = "trust/locks.rs"]
mod locks;
#[path = "trust/optional.rs"]
mod optional;
#[path = "trust/privileged.rs"]
mod privileged;
mod support;

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
    time::Duration,
};

use support::{
    child::{Child, Output, Spawn, hang, role, say},
    dir::Dir,
    must,
};
use tracing_tasklog::writer::{InstanceFile, WatchedFile};

/// An ordinary user, by setpriv(1), and another one.
const USER: [&str; 4] = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"];
const OTHER: [&str; 4] = ["setpriv", "--reuid=4712", "--regid=4712", "--clear-groups"];

/// Logs as the environment says: `built`, `told …` for each error that the hook gets, or `refused …`.
#[test]
fn child_logs() {
    if !role("child_logs") {
        return;
    }
    let (path, options) =
        (env::var("LOG").expect("the parent says where"), env::var("OPTIONS").unwrap_or_default());
    let has = |option: &str| options.split(' ').any(|other| other == option);
    let hook = |error: &tracing_tasklog::Error| say(&format!("told {error:?}"));
    let written = if has("watched") {
        let mut builder = WatchedFile::builder(path).on_error(hook).trust_path(has("trust"));
        if has("mode") {
            builder = builder.file_mode(0o604);
        }
        builder.build().map(|mut file| file.write_all(b"a line\n"))
    } else {
        let mut builder = InstanceFile::builder(path).max_bytes(8).backups(1).on_error(hook);
        builder = builder.lock(!has("no-lock")).trust_path(has("trust"));
        if has("mode") {
            builder = builder.file_mode(0o604);
        }
        if has("keep") {
            builder = builder.keep_instances(1);
        }
        builder.build().map(|mut file| {
            let written = file.write_all(b"line 1\n").and_then(|()| file.write_all(b"line 2\n"));
            if has("stay") {
                say("built");
                hang();
            }
            written
        })
    };
    match written {
        Ok(written) => written.map(|()| say("built")).expect("writing never fails"),
        Err(error) => say(&format!("refused {error:?} path={:?}", error.path())),
    }
}

/// Logs in a child, under another program.
fn logs(wrapper: &[&str], path: impl AsRef<Path>, options: &str) -> Spawn {
    let child = match wrapper {
        [] => Child::of_test("child_logs"),
        _ => Child::of_test_under(wrapper, "child_logs", None),
    };
    child.env("LOG", path.as_ref()).env("OPTIONS", options).limit(Duration::from_secs(20))
}

/// What such a child says.
fn said(child: Spawn) -> String {
    let said = |line: &&str| ["built", "told", "refused"].iter().any(|start| line.starts_with(start));
    let output: Output = child.spawn().wait().assert_success();
    output.stdout.lines().filter(said).map(|line| format!("{line}\n")).collect()
}

/// What it says as another user, who gets a copy of this test binary beside the folder.
fn said_as(user: &[&str], path: impl AsRef<Path>, options: &str) -> String {
    let home = Dir::new();
    let child = Child::of_test_under(user, "child_logs", Some(home.root()));
    said(child.env("LOG", path.as_ref()).env("OPTIONS", options).limit(Duration::from_secs(20)))
}

/// Runs a shell script in the folder, under another program.
#[track_caller]
fn sh(wrapper: &[&str], dir: &Dir, script: &str) {
    let mut command = Command::new(wrapper.first().unwrap_or(&"sh"));
    command.args(wrapper.iter().skip(1).copied().chain(["sh"].into_iter().filter(|_| !wrapper.is_empty())));
    let status = command.args(["-euc", script]).current_dir(dir.root()).status();
    assert!(must(status, "run sh").success(), "{script}");
}

fn mode(path: impl AsRef<Path>) -> u32 {
    must(fs::symlink_metadata(path), "look at a file").mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    must(fs::set_permissions(path, fs::Permissions::from_mode(mode)), "set a mode");
}

/// The line of a list that names a file.
fn own_line(path: impl AsRef<Path>) -> String {
    let meta = must(fs::metadata(path), "look at a file");
    let born = meta.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let born = born.map_or(0, |since| since.as_nanos());
    format!("own {} {} {born}\n", if born == 0 { meta.dev() } else { 0 }, meta.ino())
}

/// A list of a dead instance of the family, with these lines.
fn list(family: impl AsRef<Path>, lines: &str) -> String {
    format!("tracing-tasklog 1\nfamily {:?}\npid 1\n{lines}", family.as_ref())
}

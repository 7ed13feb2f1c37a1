//! The lock file: its mode, who may take it, and who is named as its holder.

use super::*;

#[test]
fn a_lock_has_mode_0600_whatever_the_umask_and_file_mode_and_an_older_one_gets_it() {
    for (umask, options) in [("000", ""), ("000", "mode"), ("022", ""), ("777", "mode"), ("007", "no-lock")] {
        let dir = Dir::new();
        let umask = format!("umask {umask}; exec \"$0\" \"$@\"");
        for before in [None, Some(0o644), Some(0o640), Some(0o400)] {
            before.into_iter().for_each(|before| set_mode(dir.path(".tasks.log.lock"), before));
            let said = said(logs(&["sh", "-c", &umask], dir.path("tasks.log"), options));
            assert_eq!(said, "built\n", "{umask} {options} {before:?}");
            assert_eq!(mode(dir.path(".tasks.log.lock")), 0o600, "{umask} {options} {before:?}");
        }
        let log = mode(dir.path("tasks.log"));
        assert!(options != "mode" || log == 0o604, "{umask}: the log's mode is another matter: {log:o}");
        assert_eq!(dir.read("tasks.log.1"), "line 1\n", "the list is believed");
    }
}

#[test]
#[ignore = "needs root, setpriv and flock"]
fn another_user_can_not_take_the_lock() {
    let dir = Dir::new();
    set_mode(dir.root(), 0o755);
    let umask = ["sh", "-c", "umask 0; exec \"$0\" \"$@\""];
    assert_eq!(said(logs(&umask, dir.path("tasks.log"), "")), "built\n");
    for how in ["--shared", "--exclusive"] {
        let taken = Command::new(OTHER[0])
            .args(&OTHER[1..])
            .args(["flock", how, "--nonblock"])
            .arg(dir.path(".tasks.log.lock"))
            .arg("true")
            .output();
        assert!(!must(taken, "run setpriv").status.success(), "{how}");
    }
}

/// Has flock(1) hold the lock. Returns it.
fn flock(dir: &Dir, how: &str) -> Child {
    let mut command = Command::new("flock");
    command.args(["--no-fork", how]).arg(dir.path(".tasks.log.lock")).args([
        "sh",
        "-c",
        "echo held; exec sleep 60",
    ]);
    let mut child = Child::of_command(command).spawn();
    child.wait_for_stdout_line(|line| line == "held");
    child
}

/// The process that the list names last.
fn last_pid(dir: &Dir) -> String {
    let lines = dir.lines(".tasks.log.lock");
    lines.iter().filter_map(|line| line.strip_prefix("pid ")).next_back().expect("a process").to_owned()
}

#[test]
#[ignore = "needs flock"]
fn a_process_is_named_as_the_holder_only_if_it_lives_and_holds_the_lock() {
    let dir = Dir::new();
    let path = dir.path("tasks.log");
    let dead = logs(&[], &path, "").spawn();
    let dead_id = dead.id();
    dead.wait().assert_success();
    for how in ["--shared", "--exclusive"] {
        // The last one that the list names is dead; then it lives, and has let go.
        for listed in [dead_id, std::process::id()] {
            if listed != dead_id {
                drop(InstanceFile::builder(&path).build().expect("it is free"));
            }
            assert_eq!(last_pid(&dir), listed.to_string());
            let holder = flock(&dir, how);
            let error = InstanceFile::builder(&path).build().expect_err("flock has it");
            assert!(
                error.is_in_use() && !error.to_string().contains(&format!("process {listed}:")),
                "{error}"
            );
            if cfg!(target_os = "linux") {
                assert!(error.to_string().contains(&format!("process {}:", holder.id())), "{error}");
            }
            drop(holder);
            dir.write(".tasks.log.lock", list(&path, &format!("pid {dead_id}\n")));
        }
    }
}

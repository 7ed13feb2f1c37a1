//! What is optional: a mode that can't be set, and a lock that a file system doesn't have.

use std::os::unix::fs::chown;

use super::*;

#[test]
#[ignore = "needs root and setpriv"]
fn a_mode_that_only_another_user_may_set_is_told_and_lines_are_written() {
    let dir = Dir::new();
    set_mode(dir.root(), 0o755);
    chown(dir.root(), Some(4711), Some(4711)).expect("root may");
    dir.write("tasks.log", "");
    set_mode(dir.path("tasks.log"), 0o666);
    let said = said_as(&USER, dir.path("tasks.log"), "mode");
    let (told, rest) = said.split_once('\n').expect("two lines");
    assert!(
        told.starts_with(&format!("told could not set the mode of {:?}", dir.path("tasks.log"))),
        "{said}"
    );
    assert!(told.contains("leave file_mode out"), "{said}");
    let (kept, rest) = rest.split_once('\n').expect("three lines");
    assert!(kept.starts_with("told could not keep the owner and the mode of"), "{said}");
    assert_eq!(rest, "built\n", "it is told once: the next file is the user's own");
    assert_eq!((dir.read("tasks.log.1").as_str(), mode(dir.path("tasks.log.1"))), ("line 1\n", 0o666));
    assert_eq!((dir.read("tasks.log").as_str(), mode(dir.path("tasks.log"))), ("line 2\n", 0o604));
}

/// Has flock(2) fail with this error in the program that it starts, by a filter of seccomp(2).
const WITHOUT_LOCKS: &str = r#"
import ctypes, errno, os, platform, struct, sys
number = {"x86_64": 73, "aarch64": 32, "riscv64": 32}[platform.machine()]
jump = lambda code, yes, no, k: struct.pack("HBBI", code, yes, no, k)
answer = 0x00050000 | getattr(errno, sys.argv[1])
code = jump(0x20, 0, 0, 0) + jump(0x15, 0, 1, number) + jump(0x06, 0, 0, answer) + jump(0x06, 0, 0, 0x7FFF0000)
buffer = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in [(38, 1, 0, 0, 0), (22, 2, ctypes.addressof(program), 0, 0)]:
    if libc.prctl(*map(ctypes.c_ulong, arguments)) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
"#;

#[test]
#[ignore = "needs python3 and seccomp"]
fn where_there_are_no_locks_the_error_says_so_and_a_log_without_lock_rotates() {
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let dir = Dir::new();
        let wrapper = ["python3", "-c", WITHOUT_LOCKS, error];
        let refused = said(logs(&wrapper, dir.path("tasks.log"), ""));
        assert!(
            refused.starts_with("refused the file system of") && refused.contains("has no locks"),
            "{refused}"
        );
        assert!(refused.contains("set lock(false) if no other process logs to this path"), "{refused}");
        assert_eq!(dir.all_names(), [""; 0], "nothing is left");
        for _ in 0..3 {
            assert_eq!(said(logs(&wrapper, dir.path("tasks.log"), "no-lock")), "built\n");
        }
        assert_eq!(dir.names(), ["tasks.log", "tasks.log.1"], "the list is believed: one backup");
        assert_eq!(said(logs(&wrapper, dir.path("watched.log"), "watched")), "built\n");
        assert_eq!(said(logs(&[], dir.path("tasks.log"), "")), "built\n", "later there are locks");
    }
}

#[test]
fn an_instance_without_lock_is_not_pruned_and_keeps_nobody_off() {
    let dir = Dir::new();
    let family = dir.path("tasks-{instance}.log");
    let mut alive = logs(&[], &family, "no-lock stay").env("TASKLOG_INSTANCE", "a").spawn();
    alive.wait_for_stdout_line(|line| line == "built");
    assert_eq!(said(logs(&[], &family, "keep").env("TASKLOG_INSTANCE", "b")), "built\n");
    assert_eq!(dir.read("tasks-a.log"), "line 2\n", "it lives, which no lock tells");
    assert_eq!(said(logs(&[], &family, "").env("TASKLOG_INSTANCE", "a")), "built\n");
    assert_eq!(said(logs(&[], &family, "keep").env("TASKLOG_INSTANCE", "c")), "built\n");
    assert!(!dir.path("tasks-a.log").exists(), "its next life had the lock, and is dead");
}

//! Threads that share the file, processes that are killed, and what the kernel says of the open file.

use std::{fs::OpenOptions, thread, time::Duration};

use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile};

use super::{builder, file, write};
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    ledger::Ledger,
    verify::{Expect, LogFamily, numbered},
    wait_until,
};

const WORKERS: u32 = 8;
const LINES: u64 = 2_000;

fn expected_tag(worker: u32, _line: u64) -> (String, String) {
    (format!("job{worker}"), "send".to_owned())
}

#[test]
fn lines_of_eight_threads_are_all_there_once_and_in_order() {
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(64 * 1024).backups(100).build().expect("the file can be opened");
    let layer = TaskLayer::new(file.clone());
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let dispatch = &dispatch;
            scope.spawn(move || {
                tracing::dispatcher::with_default(dispatch, || {
                    task_span!("send", format!("job{worker}")).run_task(|| {
                        (1..=LINES)
                            .for_each(|n| tracing::info!("{}", numbered(worker, n, (n % 60) as usize)));
                    });
                });
            });
        }
    });
    let expect = (0..WORKERS).fold(Expect::new(), |expect, worker| expect.worker(worker, LINES));
    let family = LogFamily::of(dir.path("tasks.log"));
    let verdict = family.verify(&expect.tag(expected_tag)).assert_clean();
    assert_eq!(verdict.closed_fragments, 0);
    let stats = file.stats();
    assert_eq!(stats.written_lines, u64::from(WORKERS) * LINES);
    assert_eq!(stats.rotations as usize, family.names().len() - 1);
    assert!(stats.rotations > 10, "{stats:?}");
    for path in family.paths() {
        assert!(path.metadata().expect("it is there").len() <= 64 * 1024, "{}", path.display());
    }
}

#[test]
fn child_writes_at_full_speed() {
    if !role("processes::child_writes_at_full_speed") {
        return;
    }
    let path = std::env::var_os("LOG").expect("the parent says where");
    let ledger = Ledger::open(std::env::var_os("LEDGER").expect("the parent has a ledger"));
    let file = InstanceFile::builder(path).max_bytes(32 * 1024).backups(10_000).build();
    let file = file.expect("the file can be opened");
    tracing_subscriber::registry().with(TaskLayer::new(file)).init();
    say("ready");
    thread::scope(|scope| {
        for worker in 0..2 {
            let ledger = &ledger;
            scope.spawn(move || {
                task_span!("send", format!("job{worker}")).run_task(|| {
                    for n in 1..200_000 {
                        ledger.around(worker, n, || {
                            tracing::info!("{}", numbered(worker, n, (n % 60) as usize))
                        });
                    }
                });
            });
        }
    });
}

#[test]
fn every_line_whose_call_returned_survives_sigkill() {
    assert_lines_survive_sigkill(5);
}

#[test]
#[ignore = "deep: a hundred processes killed"]
fn deep_lines_survive_sigkill() {
    assert_lines_survive_sigkill(100);
}

fn assert_lines_survive_sigkill(rounds: u64) {
    for round in 0..rounds {
        let dir = Dir::new();
        let ledger = Ledger::create(dir.path("ledger"), 2);
        let child = Child::of_test("processes::child_writes_at_full_speed");
        let mut child = child.env("LOG", dir.path("tasks.log")).env("LEDGER", dir.path("ledger")).spawn();
        child.wait_for_stdout_line(|line| line == "ready");
        let wanted = 500 + round * 100;
        wait_until("lines are written", Duration::from_secs(20), || {
            ledger.read().iter().all(|&(_, returned)| returned > wanted)
        });
        assert!(child.is_running(), "it was to be killed in full speed");
        child.kill();
        assert!(!child.wait().status.success());
        // A second life on the same path closes what the first one may have left.
        let second = super::builder(&dir).backups(10_000).build().expect("the file can be opened");
        write(&second, "[-] [tracing_tasklog] 2026-01-01T12:00:00 second life\n");
        let verdict = LogFamily::of(dir.path("tasks.log"))
            .verify(&Expect::from_ledger(&ledger).tag(expected_tag))
            .assert_clean();
        assert!(verdict.found > 2 * wanted, "{verdict}");
    }
}

#[test]
fn a_file_that_is_truncated_meanwhile_gets_no_hole() {
    let dir = Dir::new();
    let file = file(&dir);
    write(&file, "before\n");
    OpenOptions::new().write(true).truncate(true).open(dir.path("tasks.log")).expect("it is there");
    write(&file, "after\n");
    assert_eq!(dir.read("tasks.log"), "after\n");
}

#[test]
fn child_changes_its_directory() {
    if !role("processes::child_changes_its_directory") {
        return;
    }
    let start = std::env::var_os("START").expect("the parent says where");
    std::env::set_current_dir(&start).expect("it is there");
    let file = InstanceFile::builder("logs/tasks.log").max_bytes(4).build().expect("the file can be opened");
    write(&file, "one\n");
    std::env::set_current_dir(std::env::var_os("LATER").expect("the parent says where"))
        .expect("it is there");
    write(&file, "two\n");
    assert_eq!(file.path(), std::path::Path::new(&start).join("logs/tasks.log"));
    assert_eq!((file.stats().rotations, file.stats().errors), (1, 0));
}

#[test]
fn a_relative_path_stays_where_it_was_when_the_process_changes_its_directory() {
    let (start, later) = (Dir::new(), Dir::new());
    let child = Child::of_test("processes::child_changes_its_directory");
    child.env("START", start.root()).env("LATER", later.root()).spawn().wait().assert_success();
    assert_eq!(
        (start.read("logs/tasks.log.1"), start.read("logs/tasks.log")),
        ("one\n".into(), "two\n".into())
    );
    assert_eq!(later.names(), [""; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernel_has_the_file_open_for_appending_and_not_for_children() {
    const O_APPEND: u32 = 0o2000;
    const O_CLOEXEC: u32 = 0o2_000_000;
    let dir = Dir::new();
    let file = builder(&dir).max_bytes(4).build().expect("the file can be opened");
    write(&file, "one\n");
    write(&file, "two\n");
    let live = std::fs::read_dir("/proc/self/fd").expect("/proc is mounted").filter_map(Result::ok);
    let live: Vec<_> = live
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(dir.root())))
        .filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|path| path != dir.path(".tasks.log.lock")))
        .map(|fd| (std::fs::read_link(fd.path()).expect("still open"), fd.file_name()))
        .collect();
    let [(path, fd)] = live.as_slice() else { panic!("one open file, not {live:?}") };
    assert_eq!(path, &dir.path("tasks.log"));
    let info =
        std::fs::read_to_string(std::path::Path::new("/proc/self/fdinfo").join(fd)).expect("still open");
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags").trim();
    let flags = u32::from_str_radix(flags, 8).expect("an octal number");
    assert_eq!(flags & (O_APPEND | O_CLOEXEC), O_APPEND | O_CLOEXEC, "{flags:o}");
}

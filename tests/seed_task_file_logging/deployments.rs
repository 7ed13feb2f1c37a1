//! "Multi-instance deployments" and "Docker", as far as one host and files of their own go.

use tracing_subscriber::prelude::*;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile};

use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    verify::{Expect, LogFamily, numbered},
};

const LINES: u64 = 500;

#[test]
fn child_is_an_instance() {
    if !role("deployments::child_is_an_instance") {
        return;
    }
    let path = std::env::var_os("LOG").expect("the parent says where");
    let file = InstanceFile::builder(path).max_bytes(5_000).backups(100).build();
    let file = file.expect("the file can be opened");
    let layer = TaskLayer::new(file.clone()).with_lifecycle(true);
    tracing_subscriber::registry().with(layer).init();
    task_span!("send", 7).run_task(|| (1..=LINES).for_each(|n| tracing::info!("{}", numbered(0, n, 20))));
    say(&format!("rotated {}", file.stats().rotations));
}

/// Runs two instances at once whose variable `key` is "1" and "2", on the same path with a placeholder. Each must leave
/// a log of its own, complete and rotated.
fn run_two(name: &str, key: &str) {
    let dir = Dir::new();
    let start = |value: &str| {
        let child = Child::of_test("deployments::child_is_an_instance");
        child.env("LOG", dir.path(name)).env(key, value).spawn()
    };
    let instances = ["1", "2"].map(|value| (value, start(value)));
    for (value, mut child) in instances {
        let rotated = child.wait_for_stdout_line(|line| line.starts_with("rotated "));
        child.wait().assert_success();
        let family = LogFamily::of(dir.path(&format!("tasks-{value}.log")));
        let expect = Expect::new().worker(0, LINES).tag(|_, _| ("7".to_owned(), "send".to_owned()));
        family.verify(&expect).assert_clean();
        family.tasks().assert_every_task_complete(1);
        assert_eq!(rotated, format!("rotated {}", family.paths().len() - 1));
        assert!(family.paths().len() > 5, "{:?}", family.names());
    }
}

// "Separate file per instance (recommended): Give each instance its own path. Each file rotates independently with no
// coordination needed"
#[test]
fn each_instance_has_a_path_of_its_own_and_rotates_independently() {
    run_two("tasks-{instance}.log", "TASKLOG_INSTANCE");
}

// "Docker / no logrotate: Use separate files per instance … Set a unique path per worker using an environment variable"
#[test]
fn a_unique_path_per_worker_comes_from_an_environment_variable() {
    run_two("tasks-{env:WORKER_ID}.log", "WORKER_ID");
}

// "Each file rotates independently": also in one process.
#[test]
fn two_files_of_one_process_rotate_independently() {
    let dir = Dir::new();
    let open = |name, max_bytes| InstanceFile::builder(dir.path(name)).max_bytes(max_bytes).build();
    let small = open("tasks-1.log", 100).expect("the file can be opened");
    let large = open("tasks-2.log", 100_000).expect("the file can be opened");
    let layers = TaskLayer::new(small.clone()).and_then(TaskLayer::new(large.clone()));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layers), || {
        (1..=4).for_each(|n| tracing::info!("{}", numbered(0, n, 40)));
    });
    assert_eq!((small.stats().rotations, large.stats().rotations), (3, 0));
    for name in ["tasks-1.log", "tasks-2.log"] {
        LogFamily::of(dir.path(name)).verify(&Expect::new().worker(0, 4)).assert_clean();
    }
}

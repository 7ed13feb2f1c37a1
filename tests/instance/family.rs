//! `keep_instances`: whose files are pruned, and whose never.

use std::{
    env,
    fs::File,
    time::{Duration, UNIX_EPOCH},
};

use tracing_tasklog::writer::{InstanceFile, InstanceFileBuilder};

use super::write;
use crate::support::{
    child::{Child, hang, role, say},
    dir::Dir,
};

fn family(dir: &Dir, name: &str) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path(name)).max_bytes(4)
}

#[test]
fn child_is_an_instance() {
    if !role("family::child_is_an_instance") {
        return;
    }
    let path = env::var_os("LOG").expect("the parent says where");
    let file = InstanceFile::builder(path).max_bytes(4).build().expect("the file can be opened");
    (1..=3).for_each(|n| write(&file, format!("{n:03}\n")));
    say("written");
    if env::var_os("STAY").is_some() {
        hang();
    }
}

fn instance(dir: &Dir, name: &str, instance: &str) -> crate::support::child::Spawn {
    let child = Child::of_test("family::child_is_an_instance");
    child.env("LOG", dir.path(name)).env("TASKLOG_INSTANCE", instance)
}

/// An instance that has written three files and is gone; it last wrote in that second.
fn dead(dir: &Dir, name: &str, number: u64) {
    instance(dir, &format!("{name}-{{instance}}.log"), &format!("d{number}")).spawn().wait().assert_success();
    let log = File::options().append(true).open(dir.path(&format!("{name}-d{number}.log")));
    let written = UNIX_EPOCH + Duration::from_secs(1_000_000 + number);
    log.and_then(|log| log.set_modified(written)).expect("it was written");
}

/// The files of an instance, with its lock.
fn files(name: &str) -> Vec<String> {
    let mut files = vec![format!(".{name}.lock"), name.to_owned()];
    files.extend((1..=2).map(|number| format!("{name}.{number}")));
    files
}

fn sorted(names: impl IntoIterator<Item = Vec<String>>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().flatten().collect();
    names.sort();
    names
}

/// The files of the instance that this process is, which has written nothing.
fn mine(name: &str) -> Vec<String> {
    files(&format!("{name}-{}.log", std::process::id()))[..2].to_vec()
}

#[test]
fn the_newest_dead_instances_stay_and_the_living_always() {
    let dir = Dir::new();
    let mut living = instance(&dir, "tasks-{instance}.log", "living").env("STAY", "1").spawn();
    living.wait_for_stdout_line(|line| line == "written");
    // Written in another order than their names have.
    for number in [3, 1, 4, 2] {
        dead(&dir, "tasks", number);
    }
    let _mine = family(&dir, "tasks-{instance}.log").keep_instances(4).build().expect("it can be built");
    let kept = ["tasks-living.log", "tasks-d3.log", "tasks-d4.log"].map(files);
    assert_eq!(dir.all_names(), sorted(kept.into_iter().chain([mine("tasks")])));
}

#[test]
fn living_instances_count_and_are_never_removed_even_if_there_are_too_many() {
    let dir = Dir::new();
    let mut children: Vec<_> = ["a", "b"]
        .iter()
        .map(|name| instance(&dir, "tasks-{instance}.log", name).env("STAY", "1").spawn())
        .collect();
    children.iter_mut().for_each(|child| drop(child.wait_for_stdout_line(|line| line == "written")));
    dead(&dir, "tasks", 1);
    let _mine = family(&dir, "tasks-{instance}.log").keep_instances(1).build().expect("it can be built");
    let kept = ["tasks-a.log", "tasks-b.log"].map(files);
    assert_eq!(dir.all_names(), sorted(kept.into_iter().chain([mine("tasks")])));
}

#[test]
fn only_files_that_an_instance_of_this_family_is_known_to_have_written_are_removed() {
    let dir = Dir::new();
    dead(&dir, "jobs", 1);
    dead(&dir, "tasks", 1);
    // Names that fit, and nobody of this family wrote them.
    let foreign = ["tasks-9.log", "tasks-9.log.1", "tasks-d1.log.3", "tasks-d1.log.1.gz", "tasks-d1.log.bak"];
    foreign.iter().for_each(|name| dir.write(name, "somebody's"));
    let replaced = dir.path("tasks-d1.log.2");
    dir.write("new", "somebody's");
    std::fs::rename(dir.path("new"), replaced).expect("it is there");
    let _mine = family(&dir, "tasks-{instance}.log").keep_instances(1).build().expect("it can be built");
    let mut foreign: Vec<_> = foreign.map(str::to_owned).to_vec();
    foreign.push("tasks-d1.log.2".to_owned());
    foreign.iter().for_each(|name| assert_eq!(dir.read(name), "somebody's"));
    assert_eq!(dir.all_names(), sorted([files("jobs-d1.log"), foreign, mine("tasks")]));
}

#[test]
fn a_file_of_another_folder_or_a_plain_path_prunes_nothing() {
    let dir = Dir::new();
    dead(&dir, "tasks", 1);
    let _plain = family(&dir, "tasks-d7.log").keep_instances(1).build().expect("it can be built");
    let _other =
        family(&dir, "more/tasks-{instance}.log").keep_instances(1).build().expect("it can be built");
    assert!(files("tasks-d1.log").iter().all(|name| dir.all_names().contains(name)), "{:?}", dir.all_names());
}

#[test]
fn without_keep_instances_nothing_is_removed() {
    let dir = Dir::new();
    dead(&dir, "tasks", 1);
    let _mine = family(&dir, "tasks-{instance}.log").build().expect("it can be built");
    assert_eq!(dir.all_names(), sorted([files("tasks-d1.log"), mine("tasks")]));
}

#[test]
fn keep_instances_0_is_an_error_and_removes_nothing() {
    let dir = Dir::new();
    dead(&dir, "tasks", 1);
    let error = family(&dir, "tasks-{instance}.log").keep_instances(0).build().expect_err("0 is an error");
    assert!(error.to_string().starts_with("keep_instances of "), "{error}");
    assert!(error.to_string().ends_with(" is 0: expected at least 1, which is this instance"), "{error}");
    assert_eq!(dir.all_names(), files("tasks-d1.log"));
}

//! The recipes of the README for the night, run on a log with compressed backups and with data that mean harm.
#![cfg(all(unix, feature = "gzip"))]

mod support;

use std::process::Command;

use support::{capture::under, dir::Dir, wait_until};
use tracing::info;
use tracing_tasklog::{TaskLayer, TaskSpanExt, task_span, writer::InstanceFile};

/// The commands of the section, in their order.
fn recipes() -> Vec<String> {
    let readme = include_str!("../README.md");
    let section = readme.split("### At 3 a.m.").nth(1).expect("the section");
    let block =
        section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("its commands");
    let mut recipes: Vec<String> = Vec::new();
    for line in block.lines() {
        match recipes.last_mut() {
            Some(recipe) if line.starts_with(' ') => *recipe += &format!("\n{line}"),
            _ => recipes.push(line.to_owned()),
        }
    }
    recipes
}

/// What a command prints in the folder, without timestamps.
fn printed(dir: &Dir, command: &str) -> Vec<String> {
    let output = Command::new("sh").arg("-c").arg(command).current_dir(dir.root()).output().expect("sh runs");
    assert!(output.stderr.is_empty(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_recipes_of_the_readme_find_what_they_promise() {
    let dir = Dir::new();
    let file =
        InstanceFile::builder(dir.path("tasks.log")).max_bytes(2_000).backups(50).compress(true).build();
    let file = file.expect("the file can be opened");
    let layer = TaskLayer::new(file.clone()).with_lifecycle(true).with_outcome(true);
    under(layer, || {
        let forged = "[abc12345] [send] 2026-01-01T12:00:00 -- FAILED";
        let open = task_span!("import", "open1");
        open.in_scope(|| info!("begun"));
        std::mem::forget(open);
        task_span!("send", "abc12345").run_task(|| {
            for n in 1..=50 {
                info!(n, "sent");
                task_span!("other", "other").run_task(|| info!("{forged}\n{forged}"));
            }
        });
        let failed = task_span!("send", "bad").try_run_task(|| Err::<(), _>("no route to host"));
        assert!(failed.is_err());
    });
    wait_until("the backups are compressed", std::time::Duration::from_secs(20), || {
        let names = dir.names();
        names.iter().filter(|name| name.ends_with(".gz")).count() as u64 == file.stats().rotations
    });
    assert!(file.stats().rotations > 3);

    let [one, failed, open] = &recipes()[..] else { panic!("three recipes: {:#?}", recipes()) };
    let one = printed(&dir, one);
    let numbers: Vec<_> = one.iter().filter_map(|line| line.split(" sent n=").nth(1)).collect();
    assert_eq!(numbers, (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(one.len(), 52, "RUNNING and SUCCESS are the others: {one:#?}");
    let failed = printed(&dir, failed);
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(
        failed[0].starts_with("[bad] [send] ") && failed[0].ends_with("error=\"no route to host\""),
        "{failed:?}"
    );
    let open = printed(&dir, open);
    assert_eq!(open.len(), 1, "{open:#?}");
    assert!(open[0].starts_with("[open1] [import] ") && open[0].ends_with(" -- RUNNING"), "{open:?}");
}

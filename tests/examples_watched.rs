//! The examples of `WatchedFile`, as cargo runs them: what they print is what is in their files.
#![cfg(all(unix, feature = "watch"))]

mod support;

use support::dir::Dir;
use support::example::output_of;
use support::verify::LogFamily;

/// A printed line without what differs from run to run: the folder, the time.
fn steady(line: &str) -> String {
    match line.split(' ').collect::<Vec<_>>()[..] {
        [id, target, _, text] => format!("{id} {target} {text}"),
        _ => line.rsplit('/').next().unwrap_or_default().to_owned(),
    }
}

#[test]
fn sighup_has_the_path_followed() {
    let temp = Dir::new();
    let output = output_of("sighup", temp.root());
    let lines: Vec<_> = output.lines().map(steady).collect();
    let expected =
        ["app.log.1:", "[-] [sighup] before", "[-] [sighup] between", "app.log:", "[-] [sighup] after"];
    assert_eq!(lines, expected, "{output}");
}

/// The two numbers of a row of the printed table.
fn row(output: &str, name: &str) -> (usize, usize) {
    let numbers = output.lines().find_map(|line| {
        let (found, expected) = line.trim().strip_prefix(name)?.trim().split_once(' ')?;
        Some((found.parse().ok()?, expected.trim().parse().ok()?))
    });
    numbers.unwrap_or_else(|| panic!("no {name} in\n{output}"))
}

#[test]
#[ignore = "needs logrotate"]
fn the_verifier_agrees_about_what_logrotate_left() {
    let temp = Dir::new();
    let output = output_of("logrotate", temp.root());
    let live = output.split('"').find(|part| part.ends_with("/tasks.log")).expect("the path is printed");

    let family = LogFamily::of(live);
    let tasks = family.tasks();
    tasks.assert_every_task_complete(tasks.all().len());
    let compressed = family.names().iter().filter(|name| name.ends_with(".gz")).count();
    assert_eq!((family.paths().len(), compressed), (13, 11), "{:?}", family.names());
    for (name, counted) in [
        ("tasks with SUCCESS", tasks.all().len()),
        ("lines", family.lines().len()),
        ("numbered, in order", 8 * tasks.all().len()),
        ("numbered, misplaced", 0),
        ("torn, or other", 0),
        ("files", 13),
        ("other files", 0),
        ("complaints of logrotate", 0),
    ] {
        assert_eq!(row(&output, name), (counted, counted), "{name} in\n{output}");
    }
    assert!(tasks.all().len() > 100, "the processes had time\n{output}");
}

//! What comes from shells, files of settings and environments.

use crate::program::{Scene, logged};

/// A spec that a shell reads from a file with the line ends of Windows, and with a space behind it.
#[test]
fn a_spec_from_a_file_with_carriage_returns() {
    let scene = Scene::new();
    scene.dir.write("settings", format!("instance:{} \r\n", scene.log()));
    let shell = format!("SPEC=\"$(cat '{}')\"; export SPEC", scene.dir.path("settings").display());
    scene.program("replaced", &[10]).behind(&shell).run();
    scene.assert_all_there(&[(0, 10)]);
}

/// Quotes that env(1), Docker's --env-file and systemd leave where they are.
#[test]
fn a_spec_with_the_quotes_of_an_env_file() {
    let scene = Scene::new();
    let error = scene.program(&format!("\"instance:{}\"", scene.log()), &[1]).refusal();
    assert!(error.contains("has quotes in it, leave them out"), "{error}");
    let names = scene.dir.names();
    assert_eq!(names, ["refused"], "and nothing else is made");
}

/// An instance that is read from a file, line feed included: `TASKLOG_INSTANCE="$(cat; echo x)"` and its like.
#[test]
fn an_instance_with_the_line_feed_of_its_file() {
    let scene = Scene::new();
    let spec = format!("instance:{}", scene.dir.path("tasks-{instance}.log").display());
    let shell = "TASKLOG_INSTANCE=\"$(printf 'web-3\\n.')\"; export TASKLOG_INSTANCE";
    let error = scene.program(&spec, &[1]).behind(shell).refusal();
    assert!(error.contains("TASKLOG_INSTANCE") && error.contains(r"web-3\n."), "{error}");
    scene.program(&spec, &[5]).behind("TASKLOG_INSTANCE=web-3; export TASKLOG_INSTANCE").run();
    assert_eq!(logged(&scene.dir.read("tasks-web-3.log")).len(), 5);
}

/// Two containers: each program is process 1 of a namespace of its own, and has a host name of its own.
#[test]
#[ignore = "needs root, to make namespaces"]
fn containers_that_share_a_directory_take_host() {
    let scene = Scene::new();
    let spec = |name: &str| format!("instance:{}", scene.dir.path(name).display());
    let container = |host: &str| {
        let inner = format!("hostname {host}; exec \"$0\" \"$@\"");
        format!("exec unshare --pid --fork --uts sh -c '{inner}' \"$0\" \"$@\"")
    };
    let first = scene.program(&spec("tasks-{instance}.log"), &[1, 1]).behind(&container("a")).start();
    scene.wait_for(0, 1);
    let other = Scene::below(scene.dir.root());
    let error = other.program(&spec("tasks-{instance}.log"), &[1]).behind(&container("b")).refusal();
    assert!(error.contains("tasks-1.log") && error.contains("{host} in containers"), "{error}");
    scene.go(1);
    crate::program::end(first);
    for host in ["a", "b"] {
        other.program(&spec("tasks-{host}.log"), &[3]).behind(&container(host)).run();
        assert_eq!(logged(&scene.dir.read(&format!("tasks-{host}.log"))).len(), 3);
    }
}

/// A log that a program has written, through the tools of a shell: no line that the expression doesn't know.
#[test]
#[ignore = "needs grep, awk and sed"]
fn a_log_through_grep_and_awk() {
    let scene = Scene::new();
    scene.program(&format!("instance:{}", scene.log()), &[100]).run();
    let expression = tracing_tasklog::line::REGEX_ERE;
    assert_eq!(scene.sh(&format!("grep -cE '{expression}' tasks.log")).trim(), "100");
    assert_eq!(scene.sh("awk -F'[][]' '$2 == \"0\" && $4 == \"works\"' tasks.log | wc -l").trim(), "100");
}

//! Standard output: pipes, files under a limit, readers that leave.

use crate::{
    program::{Scene, end, logged},
    support::child::Output,
};

/// Four programs that write lines of this size to one pipe. Returns what came out of it.
fn four_on_one_pipe(scene: &Scene, size: usize, max_line: usize) -> String {
    scene.sh("mkfifo pipe");
    let reader = std::process::Command::new("sh")
        .args(["-c", "exec cat pipe > tasks.log"])
        .current_dir(scene.dir.root())
        .spawn();
    let mut reader = reader.expect("sh can be run");
    let programs: Vec<_> = (0..4)
        .map(|worker| {
            let program = scene.program("stdout", &[0, 500]).worker(worker);
            let program = program.with("SIZE", size).with("MAX_LINE", max_line);
            program.behind(&format!("exec > '{}'", scene.dir.path("pipe").display())).start()
        })
        .collect();
    (0..4).for_each(|worker| scene.wait_for(worker, 1));
    scene.go(1); // all at once
    programs.into_iter().for_each(|program| drop(end(program)));
    assert!(reader.wait().expect("it is ours").success(), "cat");
    scene.dir.read("tasks.log")
}

#[test]
fn four_processes_on_one_pipe_leave_each_line_whole() {
    let scene = Scene::new();
    let text = four_on_one_pipe(&scene, 60, 1 << 20);
    assert_eq!(logged(&text).len(), 2000);
    let tag = |worker: u32| format!("[{worker}] [works] ");
    (0..4).for_each(|worker| assert_eq!(text.matches(&tag(worker)).count(), 500, "nothing is glued"));
}

/// What README says of long lines: up to PIPE_BUF (4,096 bytes) a write to a pipe is one step, and `with_max_line` has it so.
#[test]
fn lines_cut_at_the_size_of_an_atomic_write_are_whole_on_one_pipe() {
    let scene = Scene::new();
    let text = four_on_one_pipe(&scene, 20_000, 4096);
    let lines = logged(&text);
    assert_eq!(lines.len(), 2000);
    assert!(lines.iter().all(|line| line.len() < 4096 && line.ends_with(" bytes]")), "each is cut");
}

/// A standard output in a file that may not grow beyond a limit: every line is in it, or counted, and the program lives.
fn under_a_limit(redirection: &str) {
    let scene = Scene::new();
    scene.dir.write("out", "an earlier run\n");
    let place = scene.dir.path("out");
    let shell = format!("ulimit -f 8; exec {redirection} '{}'", place.display());
    let Output { stderr, .. } = scene.program("stdout", &[300]).behind(&shell).run();
    let (stats, text) = (scene.stats(0), scene.dir.read("out"));
    assert!(stats["dropped"] > 0 && stats["written"] > 10, "{stats:?}");
    assert_eq!(stats["accepted"], stats["written"] + stats["dropped"]);
    assert_eq!(logged(&text).len() as u64, stats["written"]);
    assert!(stderr.contains("raise it"), "{stderr}");
}

#[test]
fn stdout_in_a_file_stays_below_ulimit() {
    under_a_limit(">");
    under_a_limit(">>");
}

#[test]
fn stdout_goes_on_when_its_reader_has_left() {
    let scene = Scene::new();
    scene.sh("mkfifo pipe");
    let shell = format!("exec > '{}'", scene.dir.path("pipe").display());
    let program = scene.program("stdout", &[50, 50]).behind(&shell).start();
    scene.sh("head -c 1 pipe > first");
    scene.wait_for(0, 1);
    scene.go(1);
    end(program);
    let stats = scene.stats(0);
    assert_eq!((stats["accepted"], stats["written"] + stats["dropped"]), (100, 100));
    assert!(stats["dropped"] >= 50, "{stats:?}");
}

/// The way of some containers: a log that is a link to standard output. On a pipe it has no place, and can't be opened again.
#[test]
#[cfg(target_os = "linux")]
fn a_log_that_links_to_stdout_on_a_pipe_is_refused_with_the_way_out() {
    for kind in ["instance", "watched"] {
        let scene = Scene::new();
        scene.sh("ln -s /dev/stdout tasks.log");
        let error = scene.program(&format!("{kind}:{}", scene.log()), &[1]).refusal();
        assert!(error.contains("it is no regular file"), "{kind}: {error}");
        assert!(scene.dir.path("tasks.log").is_symlink(), "it stays");
    }
}

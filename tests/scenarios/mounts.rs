//! File systems that come, go and fill up: mount(8), as root.

use std::path::Path;

use crate::program::{Scene, end};

/// A file system of its own, of so many KiB, in `disk` of a scene; gone with it.
struct Mount<'s>(&'s Scene);

impl<'s> Mount<'s> {
    fn tmpfs(scene: &'s Scene, kib: u32) -> Self {
        scene.sh(&format!("mkdir -p disk && mount -t tmpfs -o size={kib}k,mode=0755 tasklog-scenario disk"));
        Mount(scene)
    }

    fn log(&self) -> String {
        self.0.dir.path("disk/tasks.log").display().to_string()
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        self.0.sh("umount -l disk 2> /dev/null || true");
    }
}

fn lines(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = |line: &&str| line.contains("[works]") && line.ends_with('\n') && !line.ends_with("\u{18}\n");
    text.split_inclusive('\n').filter(whole).count() as u64
}

#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_disk_that_is_full_and_then_larger() {
    for kind in ["instance", "watched", "queued+instance"] {
        let scene = Scene::new();
        let disk = Mount::tmpfs(&scene, 256);
        scene.sh("head -c 200k /dev/zero > disk/ballast");
        let program =
            scene.program(&format!("{kind}:{}", disk.log()), &[1000, 100]).with("SIZE", 200).start();
        scene.wait_for(0, 1);
        scene.sh("mount -o remount,size=4m disk");
        scene.go(1);
        end(program);
        let stats = scene.stats(0);
        let found = lines(&scene.dir.path("disk/tasks.log"));
        assert_eq!(stats["accepted"], 1100, "{kind}");
        assert_eq!(
            (stats["written"], stats["written"] + stats["dropped"]),
            (found, 1100),
            "{kind}: {stats:?}"
        );
        let said = scene.sh("grep -ahE 'lines dropped reason=\"disk full\"' disk/tasks.log | sed -E 's/.* ([0-9]+) lines.*/\\1/'");
        let announced: u64 = said.lines().map(|n| n.parse::<u64>().expect("a number")).sum();
        assert_eq!(announced, stats["dropped"], "{kind}");
    }
}

/// Standard output in a file on a full disk: whole lines, or counted.
#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn stdout_on_a_disk_that_is_full() {
    let scene = Scene::new();
    let disk = Mount::tmpfs(&scene, 64);
    scene.sh("head -c 40k /dev/zero > disk/ballast");
    let shell = format!("exec >> '{}'", disk.log());
    scene.program("stdout", &[1000]).with("SIZE", 200).behind(&shell).run();
    let stats = scene.stats(0);
    assert!(stats["dropped"] > 0 && stats["written"] > 0, "{stats:?}");
    let found = lines(&scene.dir.path("disk/tasks.log"));
    assert_eq!((stats["accepted"], found), (1000, stats["written"]), "{stats:?}");
    assert_eq!(stats["written"] + stats["dropped"], 1000);
}

/// A file system that is taken away below the log: what is open stays; then the path is made anew where it leads now.
#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_file_system_that_is_unmounted_lazily() {
    for kind in ["instance", "watched"] {
        let scene = Scene::new();
        let disk = Mount::tmpfs(&scene, 1024);
        let program = scene.program(&format!("{kind}:{}", disk.log()), &[50, 0, 50]);
        let program = program.with("UNTIL", disk.log()).start();
        scene.wait_for(0, 1);
        scene.sh("mkdir seen && mount --bind disk seen && umount -l disk");
        scene.go(1);
        scene.wait_for(0, 2);
        scene.go(2);
        end(program);
        let (before, after) =
            (lines(&scene.dir.path("seen/tasks.log")), lines(&scene.dir.path("disk/tasks.log")));
        scene.sh("umount -l seen");
        assert_eq!((before, after), (50, 50), "{kind}");
    }
}

/// Another file system is mounted over the directory, as by an automounter.
#[test]
#[ignore = "needs root, to mount a tmpfs of its own"]
fn a_file_system_that_is_mounted_over_the_directory() {
    for kind in ["instance", "watched"] {
        let scene = Scene::new();
        scene.sh("mkdir disk");
        let log = scene.dir.path("disk/tasks.log");
        let program = scene.program(&format!("{kind}:{}", log.display()), &[50, 0, 50]);
        let program = program.with("UNTIL", log.display()).start();
        scene.wait_for(0, 1);
        let disk = Mount::tmpfs(&scene, 1024);
        scene.go(1);
        scene.wait_for(0, 2);
        scene.go(2);
        end(program);
        assert_eq!(lines(&log), 50, "{kind}");
        drop(disk);
        assert_eq!(lines(&log), 50, "{kind}: below it");
    }
}

//! Other users and other processes: flock(1), setpriv(1), umask, FIFOs in the way.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::program::{Scene, end};

/// A program of a shell that runs until it is dropped.
struct Background(std::process::Child);

impl Background {
    fn start(scene: &Scene, command: &str) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {command}")]).current_dir(scene.dir.root()).stdin(Stdio::null());
        Background(shell.spawn().expect("sh can be run"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_shared_lock_of_a_reader_on_a_watched_log_keeps_no_fragment_open() {
    let scene = Scene::new();
    scene.dir.write("tasks.log", "half of a li");
    let _reader = Background::start(&scene, "flock --shared tasks.log sh -c 'touch held; exec sleep 60'");
    crate::support::wait_until("the lock is held", crate::program::PATIENCE, || {
        scene.dir.path("held").exists()
    });
    scene.program(&format!("watched:{}", scene.log()), &[10]).run();
    assert!(
        scene.dir.read("tasks.log").starts_with("half of a li\u{18}\n"),
        "{}",
        scene.dir.read("tasks.log")
    );
    scene.assert_all_there(&[(0, 10)]);
}

#[test]
fn two_programs_on_one_path_of_which_the_second_is_told_the_first() {
    let scene = Scene::new();
    let spec = format!("instance:{}", scene.log());
    let first = scene.program(&spec, &[10, 10]).worker(1).start();
    scene.wait_for(1, 1);
    let error = scene.program(&spec, &[1]).refusal();
    assert!(error.contains(&format!("is in use by process {}", first.id())), "{error}");
    scene.go(1);
    end(first);
    scene.assert_all_there(&[(1, 20)]);
}

#[test]
fn umask_0_opens_no_lock_to_others() {
    let scene = Scene::new();
    scene.program(&format!("instance:{}", scene.log()), &[10]).behind("umask 0").run();
    let mode =
        |name: &str| fs::metadata(scene.dir.path(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode("tasks.log"), mode(".tasks.log.lock")), (0o666, 0o600));
}

#[test]
fn a_fifo_in_the_place_of_the_lock_is_refused_and_not_waited_for() {
    let scene = Scene::new();
    scene.sh("mkfifo .tasks.log.lock");
    let error = scene.program(&format!("instance:{}", scene.log()), &[1]).refusal();
    assert!(error.contains(".tasks.log.lock"), "{error}");
}

/// Copies of this test binary can be run by everybody in a folder that everybody may enter.
fn as_nobody(scene: &Scene) -> String {
    scene.sh("chmod 0755 .");
    let exe = std::env::current_exe().expect("it has a name");
    scene.sh(&format!("cp '{}' program && chmod 0755 program", exe.display()));
    let program = scene.dir.path("program");
    format!("exec setpriv --reuid 65534 --regid 65534 --clear-groups '{}' \"$@\"", program.display())
}

#[test]
#[ignore = "needs root, to be another user"]
fn another_users_lock_does_not_keep_the_log_from_its_owner() {
    let scene = Scene::new();
    let shell = as_nobody(&scene);
    scene.program(&format!("instance:{}", scene.log()), &[10]).behind("umask 0").run();
    let other = shell.replace(&format!("'{}' \"$@\"", scene.dir.path("program").display()), "");
    let locked = Command::new("sh")
        .args(["-c", &format!("{other} flock --nonblock .tasks.log.lock true")])
        .current_dir(scene.dir.root())
        .output()
        .expect("sh can be run");
    assert!(!locked.status.success(), "another user can't even open it");
    scene.sh("rm -f stats-0 done-0-1");
    scene.program(&format!("instance:{}", scene.log()), &[10]).worker(1).run();
    scene.assert_all_there(&[(0, 10), (1, 10)]);
}

#[test]
#[ignore = "needs root, to be another user"]
fn a_user_who_may_not_write_there_is_told_the_remedy() {
    let scene = Scene::new();
    let shell = as_nobody(&scene);
    scene.sh("mkdir logs; : > refused; chmod 0666 refused");
    for kind in ["instance", "watched"] {
        let spec = format!("{kind}:{}", scene.dir.path("logs/tasks.log").display());
        let error = scene.program(&spec, &[1]).behind(&shell).refusal();
        assert!(error.contains("allow this user to write there, or give another path"), "{kind}: {error}");
        assert_eq!(scene.sh("ls -A logs"), "", "{kind}");
    }
}

#[test]
#[ignore = "needs root, to be another user"]
fn a_program_that_gives_up_root_goes_on_with_the_log_of_root() {
    let scene = Scene::new();
    let shell = as_nobody(&scene);
    scene.sh("mkdir logs; chown 65534 logs; chmod 0777 .");
    let spec = format!("instance:{}", scene.dir.path("logs/tasks.log").display());
    scene.program(&spec, &[10]).behind(&shell).run();
    let owner = scene.sh("stat -c %u logs/tasks.log logs/.tasks.log.lock");
    assert_eq!(owner, "65534\n65534\n");
}

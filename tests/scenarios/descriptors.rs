//! Limits of a shell, and daemons.

use crate::{
    program::{PATIENCE, Scene, end},
    support::wait_until,
};

#[test]
fn an_instance_file_stays_below_ulimit() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[500]);
    // 8 blocks of 512 bytes: fewer than max_bytes.
    program.with("MAX_BYTES", 1 << 20).with("BACKUPS", 100).behind("ulimit -f 8").run();
    let stats = scene.stats(0);
    assert!(stats["rotations"] > 3 && stats["dropped"] == 0, "{stats:?}");
    scene.assert_all_there(&[(0, 500)]);
}

#[test]
fn a_watched_file_below_ulimit_counts_what_has_no_room() {
    let scene = Scene::new();
    scene.program(&format!("watched:{}", scene.log()), &[500]).behind("ulimit -f 8").run();
    let stats = scene.stats(0);
    assert_eq!((stats["accepted"], stats["written"] + stats["dropped"]), (500, 500), "{stats:?}");
    assert_eq!(
        scene.sh("grep -c works tasks.log").trim().parse::<u64>().expect("a number"),
        stats["written"]
    );
}

/// Descriptors run out while the program runs: prlimit(1). The open file stays open, and lines go on; a rotation waits.
#[test]
#[cfg(target_os = "linux")]
fn no_descriptor_is_left_for_a_rotation() {
    for kind in ["instance", "watched"] {
        let scene = Scene::new();
        let program = scene.program(&format!("{kind}:{}", scene.log()), &[50, 0, 50]).start();
        scene.wait_for(0, 1);
        let pid = program.id();
        scene.sh(&format!("prlimit --pid {pid} --nofile=3:1024; mv tasks.log tasks.log.1"));
        let ticks = || scene.dir.read("tasks.log.1").matches("tick").count();
        scene.go(1);
        wait_until("it goes on into the old file", PATIENCE, || ticks() > 100);
        scene.sh(&format!("prlimit --pid {pid} --nofile=1024:1024"));
        scene.wait_for(0, 2);
        scene.go(2);
        end(program);
        scene.assert_all_there(&[(0, 100)]);
        assert!(scene.dir.read("tasks.log").contains("n=100 "), "{kind}: it has followed");
    }
}

/// setsid(1) in the background, away from its terminal and its parent: the log is opened by the daemon itself.
#[test]
fn a_program_that_setsid_puts_into_the_background() {
    for kind in ["instance", "watched", "queued+instance"] {
        let scene = Scene::new();
        let shell = "exec setsid -f \"$0\" \"$@\" < /dev/null > /dev/null 2>&1";
        let starter = scene.program(&format!("{kind}:{}", scene.log()), &[200, 200]).behind(shell).start();
        scene.wait_for(0, 1);
        drop(starter); // which has ended: the program is nobody's child
        scene.go(1);
        assert_eq!(scene.stats(0)["accepted"], 400, "{kind}");
        scene.assert_all_there(&[(0, 400)]);
    }
}

/// nohup(1), and the terminal hangs up: SIGHUP is ignored, and lines go on.
#[test]
fn a_program_under_nohup_survives_a_hangup() {
    let scene = Scene::new();
    let shell = "exec nohup \"$0\" \"$@\" 2> /dev/null";
    let mut program = scene.program(&format!("instance:{}", scene.log()), &[50, 50]).behind(shell).start();
    scene.wait_for(0, 1);
    program.signal("HUP");
    scene.go(1);
    end(program);
    scene.assert_all_there(&[(0, 100)]);
}

/// SIGSTOP over a rotation, as by a debugger or a cgroup freezer.
#[test]
fn a_program_that_stands_still_while_its_log_is_moved() {
    let scene = Scene::new();
    let mut program = scene.program(&format!("watched:{}", scene.log()), &[50, 50]).start();
    scene.wait_for(0, 1);
    program.signal("STOP");
    scene.sh("mv tasks.log tasks.log.1; : > tasks.log");
    scene.go(1);
    program.signal("CONT");
    end(program);
    scene.assert_all_there(&[(0, 100)]);
}

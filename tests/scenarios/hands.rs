//! An operator's hands on the live file: mv, rm, truncate, chmod, ln, cp.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::program::{Scene, end};

/// Does something to the log between two steps of a program by `kind`. Returns the scene.
fn meanwhile(kind: &str, command: &str) -> Scene {
    let scene = Scene::new();
    let program = scene.program(&format!("{kind}:{}", scene.log()), &[100, 0, 100]).start();
    scene.wait_for(0, 1);
    scene.sh(command);
    scene.go(1);
    scene.wait_for(0, 2); // the log is there again
    scene.go(2);
    end(program);
    scene
}

#[test]
fn mv_of_the_live_file() {
    for kind in ["instance", "watched"] {
        let scene = meanwhile(kind, "mv tasks.log tasks.log.1");
        scene.assert_all_there(&[(0, 200)]);
        assert_eq!(scene.dir.read("tasks.log.1").matches("[works]").count(), 100, "{kind}: those before");
        assert_eq!(scene.dir.read("tasks.log").matches("[works]").count(), 100, "{kind}: those after");
    }
}

#[test]
fn rm_of_the_live_file_costs_what_was_in_it_and_no_more() {
    for kind in ["instance", "watched"] {
        let scene = meanwhile(kind, "cp tasks.log before; rm tasks.log");
        let text = scene.dir.read("tasks.log");
        let after = text.lines().filter(|line| line.contains("[works]")).count();
        assert!(after >= 100, "{kind}: {text}");
        assert_eq!(scene.stats(0)["dropped"], 0, "{kind}");
    }
}

#[test]
fn emptied_in_place() {
    for kind in ["instance", "watched"] {
        let scene = meanwhile(kind, "cp tasks.log tasks.log.1; truncate -s 0 tasks.log");
        scene.assert_all_there(&[(0, 200)]);
        assert!(!scene.dir.read("tasks.log").contains('\0'), "{kind}: no hole");
    }
}

#[test]
fn the_directory_is_moved_away_and_made_anew() {
    for kind in ["instance", "watched"] {
        let scene = Scene::new();
        let log = scene.dir.path("logs/tasks.log");
        let program = scene.program(&format!("{kind}:{}", log.display()), &[50, 0, 50]);
        let program = program.with("UNTIL", log.display()).start();
        scene.wait_for(0, 1);
        scene.sh("mv logs old; mkdir logs");
        scene.go(1);
        scene.wait_for(0, 2);
        scene.go(2);
        end(program);
        let lines = |name: &str| {
            let text = fs::read_to_string(scene.dir.path(name)).unwrap_or_default();
            text.lines().filter(|line| line.contains("[works]")).count()
        };
        assert_eq!((lines("old/tasks.log"), lines("logs/tasks.log")), (50, 50), "{kind}");
    }
}

#[test]
fn a_hard_link_to_the_live_file_keeps_its_lines_over_rotations() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[10, 300]);
    let program = program.with("MAX_BYTES", 4096).with("BACKUPS", 50).start();
    scene.wait_for(0, 1);
    scene.sh("ln tasks.log kept");
    scene.go(1);
    end(program);
    scene.assert_all_there(&[(0, 310)]);
    assert!(scene.dir.read("kept").contains("w=0 n=1 "), "{}", scene.dir.read("kept"));
}

/// A tool that leaves a file of the name of the next backup: it is never overwritten.
#[test]
fn a_copy_in_the_place_of_a_backup_stays() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[10, 300]);
    let program = program.with("MAX_BYTES", 4096).with("BACKUPS", 2).start();
    scene.wait_for(0, 1);
    scene.sh("echo 'of the operator' > tasks.log.1; chmod 0600 tasks.log.1");
    scene.go(1);
    end(program);
    let stays = scene.sh("cat tasks.log.*");
    assert!(stays.contains("of the operator"), "{stays}");
}

/// chmod of the live file: the next rotation keeps it.
#[test]
fn the_mode_that_an_operator_has_given_is_kept() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[10, 100]);
    let program = program.with("MAX_BYTES", 4096).with("BACKUPS", 9).start();
    scene.wait_for(0, 1);
    scene.sh("chmod 0604 tasks.log");
    scene.go(1);
    end(program);
    let mode =
        |name: &str| fs::metadata(scene.dir.path(name)).expect("it is there").permissions().mode() & 0o777;
    assert!(scene.stats(0)["rotations"] >= 1);
    assert_eq!((mode("tasks.log"), mode("tasks.log.1")), (0o604, 0o604));
}

//! logrotate(8) and gzip(1), beside the programs: what `watched_logrotate` doesn't have.

use crate::program::{Scene, end};

/// Has logrotate rotate the log by these directives.
fn logrotate(scene: &Scene, directives: &str) {
    let config = format!("\"{}\" {{\n{directives}\n}}\n", scene.log());
    scene.dir.write("logrotate.conf", config);
    scene.sh("chmod 0644 logrotate.conf; chmod 0755 .");
    scene.sh("logrotate --force --state logrotate.state logrotate.conf");
}

#[test]
#[ignore = "needs logrotate"]
fn logrotate_on_an_instance_file_by_mistake() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[100, 0, 100]);
    let program = program.with("UNTIL", scene.log()).start();
    scene.wait_for(0, 1);
    logrotate(&scene, "rotate 9\nnocreate");
    scene.go(1);
    scene.wait_for(0, 2);
    scene.go(2);
    end(program);
    scene.assert_all_there(&[(0, 200)]);
}

#[test]
#[ignore = "needs logrotate"]
fn logrotate_with_create_gives_the_new_file_its_mode() {
    let scene = Scene::new();
    let program = scene.program(&format!("watched:{}", scene.log()), &[100, 100]).start();
    scene.wait_for(0, 1);
    logrotate(&scene, "rotate 9\ncreate 0604");
    scene.go(1);
    end(program);
    scene.assert_all_there(&[(0, 200)]);
    assert_eq!(scene.sh("stat -c %a tasks.log").trim(), "604");
}

/// Two specs of two programs for one path, one of them behind a queue, and a rotation that compresses at once.
#[test]
#[ignore = "needs logrotate"]
fn a_queue_and_a_plain_writer_on_one_path_that_logrotate_compresses() {
    let scene = Scene::new();
    let programs: Vec<_> = ["queued+watched", "watched"]
        .iter()
        .zip(0..)
        .map(|(kind, worker)| {
            scene.program(&format!("{kind}:{}", scene.log()), &[300, 300]).worker(worker).start()
        })
        .collect();
    (0..2).for_each(|worker| scene.wait_for(worker, 1));
    let all = || scene.sh("grep -c works tasks.log").trim() == "600";
    crate::support::wait_until("the queue has written", crate::program::PATIENCE, all);
    logrotate(&scene, "rotate 9\ncompress\nnocreate");
    scene.go(1);
    programs.into_iter().for_each(|program| drop(end(program)));
    scene.sh("gzip --test tasks.log.1.gz");
    scene.assert_all_there(&[(0, 600), (1, 600)]);
}

/// logrotate's size check and its copy: an instance file that is copied and emptied by it has no hole, and its account holds.
#[test]
#[ignore = "needs logrotate"]
fn copytruncate_on_an_instance_file_at_rest() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[100, 100]).start();
    scene.wait_for(0, 1);
    logrotate(&scene, "rotate 9\ncopytruncate");
    scene.go(1);
    end(program);
    scene.assert_all_there(&[(0, 200)]);
    assert!(!scene.dir.read("tasks.log").contains('\0'));
}

/// gzip by hand of a backup that the program will rotate: what it doesn't know stays.
#[test]
fn backups_that_gzip_has_compressed_by_hand() {
    let scene = Scene::new();
    let program = scene.program(&format!("instance:{}", scene.log()), &[60, 60]);
    let program = program.with("MAX_BYTES", 2048).with("BACKUPS", 50).start();
    scene.wait_for(0, 1);
    scene.sh("gzip tasks.log.1");
    scene.go(1);
    end(program);
    let found = scene.sh(
        "zcat -f tasks.log* | grep -ao ' n=[0-9]*' | sort | uniq -c | awk '{ print $1 }' | sort | uniq -c",
    );
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), ["120", "1"], "so many lines, each once");
    scene.sh("gzip --test tasks.log.1.gz");
}

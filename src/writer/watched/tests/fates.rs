//! Lines of a file that was renamed, read by somebody, and removed: which of them are written again.

use super::*;

/// Writes two lines after the last look, and has the file renamed and removed; `made` makes something of it before that.
fn rotate(is_seen: bool, made: impl Fn(&Scene)) -> Scene {
    let mut scene = Scene::healthy();
    scene.write(3);
    scene.pass(120);
    scene.write(2);
    scene.rename("tasks.log.1");
    scene.shared.hints.was_moved.store(true, Ordering::Relaxed);
    if is_seen {
        scene.dir.write("tasks.log", "");
        scene.hint(); // it is left before it is removed
        assert_eq!(scene.stats().reopens, 1);
    }
    made(&scene);
    fs::remove_file(scene.dir.path("tasks.log.1")).expect("it is there");
    scene.hint();
    scene.pass(60);
    scene
}

/// The size of the first `lines` lines.
fn size(lines: u64) -> u32 {
    (1..=lines).map(|n| numbered(0, n, 9).len() as u32 + 1).sum()
}

#[track_caller]
fn assert_written_again(scene: &Scene, at_risk: u64, rewritten: &[u64]) {
    let stats = scene.stats();
    let counted = (stats.at_risk_lines, stats.rewritten_lines, stats.reopens);
    assert_eq!(counted, (at_risk, rewritten.len() as u64, 1), "{stats:?}");
    assert_eq!((stats.accepted_lines, stats.written_lines), (5, 5), "{stats:?}");
    let own: String = rewritten.iter().map(|n| numbered(0, *n, 9) + "\n").collect();
    let live = scene.dir.read("tasks.log");
    assert_eq!(live, if at_risk == 0 { own } else { live.clone() });
}

#[test]
fn what_gzip_has_not_read_is_written_again() {
    for is_seen in [false, true] {
        for (bytes, rewritten) in
            [(size(5), vec![]), (size(4), vec![5]), (size(4) - 1, vec![4, 5]), (size(3), vec![4, 5])]
        {
            let scene = rotate(is_seen, |scene| {
                let packed = [b"\x1f\x8b packed".as_slice(), &bytes.to_le_bytes()].concat();
                fs::write(scene.dir.path("tasks.log.1.gz"), packed).expect("the folder is ours");
            });
            assert_written_again(&scene, 0, &rewritten);
        }
    }
}

#[test]
fn what_a_copy_has_not_is_written_again() {
    for (lines, rewritten) in [(5, vec![]), (4, vec![5])] {
        let mut scene = Scene::healthy();
        scene.write(3);
        scene.pass(120);
        scene.write(2);
        scene.rename("tasks.log.tmp");
        scene.shared.hints.was_moved.store(true, Ordering::Relaxed);
        let copy = scene.dir.read("tasks.log.tmp")[..size(lines) as usize].to_owned();
        scene.dir.write("tasks.log.1", copy);
        fs::remove_file(scene.dir.path("tasks.log.tmp")).expect("it is there");
        scene.hint();
        scene.pass(60);
        assert_written_again(&scene, 0, &rewritten);
    }
}

#[test]
fn a_file_that_nothing_was_made_of_is_written_again_and_one_that_anything_was_made_of_is_counted() {
    let content = |scene: &Scene| fs::read(scene.dir.path("tasks.log.1")).expect("it is there");
    let packed = |_: &Scene| b"\xfd7zXZ and more".to_vec();
    let other = |_: &Scene| b"another program's log\n".to_vec();
    type Content<'a> = &'a dyn Fn(&Scene) -> Vec<u8>;
    let made: [(&str, Content<'_>, bool); 5] = [
        ("copy", &content, true),
        ("pack", &packed, true),
        ("tasks.log.1.xz", &packed, true),
        ("tasks.log.1.pack", &other, true),
        ("other.log", &other, false),
    ];
    for is_seen in [false, true] {
        assert_written_again(&rotate(is_seen, |_| {}), 0, &[4, 5]);
        for (name, content, is_counted) in made {
            let scene = rotate(is_seen, |scene| scene.dir.write(name, content(scene)));
            let (at_risk, rewritten) = if is_counted { (2, vec![]) } else { (0, vec![4, 5]) };
            assert_written_again(&scene, at_risk, &rewritten);
        }
    }
}

#[test]
fn a_compressor_at_work_has_the_new_file_made_at_once() {
    for (name, is_made) in [("tasks.log.1.gz", true), ("tasks.log.1.txt", false)] {
        let mut scene = Scene::healthy();
        scene.write(3);
        scene.rename("tasks.log.1");
        scene.hint();
        assert_eq!(scene.stats().reopens, 0, "logrotate may be about to make it");
        scene.dir.write(name, "");
        scene.hint();
        assert_eq!(scene.stats().reopens == 1, is_made, "{name}");
    }
}

#[test]
fn a_descriptor_that_goes_bad_costs_no_line() {
    for code in [9, 116, EIO] {
        let mut scene = Scene::healthy();
        scene.write(3);
        scene.files.fail_next(1, Fault::Os(code));
        scene.write(2);
        scene.verify(&["tasks.log"], 1, "a write fails");
        // The path leads to the new file whatever the old descriptor says.
        scene.pass(120);
        scene.rename("1");
        scene.dir.write("tasks.log", "");
        scene.shared.hints.was_moved.store(true, Ordering::Relaxed);
        scene.files.fail_after(1, 2, Fault::Os(code));
        scene.hint();
        scene.pass(60);
        scene.write(2);
        scene.verify(&["1", "tasks.log"], 1, "it is rotated");
        assert_eq!(scene.dir.lines("tasks.log").len(), 2, "{code}");
    }
}

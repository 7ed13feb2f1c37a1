//! When there is a look, who does it, and what it does about lines that may be lost.

use super::*;
use crate::writer::watched::hints::Hints;

/// The calls that a look makes which finds everything in its place.
const LOOK: &str = "find_target";

fn looks(scene: &Scene) -> usize {
    scene.files.calls().iter().filter(|call| **call == LOOK).count()
}

fn advance(scene: &Scene, millis: u64) {
    scene.clock.lock().expect("no test panics with it").instant += Duration::from_millis(millis);
}

#[test]
fn a_line_makes_one_call() {
    let mut scene = Scene::healthy();
    let before = scene.files.calls().len();
    scene.write(100);
    assert_eq!(scene.files.calls()[before..], ["append"; 100]);
}

#[test]
fn a_line_looks_by_itself_when_there_is_a_hint_or_nobody_else_does() {
    let mut scene = Scene::healthy();
    let before = looks(&scene);
    scene.shared.hints.hint();
    scene.write(2);
    assert_eq!(looks(&scene), before + 1, "one look answers the hint");
    advance(&scene, 150);
    scene.write(2);
    assert_eq!(looks(&scene), before + 1, "the thread that looks has time until then");
    advance(&scene, 200);
    scene.write(2);
    assert_eq!(looks(&scene), before + 2, "the thread that looks is stopped");
}

#[test]
fn a_hint_in_the_middle_of_a_look_is_not_forgotten() {
    let clock = Clock::System;
    let hints = Hints::new(&clock);
    let now = clock.instant();
    assert!(!hints.begin(now), "the first look is not late");
    hints.hint();
    hints.end(now + Duration::from_secs(60));
    assert!(hints.due_in(now).is_zero());
    assert!(!hints.begin(now));
    hints.end(now + Duration::from_secs(60));
    assert!(hints.due_in(now) >= Duration::from_secs(59));
    assert!(!hints.begin(now + Duration::from_secs(60)));
    hints.end(now + Duration::from_secs(61));
    assert!(hints.begin(now + Duration::from_secs(63)), "this one is");
}

#[test]
fn the_thread_that_looks_comes_again_also_if_a_line_looks_at_that_moment() {
    let clock = Clock::System;
    let hints = Hints::new(&clock);
    let now = clock.instant();
    hints.begin(now);
    assert!(hints.due_in(now) <= Duration::from_millis(100), "{:?}", hints.due_in(now));
}

#[test]
fn many_lines_look_by_themselves_so_that_what_is_kept_is_bounded() {
    let scene = Scene::healthy();
    let before = looks(&scene);
    let line = "x".repeat(64 * 1024 - 1) + "\n";
    (0..40).for_each(|_| scene.shared.take_lines(line.as_bytes()));
    assert_eq!(looks(&scene) - before, 9, "one in 256 KiB");
    let large = "y".repeat(1024 * 1024) + "\n";
    scene.shared.take_lines(large.as_bytes());
    assert_eq!(scene.dir.read("tasks.log").len(), 40 * 64 * 1024 + large.len());
}

#[test]
fn a_file_that_was_renamed_and_then_removed_is_not_written_again_but_counted() {
    for is_told in [true, false] {
        let mut scene = Scene::healthy();
        scene.pass(120);
        scene.write(2);
        scene.rename("1");
        scene.dir.write("1.pack", "by a compressor that nobody knows");
        fs::remove_file(scene.dir.path("1")).expect("it is there");
        // What an event tells, or that nothing is told.
        scene.shared.hints.is_told.store(is_told, Ordering::Relaxed);
        scene.shared.hints.was_moved.store(is_told, Ordering::Relaxed);
        scene.hint();
        scene.write(1);
        scene.pass(30);
        let stats = scene.stats();
        assert_eq!((stats.at_risk_lines, stats.rewritten_lines, stats.reopens), (2, 0, 1), "{stats:?}");
        let live = scene.dir.lines("tasks.log");
        assert_eq!(live.len(), 2, "{live:?}");
        assert!(
            live[0].ends_with("up to 2 lines may be lost reason=\"file removed by another program\""),
            "{live:?}"
        );
    }
}

#[test]
fn a_file_that_is_removed_right_after_it_was_left_may_have_taken_lines_along() {
    for (after, at_risk) in [(5, 2), (20, 2), (45, 0), (200, 0)] {
        let mut scene = Scene::healthy();
        scene.write(3);
        scene.pass(200);
        scene.write(2);
        scene.rename("1");
        scene.dir.write("tasks.log", "");
        scene.hint();
        assert_eq!(scene.stats().reopens, 1);
        scene.pass(after);
        scene.dir.write("1.pack", "by a compressor that nobody knows");
        fs::remove_file(scene.dir.path("1")).expect("it is there"); // a compressor is done with it
        scene.write(1);
        scene.pass(300);
        scene.write(1);
        let stats = scene.stats();
        assert_eq!((stats.at_risk_lines, stats.rewritten_lines), (at_risk, 0), "after {after} ms: {stats:?}");
        let announced = scene.dir.read("tasks.log").contains("up to 2 lines may be lost");
        assert_eq!(announced, at_risk > 0, "after {after} ms");
    }
}

#[test]
fn that_a_removed_file_was_renamed_first_may_be_told_a_moment_later() {
    let mut scene = Scene::healthy();
    scene.files.hide_names();
    scene.pass(120);
    scene.write(2);
    fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
    scene.hint();
    scene.write(1);
    assert_eq!((scene.stats().queued_lines, scene.stats().reopens), (1, 0), "undecided");
    scene.shared.hints.was_moved.store(true, Ordering::Relaxed);
    scene.hint();
    let stats = scene.stats();
    assert_eq!((stats.at_risk_lines, stats.rewritten_lines, stats.reopens), (2, 0, 1), "{stats:?}");
    assert_eq!((stats.written_lines, stats.queued_lines), (3, 0), "{stats:?}");
}

#[test]
fn the_wait_before_the_file_is_made_begins_when_the_path_becomes_vacant() {
    let scene = Scene::healthy();
    scene.rename("1");
    scene.hint();
    fs::create_dir(scene.dir.path("tasks.log")).expect("it is free");
    scene.pass(1_000);
    fs::remove_dir(scene.dir.path("tasks.log")).expect("it is empty");
    scene.hint();
    assert_eq!(scene.stats().reopens, 0, "logrotate may be about to make it");
    scene.pass(50);
    assert_eq!(scene.stats().reopens, 0);
    scene.pass(200);
    assert_eq!(scene.stats().reopens, 1);
}

#[test]
fn lines_that_wait_have_room_of_their_own_and_do_not_look() {
    let mut scene = Scene::healthy();
    let line = "x".repeat(1023) + "\n";
    (0..250).for_each(|_| scene.shared.take_lines(line.as_bytes()));
    fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
    fs::create_dir(scene.dir.path("tasks.log")).expect("it is free");
    scene.hint();
    let before = scene.files.calls().len();
    (0..300).for_each(|_| scene.shared.take_lines(line.as_bytes()));
    assert_eq!(scene.files.calls().len(), before, "no call for a line that waits");
    assert_eq!((scene.stats().queued_lines, scene.stats().dropped_lines), (256, 44));
    assert!(scene.shared.sync().is_err(), "what waits is on no disk");
    fs::remove_dir(scene.dir.path("tasks.log")).expect("it is empty");
    scene.pass(300);
    scene.lines = 550;
    let stats = scene.stats();
    assert_eq!((stats.written_lines, stats.rewritten_lines, stats.queued_lines), (506, 250, 0), "{stats:?}");
    assert_eq!(scene.dir.read("tasks.log").matches('x').count(), 506 * 1023);
}

#[test]
fn the_end_brings_lines_to_safety_or_says_that_they_are_lost() {
    for (is_taken, expected) in [(false, (5, 2, 0, 0)), (true, (2, 0, 3, 2))] {
        let mut scene = Scene::healthy();
        scene.pass(120);
        scene.write(2);
        fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
        if is_taken {
            fs::create_dir(scene.dir.path("tasks.log")).expect("it is free");
            scene.hint();
        }
        scene.write(3);
        scene.shared.finish(true);
        let stats = scene.stats();
        let (rewritten, dropped) = (stats.rewritten_lines, stats.dropped_lines);
        if is_taken {
            assert_eq!((stats.written_lines, rewritten, dropped, stats.at_risk_lines), expected, "{stats:?}");
        } else {
            assert_eq!((stats.written_lines, dropped, stats.at_risk_lines), (5, 0, 0), "{stats:?}");
            assert_eq!(scene.dir.lines("tasks.log").len(), 5);
        }
        scene.rename("1");
        scene.hint();
        scene.pass(500);
        assert!(!scene.dir.path("tasks.log").exists(), "nothing is made after the end");
    }
}

#[test]
fn a_file_that_gets_its_name_back_takes_the_lines_that_wait() {
    let mut scene = Scene::healthy();
    fs::hard_link(scene.dir.path("tasks.log"), scene.dir.path("other")).expect("it gets another name");
    scene.write(2);
    scene.files.fail_next(1000, Fault::Os(EIO));
    scene.shared.turns.lock().place.gone_since = Some(clock::instant());
    scene.write(2);
    assert_eq!(scene.stats().queued_lines, 2);
    scene.files.heal();
    scene.hint();
    scene.verify(&["tasks.log"], 1, "linked again");
}

#[test]
fn all_lines_since_a_copy_began_are_at_risk_when_the_file_is_cut() {
    let mut scene = Scene::healthy();
    scene.write(5);
    scene.pass(400);
    scene.dir.write("tasks.log.1", "");
    scene.shared.hints.is_copied.store(true, Ordering::Relaxed);
    scene.hint();
    for _ in 0..10 {
        scene.write(10);
        scene.pass(50);
    }
    fs::OpenOptions::new().write(true).truncate(true).open(scene.dir.path("tasks.log")).expect("it is there");
    scene.pass(50);
    let stats = scene.stats();
    assert_eq!((stats.truncations, stats.at_risk_lines), (1, 100), "{stats:?}");
}

#[test]
fn a_look_that_comes_much_too_late_writes_again_only_if_the_last_name_is_known() {
    for (is_known, at_risk, rewritten) in [(false, 2, 0), (true, 0, 2)] {
        let mut scene = Scene::healthy();
        scene.write(2);
        fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
        if !is_known {
            scene.files.hide_names();
        }
        advance(&scene, 2_000);
        scene.write(1);
        let stats = scene.stats();
        let counted = (stats.at_risk_lines, stats.rewritten_lines, stats.reopens);
        assert_eq!(counted, (at_risk, rewritten, 1), "{stats:?}");
    }
}

#[test]
fn the_end_says_what_no_line_has_said() {
    let mut scene = Scene::healthy();
    scene.files.hide_names();
    scene.pass(120);
    scene.write(2);
    fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
    scene.shared.hints.is_told.store(false, Ordering::Relaxed);
    scene.shared.finish(true);
    let live = scene.dir.lines("tasks.log");
    assert_eq!(live.len(), 1, "{live:?}");
    assert!(live[0].contains(" up to 2 lines may be lost "), "{live:?}");
}

#[test]
fn what_is_rewritten_comes_first_and_once() {
    let mut scene = Scene::healthy();
    scene.pass(120);
    scene.write(3);
    fs::remove_file(scene.dir.path("tasks.log")).expect("it is there");
    scene.hint();
    scene.write(1);
    scene.pass(5);
    scene.write(1);
    let stats = scene.stats();
    assert_eq!((stats.written_lines, stats.rewritten_lines, stats.at_risk_lines), (5, 3, 0), "{stats:?}");
    scene.verify(&["tasks.log"], 1, "removed");
}

#[test]
fn lines_in_a_file_that_was_seen_under_another_name_are_not_at_risk() {
    let mut scene = Scene::healthy();
    scene.files.hide_names();
    scene.write(3);
    scene.rename("1");
    scene.hint();
    scene.write(1);
    fs::remove_file(scene.dir.path("1")).expect("it is there");
    scene.pass(200);
    assert_eq!((scene.stats().at_risk_lines, scene.stats().reopens), (1, 1));
}

#[test]
fn a_failure_is_told_only_if_it_lasts() {
    for (calls, told) in [(1, 0), (200, 1)] {
        let mut scene = Scene::healthy();
        scene.rename("1");
        scene.dir.write("tasks.log", "");
        // As between `create` of logrotate, which makes the file, and its giving it to its owner.
        scene.files.fail_next(calls, Fault::Os(EACCES));
        scene.hint();
        scene.pass(1_000);
        scene.files.heal();
        scene.pass(300);
        scene.write(1);
        assert_eq!(scene.told.lock().expect("nobody panics with it").len(), told, "{calls} calls fail");
        assert_eq!((scene.stats().reopens, scene.dir.lines("tasks.log").len()), (1, 1));
    }
}

#[test]
fn a_file_cut_short_is_noticed_however_it_grew_since() {
    for (before, between, after) in [(5, 0, 0), (5, 3, 0), (5, 3, 2), (1, 0, 1), (300, 200, 50)] {
        let mut scene = Scene::healthy();
        scene.write(before);
        scene.pass(120);
        scene.write(between);
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(scene.dir.path("tasks.log"))
            .expect("it is there");
        scene.write(after);
        scene.pass(120);
        scene.write(1);
        let stats = scene.stats();
        assert_eq!((stats.truncations, stats.dropped_lines), (1, 0), "{before} {between} {after}: {stats:?}");
        assert!(stats.at_risk_lines >= between + after, "{stats:?}");
        scene.pass(500);
        assert_eq!(scene.stats().truncations, 1, "once");
    }
}

#[test]
fn a_file_cut_short_is_noticed_also_if_others_made_it_longer_than_before() {
    for own in [0, 1, 3] {
        let mut scene = Scene::healthy();
        scene.write(2);
        scene.pass(400);
        scene.write(1);
        fs::OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(scene.dir.path("tasks.log"))
            .expect("it is there");
        scene.dir.append("tasks.log", "[-] [tracing_tasklog] a peer's line\n".repeat(5));
        scene.write(own);
        scene.pass(200);
        let stats = scene.stats();
        assert_eq!((stats.truncations, stats.at_risk_lines), (1, 1 + own), "{stats:?}");
        scene.dir.append("tasks.log", "[-] [tracing_tasklog] a peer's line\n".repeat(5));
        scene.write(3);
        scene.pass(500);
        assert_eq!(scene.stats().truncations, 1, "growing is no truncation");
    }
}

#[test]
fn a_fragment_is_closed_once_after_it_was_seen_twice() {
    let mut scene = Scene::healthy();
    scene.write(1);
    scene.dir.append("tasks.log", "a peer's");
    scene.pass(200);
    assert!(scene.dir.read("tasks.log").ends_with("a peer's\u{18}\n"));
    scene.pass(500);
    assert_eq!(scene.dir.lines("tasks.log").len(), 2);
    // A line in two halves, as if one could see a write that is under way.
    scene.dir.append("tasks.log", "one ");
    for _ in 0..3 {
        scene.hint(); // whatever else happens in the folder
    }
    scene.dir.append("tasks.log", "line\n");
    scene.pass(500);
    assert!(scene.dir.read("tasks.log").ends_with("\u{18}\none line\n"), "it was no fragment");
}

#[test]
fn a_fragment_that_another_process_has_the_lock_for_is_left_to_it_for_a_moment() {
    let mut scene = Scene::healthy();
    scene.write(1);
    let other = fs::OpenOptions::new().append(true).open(scene.dir.path("tasks.log")).expect("it is there");
    other.lock().expect("it is free");
    scene.dir.append("tasks.log", "a peer's");
    scene.hint();
    scene.pass(35);
    assert!(scene.dir.read("tasks.log").ends_with("a peer's"));
    // It is a reader's lock.
    scene.pass(50);
    assert!(scene.dir.read("tasks.log").ends_with("a peer's\u{18}\n"));
    scene.dir.append("tasks.log", "another's");
    scene.hint();
    drop(other);
    scene.pass(10);
    assert!(scene.dir.read("tasks.log").ends_with("another's\u{18}\n"), "nobody has the lock");
}

#[test]
fn an_own_fragment_that_a_peer_has_closed_is_not_closed_again() {
    let mut scene = Scene::healthy();
    scene.write(1);
    scene.files.fail_next(2, Fault::ShortThenFull);
    scene.write(1);
    scene.dir.append("tasks.log", "\u{18}\n");
    scene.write(1);
    let text = scene.dir.read("tasks.log");
    assert_eq!(text.matches('\u{18}').count(), 1, "{text}");
    scene.verify(&["tasks.log"], 1, "closed by a peer");
}

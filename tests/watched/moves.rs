//! Whatever moves the file away: every line is in one of the files, once.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{LATEST, Steady, Told, assert_account_is_clean, assert_all_there, builder, file, write};
use tracing_tasklog::writer::WatchedFile;

use crate::support::{
    dir::Dir,
    holds_within,
    verify::{Expect, LogFamily},
    wait_until, wait_within,
};

/// How late a path may be followed while lines are written.
const LIMIT: Duration = Duration::from_millis(250);

fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    fs::rename(from, to).expect("it can be renamed");
}

/// Makes a file as a tool that rotates does; on a machine that stands still just before, a writer may have made it already.
fn create(path: impl AsRef<Path>) {
    drop(fs::File::options().append(true).create(true).open(path).expect("it can be made"));
}

/// Has a process's open files listed that are below a folder.
fn open_below(dir: &Dir) -> Vec<PathBuf> {
    let fds = fs::read_dir("/proc/self/fd").expect("/proc is mounted").filter_map(Result::ok);
    let links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    links.filter(|path| path.starts_with(dir.root())).collect()
}

#[test]
fn renamed_and_created() {
    let dir = Dir::new();
    let file = file(&dir);
    let steady = Steady::start(&file);
    let mut files = Vec::new();
    for round in 1..=10 {
        files.push(dir.path(&format!("tasks.log-{round}")));
        steady.followed_within(LIMIT, || {
            rename(dir.path("tasks.log"), &files[round - 1]);
            create(dir.path("tasks.log"));
        });
        steady.go_on(50);
    }
    let lines = steady.stop();
    files.push(dir.path("tasks.log"));
    drop(assert_all_there(&files, lines));
    assert_account_is_clean(&file, lines);
    assert_eq!((file.stats().reopens, file.stats().rewritten_lines), (10, 0));
    wait_within("the old file is let go", LIMIT, || open_below(&dir) == [dir.path("tasks.log")]);
}

#[test]
fn renamed_and_not_created_is_made_after_a_while_and_not_before() {
    let dir = Dir::new();
    let file = builder(&dir)
        .file_mode(0o604)
        .create_after(Duration::from_millis(300))
        .build()
        .expect("it can be opened");
    let steady = Steady::start(&file);
    let start = Instant::now();
    rename(dir.path("tasks.log"), dir.path("tasks.log.1"));
    wait_within("it is made", Duration::from_millis(600), || dir.path("tasks.log").exists());
    assert!(start.elapsed() >= Duration::from_millis(300), "made after {:?}", start.elapsed());
    wait_within("it is followed", LIMIT, || file.stats().reopens == 1);
    let lines = steady.stop();
    drop(assert_all_there(&[dir.path("tasks.log.1"), dir.path("tasks.log")], lines));
    assert_account_is_clean(&file, lines);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &dir.path("tasks.log").metadata().expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o604);
}

#[test]
fn the_default_is_to_wait_for_a_tenth_of_a_second() {
    let dir = Dir::new();
    let steady = Steady::start(&file(&dir));
    let took = steady.followed_within(Duration::from_millis(350), || {
        rename(dir.path("tasks.log"), dir.path("tasks.log.1"))
    });
    assert!(took >= Duration::from_millis(100), "{took:?}");
    let lines = steady.stop();
    drop(assert_all_there(&[dir.path("tasks.log.1"), dir.path("tasks.log")], lines));
}

#[test]
fn another_file_renamed_to_the_path() {
    let dir = Dir::new();
    let file = file(&dir);
    let steady = Steady::start(&file);
    fs::hard_link(dir.path("tasks.log"), dir.path("tasks.log.1")).expect("it gets another name");
    create(dir.path("new"));
    steady.followed_within(LIMIT, || rename(dir.path("new"), dir.path("tasks.log")));
    let lines = steady.stop();
    drop(assert_all_there(&[dir.path("tasks.log.1"), dir.path("tasks.log")], lines));
    assert_account_is_clean(&file, lines);
}

#[test]
fn two_rotations_at_once() {
    let dir = Dir::new();
    let file = file(&dir);
    let steady = Steady::start(&file);
    for round in 0..10 {
        steady.followed_within(LIMIT, || {
            for half in ["a", "b"] {
                rename(dir.path("tasks.log"), dir.path(&format!("tasks.log-{round}{half}")));
                create(dir.path("tasks.log"));
            }
        });
    }
    let lines = steady.stop();
    let names =
        (0..10).flat_map(|round| ["a", "b"].map(|half| dir.path(&format!("tasks.log-{round}{half}"))));
    let files: Vec<_> = names.chain([dir.path("tasks.log")]).collect();
    drop(assert_all_there(&files, lines));
    assert_account_is_clean(&file, lines);
}

#[test]
fn into_another_folder() {
    let dir = Dir::new();
    dir.write("old/other", "");
    let file = file(&dir);
    let steady = Steady::start(&file);
    steady.followed_within(LIMIT, || {
        rename(dir.path("tasks.log"), dir.path("old/tasks.log.1"));
        create(dir.path("tasks.log"));
    });
    let lines = steady.stop();
    drop(assert_all_there(&[dir.path("old/tasks.log.1"), dir.path("tasks.log")], lines));
    assert_account_is_clean(&file, lines);
}

#[test]
fn back_to_its_name_is_no_rotation() {
    let dir = Dir::new();
    let file = builder(&dir).create_after(Duration::from_secs(60)).build().expect("it can be opened");
    let steady = Steady::start(&file);
    rename(dir.path("tasks.log"), dir.path("tasks.log.1"));
    steady.go_on(500);
    rename(dir.path("tasks.log.1"), dir.path("tasks.log"));
    let lines = steady.stop();
    drop(assert_all_there(&[dir.path("tasks.log")], lines));
    assert_account_is_clean(&file, lines);
    assert_eq!((file.stats().reopens, file.stats().errors), (0, 0));
}

#[test]
fn an_idle_process_lets_go_of_the_old_file() {
    let dir = Dir::new();
    let file = file(&dir);
    write(&file, "one\n");
    for round in 1..=5 {
        rename(dir.path("tasks.log"), dir.path(&format!("tasks.log-{round}")));
        create(dir.path("tasks.log"));
        let is_gone = || open_below(&dir) == [dir.path("tasks.log")] && file.stats().reopens == round;
        wait_within("the old file is let go", Duration::from_secs(1), is_gone);
    }
    write(&file, "two\n");
    assert_eq!((dir.read("tasks.log-1").as_str(), dir.read("tasks.log").as_str()), ("one\n", "two\n"));
}

#[test]
fn a_truncated_file_gets_no_hole_and_what_may_be_lost_is_counted_and_announced() {
    let dir = Dir::new();
    let told = Told::default();
    let file = builder(&dir).on_error(told.hook()).build().expect("it can be opened");
    let steady = Steady::start(&file);
    let before = file.stats().accepted_lines;
    fs::OpenOptions::new().write(true).truncate(true).open(dir.path("tasks.log")).expect("it is there");
    wait_until("it is noticed", LATEST, || file.stats().truncations == 1);
    let lines = steady.stop();
    let left = dir.lines("tasks.log");
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.written_lines, stats.dropped_lines), (lines, lines, 0));
    assert!(lines - (left.len() as u64 - 1) >= before, "what was before is gone: {}", left.len());
    assert!(stats.at_risk_lines > 0 && stats.at_risk_lines < lines, "{stats:?}");
    let announced = format!(
        "up to {} lines may be lost reason=\"file truncated by another program\"",
        stats.at_risk_lines
    );
    assert_eq!(left.iter().filter(|line| line.ends_with(&announced)).count(), 1);
    assert_eq!(told.all().len(), 1, "{:?}", told.all());
    assert!(told.all()[0].contains("truncated by another program"), "{:?}", told.all());
    let expect = Expect::new().allowed(0, lines).bare_lines();
    drop(LogFamily::files([dir.path("tasks.log")]).verify(&expect).assert_clean());
}

#[test]
fn a_link_that_leads_elsewhere() {
    let dir = Dir::new();
    dir.write("a/tasks.log", "");
    dir.write("b/tasks.log", "");
    symlink("a/tasks.log", dir.path("tasks.log")).expect("a link can be made");
    let file = file(&dir);
    let steady = Steady::start(&file);
    symlink("b/tasks.log", dir.path("new")).expect("a link can be made");
    steady.followed_within(LIMIT, || rename(dir.path("new"), dir.path("tasks.log")));
    // And rotations at the place that the link leads to, with and without a new file.
    steady.followed_within(LIMIT, || {
        rename(dir.path("b/tasks.log"), dir.path("b/tasks.log.1"));
        create(dir.path("b/tasks.log"));
    });
    steady.followed_within(Duration::from_millis(350), || {
        rename(dir.path("b/tasks.log"), dir.path("b/tasks.log.2"))
    });
    steady.followed_within(LIMIT, || {
        fs::hard_link(dir.path("b/tasks.log"), dir.path("b/tasks.log.3"))
            .and_then(|()| fs::remove_file(dir.path("b/tasks.log")))
            .expect("it can be removed")
    });
    let lines = steady.stop();
    let files = ["a/tasks.log", "b/tasks.log.1", "b/tasks.log.2", "b/tasks.log.3", "b/tasks.log"];
    drop(assert_all_there(&files.map(|name| dir.path(name)), lines));
    assert_account_is_clean(&file, lines);
    assert!(fs::symlink_metadata(dir.path("tasks.log")).expect("it is there").is_symlink());
}

#[test]
fn a_linked_folder_that_leads_elsewhere() {
    let dir = Dir::new();
    dir.write("a/other", "");
    dir.write("b/tasks.log", "");
    symlink("a", dir.path("logs")).expect("a link can be made");
    let file = WatchedFile::open(dir.path("logs/tasks.log")).expect("it can be opened");
    let steady = Steady::start(&file);
    symlink("b", dir.path("new")).expect("a link can be made");
    steady.followed_within(LIMIT, || rename(dir.path("new"), dir.path("logs")));
    steady.followed_within(LIMIT, || {
        rename(dir.path("b/tasks.log"), dir.path("b/tasks.log.1"));
        create(dir.path("b/tasks.log"));
    });
    let lines = steady.stop();
    drop(assert_all_there(
        &["a/tasks.log", "b/tasks.log.1", "b/tasks.log"].map(|name| dir.path(name)),
        lines,
    ));
    assert_account_is_clean(&file, lines);
}

#[test]
fn its_folder_renamed_and_made_again() {
    let dir = Dir::new();
    let told = Told::default();
    let file = WatchedFile::builder(dir.path("logs/tasks.log")).on_error(told.hook()).build();
    let file = file.expect("it can be opened");
    let steady = Steady::start(&file);
    rename(dir.path("logs"), dir.path("old"));
    wait_until("it is told", LATEST, || told.all().len() == 1);
    assert!(!dir.path("logs").exists(), "a folder that was moved is not made again");
    steady.followed_within(Duration::from_secs(1), || {
        fs::create_dir(dir.path("logs")).expect("it can be made")
    });
    // It is the new folder that is watched now.
    steady.followed_within(LIMIT, || {
        rename(dir.path("logs/tasks.log"), dir.path("logs/tasks.log.1"));
        create(dir.path("logs/tasks.log"));
    });
    let lines = steady.stop();
    drop(assert_all_there(
        &["old/tasks.log", "logs/tasks.log.1", "logs/tasks.log"].map(|name| dir.path(name)),
        lines,
    ));
    assert_account_is_clean(&file, lines);
    assert_eq!(told.all().len(), 1, "once per outage: {:?}", told.all());
}

#[test]
fn a_file_that_is_made_in_the_place_of_another_keeps_its_mode() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    for (file_mode, expected) in [(None, 0o642), (Some(0o640), 0o640)] {
        let dir = Dir::new();
        let builder = builder(&dir).create_after(Duration::ZERO);
        let builder = file_mode.map_or(builder.clone(), |mode| builder.file_mode(mode));
        let file = builder.build().expect("it can be opened");
        let live = dir.path("tasks.log");
        fs::set_permissions(&live, fs::Permissions::from_mode(0o642)).expect("it is ours");
        // Where this process may give it to anybody, it keeps its owner and group as well.
        drop(std::os::unix::fs::chown(&live, Some(1234), Some(1235)));
        let owners = |meta: &fs::Metadata| (meta.uid(), meta.gid());
        for removed in [false, true] {
            let before = live.metadata().expect("it is there");
            if removed {
                fs::remove_file(&live).expect("it can be removed");
            } else {
                rename(&live, dir.path("tasks.log.1"));
            }
            wait_until("it is made", LATEST, || file.stats().reopens == 1 + u64::from(removed));
            let after = live.metadata().expect("it is there");
            assert_eq!((after.mode() & 0o7777, owners(&after)), (expected, owners(&before)));
        }
    }
}

#[test]
fn two_files_in_one_folder_that_is_asked_for_in_two_ways() {
    let dir = Dir::new();
    dir.write("real/other", "");
    symlink("real", dir.path("link")).expect("a link can be made");
    let one = WatchedFile::open(dir.path("real/one.log")).expect("it can be opened");
    let two = WatchedFile::open(dir.path("link/two.log")).expect("it can be opened");
    let steady = [&one, &two].map(Steady::start);
    // What a compressor without delay does. Nothing of what it has may be there again.
    for round in 0..10 {
        for name in ["one", "two"] {
            let (live, old) = (dir.path(&format!("real/{name}.log")), dir.path(&format!("real/{name}.1")));
            let before = if name == "one" { &one } else { &two }.stats().reopens;
            rename(&live, &old);
            create(&live);
            holds_within(Duration::from_millis(3), || false);
            let copy = dir.path(&format!("real/copy-{name}-{round:02}"));
            fs::copy(&old, copy).and_then(|_| fs::remove_file(&old)).expect("it can be copied");
            wait_until("it is followed", LATEST, || {
                if name == "one" { &one } else { &two }.stats().reopens > before
            });
        }
    }
    for (name, steady) in ["one", "two"].into_iter().zip(steady) {
        let file = steady.file.clone();
        let lines = steady.stop();
        let copies = (0..10).map(|round| dir.path(&format!("real/copy-{name}-{round:02}")));
        let family = LogFamily::files(copies.chain([dir.path(&format!("real/{name}.log"))]));
        let expect = Expect::new().allowed(0, lines).bare_lines();
        drop(family.verify(&expect).assert_clean());
        assert_eq!(file.stats().rewritten_lines, 0, "{name}");
    }
}

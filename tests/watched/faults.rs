//! Paths that can't be followed for a while: lines go on into the old file, and nobody waits.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
    time::Duration,
};

use tracing_tasklog::writer::WatchedFile;

use super::{LATEST, Steady, Told, assert_account_is_clean, assert_all_there, builder, file, write};
use crate::support::{
    child::{Child, role, say},
    dir::Dir,
    wait_until, wait_within,
};

/// Has the path become something else, and then a file again.
fn assert_outage_is_survived(told_part: &str, spoil: impl Fn(&Path), mend: impl Fn(&Path)) {
    let dir = Dir::new();
    let told = Told::default();
    let file = builder(&dir).on_error(told.hook()).build().expect("it can be opened");
    let path = dir.path("tasks.log");
    let steady = Steady::start(&file);
    for outage in 1..=2 {
        let backup = dir.path(&format!("tasks.log-{outage}"));
        fs::rename(&path, &backup).expect("it can be renamed");
        spoil(&path);
        wait_until("it is told", LATEST, || told.all().len() == outage);
        steady.go_on(1_000);
        assert_eq!(told.all().len(), outage, "once per outage: {:?}", told.all());
        let last = told.all().pop().expect("it was told");
        assert!(last.contains(told_part) && last.contains(&format!("{path:?}")), "{last}");
        steady.followed_within(Duration::from_secs(1), || {
            mend(&path);
            drop(fs::File::create_new(&path));
        });
    }
    let lines = steady.stop();
    drop(assert_all_there(&["tasks.log-1", "tasks.log-2", "tasks.log"].map(|name| dir.path(name)), lines));
    assert_account_is_clean(&file, lines);
    assert!(file.stats().errors > 0);
}

fn unlink(path: &Path) {
    fs::remove_file(path).expect("it can be removed");
}

#[test]
fn the_path_becomes_a_folder() {
    let mend = |path: &Path| fs::remove_dir(path).expect("it can be removed");
    assert_outage_is_survived("directory", |path| fs::create_dir(path).expect("it can be made"), mend);
}

#[test]
fn the_path_becomes_a_fifo() {
    let make =
        |path: &Path| assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
    assert_outage_is_survived("no regular file", make, unlink);
}

#[test]
fn the_path_becomes_a_link_to_itself() {
    assert_outage_is_survived("links", |path| symlink(path, path).expect("a link can be made"), unlink);
}

#[test]
fn the_path_becomes_a_link_that_leads_nowhere() {
    for target in ["nobody", "/nobody/at/all"] {
        let spoil = |path: &Path| symlink(target, path).expect("a link can be made");
        assert_outage_is_survived("leads nowhere", spoil, unlink);
    }
}

#[test]
fn the_path_becomes_a_device() {
    let spoil = |path: &Path| symlink("/dev/full", path).expect("a link can be made");
    assert_outage_is_survived("no regular file", spoil, unlink);
}

#[test]
fn a_file_removed_while_the_path_is_taken_leaves_its_lines_in_memory() {
    let dir = Dir::new();
    let told = Told::default();
    let file = builder(&dir).on_error(told.hook()).build().expect("it can be opened");
    fs::remove_file(dir.path("tasks.log"))
        .and_then(|()| fs::create_dir(dir.path("tasks.log")))
        .expect("it can be made");
    wait_until("it is told", LATEST, || !told.all().is_empty());
    let line = "x".repeat(1023) + "\n";
    (0..300).for_each(|_| write(&file, &line));
    let stats = file.stats();
    assert_eq!((stats.accepted_lines, stats.queued_lines, stats.dropped_lines), (300, 256, 44), "{stats:?}");
    fs::remove_dir(dir.path("tasks.log")).expect("it can be removed");
    wait_within("it is made", Duration::from_secs(1), || file.stats().reopens == 1);
    write(&file, &line);
    let stats = file.stats();
    assert_eq!((stats.written_lines, stats.queued_lines, stats.dropped_lines), (257, 0, 44), "{stats:?}");
    let lines = dir.lines("tasks.log");
    assert_eq!(lines.len(), 258);
    assert!(lines[0].ends_with("44 lines dropped reason=\"log file removed\""), "{}", lines[0]);
}

#[test]
fn child_loses_its_permissions() {
    if !role("faults::child_loses_its_permissions") {
        return;
    }
    let folder = std::path::PathBuf::from(std::env::var_os("FOLDER").expect("the parent says where"));
    let told = Told::default();
    let file = WatchedFile::builder(folder.join("tasks.log"))
        .on_error(told.hook())
        .build()
        .expect("it can be opened");
    let steady = Steady::start(&file);
    say("writing");
    for count in 1..=3 {
        wait_until("it is told", LATEST, || told.all().len() == count);
        assert!(told.all()[count - 1].contains("allow this user to write there"), "{:?}", told.all());
        let before = file.stats().reopens;
        say("told");
        wait_until("it is followed", LATEST, || file.stats().reopens > before);
        say("followed");
    }
    let lines = steady.stop();
    assert_account_is_clean(&file, lines);
    say(&format!("lines {lines}"));
}

#[test]
fn permissions_lost_and_regained() {
    let dir = Dir::new();
    let logs = dir.path("logs");
    let chmod =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    fs::create_dir(&logs).expect("it can be made");
    chmod(&logs, 0o777);
    let child = Child::of_test_as_nobody("faults::child_loses_its_permissions", dir.root());
    let mut child = child.env("FOLDER", &logs).limit(Duration::from_secs(40)).spawn();
    child.wait_for_stdout_line(|line| line == "writing");
    let live = logs.join("tasks.log");
    type Step<'a> = &'a dyn Fn();
    let outages: [(Step<'_>, Step<'_>); 3] = [
        // `create 0600 root root`: not for this user.
        (&|| drop(fs::File::create_new(&live).map(|_| chmod(&live, 0o600))), &|| chmod(&live, 0o666)),
        // A folder in which this user can't make a file.
        (&|| chmod(&logs, 0o555), &|| chmod(&logs, 0o777)),
        // A folder that this user can't look into.
        (&|| chmod(&logs, 0o600), &|| chmod(&logs, 0o777)),
    ];
    let (mut told, mut followed) = (0, 0);
    for (number, (spoil, mend)) in outages.iter().enumerate() {
        fs::rename(&live, logs.join(format!("tasks.log-{number}"))).expect("it can be renamed");
        spoil();
        told += 1;
        let mut said = 0;
        child.wait_for_stdout_line(|line| {
            said += usize::from(line == "told");
            line == "told" && said == told
        });
        mend();
        followed += 1;
        let mut said = 0;
        child.wait_for_stdout_line(|line| {
            said += usize::from(line == "followed");
            line == "followed" && said == followed
        });
    }
    let output = child.wait().assert_success();
    let lines = output.stdout.lines().find_map(|line| line.strip_prefix("lines ")).expect("it says how many");
    let files = ["tasks.log-0", "tasks.log-1", "tasks.log-2", "tasks.log"].map(|name| logs.join(name));
    drop(assert_all_there(&files, lines.parse().expect("a number")));
}

#[test]
fn a_reopen_that_is_asked_for_makes_the_file_or_says_why_not() {
    let dir = Dir::new();
    let file = builder(&dir).create_after(Duration::from_secs(60)).build().expect("it can be opened");
    write(&file, "one\n");
    fs::rename(dir.path("tasks.log"), dir.path("tasks.log.1")).expect("it can be renamed");
    file.reopen().expect("it can be made");
    write(&file, "two\n");
    assert_eq!((dir.read("tasks.log.1").as_str(), dir.read("tasks.log").as_str()), ("one\n", "two\n"));
    fs::rename(dir.path("tasks.log"), dir.path("tasks.log.2")).expect("it can be renamed");
    fs::create_dir(dir.path("tasks.log")).expect("it can be made");
    let error = file.reopen().expect_err("it is a folder");
    let message =
        format!("could not reopen {:?}: it is a directory, give the path of a file", dir.path("tasks.log"));
    assert_eq!(error.to_string(), message);
    write(&file, "three\n");
    assert_eq!(dir.read("tasks.log.2"), "two\nthree\n");
}

#[test]
fn the_last_clone_lets_go_of_everything() {
    let dir = Dir::new();
    for _ in 0..100 {
        let one = file(&dir);
        let two = WatchedFile::open(dir.path("other.log")).expect("it can be opened");
        write(&one, "one\n");
        write(&two, "two\n");
    }
    let fds = || fs::read_dir("/proc/self/fd").expect("/proc is mounted").filter_map(Result::ok);
    let is_below = |fd: fs::DirEntry| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(dir.root()));
    wait_until("all files are closed", LATEST, || !fds().any(is_below));
    assert_eq!((dir.lines("tasks.log").len(), dir.lines("other.log").len()), (100, 100));
}

//! A root process, and users who may change the way to its log.

use std::os::unix::fs::{chown, symlink};

use super::*;

/// A folder of root's, and in it one for another user, with what that one could do to it.
fn folder(owner: u32, group: u32, mode: u32) -> Dir {
    let dir = Dir::new();
    set_mode(dir.root(), 0o755);
    fs::create_dir(dir.path("logs")).expect("the folder is new");
    chown(dir.path("logs"), Some(owner), Some(group)).expect("root may");
    set_mode(dir.path("logs"), mode);
    dir
}

/// Both writers are refused, say why, and change nothing; asked to trust the path, they log.
#[track_caller]
fn assert_refused(dir: &Dir, path: &str, why: &str) {
    let before = dir_of(dir, path);
    for options in ["", "watched", "mode", "mode watched"] {
        let said = said(logs(&[], dir.path(path), options));
        assert!(said.starts_with("refused root is not to log to"), "{options}: {said}");
        assert!(said.contains(why) && said.contains("trust_path(true)"), "{options}: {said}");
        assert!(said.contains(&format!("path=Some({:?})", dir.path(path))), "{options}: {said}");
    }
    assert_eq!(dir_of(dir, path), before);
    for options in ["watched trust", "trust"] {
        assert_eq!(said(logs(&[], dir.path(path), options)), "built\n", "{options}");
    }
}

#[track_caller]
fn assert_logs(dir: &Dir, path: &str) {
    for options in ["watched", ""] {
        assert_eq!(said(logs(&[], dir.path(path), options)), "built\n", "{options}");
    }
}

/// Names, modes and sizes.
fn dir_of(dir: &Dir, path: &str) -> Vec<(String, u32, u64)> {
    let parent = dir.path(path).parent().expect("a folder").to_owned();
    let entries = fs::read_dir(parent).expect("it is there").map(|entry| entry.expect("an entry").path());
    let mut entries: Vec<_> = entries
        .map(|path| {
            (path.display().to_string(), mode(&path), fs::metadata(&path).map_or(0, |meta| meta.len()))
        })
        .collect();
    entries.sort();
    entries
}

#[test]
#[ignore = "needs root"]
fn a_link_of_another_user_is_refused_to_root_wherever_it_is_on_the_path() {
    let dir = folder(0, 0, 0o1777);
    dir.write("roots/shadow", "precious\n");
    set_mode(dir.path("roots/shadow"), 0o600);
    for (link, target) in [("logs/tasks.log", "../roots/shadow"), ("logs/way", "../roots")] {
        symlink(target, dir.path(link)).expect("a link can be made");
        std::os::unix::fs::lchown(dir.path(link), Some(4711), Some(4711)).expect("root may");
    }
    for path in ["logs/tasks.log", "logs/way/shadow"] {
        for options in ["", "mode", "watched", "watched mode"] {
            let said = said(logs(&[], dir.path(path), options));
            assert!(said.contains("refused root is not to log to"), "{path} {options}: {said}");
            assert!(said.contains("the link ") && said.contains("belongs to user 4711"), "{path}: {said}");
            assert_eq!(
                (dir.read("roots/shadow").as_str(), mode(dir.path("roots/shadow"))),
                ("precious\n", 0o600)
            );
        }
    }
    assert_eq!(fs::read_dir(dir.path("roots")).expect("it is there").count(), 1);
    assert_eq!(said(logs(&[], dir.path("logs/tasks.log"), "watched trust")), "built\n");
}

#[test]
#[ignore = "needs root"]
fn a_link_of_roots_in_a_directory_of_roots_is_followed() {
    let dir = folder(0, 0, 0o755);
    dir.write("roots/real.log", "before\n");
    symlink("../roots/real.log", dir.path("logs/tasks.log")).expect("a link can be made");
    symlink("../roots/new.log", dir.path("logs/dangling.log")).expect("a link can be made");
    symlink("logs", dir.path("way")).expect("a link can be made");
    ["logs/tasks.log", "logs/dangling.log", "way/tasks.log"].iter().for_each(|path| assert_logs(&dir, path));
    assert!(dir.path("logs/tasks.log").is_symlink() && dir.path("roots/new.log").is_file());
}

#[test]
#[ignore = "needs root"]
fn a_link_of_roots_into_the_directory_of_another_user_is_refused() {
    let dir = folder(4711, 4711, 0o755);
    symlink("logs/real.log", dir.path("tasks.log")).expect("a link can be made");
    assert_refused(&dir, "tasks.log", "logs\" belongs to user 4711");
}

#[test]
#[ignore = "needs root"]
fn a_link_of_roots_is_refused_where_others_could_put_another_in_its_place() {
    for (owner, mode, why) in
        [(4711, 0o755, "the directory of the link"), (0, 0o777, "is writable for all users (mode 777)")]
    {
        let dir = folder(owner, owner, mode);
        dir.write("roots/shadow", "precious\n");
        set_mode(dir.path("roots/shadow"), 0o600);
        symlink("../roots/shadow", dir.path("logs/tasks.log")).expect("a link can be made");
        assert_refused(&dir, "logs/tasks.log", why);
    }
    let dir = folder(0, 0, 0o1777);
    symlink("../real.log", dir.path("logs/tasks.log")).expect("a link can be made");
    assert_logs(&dir, "logs/tasks.log"); // nobody else may rename it there
}

#[test]
#[ignore = "needs root"]
fn a_directory_that_others_may_write_to_is_refused_to_root() {
    for (owner, group, mode, why) in [
        (4711, 4711, 0o755, "logs\" belongs to user 4711"),
        (4711, 0, 0o1700, "logs\" belongs to user 4711"),
        (0, 0, 0o777, "logs\" is writable for all users (mode 777)"),
        (0, 4711, 0o775, "logs\" is writable for group 4711 (mode 775)"),
        (0, 4711, 0o2770, "logs\" is writable for group 4711 (mode 2770)"),
    ] {
        assert_refused(&folder(owner, group, mode), "logs/tasks.log", why);
    }
}

#[test]
#[ignore = "needs root"]
fn a_directory_of_roots_is_fine_and_so_is_a_sticky_one_and_one_that_is_made() {
    for (group, mode) in [(0, 0o700), (0, 0o755), (4711, 0o750), (0, 0o775), (0, 0o1777), (4711, 0o1775)] {
        assert_logs(&folder(0, group, mode), "logs/tasks.log");
    }
    let dir = folder(4711, 4711, 0o755);
    let umask = ["sh", "-c", "umask 0; exec \"$0\" \"$@\""];
    assert_eq!(said(logs(&umask, dir.path("logs/new/er/tasks.log"), "")), "built\n");
    assert_eq!((mode(dir.path("logs/new")), mode(dir.path("logs/new/er"))), (0o755, 0o755));
    assert_logs(&dir, "logs/new/er/tasks.log");
    let dir = folder(0, 0, 0o755);
    dir.write("logs/tasks.log", "");
    chown(dir.path("logs/tasks.log"), Some(4711), Some(4711)).expect("root may");
    assert_logs(&dir, "logs/tasks.log"); // `create 0640 app adm` of logrotate(8)
}

#[test]
#[ignore = "needs root"]
fn in_a_sticky_directory_the_file_of_another_user_and_a_second_name_are_refused_to_root() {
    let dir = folder(0, 0, 0o1777);
    dir.write("logs/tasks.log", "bait\n");
    chown(dir.path("logs/tasks.log"), Some(4711), Some(4711)).expect("root may");
    dir.write("roots/shadow", "precious\n");
    fs::hard_link(dir.path("roots/shadow"), dir.path("logs/linked.log")).expect("the same file system");
    for path in ["logs/tasks.log", "logs/linked.log"] {
        assert_refused(&dir, path, "belongs to user");
    }
}

#[test]
#[ignore = "needs root"]
fn a_user_who_is_not_root_logs_by_any_path() {
    let dir = folder(4711, 4711, 0o777);
    sh(&USER, &dir, "ln -s real.log logs/tasks.log");
    for options in ["watched", ""] {
        assert_eq!(said_as(&USER, dir.path("logs/tasks.log"), options), "built\n");
        assert_eq!(said_as(&OTHER, dir.path("logs/other.log"), options), "built\n");
    }
}

#[test]
#[ignore = "needs root"]
fn a_character_device_is_fine_for_a_watched_file_of_roots() {
    let dir = folder(4711, 4711, 0o755);
    symlink("/dev/null", dir.path("logs/tasks.log")).expect("a link can be made");
    for path in [Path::new("/dev/null"), &dir.path("logs/tasks.log")] {
        assert_eq!(said(logs(&[], path, "watched")), "built\n");
    }
}

#[test]
#[ignore = "needs root"]
fn a_link_that_another_user_puts_in_the_place_of_a_rotated_file_is_not_followed() {
    let dir = folder(0, 0, 0o1777);
    dir.write("roots/shadow", "precious\n");
    let path = dir.path("logs/tasks.log");
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let hook = std::sync::Arc::clone(&told);
    let file = WatchedFile::builder(&path).create_after(Duration::from_secs(60));
    let file = file.on_error(move |error| hook.lock().expect("no panic").push(error.to_string()));
    let mut file = file.build().expect("it is sticky");
    fs::rename(&path, dir.path("logs/tasks.log.1")).expect("root may");
    sh(&OTHER, &dir, "ln -s ../roots/shadow logs/tasks.log");
    support::wait_until("it is told", Duration::from_secs(20), || {
        file.write_all(b"a line\n").expect("writing never fails");
        told.lock().expect("no panic").iter().any(|error| error.contains("belongs to user 4712"))
    });
    assert!(file.reopen().is_err());
    assert_eq!(dir.read("roots/shadow"), "precious\n");
    fs::remove_file(&path).expect("root may");
    assert!(file.reopen().is_ok() && path.is_file());
}

#[test]
#[cfg(feature = "multiprocess")]
#[ignore = "needs root"]
fn a_link_of_another_user_to_the_directory_of_a_queue_is_refused_to_root() {
    use tracing_tasklog::writer::SharedQueue;

    let dir = folder(4711, 4711, 0o755);
    fs::create_dir(dir.path("roots")).expect("the folder is new");
    set_mode(dir.path("roots"), 0o755);
    sh(&USER, &dir, "ln -s ../roots logs/q");
    for path in ["logs/q", "logs/q/new"] {
        let error = SharedQueue::connect(dir.path(path)).map(drop).expect_err("the link is another user's");
        assert!(error.to_string().contains("q\" belongs to user 4711: give the path without it"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path("roots")).expect("it is there").count(), 0);
    symlink("roots", dir.path("q")).expect("a link can be made");
    SharedQueue::connect(dir.path("q")).map(drop).expect("that link is root's");
}

#[test]
#[ignore = "needs root"]
fn root_rotates_nothing_by_a_link_that_another_user_has_put_in_the_way() {
    let dir = folder(0, 0, 0o755);
    dir.write("others/shadow/tasks.log", "precious\n");
    fs::create_dir(dir.path("others/logs")).expect("the folder is new");
    let file = InstanceFile::builder(dir.path("others/logs/tasks.log")).max_bytes(8).on_error(|_| {});
    let mut file = file.build().expect("it is root's");
    file.write_all(b"line 1\n").expect("writing never fails");
    chown(dir.path("others"), Some(4711), None).expect("root may");
    sh(&USER, &dir, "mv others/logs others/moved; ln -s shadow others/logs");
    file.write_all(b"line 2\n").expect("writing never fails");
    assert_eq!((file.stats().rotations, file.stats().dropped_lines), (0, 0));
    assert_eq!(dir.read("others/moved/tasks.log"), "line 1\nline 2\n");
    assert_eq!(dir.read("others/shadow/tasks.log"), "precious\n");
    assert_eq!(fs::read_dir(dir.path("others/shadow")).expect("it is there").count(), 1);
}

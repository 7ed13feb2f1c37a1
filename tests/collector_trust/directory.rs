//! The directory of a queue: how it is made, and which ones are refused.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::Path,
};

use tracing_tasklog::{
    Error,
    writer::{Collector, SharedQueue},
};

use crate::{
    collector_kit::{LATEST, Place, connect, log_file, queue_path, write_lines},
    support::{
        child::{Child, role},
        dir::Dir,
        verify::Expect,
    },
};

fn mode(path: impl AsRef<Path>) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

/// The names in a folder, sorted.
fn listed(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is the test's own");
}

#[test]
fn child_makes_all_that_a_queue_has() {
    if !role("directory::child_makes_all_that_a_queue_has") {
        return;
    }
    let queue = connect();
    let guard = Collector::builder(queue_path()).spawn(log_file()).expect("nobody else collects");
    write_lines(&queue, 0, 10);
    guard.flush(LATEST).expect("the sink takes everything");
    std::process::exit(0); // so the ring stays
}

/// Makes a queue's directory under a umask. Returns the modes of its parent, of itself, and of all that is in it.
fn modes_under(umask: &str) -> (u32, u32, Vec<(String, u32)>) {
    let place = Place::new();
    let queue = place.dir.path("run/app/q");
    let child =
        Child::of_test_after("directory::child_makes_all_that_a_queue_has", &format!("umask {umask}"));
    let child = child.env("QUEUE", &queue).env("LOG", place.log());
    child.spawn().wait().assert_success();
    let entries = fs::read_dir(&queue).expect("it was made").map(|entry| entry.expect("listed").path());
    let mut inside: Vec<_> = entries
        .map(|path| {
            let name = path.extension().or(path.file_name()).expect("a name");
            (name.to_string_lossy().into_owned(), mode(&path))
        })
        .collect();
    inside.sort();
    (mode(place.dir.path("run/app")), mode(queue), inside)
}

#[test]
fn the_directory_is_made_for_its_user_alone_whatever_the_umask() {
    for (umask, parent) in [("000", 0o777), ("022", 0o755), ("027", 0o750), ("077", 0o700)] {
        let (of_parent, of_queue, inside) = modes_under(umask);
        assert_eq!((of_parent, of_queue), (parent, 0o700), "umask {umask}: parents are as usual");
        let own = |name: &str| (name.to_owned(), 0o600);
        assert_eq!(inside, [own("lock"), own("ring"), own("wake")], "umask {umask}");
    }
}

/// A user without any rights would be locked out by this one; for root nothing is.
#[test]
#[ignore = "needs root"]
fn a_umask_that_takes_the_owners_rights_takes_none_here() {
    let (_, of_queue, inside) = modes_under("277");
    assert_eq!(of_queue, 0o700);
    assert!(inside.iter().all(|(_, mode)| *mode == 0o600), "{inside:?}");
}

/// What a worker and a collector are told about a directory that they can't have: the same.
fn refusal(path: &Path) -> Error {
    let before = path.parent().map(listed);
    let of_worker = SharedQueue::connect(path).expect_err("the worker must refuse it");
    let of_collector =
        Collector::builder(path).spawn(Vec::new()).map(drop).expect_err("the collector must refuse it");
    assert_eq!(of_worker.to_string(), of_collector.to_string());
    assert_eq!(path.parent().map(listed), before, "nothing is changed on the disk");
    of_worker
}

/// It names the path and says what to do.
fn assert_refused(path: &Path, advice: &str) {
    let error = refusal(path).to_string();
    assert!(error.contains(&format!("{path:?}")), "{path:?} is not in: {error}");
    assert!(error.contains(advice), "{advice:?} is not in: {error}");
}

#[test]
fn an_empty_path_is_refused() {
    let error = SharedQueue::connect("").expect_err("refused").to_string();
    assert!(error.contains("path") && error.contains("empty"), "{error}");
    let error = Collector::builder("").spawn(Vec::new()).map(drop).expect_err("refused").to_string();
    assert!(error.contains("path") && error.contains("empty"), "{error}");
}

#[test]
fn a_file_is_no_directory() {
    let dir = Dir::new();
    dir.write("q", "text");
    assert_refused(&dir.path("q"), "directory of its own");
    assert_eq!(dir.read("q"), "text");
}

#[test]
fn a_path_below_a_file_is_refused() {
    let dir = Dir::new();
    dir.write("file", "text");
    let error = refusal(&dir.path("file/q")).to_string();
    assert!(error.contains("file/q"), "{error}");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_and_left_as_it_is() {
    for bad in [0o777, 0o770, 0o707, 0o1777, 0o720, 0o702] {
        let dir = Dir::new();
        let path = dir.path("q");
        fs::create_dir(&path).expect("the folder is the test's own");
        set_mode(&path, bad);
        assert_refused(&path, "give the queue a directory of its own with mode 700");
        assert!(refusal(&path).to_string().contains(&format!("{bad:o}")), "it says which mode it has");
        assert_eq!(mode(&path), bad);
        assert_eq!(fs::read_dir(&path).expect("it is there").count(), 0);
    }
}

#[test]
#[ignore = "needs root"]
fn a_directory_of_another_user_is_refused() {
    let dir = Dir::new();
    let path = dir.path("q");
    fs::create_dir(&path).expect("the folder is the test's own");
    set_mode(&path, 0o700);
    chown(&path, Some(65534), None).expect("root may");
    assert_refused(&path, "one user");
    let error = refusal(&path).to_string();
    assert!(error.contains("65534") && error.contains("user 0"), "{error}");
}

#[test]
fn a_wake_that_is_no_pipe_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.dir.write("q/wake", "text of somebody else");
    set_mode(place.queue(), 0o700);
    let error = place.collector().spawn(Vec::new()).map(drop).expect_err("refused").to_string();
    assert!(error.contains("q/wake") && error.contains("directory of its own"), "{error}");
    let error = SharedQueue::connect(place.queue()).expect_err("refused").to_string();
    assert!(error.contains("q/wake") && error.contains("directory of its own"), "{error}");
    assert_eq!(
        (place.dir.read("q/wake").as_str(), place.names()),
        ("text of somebody else", vec!["wake".into()])
    );
}

#[test]
fn what_is_no_lock_of_a_collector_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.dir.write("elsewhere", "text");
    fs::create_dir(place.queue()).expect("the folder is the test's own");
    set_mode(place.queue(), 0o700);
    std::os::unix::fs::symlink(place.dir.path("elsewhere"), place.queue().join("collector.lock"))
        .expect("the folder is the test's own");
    let error = place.collector().spawn(Vec::new()).map(drop).expect_err("refused").to_string();
    assert!(error.contains("collector.lock"), "{error}");
    assert_eq!(place.dir.read("elsewhere"), "text");
}

#[test]
fn an_own_directory_that_others_may_only_read_is_taken_and_left_as_it_is() {
    let place = Place::new();
    fs::create_dir(place.queue()).expect("the folder is the test's own");
    set_mode(place.queue(), 0o755);
    let queue = place.connect();
    write_lines(&queue, 0, 5);
    let ring = place.rings().pop().expect("there is a ring");
    assert_eq!((mode(place.queue()), mode(ring)), (0o755, 0o600));
    assert_eq!(place.collect_all().written, 5);
    assert_eq!(mode(place.queue()), 0o755);
    place.assert_log(&Expect::new().bare_lines().worker(0, 5), "all is there");
}

#[test]
fn a_path_through_a_link_leads_to_the_same_queue() {
    let place = Place::new();
    let queue = place.connect();
    let link = place.dir.path("link");
    std::os::unix::fs::symlink(place.queue(), &link).expect("the folder is the test's own");
    write_lines(&queue, 0, 5);
    let guard = Collector::builder(&link).spawn(place.file()).expect("it is the same directory");
    let other = place.collector().spawn(Vec::new()).map(drop).expect_err("one collector a directory");
    assert!(other.is_in_use(), "{other}");
    guard.flush(LATEST).expect("the sink takes everything");
    place.assert_log(&Expect::new().bare_lines().worker(0, 5), "all is there");
}

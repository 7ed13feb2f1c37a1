//! What an `InstanceFile` can't be built from: the error names the input and what to do, and the disk stays as it was.

use std::{error::Error as _, ffi::OsString, io::ErrorKind};

use tracing_tasklog::{
    Error,
    writer::{InstanceFile, InstanceFileBuilder},
};

use crate::support::{
    child::{Child, role, say},
    dir::Dir,
};

fn builder(dir: &Dir, name: &str) -> InstanceFileBuilder {
    InstanceFile::builder(dir.path(name))
}

/// The error of a build that must fail for its arguments alone.
#[track_caller]
fn invalid(builder: InstanceFileBuilder) -> String {
    let error = builder.build().expect_err("it can't be built");
    assert!(error.source().is_none() && error.path().is_none(), "{error:?}");
    let text = error.to_string();
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::InvalidInput);
    text
}

/// The error of a build that the operating system must refuse.
#[track_caller]
fn refused(builder: InstanceFileBuilder, kind: ErrorKind) -> Error {
    let error = builder.build().expect_err("it can't be built");
    let cause = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(cause.expect("the cause is an io::Error").kind(), kind, "{error:?}");
    error
}

#[track_caller]
fn assert_says(error: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(error.contains(part), "should say {part:?}: {error}"));
}

#[test]
fn max_bytes_0_is_an_error() {
    let dir = Dir::new();
    let error = invalid(builder(&dir, "new/tasks.log").max_bytes(0));
    assert_says(&error, &["max_bytes", "tasks.log", "is 0", "expected at least 1"]);
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn backups_0_is_an_error() {
    let dir = Dir::new();
    let error = invalid(builder(&dir, "new/tasks.log").backups(0));
    assert_says(&error, &["backups", "tasks.log", "is 0", "throw lines away", "expected at least 1"]);
    assert_eq!(dir.names(), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_file_mode_of_more_than_twelve_bits_is_an_error() {
    let dir = Dir::new();
    let error = invalid(builder(&dir, "new/tasks.log").file_mode(0o100_640));
    assert_says(&error, &["file_mode", "tasks.log", "0o100640", "at most 0o7777"]);
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn an_empty_path_is_an_error() {
    assert_eq!(invalid(InstanceFile::builder("")), "the path of the log file is empty");
}

#[test]
fn a_path_that_names_no_file_is_an_error_and_makes_no_directory() {
    let dir = Dir::new();
    for path in ["new/", "new/folder/.", "new/folder/.."] {
        assert_says(&invalid(builder(&dir, path)), &[path, "end it in the name of a file"]);
    }
    assert_says(&invalid(builder(&dir, "new/a\0b")), &[r"new/a\0b", "NUL"]);
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn an_unknown_placeholder_is_an_error() {
    let dir = Dir::new();
    for (name, placeholder) in
        [("{date}", "{date}"), ("{}", "{}"), ("{PID}", "{PID}"), ("{pid }", "{pid }"), ("{env}", "{env}")]
    {
        let error = invalid(builder(&dir, &format!("new/{name}.log")));
        assert_says(&error, &["unknown placeholder", placeholder, "{pid}, {host}, {instance} or {env:NAME}"]);
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn a_brace_without_its_end_is_an_error() {
    let dir = Dir::new();
    for name in ["new/{pid.log", "new/{", "new/{pid}{", "new/{{{pid"] {
        assert_says(&invalid(builder(&dir, name)), &[name, "brace without its end", "write {{ for a brace"]);
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn two_braces_are_one() {
    let dir = Dir::new();
    for (name, expanded) in [
        ("{{tasks.log", "{tasks.log".to_owned()),
        ("{{pid}.log", "{pid}.log".to_owned()),
        ("{{{{.log", "{{.log".to_owned()),
        ("{{{pid}.log", format!("{{{}.log", std::process::id())),
        ("}.log", "}.log".to_owned()),
    ] {
        let file = builder(&dir, name).build().expect("a brace is a character like others");
        assert_eq!(file.path(), dir.path(&expanded));
        assert!(dir.path(&expanded).is_file());
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_utf_8_is_fine_without_placeholders() {
    use std::os::unix::ffi::OsStringExt as _;

    let dir = Dir::new();
    let name = |bytes: &[u8]| dir.root().join(OsString::from_vec(bytes.to_vec()));
    let file = InstanceFile::builder(name(b"t\xffsks.log")).build().expect("any name is a name");
    assert!(file.path().is_file());
    let error = invalid(InstanceFile::builder(name(b"t\xff-{pid}.log")));
    assert_says(&error, &[r"t\xFF-{pid}.log", "not UTF-8", "placeholders"]);
    assert_eq!(dir.names().len(), 1);
}

#[test]
fn child_builds() {
    if !role("paths::child_builds") {
        return;
    }
    let path = std::env::var_os("LOG").expect("the parent says where");
    match InstanceFile::builder(path).build() {
        Ok(file) => say(&format!("built {:?}", file.path())),
        Err(error) => {
            assert!(error.source().is_none(), "{error:?}");
            say(&format!("refused {error}"));
        }
    }
}

/// Builds in a child with an environment of its own. Returns "built …" or "refused …".
fn built_with(dir: &Dir, name: &str, variables: &[(&str, OsString)]) -> String {
    let child = Child::of_test("paths::child_builds").env("LOG", dir.path(name));
    let child = variables.iter().fold(child, |child, (key, value)| child.env(key, value));
    child.spawn().wait_for_stdout_line(|line| line.starts_with("built ") || line.starts_with("refused "))
}

#[track_caller]
fn assert_built(dir: &Dir, name: &str, variables: &[(&str, OsString)], expanded: &str) {
    assert_eq!(built_with(dir, name, variables), format!("built {:?}", dir.path(expanded)));
    assert!(dir.path(expanded).is_file());
}

#[test]
fn placeholders_stand_for_what_the_process_is_told() {
    let dir = Dir::new();
    let value = |text: &str| OsString::from(text);
    assert_built(&dir, "t-{instance}.log", &[("TASKLOG_INSTANCE", value("web-3"))], "t-web-3.log");
    assert_built(&dir, "t-{env:WORKER}.log", &[("WORKER", value("7"))], "t-7.log");
    assert_built(&dir, "t-{env:WORKER}.log", &[("WORKER", value("{pid}"))], "t-{pid}.log");
    let built = built_with(&dir, "t-{instance}-{pid}.log", &[]);
    let name = built.rsplit_once("t-").expect("the name").1.trim_end_matches('"');
    let (instance, pid) = name.trim_end_matches(".log").split_once('-').expect("two numbers");
    assert_eq!(instance, pid, "without $TASKLOG_INSTANCE it is the pid");
    assert!(pid.parse::<u32>().is_ok_and(|pid| pid > 1), "{built}");
}

#[test]
fn an_unset_or_empty_variable_is_an_error() {
    let dir = Dir::new();
    let empty = OsString::new();
    let cases = [
        ("new/{env:TASKLOG_TEST_UNSET}.log", None, "\"TASKLOG_TEST_UNSET\""),
        ("new/{env:WORKER}.log", Some("WORKER"), "\"WORKER\""),
        ("new/{instance}.log", Some("TASKLOG_INSTANCE"), "\"TASKLOG_INSTANCE\""),
        ("new/{env:}.log", None, "\"\""),
    ];
    for (name, variable, shown) in cases {
        let variables: Vec<_> = variable.into_iter().map(|key| (key, empty.clone())).collect();
        let said = built_with(&dir, name, &variables);
        assert!(said.starts_with("refused "), "{said}");
        assert_says(&said, &["environment variable", shown, name, "is unset or empty"]);
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_an_error() {
    use std::os::unix::ffi::OsStringExt as _;

    let dir = Dir::new();
    let value = OsString::from_vec(b"w\xff".to_vec());
    for (name, variable) in [("new/{env:WORKER}.log", "WORKER"), ("new/{instance}.log", "TASKLOG_INSTANCE")] {
        let said = built_with(&dir, name, &[(variable, value.clone())]);
        assert_says(&said, &["refused ", variable, name, "not UTF-8", r#""w\xFF""#]);
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn a_variable_with_a_control_character_is_an_error() {
    let dir = Dir::new();
    for (name, variable) in [("new/{env:WORKER}.log", "WORKER"), ("new/{instance}.log", "TASKLOG_INSTANCE")] {
        for (value, shown) in [("3\n", r#""3\n""#), ("\t3", r#""\t3""#), ("3\u{202e}", r#""3\u{202e}""#)] {
            let said = built_with(&dir, name, &[(variable, value.into())]);
            assert_says(&said, &["refused ", variable, name, "a control character", "leave it out", shown]);
        }
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn an_instance_with_a_slash_is_an_error() {
    let dir = Dir::new();
    for value in ["a/b", "../other", "..", "a\\b"] {
        let said = built_with(&dir, "new/{instance}", &[("TASKLOG_INSTANCE", value.into())]);
        assert_says(
            &said,
            &["refused ", "TASKLOG_INSTANCE", &format!("{value:?}"), "can't be part of the file name"],
        );
    }
    assert_eq!(dir.names(), [""; 0]);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_an_error() {
    let dir = Dir::new();
    dir.write("tasks.log/inside", "untouched");
    let error = refused(builder(&dir, "tasks.log"), ErrorKind::IsADirectory);
    let path = dir.path("tasks.log");
    assert_says(&error.to_string(), &[&format!("{path:?}"), "is a directory", "give the path of a file"]);
    assert_eq!(error.path(), Some(path.as_path()));
    assert_eq!(std::io::Error::from(error).kind(), ErrorKind::IsADirectory);
    assert_eq!(
        (dir.names(), dir.read("tasks.log/inside").as_str()),
        (vec!["tasks.log".to_owned()], "untouched")
    );
}

#[test]
fn a_file_in_the_place_of_a_directory_is_an_error() {
    let dir = Dir::new();
    dir.write("logs", "untouched");
    for name in ["logs/tasks.log", "logs/deep/er/tasks.log"] {
        let error = builder(&dir, name).build().expect_err("it can't be built");
        assert_says(&error.to_string(), &["logs", "is a file", "give a path whose parents are directories"]);
        let kind = error
            .source()
            .and_then(|cause| cause.downcast_ref::<std::io::Error>())
            .expect("it has one")
            .kind();
        assert!([ErrorKind::NotADirectory, ErrorKind::AlreadyExists].contains(&kind), "{kind}");
        assert_eq!(std::io::Error::from(error).kind(), kind);
    }
    assert_eq!((dir.names(), dir.read("logs").as_str()), (vec!["logs".to_owned()], "untouched"));
}

#[cfg(unix)]
mod unix {
    use std::{
        fs,
        os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
        process::Command,
    };

    use super::{Child, Dir, ErrorKind, InstanceFile, assert_says, builder, refused, role, say};
    use std::io::Write as _;

    #[test]
    fn child_opens_a_fifo() {
        if !role("paths::unix::child_opens_a_fifo") {
            return;
        }
        let path = std::env::var_os("LOG").expect("the parent says where");
        let error = refused(InstanceFile::builder(path), ErrorKind::InvalidInput);
        let parts = ["tasks.log", "it is no regular file", "give the path of a regular file"];
        assert_says(&error.to_string(), &parts);
    }

    #[test]
    fn a_fifo_is_an_error_and_not_waited_for() {
        let dir = Dir::new();
        let made = Command::new("mkfifo").arg(dir.path("tasks.log")).status().expect("mkfifo runs");
        assert!(made.success());
        let child = Child::of_test("paths::unix::child_opens_a_fifo").env("LOG", dir.path("tasks.log"));
        child.spawn().wait().assert_success();
        assert!(fs::metadata(dir.path("tasks.log")).expect("it is there").file_type().is_fifo());
    }

    #[test]
    fn child_may_only_write_the_fifo() {
        if !role("paths::unix::child_may_only_write_the_fifo") {
            return;
        }
        let path = std::env::var_os("LOG").expect("the parent says where");
        let read = fs::OpenOptions::new().read(true).open(&path).expect_err("it may not be read");
        assert_eq!(read.kind(), ErrorKind::PermissionDenied);
        let error = refused(InstanceFile::builder(path), ErrorKind::InvalidInput);
        assert_says(&error.to_string(), &["tasks.log", "give the path of a regular file"]);
        say("refused");
    }

    /// Opened for writing alone, a FIFO without a reader would be waited for.
    #[test]
    fn a_fifo_that_may_only_be_written_is_not_waited_for() {
        let dir = Dir::new();
        let made = Command::new("mkfifo").args(["-m", "222"]).arg(dir.path("tasks.log")).status();
        assert!(made.expect("mkfifo runs").success());
        let child = Child::of_test_as_nobody("paths::unix::child_may_only_write_the_fifo", dir.root());
        let output = child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
        assert!(output.stdout.lines().any(|line| line == "refused"), "{output}");
    }

    #[test]
    fn a_device_is_an_error() {
        let mode = || fs::metadata("/dev/null").expect("it is there").permissions().mode();
        let before = mode();
        let error = refused(InstanceFile::builder("/dev/null").file_mode(0o600), ErrorKind::InvalidInput);
        assert_says(&error.to_string(), &["/dev/null", "give the path of a regular file"]);
        assert_eq!(mode(), before);
    }

    #[test]
    fn a_dangling_link_is_created_through() {
        let dir = Dir::new();
        symlink(dir.path("there.log"), dir.path("tasks.log")).expect("a link can be made");
        let mut file = builder(&dir, "tasks.log").build().expect("what it points to is made");
        file.write_all(b"one\n").expect("writing never fails");
        assert_eq!(dir.read("there.log"), "one\n");
        assert!(dir.path("tasks.log").is_symlink());
    }

    #[test]
    fn a_dangling_link_into_a_missing_directory_is_an_error() {
        let dir = Dir::new();
        symlink(dir.path("missing/there.log"), dir.path("tasks.log")).expect("a link can be made");
        let error = refused(builder(&dir, "tasks.log"), ErrorKind::NotFound);
        assert_says(&error.to_string(), &["tasks.log", "dangling link"]);
        assert_eq!(dir.names(), ["tasks.log"]);
    }

    #[test]
    fn child_can_not_write_there() {
        if !role("paths::unix::child_can_not_write_there") {
            return;
        }
        let path = std::env::var_os("LOG").expect("the parent says where");
        let plain = fs::write(&path, "").expect_err("the folder is read-only, also for this child");
        assert_eq!(plain.kind(), ErrorKind::PermissionDenied);
        let error = refused(InstanceFile::builder(&path), ErrorKind::PermissionDenied);
        assert_says(&error.to_string(), &[&format!("{path:?}"), "allow this user to write there"]);
        assert_eq!(std::io::Error::from(error).kind(), ErrorKind::PermissionDenied);
        let deep = std::path::Path::new(&path).join("deep/tasks.log");
        refused(InstanceFile::builder(deep), ErrorKind::PermissionDenied);
        say("refused");
    }

    #[test]
    fn a_read_only_directory_is_an_error() {
        let (dir, place) = (Dir::new(), Dir::new());
        fs::set_permissions(dir.root(), fs::Permissions::from_mode(0o555)).expect("it is ours");
        let child = Child::of_test_as_nobody("paths::unix::child_can_not_write_there", place.root());
        let output = child.env("LOG", dir.path("tasks.log")).spawn().wait().assert_success();
        assert!(output.stdout.lines().any(|line| line == "refused"), "{output}");
        assert_eq!(dir.names(), [""; 0]);
        fs::set_permissions(dir.root(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
}

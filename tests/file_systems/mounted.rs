//! File systems that are mounted for a test, and unmounted when it is over.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FallocateFlags, fallocate};

use crate::support::dir::Dir;

/// A file system.
pub(crate) struct Mounted(PathBuf);

fn run(program: &str, args: &[&OsStr]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} can't be run: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Mounted {
    /// A new one of so many MiB, in an image below the test's folder.
    pub(crate) fn on_image(dir: &Dir, kind: &str, megabytes: u64) -> Self {
        let image = dir.path(&format!("{kind}.image"));
        let file = File::create(&image).expect("the folder is the test's own");
        file.set_len(megabytes << 20).expect("holes take no room");
        let force = if kind == "ext4" { "-F" } else { "-f" };
        run(&format!("mkfs.{kind}"), &["-q".as_ref(), force.as_ref(), image.as_ref()]);
        Mounted::new(dir.path(kind), ["-o", "loop"], &image)
    }

    pub(crate) fn tmpfs(dir: &Dir, megabytes: u64) -> Self {
        Mounted::new(
            dir.path("tmpfs"),
            ["-o", &format!("size={megabytes}m"), "-t", "tmpfs"],
            Path::new("tasklog-test"),
        )
    }

    /// An overlay whose upper directory is on a disk.
    pub(crate) fn overlay(dir: &Dir, disk: &Mounted) -> Self {
        let [lower, upper, work] = ["lower", "upper", "work"].map(|name| {
            let path = disk.path(name);
            fs::create_dir(&path).expect("the disk is the test's own");
            path
        });
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        Mounted::new(dir.path("overlay"), ["-t", "overlay", "-o", &options], Path::new("tasklog-test"))
    }

    fn new<const N: usize>(place: PathBuf, options: [&str; N], what: &Path) -> Self {
        fs::create_dir(&place).expect("the folder is the test's own");
        let args: Vec<&OsStr> =
            options.iter().map(OsStr::new).chain([what.as_os_str(), place.as_os_str()]).collect();
        run("mount", &args);
        Mounted(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes all the room that there is.
    pub(crate) fn fill(&self) {
        for n in 0.. {
            let file = File::options().append(true).create_new(true).open(self.path(&format!("filler{n}")));
            let Ok(mut file) = file else { break };
            let mut size = 256 << 20;
            let mut end = 0;
            while size >= 4096 {
                match fallocate(&file, FallocateFlags::empty(), end, size) {
                    Ok(()) => end += size,
                    Err(_) => size /= 2,
                }
            }
            let error = loop {
                if let Err(error) = file.write_all(&[0; 4096]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
            if end == 0 {
                break;
            }
        }
    }

    /// Has every write wait (fsfreeze(8)), until what is returned is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        run("fsfreeze", &["-f".as_ref(), self.0.as_os_str()]);
        Frozen(self)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a child that a failed test left may still be in it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A file system that stands still.
pub(crate) struct Frozen<'a>(&'a Mounted);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.0.0).status();
    }
}

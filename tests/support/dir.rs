//! A folder of a test's own, gone when the test is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::must;

/// A temporary folder and the few things that tests do with the files in it.
///
/// Names may contain folders (`"logs/tasks.log"`); writing makes them.
#[derive(Debug)]
pub struct Dir(tempfile::TempDir);

impl Dir {
    /// A new, empty folder.
    pub fn new() -> Self {
        Self(must(tempfile::tempdir(), "make a temporary folder"))
    }

    /// A new, empty folder below another.
    pub fn new_in(parent: &Path) -> Self {
        Self(must(tempfile::tempdir_in(parent), "make a temporary folder"))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Where a file of this name is or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Makes the file anew with these bytes.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        must(fs::write(self.place_for(name), bytes), format_args!("write {name}"));
    }

    /// Adds these bytes to the file's end.
    pub fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new().append(true).create(true).open(self.place_for(name));
        let mut file = must(file, format_args!("open {name}"));
        must(file.write_all(bytes.as_ref()), format_args!("append to {name}"));
    }

    /// The file's text.
    pub fn read(&self, name: &str) -> String {
        must(fs::read_to_string(self.path(name)), format_args!("read {name}"))
    }

    /// The file's lines without their LFs (and only LF ends a line, as in the log's grammar).
    pub fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).split_terminator('\n').map(str::to_owned).collect()
    }

    /// The names of what lies directly in the folder, sorted, without the locks beside logs (`.tasks.log.lock`).
    pub fn names(&self) -> Vec<String> {
        let is_lock = |name: &String| name.starts_with('.') && name.ends_with(".lock");
        self.all_names().into_iter().filter(|name| !is_lock(name)).collect()
    }

    /// The names of all that lies directly in the folder, sorted.
    pub fn all_names(&self) -> Vec<String> {
        let entries = must(fs::read_dir(self.root()), "list the temporary folder");
        let mut names: Vec<_> = entries
            .map(|entry| must(entry, "list the temporary folder").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The path for a file that is about to be written, with the folders above it made.
    fn place_for(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            must(fs::create_dir_all(parent), format_args!("make the folder of {name}"));
        }
        path
    }
}

//! What Python's `WatchedFileHandler` does: to look for every line whether the path still leads to the open file.

use std::{
    fs::{self, File},
    hint,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{Candidate, Finish, How, append_to, install_layer, nothing_to_finish, tasklog};
use crate::work::Voice;

pub(crate) const EACH_LINE: Candidate = Candidate {
    name: "stat_each_line",
    what: "TaskLayer, Mutex<File>, a stat(2) for every line",
    line: Some(tasklog::LINE),
    one_of: 1,
    how: How::Threads(Voice::Tracing, open),
};

fn open(path: &Path) -> io::Result<Finish> {
    let open = Mutex::new(Open { file: append_to(path)?, id: id_of(path)? });
    install_layer(StatEachLine { path: path.to_owned(), open })?;
    Ok(nothing_to_finish())
}

struct StatEachLine {
    path: PathBuf,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    id: (u64, u64),
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

impl<'a> MakeWriter<'a> for StatEachLine {
    type Writer = Turn<'a>;

    fn make_writer(&'a self) -> Turn<'a> {
        Turn { path: &self.path, open: self.open.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

struct Turn<'a> {
    path: &'a Path,
    open: MutexGuard<'a, Open>,
}

impl Write for Turn<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let id = id_of(self.path)?;
        if hint::black_box(id) != self.open.id {
            *self.open = Open { file: append_to(self.path)?, id };
        }
        self.open.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The names of backups. Knows no files.

use std::path::{Path, PathBuf};

/// Returns the name of backup `number` of a log file: `tasks.log.1` is the newest.
pub(crate) fn backup(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_named_behind_the_whole_file_name() {
        assert_eq!(backup(Path::new("logs/tasks.log"), 2), Path::new("logs/tasks.log.2"));
    }
}

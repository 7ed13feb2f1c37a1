//! Rotation as arithmetic on names: which backup becomes which. Knows no files.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Returns the name of backup `number` of a log file: `tasks.log.1` is the newest.
pub(crate) fn backup(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Returns the renames that make room for a new backup 1, in their order, as (from, to).
///
/// They begin at the first free number, so that a rotation that was stopped half-way, and left a gap, is resumed
/// rather than done again. Without a gap the oldest backup is renamed over, which is how it goes. Where it can't be told
/// whether a number is taken, nothing is renamed.
pub(crate) fn shifts(
    backups: usize,
    is_taken: impl Fn(usize) -> io::Result<bool>,
) -> io::Result<impl Iterator<Item = (usize, usize)>> {
    let mut first_free = 1;
    while first_free < backups && is_taken(first_free)? {
        first_free += 1;
    }
    Ok((1..first_free).rev().map(|number| (number, number + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifts_with(backups: usize, taken: &[usize]) -> Vec<(usize, usize)> {
        shifts(backups, |number| Ok(taken.contains(&number))).expect("it can be told").collect()
    }

    #[test]
    fn the_first_gap_is_filled_and_what_is_older_stays() {
        assert_eq!(shifts_with(5, &[]), []);
        assert_eq!(shifts_with(5, &[1, 2]), [(2, 3), (1, 2)]);
        assert_eq!(shifts_with(5, &[1, 3, 4, 5]), [(1, 2)]);
        assert_eq!(shifts_with(5, &[2, 3]), []);
    }

    #[test]
    fn without_a_gap_the_oldest_goes() {
        assert_eq!(shifts_with(3, &[1, 2, 3]), [(2, 3), (1, 2)]);
        assert_eq!(shifts_with(1, &[1]), []);
    }

    #[test]
    fn where_it_can_not_be_told_what_is_taken_nothing_is_renamed() {
        assert!(shifts(3, |_| Err(io::ErrorKind::PermissionDenied.into())).is_err());
    }

    #[test]
    fn a_backup_is_named_behind_the_whole_file_name() {
        assert_eq!(backup(Path::new("logs/tasks.log"), 2), Path::new("logs/tasks.log.2"));
    }
}

//! The names that the files of one family may have.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// How many names [`InUse::NextFree`](super::InUse::NextFree) tries.
pub(super) const NAMES: u32 = 1000;

/// Returns the path itself, or, for a number from 2 on, the one with `-number` behind the stem: `tasks-2.log`.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.to_owned();
    }
    with_stem_end(path, &format!("-{number}"))
}

fn with_stem_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(end);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Returns whether a log may be one of a family: its name is the family's, with something in the place of `{pid}` and `{instance}`, and
/// perhaps a number as [`numbered`] adds it.
#[cfg(unix)]
pub(super) fn fits(log: &Path, family: &str) -> bool {
    let pattern = Path::new(family).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parts = parts(pattern);
    let is_name = |path: &Path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches(name, &parts))
    };
    is_name(log) || without_number(log).is_some_and(|path| is_name(&path))
}

/// Returns a path without the number that [`numbered`] has added.
#[cfg(unix)]
fn without_number(path: &Path) -> Option<PathBuf> {
    let (stem, number) = path.file_stem()?.to_str()?.rsplit_once('-')?;
    let is_number =
        number.parse().is_ok_and(|number| (2..=NAMES).contains(&number)) && !number.starts_with(['0', '+']);
    let name = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => format!("{stem}.{extension}"),
        None => stem.to_owned(),
    };
    is_number.then(|| path.with_file_name(name))
}

/// Returns what is before, between and behind the placeholders of a family's name.
#[cfg(unix)]
fn parts(pattern: &str) -> Vec<String> {
    let (mut parts, mut rest) = (vec![String::new()], pattern);
    while let Some((plain, tail)) = rest.split_once('{') {
        let part = parts.last_mut().expect("there is one from the beginning on");
        part.push_str(plain);
        match tail.strip_prefix('{') {
            Some(tail) => {
                part.push('{');
                rest = tail;
            }
            None => {
                parts.push(String::new());
                rest = tail.split_once('}').map_or("", |(_, tail)| tail);
            }
        }
    }
    if let Some(part) = parts.last_mut() {
        part.push_str(rest);
    }
    parts
}

/// Returns whether a name consists of the parts, with at least one character between two of them.
#[cfg(unix)]
fn matches(name: &str, parts: &[String]) -> bool {
    let [first, between @ .., last] = parts else { return parts.iter().all(|part| part == name) };
    let Some(mut rest) = name.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()))
    else {
        return false;
    };
    for part in between {
        let Some(next) =
            rest.chars().next().and_then(|first| rest[first.len_utf8()..].split_once(part.as_str()))
        else {
            return false;
        };
        rest = next.1;
    }
    !rest.is_empty()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_number_goes_before_the_last_extension() {
        for (path, expected) in [("a.b.log", "a.b-2.log"), ("plain", "plain-2"), (".hidden", ".hidden-2")] {
            assert_eq!(numbered(Path::new(path), 2), Path::new(expected));
        }
        assert_eq!(numbered(Path::new("logs/tasks.log"), 1), Path::new("logs/tasks.log"));
    }

    #[test]
    fn a_name_fits_its_own_family_and_no_other() {
        for (log, family) in [
            ("/d/tasks-7.log", "/d/tasks-{instance}.log"),
            ("/d/tasks-a.b-c.log", "/d/tasks-{instance}.log"),
            ("/d/tasks-7-2.log", "/d/tasks-{pid}.log"),
            ("/d/tasks-web-7.log", "/d/tasks-{instance}-{pid}.log"),
            ("/d/tasks.log", "/d/tasks.log"),
            ("/d/tasks-2.log", "/d/tasks.log"),
            ("/d/tasks-1000.log", "/d/tasks.log"),
            ("/d/{tasks-7", "/d/{{tasks-{pid}"),
            ("/d/7", "/d/{pid}"),
            ("/other/7.log", "/{instance}/{pid}.log"),
        ] {
            assert!(fits(Path::new(log), family), "{log} is of {family}");
        }
        for (log, family) in [
            ("/d/thesis.txt", "/d/tasks-{instance}.log"),
            ("/d/tasks-.log", "/d/tasks-{instance}.log"),
            ("/d/tasks-7.log.1", "/d/tasks-{instance}.log"),
            ("/d/tasks-7", "/d/tasks-{instance}-{pid}"),
            ("/d/tasks-1.log", "/d/tasks.log"),
            ("/d/tasks-1001.log", "/d/tasks.log"),
            ("/d/tasks-02.log", "/d/tasks.log"),
            ("/d/tasks-x.log", "/d/tasks.log"),
            ("/d/aa", "/d/{pid}aa"),
            ("/d/a", "/d/a{pid}a"),
        ] {
            assert!(!fits(Path::new(log), family), "{log} is not of {family}");
        }
    }
}

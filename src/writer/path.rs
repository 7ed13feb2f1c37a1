//! Paths with placeholders: `logs/tasks-{instance}.log`.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf, absolute, is_separator},
    process,
};

use crate::{Error, line::is_control_or_tab, sys};

/// The variable that `{instance}` stands for.
const INSTANCE: &str = "TASKLOG_INSTANCE";

/// A path whose placeholders are replaced.
#[derive(Debug)]
pub(super) struct Expanded {
    /// From the root on.
    pub(super) path: PathBuf,
    /// What all instances have in common: the same with `{pid}` and `{instance}` left as they are.
    pub(super) family: PathBuf,
}

/// Replaces the placeholders in a path; `{{` is a brace.
pub(super) fn expand(path: &Path) -> Result<Expanded, Error> {
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("the path of the log file is empty"));
    }
    let Some(mut rest) = path.to_str() else {
        return if path.as_os_str().as_encoded_bytes().contains(&b'{') {
            Err(Error::invalid(format!(
                "{path:?} is not UTF-8, so it can't have placeholders: write {{{{ for a brace"
            )))
        } else {
            let path = file_path(path.to_owned())?;
            Ok(Expanded { family: path.clone(), path })
        };
    };
    let (mut expanded, mut family) = (String::new(), String::new());
    while let Some((plain, tail)) = rest.split_once('{') {
        expanded.push_str(plain);
        family.push_str(plain);
        if let Some(tail) = tail.strip_prefix('{') {
            expanded.push('{');
            family.push_str("{{");
            rest = tail;
            continue;
        }
        let (placeholder, tail) = tail.split_once('}').ok_or_else(|| {
            Error::invalid(format!("{path:?} has a brace without its end: write {{{{ for a brace"))
        })?;
        let value = value_of(placeholder, path)?;
        match placeholder {
            "pid" | "instance" => family.push_str(&format!("{{{placeholder}}}")),
            _ => family.push_str(&value),
        }
        expanded.push_str(&value);
        rest = tail;
    }
    expanded.push_str(rest);
    family.push_str(rest);
    Ok(Expanded { path: file_path(PathBuf::from(expanded))?, family: file_path(PathBuf::from(family))? })
}

/// Returns the path from the root on, so that it leads to the same place when the process has changed its directory.
/// Refuses one that can't be a file's, before a directory is made for it.
fn file_path(path: PathBuf) -> Result<PathBuf, Error> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.contains(&0) {
        return Err(Error::invalid(format!("{path:?} has a NUL in it, which no path can have")));
    }
    let last = bytes.rsplit(|&byte| is_separator(char::from(byte))).next().unwrap_or_default();
    if [b"".as_slice(), b".", b".."].contains(&last) {
        return Err(Error::invalid(format!("{path:?} is a directory's: end it in the name of a file")));
    }
    absolute(&path).map_err(|cause| Error::io("find the current directory for", &path, cause))
}

/// Returns what tells this process from others of its kind: `$TASKLOG_INSTANCE`, or the process id.
#[cfg(all(feature = "multiprocess", unix))]
pub(super) fn instance() -> String {
    let named = env::var(INSTANCE).ok().filter(|name| !name.is_empty());
    named.unwrap_or_else(|| process::id().to_string())
}

fn value_of(placeholder: &str, path: &Path) -> Result<String, Error> {
    match placeholder {
        "pid" => Ok(process::id().to_string()),
        "host" => part_of_name(sys::host_name(), "the host name", path),
        "instance" => match env::var_os(INSTANCE) {
            None => Ok(process::id().to_string()),
            Some(_) => part_of_name(variable(INSTANCE, path)?, INSTANCE, path),
        },
        _ => match placeholder.strip_prefix("env:") {
            Some(name) => variable(name, path),
            None => Err(Error::invalid(format!(
                "{path:?} has the unknown placeholder {{{placeholder}}}: \
                 expected {{pid}}, {{host}}, {{instance}} or {{env:NAME}}; write {{{{ for a brace"
            ))),
        },
    }
}

fn variable(name: &str, path: &Path) -> Result<String, Error> {
    let refused = |what: String| {
        Err(Error::invalid(format!("the environment variable {name:?}, which {path:?} needs, {what}")))
    };
    let usable_name = !name.is_empty() && !name.contains(['=', '\0']);
    match usable_name.then(|| env::var_os(name)).flatten().map(OsString::into_string) {
        Some(Err(value)) => refused(format!("is not UTF-8: {value:?}")),
        // A line feed, say, from the end of the file that the value was read from.
        Some(Ok(value)) if value.contains(is_control_or_tab) => {
            refused(format!("has a control character in it, leave it out: {value:?}"))
        }
        Some(Ok(value)) if !value.is_empty() => Ok(value),
        _ => refused("is unset or empty".to_owned()),
    }
}

/// Refuses a value that would change the folder where only a part of the file's name is meant.
fn part_of_name(value: String, what: &str, path: &Path) -> Result<String, Error> {
    if value.contains(|c: char| ['/', '\\'].contains(&c) || is_control_or_tab(c)) || value == ".." {
        return Err(Error::invalid(format!(
            "{what} is {value:?}, which can't be part of the file name {path:?}"
        )));
    }
    Ok(value)
}

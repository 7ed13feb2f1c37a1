//! What a lock file says: whose files they are. Its format is told in `family.rs`.

use std::{collections::HashSet, io, path::Path};

use crate::file::FileId;

pub(super) const HEADER: &str = "tracing-tasklog 1";

/// What is said of a process that has the list only.
pub(super) const UNLOCKED: &[u8] = b"lock no\n";

/// What a lock file says.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) has_header: bool,
    /// Whether it begins with something else than a header or a part of one.
    is_foreign: bool,
    pub(super) family: Option<String>,
    pub(super) pid: Option<u32>,
    /// Whether its process goes without the lock.
    pub(super) is_unlocked: bool,
    pub(super) own: HashSet<FileId>,
}

impl List {
    /// Reads what there is: of a list that is not ours, nothing.
    pub(super) fn of(content: &[u8]) -> Self {
        let content = String::from_utf8_lossy(content);
        // A crash at the first start may have left a part of the header, and the next start marked it as such.
        let is_header = |line: &str| line.strip_suffix('\n') == Some(HEADER);
        let is_torn_header =
            |line: &&str| !is_header(line) && HEADER.starts_with(line.trim_end().trim_end_matches(" torn"));
        let mut lines = content.split_inclusive('\n').skip_while(is_torn_header);
        let first = lines.next();
        let mut list = List { has_header: first.is_some_and(is_header), ..List::default() };
        list.is_foreign = first.is_some() && !list.has_header;
        if list.is_foreign {
            return list;
        }
        for line in lines {
            match line.trim_end_matches('\n').split_once(' ') {
                Some(("family", family)) => list.family = Some(family.to_owned()),
                Some(("pid", pid)) => (list.pid, list.is_unlocked) = (pid.parse().ok(), false),
                Some(("lock", "no")) => list.is_unlocked = true,
                Some(("own", id)) => list.own.extend(parse_id(id)),
                _ => {} // torn by a crash
            }
        }
        list
    }

    /// Refuses a file of the lock's name that is somebody else's.
    pub(super) fn of_this_crate(self, path: &Path) -> io::Result<Self> {
        if self.is_foreign {
            let what = format!("{path:?} is no lock of this crate: it has the name, so move it away");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(self)
    }
}

fn parse_id(text: &str) -> Option<FileId> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let id = FileId { device: numbers.next()??, inode: numbers.next()??, born: numbers.next()?? };
    numbers.next().is_none().then_some(id)
}

pub(super) fn own_line(id: FileId) -> String {
    format!("own {} {} {}\n", id.device, id.inode, id.born)
}

//! A worker's end of a ring: it makes the file, and copies lines into it.

mod whereabouts;

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::FileExt as _,
    path::PathBuf,
    process,
    sync::{Arc, atomic::Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{
    directory::{self, Directory, FileKey},
    file_system,
    layout::{self, ASIDE, Passport, Taken},
    own::Registered,
};
use crate::{
    Error,
    error::advice,
    sys::{
        self,
        map::{self, Numbers, Range},
    },
    writer::queue::lanes::protocol,
};

/// The part of a lane that counts as its beginning: one of so many.
const BEGINNING: u64 = 128;

/// How often the making of a ring is begun anew, if a collector has taken its file for one that was given up.
const TRIES: u32 = 10;

/// What both lanes of a ring share.
#[derive(Debug)]
pub(in crate::writer) struct Producer {
    numbers: Numbers,
    file: Arc<File>,
    key: FileKey,
    path: PathBuf,
    /// The size of the main lane.
    main: u64,
    pipe: File,
    _own: Option<Registered>,
}

/// A cause for which lines are dropped: the place where they are counted.
#[derive(Clone, Copy, Debug)]
pub(in crate::writer) enum DroppedFor {
    Full = layout::DROPPED_FULL as isize,
    Stalled = layout::DROPPED_STALLED as isize,
    Nested = layout::DROPPED_NESTED as isize,
}

/// A lane of a ring, for one thread at a time.
#[derive(Debug)]
pub(in crate::writer) struct Lane {
    range: Range,
    size: u64,
    /// Where the next byte goes: counted from the beginning, and in the range.
    end: u64,
    at: usize,
    /// Up to where it was taken, when that was looked at last.
    taken: u64,
    places: Places,
}

/// Where a lane's numbers are.
#[derive(Clone, Copy, Debug)]
struct Places {
    end: usize,
    taken: [usize; 2],
    /// Where it says that a part of the lane was left out, if it may do that.
    void: Option<usize>,
}

impl Places {
    const fn new(end: usize, of_taken: usize, void: Option<usize>) -> Self {
        Places { end, taken: [layout::TAKEN + of_taken, layout::TAKEN_AGAIN + of_taken], void }
    }
}

/// Makes a ring in a directory: with room for `capacity` and `reserved` bytes of lines; on `any_file_system`, or only where a
/// log call can't hang.
///
/// # Errors
///
/// The file can't be made, there is no room for it, it can't be mapped, or a log call could hang.
pub(in crate::writer) fn make(
    directory: &Directory,
    [capacity, reserved]: [u64; 2],
    name: &str,
    any_file_system: bool,
) -> Result<(Producer, [Lane; 2]), Error> {
    let pipe = directory.open_pipe()?;
    let page = layout::HEAD as u64;
    let main = (capacity + reserved).next_multiple_of(page);
    let passport = Passport { main, capacity, aside: ASIDE, pid: process::id(), name: name.to_owned() };
    let mut tries = 0;
    let made = loop {
        match make_file(directory, &passport, any_file_system) {
            Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => tries += 1,
            made => break made,
        }
    };
    let (path, file, numbers, [main, aside], own) = made.map_err(|cause| {
        cause.downcast::<Error>().unwrap_or_else(|cause| {
            let of = format!("a ring of {} bytes: {cause}{}", passport.file_len(), advice(&cause));
            Error::io("make a ring in the directory", directory.path(), io::Error::new(cause.kind(), of))
        })
    })?;
    let lanes = [
        Lane::new(
            main,
            passport.main,
            Places::new(layout::MAIN_END, layout::OF_MAIN, Some(layout::MAIN_VOID)),
        ),
        Lane::new(aside, passport.aside, Places::new(layout::ASIDE_END, layout::OF_ASIDE, None)),
    ];
    let meta = file.metadata().map_err(|cause| Error::io("look at the ring", &path, cause))?;
    let key = FileKey::of(&meta);
    let producer = Producer { numbers, file, key, path, main: passport.main, pipe, _own: own };
    let _ = (&producer.pipe).write(&[directory::HAS_CHANGED]);
    Ok((producer, lanes))
}

type Made = (PathBuf, Arc<File>, Numbers, [Range; 2], Option<Registered>);

fn make_file(directory: &Directory, passport: &Passport, any_file_system: bool) -> io::Result<Made> {
    let new = directory.make_ring()?;
    if !directory::lock(&new.file)? {
        return Err(ErrorKind::NotFound.into()); // a collector is about to remove it
    }
    if is_on_btrfs(&new.file) && !any_file_system {
        return Err(file_system::is_on_btrfs(directory.path()).into());
    }
    allocate(&new.file, passport.file_len())?;
    new.file.write_all_at(&passport.encode(), 0)?;
    let file = Arc::clone(&new.file); // never a second file descriptor: to close it would release the lock
    let sizes = [passport.main, passport.aside].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let (numbers, ranges) = map::map_file(&file, layout::HEAD, sizes)?;
    let (path, own) = new.name()?;
    Ok((path, file, numbers, ranges, own))
}

/// Has all blocks of a file allocated: to write into the map of a file that has none, on a full disk, ends the process.
fn allocate(file: &File, len: u64) -> io::Result<()> {
    let limit = sys::file_size_limit();
    if len > limit {
        // One byte more would end the process as well (SIGXFSZ).
        return Err(io::Error::new(
            ErrorKind::FileTooLarge,
            format!(
                "more than RLIMIT_FSIZE (ulimit -f) allows, {limit} bytes: set a smaller capacity_bytes, or raise the limit"
            ),
        ));
    }
    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = vec![0; 64 * 1024];
            let mut at = 0;
            while at < len {
                let part = &zeros[..zeros.len().min(usize::try_from(len - at).unwrap_or(usize::MAX))];
                file.write_all_at(part, at)?;
                at += part.len() as u64;
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether this file is on btrfs, behind an overlay too: only there it can be told not to copy on write (`chattr +C`), and
/// is told so then, since what is allocated is of little use otherwise. Others refuse that or forget it.
#[cfg(target_os = "linux")]
fn is_on_btrfs(file: &File) -> bool {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let told = ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW));
    told.and_then(|()| ioctl_getflags(file)).is_ok_and(|flags| flags.contains(IFlags::NOCOW))
}

#[cfg(not(target_os = "linux"))]
fn is_on_btrfs(_file: &File) -> bool {
    false
}

impl Producer {
    #[cfg(test)]
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns where the main lane ends: also in a signal handler.
    pub(in crate::writer) fn main_end(&self) -> u64 {
        self.numbers.at(layout::MAIN_END).load(Ordering::Relaxed)
    }

    /// Counts lines that were dropped.
    pub(in crate::writer) fn drop_lines(&self, cause: DroppedFor, lines: u64) {
        self.numbers.at(cause as usize).fetch_add(lines, Ordering::Relaxed);
    }

    /// Returns the number of lines dropped so far: full, stalled, nested.
    pub(in crate::writer) fn dropped(&self) -> [u64; 3] {
        [DroppedFor::Full, DroppedFor::Stalled, DroppedFor::Nested]
            .map(|cause| self.numbers.at(cause as usize).load(Ordering::Relaxed))
    }

    /// Has another ring tell of the dropped lines that the log wasn't told of. Returns how many.
    pub(in crate::writer) fn hand_over_drops(&self, to: &Producer) -> u64 {
        let told = self.told();
        let causes = [DroppedFor::Full, DroppedFor::Stalled, DroppedFor::Nested];
        let hand_over = |(cause, (dropped, told)): (DroppedFor, (u64, u64))| {
            let untold = dropped.saturating_sub(told);
            self.numbers.at(cause as usize).fetch_sub(untold, Ordering::Relaxed);
            to.drop_lines(cause, untold);
            untold
        };
        causes.into_iter().zip(self.dropped().into_iter().zip(told)).map(hand_over).sum()
    }

    /// Returns how many lines the collector has taken.
    pub(in crate::writer) fn taken_lines(&self) -> u64 {
        self.numbers.at(layout::TAKEN + layout::LINES).load(Ordering::Relaxed)
    }

    /// Wakes the collector, if it sleeps; if it lingers, only for something pressing. Returns whether that was so.
    #[inline]
    pub(in crate::writer) fn wake_if_needed(&self, is_pressing: bool) -> bool {
        let wakes = protocol::wakes(self.numbers.at(layout::COLLECTOR), is_pressing);
        if wakes {
            self.wake();
        }
        wakes
    }

    /// Appends what is between two places in the main lane, which are not further apart than its size.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub(in crate::writer) fn read(&self, into: &mut Vec<u8>, from: u64, to: u64) -> io::Result<()> {
        layout::read_lane(&self.file, into, (layout::HEAD as u64, self.main), from, to)
    }

    /// A full pipe wakes it too.
    #[cold]
    fn wake(&self) {
        let _ = (&self.pipe).write(&[directory::HAS_LINES]);
    }

    /// Nobody writes to the ring any more. If nothing is in it, it goes at once; else the collector removes it.
    pub(in crate::writer) fn close(&self, lanes: [&mut Lane; 2]) {
        self.numbers.at(layout::CLOSED).store(1, Ordering::Release);
        let is_empty = lanes.into_iter().all(|lane| lane.look(self) == lane.end);
        if is_empty && self.dropped() == self.told() {
            let _ = directory::remove_name(&self.path, self.key); // unless the collector has just done it
        } else {
            let _ = (&self.pipe).write(&[directory::HAS_CHANGED]);
        }
    }

    /// How many of the dropped lines the log was told of.
    fn told(&self) -> [u64; 3] {
        let mut bytes = [0; Taken::LEN];
        let read = self.file.read_exact_at(&mut bytes, layout::TAKEN as u64);
        read.map_or([0; 3], |()| Taken::decode(&bytes).told)
    }
}

impl Lane {
    fn new(range: Range, size: u64, places: Places) -> Self {
        Lane { range, size, end: 0, at: 0, taken: 0, places }
    }

    /// Looks up to where the lane was taken.
    pub(in crate::writer) fn look(&mut self, of: &Producer) -> u64 {
        let [first, second] = self.places.taken.map(|place| of.numbers.at(place));
        if let Some(taken) = protocol::taken(first, second)
            && (self.taken..=self.end).contains(&taken)
        {
            self.taken = taken;
        }
        self.taken
    }

    /// Returns up to where the lane was taken, as far as is known without a look.
    pub(in crate::writer) fn taken(&self) -> u64 {
        self.taken
    }

    /// Returns how many bytes are in use, as far as is known without a look.
    pub(in crate::writer) fn used(&self) -> u64 {
        self.end - self.taken
    }

    /// Returns whether there is room for so many bytes more within a limit.
    #[inline]
    pub(in crate::writer) fn has_room(&mut self, of: &Producer, bytes: u64, limit: u64) -> bool {
        let limit = limit.min(self.size);
        self.used() + bytes <= limit || self.end - self.look(of) + bytes <= limit
    }

    /// Returns where the lane ends.
    pub(in crate::writer) fn end(&self) -> u64 {
        self.end
    }

    /// There is no room in it any more.
    pub(in crate::writer) fn shut(&mut self) {
        self.size = 0;
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends bytes, for which there is room, and has them read.
    #[inline]
    pub(in crate::writer) fn append(&mut self, of: &Producer, bytes: &[u8]) {
        if self.at as u64 > self.size / BEGINNING {
            self.go_back(of);
        }
        self.copy(bytes);
        protocol::publish(of.numbers.at(self.places.end), self.end);
    }

    /// Goes back to the beginning of the lane, if everything in it is taken. There the pages are in use already: to touch one for the
    /// first time is a page fault (2.4 µs on tmpfs, more on a disk: 55 ns for each line in it), and on a disk again after each
    /// time that the kernel has written it.
    #[inline]
    fn go_back(&mut self, of: &Producer) {
        let is_said = of.numbers.at(self.places.taken[0]).load(Ordering::Relaxed) == self.end;
        if is_said
            && let Some(place) = self.places.void
            && self.look(of) == self.end
        {
            self.end += self.size - self.at as u64;
            (self.taken, self.at) = (self.end, 0);
            protocol::publish(of.numbers.at(place), self.end);
        }
    }

    /// Appends an entry of the aside lane, if there is room for it: lines that belong to a place in the main lane.
    pub(in crate::writer) fn append_entry(&mut self, of: &Producer, belongs_at: u64, lines: &[u8]) -> bool {
        let len = lines.len() as u64;
        let size = self.size;
        let has_room = self.has_room(of, layout::ENTRY as u64 + len, size);
        if has_room {
            self.copy(&belongs_at.to_ne_bytes());
            self.copy(&len.to_ne_bytes());
            self.append(of, lines);
        }
        has_room
    }

    #[inline]
    fn copy(&mut self, bytes: &[u8]) {
        let size = self.size as usize; // it is mapped, so it fits
        let until_the_end = size - self.at;
        if bytes.len() < until_the_end {
            self.range.write(self.at, bytes);
            self.at += bytes.len();
        } else {
            let (first, second) = bytes.split_at(until_the_end);
            self.range.write(self.at, first);
            self.range.write(0, second);
            self.at = second.len();
        }
        self.end += bytes.len() as u64;
    }
}

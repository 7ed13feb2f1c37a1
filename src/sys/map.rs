//! A file that is mapped into the memory of several processes (mmap(2), `MAP_SHARED`): numbers that they read and write at the same
//! time, and ranges of bytes that one of them writes.
//!
//! Part of the only room with unsafe code. Nobody *reads* the ranges through the mapping: other processes, and other threads of
//! this one, read the file (pread(2)). So there is no reference to memory that somebody else may change.

use std::{
    fs::File,
    io, ptr,
    ptr::NonNull,
    sync::{Arc, atomic::AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file that is mapped as a whole.
#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread. What is in it is reached as atomic numbers, or by way of a
// `Range`, of which there is one for each byte.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn new(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: the address is chosen by the kernel, so no memory that is in use is replaced.
        let start = unsafe {
            mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Map { start, len })
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: this is what `mmap` has returned, and nobody has a reference into it: those who make one hold the map.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Numbers at the beginning of a mapped file.
#[derive(Debug)]
pub(crate) struct Numbers {
    map: Arc<Map>,
    len: usize,
}

impl Numbers {
    /// Returns the number at a place: so many bytes from the beginning of the file.
    ///
    /// # Panics
    ///
    /// There is none, or the place isn't a multiple of 8: a bug of the caller, as the places are constants.
    #[inline]
    pub(crate) fn at(&self, place: usize) -> &AtomicU64 {
        assert!(place & 7 == 0 && place + 8 <= self.len, "no number at {place}");
        // SAFETY: the place is in the mapping, which lives as long as `self`, and it is aligned, as a mapping begins with a page.
        // All of this process reach it as an atomic number; what other processes do to it is as if another thread did.
        unsafe { AtomicU64::from_ptr(self.map.start.as_ptr().add(place).cast()) }
    }
}

/// A range of bytes of a mapped file. This process has only one for each of them.
#[derive(Debug)]
pub(crate) struct Range {
    map: Arc<Map>,
    from: usize,
    len: usize,
}

impl Range {
    /// Copies bytes to a place in the range.
    ///
    /// # Panics
    ///
    /// They would go beyond its end.
    #[inline]
    pub(crate) fn write(&mut self, place: usize, bytes: &[u8]) {
        assert!(place <= self.len && bytes.len() <= self.len - place, "beyond the range");
        // SAFETY: the destination is in the mapping, which lives as long as `self`. It can't overlap the source: there are no
        // references into ranges. Nobody else in this process writes here, as this is borrowed exclusively and the only
        // `Range` with these bytes.
        unsafe {
            let to = self.map.start.as_ptr().add(self.from + place);
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }
}

/// Maps a file: `numbers` bytes of numbers, then two ranges. The file must have that length, with its blocks allocated, as long as it
/// is mapped: to touch what isn't there ends the process (mmap(2), SIGBUS).
///
/// # Errors
///
/// The file can't be mapped.
pub(crate) fn map_file(file: &File, numbers: usize, ranges: [usize; 2]) -> io::Result<(Numbers, [Range; 2])> {
    let map = Arc::new(Map::new(file, numbers + ranges[0] + ranges[1])?);
    let range = |from, len| Range { map: Arc::clone(&map), from, len };
    let ranges = [range(numbers, ranges[0]), range(numbers + ranges[0], ranges[1])];
    Ok((Numbers { map, len: numbers }, ranges))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::FileExt as _, sync::atomic::Ordering};

    use super::*;

    #[test]
    fn what_is_written_into_the_map_is_in_the_file_and_the_other_way_round() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096 + 100 + 50).expect("room");
        let (numbers, [mut first, mut second]) = map_file(&file, 4096, [100, 50]).expect("mapped");
        numbers.at(128).store(7, Ordering::Relaxed);
        first.write(97, b"abc");
        second.write(0, b"def");
        let mut bytes = [0; 6];
        file.read_exact_at(&mut bytes, 4096 + 97).expect("read");
        assert_eq!(&bytes, b"abcdef");
        file.write_all_at(&9_u64.to_ne_bytes(), 128).expect("written");
        assert_eq!(numbers.at(128).load(Ordering::Relaxed), 9);
    }

    #[test]
    fn nothing_goes_beyond_its_place() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096 + 8).expect("room");
        let (numbers, [mut first, _]) = map_file(&file, 4096, [4, 4]).expect("mapped");
        let is_refused =
            |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
        assert!(is_refused(&mut || _ = numbers.at(4096)) && is_refused(&mut || _ = numbers.at(4)));
        assert!(
            is_refused(&mut || first.write(2, b"abc")) && is_refused(&mut || first.write(usize::MAX, b"a"))
        );
    }
}

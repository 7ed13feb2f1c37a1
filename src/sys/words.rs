//! Memory of 8-byte numbers, each atomic: what the threads of a process read and write at the same time without a lock.
//!
//! Part of the only room with unsafe code. The numbers are 0 at first. The operating system provides the pages as they are touched.

#[cfg(not(tasklog_loom))]
pub(crate) use std::sync::atomic::AtomicU64;
use std::{fmt, ops::Deref};

#[cfg(tasklog_loom)]
pub(crate) use loom::sync::atomic::AtomicU64;

/// Memory of numbers.
#[cfg(not(tasklog_loom))]
pub(crate) struct Words {
    start: std::ptr::NonNull<AtomicU64>,
    len: usize,
    /// What was allocated.
    allocated: std::ptr::NonNull<u8>,
    layout: std::alloc::Layout,
}

#[cfg(not(tasklog_loom))]
mod real {
    use std::{
        alloc::{Layout, alloc_zeroed, dealloc},
        ptr::{self, NonNull},
        slice,
        sync::atomic::Ordering::Relaxed,
    };

    use super::{AtomicU64, Words};

    /// Two cache lines: what is laid out in it begins with one.
    const ALIGNED: usize = 128;

    // SAFETY: it owns its memory, which is reached as atomic numbers only.
    unsafe impl Send for Words {}
    // SAFETY: as above.
    unsafe impl Sync for Words {}

    impl Words {
        /// Allocates memory of so many bytes. `None` if there is none, or if that is no number of words.
        pub(crate) fn new(bytes: usize) -> Option<Self> {
            // The allocator clears memory of a larger alignment itself, and so touches it all. So it is aligned here.
            let layout =
                Layout::from_size_align(bytes.checked_add(ALIGNED)?, align_of::<AtomicU64>()).ok()?;
            if bytes & 7 != 0 {
                return None;
            }
            // SAFETY: the layout is of more than 0 bytes.
            let allocated = NonNull::new(unsafe { alloc_zeroed(layout) })?;
            let before = allocated.align_offset(ALIGNED).min(ALIGNED);
            // SAFETY: so many bytes more are allocated than those that are used.
            let start = unsafe { allocated.add(before) }.cast();
            Some(Words { start, len: bytes / size_of::<AtomicU64>(), allocated, layout })
        }

        #[inline]
        pub(super) fn slice(&self) -> &[AtomicU64] {
            // SAFETY: `start` is aligned, as it is a multiple of 128, or as the allocation is, and behind it there are `len` numbers in one
            // allocation, all of them initialized: zero is an atomic number. They live as long as `self`.
            unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
        }
    }

    impl Words {
        /// Writes two numbers, and bytes behind them, from the word `at` on. Nobody else may write there, or read what was not published.
        ///
        /// # Panics
        ///
        /// They would go beyond the end.
        #[inline]
        pub(crate) fn write(&self, at: usize, header: [u64; 2], bytes: &[u8]) {
            let words = &self.slice()[at..][..2 + bytes.len().div_ceil(size_of::<u64>())];
            words[0].store(header[0], Relaxed);
            words[1].store(header[1], Relaxed);
            // SAFETY: so many bytes are there, in memory that may be written by way of a shared reference, as it is atomic. The source isn't in
            // it: no reference to bytes of it was ever made. Nobody reads or writes these words at the same time: a lane's memory is
            // written by the holder of its lock, between the moments when the reader has said that it was read (`protocol::taken`) and when it
            // is published (`protocol::publish`).
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), words[2..].as_ptr().cast_mut().cast(), bytes.len())
            };
        }
    }

    impl Words {
        /// Appends so many bytes from the word `at` on, which were published.
        ///
        /// # Panics
        ///
        /// They would go beyond the end.
        pub(crate) fn read(&self, at: usize, len: usize, into: &mut Vec<u8>) {
            let words = &self.slice()[at..][..len.div_ceil(size_of::<u64>())];
            // SAFETY: so many bytes are there, all of them initialized. Nobody writes them at the same time, see `write`; and the slice is gone
            // when this returns.
            into.extend_from_slice(unsafe { slice::from_raw_parts(words.as_ptr().cast(), len) });
        }
    }

    impl Drop for Words {
        fn drop(&mut self) {
            // SAFETY: it was allocated with this layout, and nobody has a reference into it any more.
            unsafe { dealloc(self.allocated.as_ptr(), self.layout) }
        }
    }
}

/// Memory of numbers, as the model has it.
#[cfg(tasklog_loom)]
pub(crate) struct Words(Box<[AtomicU64]>);

#[cfg(tasklog_loom)]
impl Words {
    pub(crate) fn new(bytes: usize) -> Option<Self> {
        Some(Words((0..bytes / 8).map(|_| AtomicU64::new(0)).collect()))
    }

    pub(crate) fn write(&self, at: usize, header: [u64; 2], bytes: &[u8]) {
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            u64::from_ne_bytes(word)
        };
        let words = header.into_iter().chain(bytes.chunks(8).map(word));
        self.0[at..]
            .iter()
            .zip(words)
            .for_each(|(to, word)| to.store(word, std::sync::atomic::Ordering::Relaxed));
    }

    pub(crate) fn read(&self, at: usize, len: usize, into: &mut Vec<u8>) {
        let words = self.0[at..][..len.div_ceil(8)].iter();
        let bytes = words.flat_map(|word| word.load(std::sync::atomic::Ordering::Relaxed).to_ne_bytes());
        into.extend(bytes.take(len));
    }

    fn slice(&self) -> &[AtomicU64] {
        &self.0
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        self.slice()
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Words").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(tasklog_loom)))]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn memory_is_zero_and_keeps_what_is_written() {
        let words = Words::new(4096 * 3).expect("memory");
        assert_eq!(words.len(), 3 * 512);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[1535].store(7, Ordering::Relaxed);
        assert_eq!((words[1534].load(Ordering::Relaxed), words[1535].load(Ordering::Relaxed)), (0, 7));
    }

    #[test]
    fn what_cannot_be_had_is_none() {
        assert!(Words::new(7).is_none() && Words::new(usize::MAX).is_none());
        assert!(Words::new(isize::MAX as usize & !4095).is_none(), "no machine has that");
    }
}

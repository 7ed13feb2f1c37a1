//! What is where in a ring's file, byte by byte. All numbers are of 8 bytes, in the byte order of the machine, unless it is said
//! otherwise. What isn't named is 0, and stays so in version 1.
//!
//! | offset | bytes | what | written by |
//! |---|---|---|---|
//! | 0 | 8 | `tasklog` and LF: the file is a ring | the worker, before the file has its name |
//! | 8 | 4 | 0x01020304: the byte order | ” |
//! | 12 | 4 | 1: the version of this layout | ” |
//! | 16 | 8 | the size of the main lane | ” |
//! | 24 | 8 | how many bytes of it are for lines that are neither about tasks nor of level ERROR | ” |
//! | 32 | 8 | the size of the aside lane | ” |
//! | 40 | 4 | the process id of the worker, as it sees that itself | ” |
//! | 44 | 4 | the length of its name | ” |
//! | 48 | 64 | its name: UTF-8 without control characters | ” |
//! | 128 | 8 | where the lines of the main lane end | the worker |
//! | 136 | 8 | where the entries of the aside lane end | ” |
//! | 144 | 8 | lines that were dropped: the ring was full | ” |
//! | 152 | 8 | lines that were dropped: it was full, and the collector took nothing | ” |
//! | 160 | 8 | lines that were dropped: logged where nobody may wait, and the aside lane was full | ” |
//! | 168 | 8 | 1: there is no more to come, the worker has closed the ring | ” |
//! | 176 | 8 | up to where there is nothing in the main lane, whatever was taken: the worker has gone back to its beginning | ” |
//! | 256 | 8 | up to where the collector has taken the main lane | the collector |
//! | 264 | 8 | up to where it has taken the aside lane | ” |
//! | 272 | 8 | how many lines that were | ” |
//! | 280 | 8 × 3 | of the dropped lines at 144, 152 and 160: how many the log was told of | ” |
//! | 320 | 48 | a second copy of what is at 256 | ” |
//! | 384 | 8 | what the collector does: 0 it is awake, 1 it lingers, 2 it sleeps | the collector; 0 also the worker that wakes it |
//! | 448 | 64 | for a later version: a note of the batch that is on its way into the sink | |
//! | 4096 | | the main lane | the worker |
//! | behind it | | the aside lane | ” |
//!
//! A lane is used around and around. A place in it is counted from the beginning of all times: it is at that number modulo the size
//! of the lane. A worker that finds everything taken may leave out the rest of the lane and go on at its beginning: so that a worker that
//! logs little touches few pages. Between what was taken, or left out, and the end are, in the main lane, whole lines, each with its LF; in the aside lane
//! entries of: the place in the main lane where they belong (8 bytes), a length (8 bytes), and so many bytes of whole lines.

use std::{fs::File, io, os::unix::fs::FileExt as _, str};

/// What a ring's file begins with.
const MAGIC: [u8; 8] = *b"tasklog\n";
const BYTE_ORDER: u32 = 0x0102_0304;
const VERSION: u32 = 1;

/// The length of all that is before the lanes: a page, so that the first lane begins with one.
pub(super) const HEAD: usize = 4096;

/// The length of what is said once, and of a worker's name at most.
pub(super) const PASSPORT: usize = 128;
const NAME: usize = 64;

/// Places of numbers.
pub(super) const MAIN_END: usize = 128;
pub(super) const ASIDE_END: usize = 136;
pub(super) const DROPPED_FULL: usize = 144;
pub(super) const DROPPED_STALLED: usize = 152;
pub(super) const DROPPED_NESTED: usize = 160;
pub(super) const CLOSED: usize = 168;
pub(super) const MAIN_VOID: usize = 176;
pub(super) const TAKEN: usize = 256;
pub(super) const TAKEN_AGAIN: usize = 320;
/// Of these, from the beginning of `TAKEN`.
pub(super) const OF_MAIN: usize = 0;
pub(super) const OF_ASIDE: usize = 8;
pub(super) const LINES: usize = 16;
pub(super) const COLLECTOR: usize = 384;

/// What comes before the bytes of an entry of the aside lane.
pub(super) const ENTRY: usize = 16;

/// Sizes of a lane that a collector believes: nobody makes larger ones.
pub(super) const LARGEST: u64 = 1 << 30;
/// The size of the aside lane at most.
pub(in crate::writer) const ASIDE: u64 = 64 * 1024;
/// No place in a lane is believed that is further from the beginning: at 10 GiB a second it takes a lifetime to get there.
pub(super) const FURTHEST: u64 = 1 << 62;
/// The longest line: a longer one is cut.
pub(in crate::writer) const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// What a worker says once, when it makes its ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::writer) struct Passport {
    /// Sizes of the lanes; and how much of the main one is for all lines.
    pub(in crate::writer) main: u64,
    pub(in crate::writer) capacity: u64,
    pub(in crate::writer) aside: u64,
    pub(in crate::writer) pid: u32,
    pub(in crate::writer) name: String,
}

impl Passport {
    /// The length of the file.
    pub(super) fn file_len(&self) -> u64 {
        HEAD as u64 + self.main + self.aside
    }

    /// As it is in the file. A longer name is cut.
    pub(super) fn encode(&self) -> [u8; PASSPORT] {
        let mut name = self.name.replace(char::is_control, "?");
        while name.len() > NAME {
            name.pop();
        }
        let mut bytes = [0; PASSPORT];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..][..part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&MAGIC);
        [BYTE_ORDER, VERSION].iter().for_each(|number| put(&number.to_ne_bytes()));
        [self.main, self.capacity, self.aside].iter().for_each(|number| put(&number.to_ne_bytes()));
        [self.pid, name.len() as u32].iter().for_each(|number| put(&number.to_ne_bytes()));
        put(name.as_bytes());
        bytes
    }

    /// Returns whether a file that begins so may be a ring that is being made: nothing is in it yet, or this is.
    pub(super) fn may_become_one(beginning: &[u8]) -> bool {
        beginning.iter().all(|&byte| byte == 0) || beginning == MAGIC
    }

    /// Reads the beginning of a file of so many bytes.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as a text that goes on from "the ring …".
    pub(super) fn decode(bytes: &[u8; PASSPORT], file_len: u64) -> Result<Self, String> {
        if bytes[..8] != MAGIC {
            return Err("doesn't begin as a ring does".to_owned());
        }
        let order = small(bytes, 8);
        if order == BYTE_ORDER.swap_bytes() {
            return Err("was made by a machine with another byte order".to_owned());
        }
        let version = small(bytes, 12);
        if (order, version) != (BYTE_ORDER, VERSION) {
            return Err(format!("has version {version} of the layout, this crate knows version {VERSION}"));
        }
        let [main, capacity, aside] = [16, 24, 32].map(|at| number(bytes, at));
        let is_sound = |size: u64| (1..=LARGEST).contains(&size);
        if !is_sound(main) || !(1..=ASIDE).contains(&aside) || !(1..=main).contains(&capacity) {
            return Err(format!(
                "says that its lanes have {main} and {aside} bytes, {capacity} of them for use"
            ));
        }
        let name = bytes[48..][..NAME].get(..small(bytes, 44) as usize).unwrap_or_default();
        let name = str::from_utf8(name).unwrap_or_default().replace(char::is_control, "?");
        let passport = Passport { main, capacity, aside, pid: small(bytes, 40), name };
        if passport.file_len() != file_len {
            return Err(format!("is {file_len} bytes long, and should be {}", passport.file_len()));
        }
        Ok(passport)
    }
}

/// What a worker says again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::writer) struct Progress {
    /// The ends of the lanes.
    pub(in crate::writer) main: u64,
    pub(in crate::writer) aside: u64,
    /// Lines that were dropped: full, stalled, nested.
    pub(in crate::writer) dropped: [u64; 3],
    pub(in crate::writer) is_closed: bool,
    /// Up to where there is nothing in the main lane.
    pub(in crate::writer) void: u64,
}

impl Progress {
    pub(super) const LEN: usize = MAIN_VOID + 8 - MAIN_END;

    pub(super) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let at = |place: usize| number(bytes, place - MAIN_END);
        Progress {
            main: at(MAIN_END),
            aside: at(ASIDE_END),
            dropped: [DROPPED_FULL, DROPPED_STALLED, DROPPED_NESTED].map(at),
            is_closed: at(CLOSED) != 0,
            void: at(MAIN_VOID),
        }
    }
}

/// What a collector says of its own progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::writer) struct Taken {
    pub(in crate::writer) main: u64,
    pub(in crate::writer) aside: u64,
    pub(in crate::writer) lines: u64,
    /// How many of the dropped lines the log was told of.
    pub(in crate::writer) told: [u64; 3],
}

impl Taken {
    pub(super) const LEN: usize = 48;

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let [full, stalled, nested] = self.told;
        let mut bytes = [0; Self::LEN];
        for (place, number) in
            bytes.chunks_exact_mut(8).zip([self.main, self.aside, self.lines, full, stalled, nested])
        {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let at = |place| number(bytes, place);
        Taken { main: at(OF_MAIN), aside: at(OF_ASIDE), lines: at(LINES), told: [24, 32, 40].map(at) }
    }
}

/// The number at a place; 0 if there is none.
pub(super) fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn small(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

/// Appends what is between two places in a lane: `lane` says where that begins in the file, and its size.
pub(super) fn read_lane(
    file: &File,
    into: &mut Vec<u8>,
    lane: (u64, u64),
    from: u64,
    to: u64,
) -> io::Result<()> {
    let (place, size) = lane;
    let begin = into.len();
    let len = usize::try_from(to - from).unwrap_or(usize::MAX);
    into.resize(begin + len, 0);
    let at = from % size;
    let (first, second) = into[begin..].split_at_mut(len.min((size - at) as usize));
    let read = file.read_exact_at(first, place + at).and_then(|()| file.read_exact_at(second, place));
    if read.is_err() {
        into.truncate(begin);
    }
    read
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passport() -> Passport {
        Passport { main: 8192, capacity: 4096, aside: 512, pid: 7, name: "mailer-1".to_owned() }
    }

    #[test]
    fn a_passport_is_where_the_table_says_and_can_be_read_back() {
        let bytes = passport().encode();
        assert_eq!(&bytes[..8], b"tasklog\n");
        assert_eq!((number(&bytes, 16), number(&bytes, 24), number(&bytes, 32)), (8192, 4096, 512));
        assert_eq!((small(&bytes, 12), small(&bytes, 40), small(&bytes, 44)), (1, 7, 8));
        assert_eq!(&bytes[48..57], b"mailer-1\0");
        assert_eq!(Passport::decode(&bytes, 4096 + 8192 + 512), Ok(passport()));
    }

    #[test]
    fn a_name_is_cut_at_a_character() {
        let long = Passport { name: format!("a{}", "é".repeat(40)), ..passport() };
        let read = Passport::decode(&long.encode(), long.file_len()).expect("read back");
        assert_eq!(read.name, format!("a{}", "é".repeat(31)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let len = passport().file_len();
        let with = |at: usize, byte: u8| {
            let mut bytes = passport().encode();
            bytes[at] = byte;
            Passport::decode(&bytes, len).expect_err("refused")
        };
        assert!(with(0, b'x').contains("doesn't begin"));
        assert!(with(12, 2).contains("version 2"));
        assert!(with(18, 1).contains("bytes long, and should be"), "{}", with(18, 1));
        assert!(with(23, 1).contains("says that its lanes have"));
        assert!(with(25, 0x40).contains("says that its lanes have"), "beyond the lane");
        let mut swapped = passport().encode();
        swapped[8..12].reverse();
        assert!(Passport::decode(&swapped, len).expect_err("refused").contains("byte order"));
        let cut = Passport::decode(&passport().encode(), len - 1).expect_err("refused");
        assert!(cut.contains(&format!("is {} bytes long, and should be {len}", len - 1)), "{cut}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_make_it_believe_in_huge_lanes(bytes: [u8; PASSPORT], flip in 0..PASSPORT, to: u8, len: u64) {
            let mut near = passport().encode();
            near[flip] = to;
            for bytes in [bytes, near] {
                if let Ok(passport) = Passport::decode(&bytes, len) {
                    prop_assert!(passport.file_len() == len && passport.capacity <= passport.main);
                }
            }
        }

        #[test]
        fn what_a_collector_says_is_read_back(main: u64, aside: u64, lines: u64, told: [u64; 3]) {
            let taken = Taken { main, aside, lines, told };
            prop_assert_eq!(Taken::decode(&taken.encode()), taken);
        }
    }
}

//! The end of a file that other processes write to as well: whether it was cut short, and whether it ends in a fragment.
//!
//! O_APPEND writes of processes that are alive come one after the other, whole. Two things are found out by looking:
//!
//! * **Cut short.** What this process has written since the last look stands behind what the file held then. A file that
//!   is shorter was truncated meanwhile, as `copytruncate` of logrotate(8) does; and so was one that has grown again, but
//!   holds other bytes where its end was. Lines that were written between its last
//!   read and its truncation are in no file: all since the copy was made, as far as that was seen, or else since the last
//!   look but one, are counted as at risk. While a copy may be under way there is a look every [`SOON`]. The next line
//!   begins at the new end, so there is no hole.
//! * **A fragment.** A process that is killed in the middle of a write leaves the beginning of a line. A file that doesn't
//!   end in LF, has the same length [`SOON`] after, and has it still when no write is under way, is closed with CAN LF by the
//!   one process that gets the file's lock (flock(2)) at that moment.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant, SystemTime},
};

use super::{
    shared::Shared,
    state::{Aftermath, State},
};
use crate::{file::AppendFile, writer::tail::Tail};

/// How long until the next look while the file grows, or while the path can't be followed.
pub(super) const ACTIVE: Duration = Duration::from_millis(100);

/// How long until the next look while nothing happens.
pub(super) const IDLE: Duration = Duration::from_millis(150);

/// How long until the next look when something may have changed by then.
pub(super) const SOON: Duration = Duration::from_millis(5);

/// How long a process that has the lock of the file has for closing a fragment.
const LOCKED: Duration = Duration::from_millis(40);

/// How long a copy that is made to be followed by a truncation may take: fsync(2) is a part of it.
const COPY: Duration = Duration::from_secs(2);

/// What was seen of the end of a file.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Its length at the last look, and when that was.
    len: u64,
    time: Option<SystemTime>,
    /// The bytes that stood before that.
    mark: Vec<u8>,
    /// The bytes that this process had written in all by then.
    bytes: u64,
    /// The lines that it had written in all at the last look but one, and at the last.
    lines: [u64; 2],
    /// When another file was made beside this one, and the lines that had been written in all shortly before.
    copy: Option<(Instant, u64)>,
    /// The length at which the file was seen to end in LF.
    whole: u64,
    /// The length at which it was seen not to, and when that was.
    torn: Option<(u64, Instant)>,
    /// Whether the end has to be seen before the next line: a line could not be written, and other processes have met the
    /// same trouble.
    pub(super) is_doubtful: bool,
}

impl Ending {
    /// What is known of a file that was just opened.
    pub(super) fn of(len: u64, time: SystemTime, tail: &Tail) -> Self {
        let lines = tail.stats.written_lines;
        let (time, bytes) = (Some(time), tail.stats.bytes);
        Ending { len, time, bytes, lines: [lines, lines], ..Ending::default() }
    }

    /// Returns its length at the last look, and when that was.
    pub(super) fn seen(&self) -> (u64, SystemTime) {
        (self.len, self.time.unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// Sees the end if there is a reason to doubt it.
    pub(super) fn doubt(&mut self, tail: &mut Tail, file: &mut dyn AppendFile) {
        if !self.is_doubtful && !tail.is_torn {
            return;
        }
        if let Ok((_, last)) = file.settled_ending() {
            tail.is_torn = is_torn(last);
            self.is_doubtful = false;
        }
    }

    /// Returns how many lines were written since the file was last seen in its place.
    pub(super) fn lines_since_look(&self, tail: &Tail) -> u64 {
        tail.stats.written_lines.saturating_sub(self.lines[1])
    }

    /// Returns whether a file that has grown holds other bytes where its end was.
    fn is_mark_gone(&self, len: u64, file: &mut dyn AppendFile) -> bool {
        len > self.len
            && !self.mark.is_empty()
            && file.bytes_before(self.len).is_ok_and(|bytes| bytes != self.mark)
    }

    /// Notes that another file was made beside this one: a copy of it, perhaps.
    fn copy_began(&mut self, now: Instant) {
        self.copy = Some((now, self.copy.map_or(self.lines[0], |(_, lines)| lines)));
    }

    /// Returns whether a copy may be under way.
    fn is_copied(&mut self, now: Instant) -> bool {
        self.copy = self.copy.filter(|(since, _)| now.saturating_duration_since(*since) < COPY);
        self.copy.is_some()
    }

    /// Notes a look. Returns how many lines are at risk, if the file was cut short since the last one.
    fn was_cut_short(&mut self, len: u64, tail: &Tail, file: &mut dyn AppendFile) -> Option<u64> {
        let written = tail.stats.bytes.saturating_sub(self.bytes);
        let is_cut = len < self.len.saturating_add(written) || self.is_mark_gone(len, file);
        if len != self.len || is_cut || self.mark.is_empty() {
            self.mark = file.bytes_before(len).unwrap_or_default(); // it may be written, not read
        }
        let safe = self.copy.map_or(self.lines[0], |(_, lines)| lines.min(self.lines[0]));
        let at_risk = tail.stats.written_lines.saturating_sub(safe);
        (self.len, self.bytes) = (len, tail.stats.bytes);
        self.lines = [self.lines[1], tail.stats.written_lines];
        is_cut.then(|| {
            (self.whole, self.torn, self.copy) = (0, None, None);
            self.lines = [tail.stats.written_lines; 2];
            at_risk
        })
    }
}

impl Shared {
    /// Inspects the end of the open file, which has this length. Returns when to look again.
    pub(super) fn inspect(
        &self,
        state: &mut State,
        len: u64,
        now: Instant,
        aftermath: &mut Aftermath,
    ) -> Duration {
        let has_grown = len != state.ending.len;
        state.ending.time = Some(self.clock.now());
        if self.hints.is_copied.swap(false, Ordering::Relaxed) && !self.is_forked() {
            state.ending.copy_began(now);
        }
        if let Some(lines) = state.ending.was_cut_short(len, &state.tail, &mut *state.file) {
            state.tail.stats.truncations += 1;
            state.ending.is_doubtful = true;
            self.at_risk(state, lines, "truncated by another program", aftermath);
        }
        if state.ending.whole != len {
            match state.file.last_byte(len) {
                Ok(last) if is_torn(last) => return self.found_torn(state, len, now),
                Ok(_) => (state.ending.whole, state.ending.torn) = (len, None),
                Err(_) => {} // it may be written, not read
            }
        }
        match (state.ending.is_copied(now), has_grown) {
            (true, _) => SOON,
            (false, true) => ACTIVE,
            (false, false) => IDLE,
        }
    }

    /// Closes a fragment that was there a moment ago already. If the lock can't be had, another process is about to do that; but
    /// it may be a reader's, so that it is not waited for longer than [`LOCKED`].
    fn found_torn(&self, state: &mut State, len: u64, now: Instant) -> Duration {
        let since = match state.ending.torn {
            Some((before, since)) if before == len => since,
            _ => {
                state.ending.torn = Some((len, now));
                return SOON;
            }
        };
        let waited = now.saturating_duration_since(since);
        // Where there are no locks, and behind a reader's, it may be closed twice at worst. Not all processes do it at a time.
        let turn = SOON * (std::process::id() % 8);
        if waited < SOON || (waited < LOCKED + turn && matches!(state.file.try_lock(), Ok(false))) {
            return SOON;
        }
        // A failure is counted, and the next look tries again.
        let _ = close(state, len);
        let _ = state.file.unlock();
        ACTIVE
    }
}

fn close(state: &mut State, len: u64) -> io::Result<()> {
    let (now, last) = state.file.settled_ending()?;
    if now != len || !is_torn(last) || state.check_room_for(2).is_err() {
        return Ok(());
    }
    state.tail.is_torn = true;
    let file = &mut state.file;
    state.tail.close_fragment(&mut |bytes| file.append(bytes)).1
}

fn is_torn(last: Option<u8>) -> bool {
    last.is_some_and(|byte| byte != b'\n')
}

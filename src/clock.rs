//! The only place that asks for the time, and the default timestamp.

use std::{
    cell::RefCell,
    fmt,
    sync::{
        OnceLock,
        atomic::{Ordering, compiler_fence},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

use crate::sys;

/// A time that never goes back, for durations.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The clock of a writer: the system's, or one that a test sets.
#[derive(Clone, Debug, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    #[cfg(test)]
    Manual(std::sync::Arc<std::sync::Mutex<Manual>>),
}

/// A clock that stands still until a test moves it.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Manual {
    pub(crate) time: SystemTime,
    pub(crate) instant: Instant,
}

impl Clock {
    /// The time of day.
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Clock::System => SystemTime::now(),
            #[cfg(test)]
            Clock::Manual(manual) => manual.lock().expect("no test panics with it").time,
        }
    }

    /// The second since 1970, perhaps a moment late: no system call on Linux, where it has a feature for it.
    #[inline]
    pub(crate) fn coarse_second(&self) -> i64 {
        match self {
            Clock::System => sys::coarse_second(),
            #[cfg(test)]
            Clock::Manual(_) => unix_seconds(self.now()),
        }
    }

    /// A time that never goes back, for durations.
    pub(crate) fn instant(&self) -> Instant {
        match self {
            Clock::System => instant(),
            #[cfg(test)]
            Clock::Manual(manual) => manual.lock().expect("no test panics with it").instant,
        }
    }
}

/// Milliseconds since the first call in this process, for limits on how often something is done.
pub(crate) fn uptime_millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(instant).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The default timer: UTC in whole seconds, `2026-01-01T12:00:00`.
///
/// The text is made once a second on each thread. On Linux a second begins with the kernel's next tick, up to 10 ms late. A clock
/// set before the year 0 or after 9999 shows the first or last second of that range.
///
/// ```
/// use tracing_subscriber::fmt::{format::Writer, time::FormatTime};
///
/// let mut text = String::new();
/// tracing_tasklog::UtcSeconds.format_time(&mut Writer::new(&mut text))?;
/// assert_eq!(text.len(), "2026-01-01T12:00:00".len());
/// # Ok::<(), std::fmt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UtcSeconds;

/// A timestamp's text and a space: `2026-01-01T12:00:00 `. A processor copies 20 bytes as 16 and 4; 19 it copies as two that
/// overlap, and waits 20 ns for the first before it can read what the second has overwritten.
pub(crate) type Stamp = [u8; 20];

/// A second since 1970, and its text.
#[derive(Debug)]
struct Second {
    number: i64,
    text: Stamp,
}

thread_local! {
    /// The last second that this thread rendered. Without a destructor: it is there as long as the thread.
    static LAST: RefCell<Second> = const { RefCell::new(Second { number: i64::MIN, text: *b"0000-01-01T00:00:00 " }) };
}

impl Second {
    #[inline]
    fn text_of(&mut self, number: i64) -> &Stamp {
        if number != self.number {
            self.render(number);
        }
        &self.text
    }

    #[cold]
    fn render(&mut self, number: i64) {
        *self = Second { number, text: render(number) };
    }
}

impl FormatTime for UtcSeconds {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(text_of(&stamp_now()))
    }
}

/// The text of this second.
pub(crate) fn stamp_now() -> Stamp {
    with_stamp_now(|stamp| *stamp)
}

/// Does `f`, which must not log, with the text of this second.
#[inline]
pub(crate) fn with_stamp_now<R>(mut f: impl FnMut(&Stamp) -> R) -> R {
    let number = sys::coarse_second();
    LAST.with(|last| {
        let Ok(mut last) = last.try_borrow_mut() else { return f(&render(number)) };
        compiler_fence(Ordering::SeqCst); // borrowed first: a signal handler may come by here
        let result = f(last.text_of(number));
        compiler_fence(Ordering::SeqCst);
        result
    })
}

/// Without the space.
pub(crate) fn text_of(stamp: &Stamp) -> &str {
    std::str::from_utf8(stamp).unwrap_or_default().trim_end() // digits, `-`, `T` and `:`
}

/// Whole seconds since 1970, rounded down.
pub(crate) fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -seconds - i64::from(before.subsec_nanos() > 0)
        }
    }
}

/// When a second since 1970 begins, if the system's clock can tell.
pub(crate) fn start_of(second: i64) -> Option<SystemTime> {
    let since = Duration::from_secs(second.unsigned_abs());
    if second < 0 { UNIX_EPOCH.checked_sub(since) } else { UNIX_EPOCH.checked_add(since) }
}

/// Renders a second since 1970 in UTC, from the years 0 to 9999.
fn render(second: i64) -> Stamp {
    const FIRST: i64 = -62_167_219_200; // 0000-01-01T00:00:00
    const LAST: i64 = 253_402_300_799; // 9999-12-31T23:59:59
    let second = second.clamp(FIRST, LAST);
    let (year, month, day) = civil_from_days(second.div_euclid(86_400));
    let of_day = second.rem_euclid(86_400);
    let mut stamp = *b"0000-00-00T00:00:00 ";
    put(&mut stamp[0..4], year);
    put(&mut stamp[5..7], month);
    put(&mut stamp[8..10], day);
    put(&mut stamp[11..13], of_day / 3600);
    put(&mut stamp[14..16], of_day / 60 % 60);
    put(&mut stamp[17..19], of_day % 60);
    stamp
}

/// Writes a number that is not negative, right-aligned, over the zeros in `digits`.
fn put(digits: &mut [u8], mut number: i64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar.
///
/// The algorithm counts in eras of 400 years that begin on 1 March, so that a leap day is the last of its year:
/// <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(second: i64) -> String {
        text_of(&render(second)).to_owned()
    }

    #[test]
    fn seconds_are_rendered_as_date_does() {
        // `date -u -d @N +%FT%T`
        for (second, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_767_268_800, "2026-01-01T12:00:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
            (-1, "1969-12-31T23:59:59"),
            (i64::MIN, "0000-01-01T00:00:00"),
            (i64::MAX, "9999-12-31T23:59:59"),
        ] {
            assert_eq!(shown(second), text);
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut last = civil_from_days(-800_000);
        for day in -799_999..800_000 {
            let next = civil_from_days(day);
            let (year, month, of_month) = last;
            let follows = next == (year, month, of_month + 1)
                || (next == (year, month + 1, 1) && of_month >= 28)
                || (next == (year + 1, 1, 1) && (month, of_month) == (12, 31));
            assert!(follows, "{next:?} after {last:?}");
            last = next;
        }
    }

    #[test]
    fn the_text_of_a_second_is_kept_until_the_next_and_goes_back_with_the_clock() {
        let mut second = LAST.with(|last| Second { ..*last.borrow() });
        for number in [i64::MIN, 0, 1, 1, 0, -1, i64::MAX] {
            assert_eq!(*second.text_of(number), render(number));
        }
    }

    #[test]
    fn a_time_before_1970_is_rounded_down() {
        assert_eq!(unix_seconds(UNIX_EPOCH - Duration::from_millis(1)), -1);
        assert_eq!(unix_seconds(UNIX_EPOCH + Duration::from_millis(1999)), 1);
    }
}

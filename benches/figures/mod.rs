//! What the benches share: medians, the CPU time, and goals. Each uses its part.
#![allow(dead_code, unreachable_pub)]

pub fn quantile(numbers: &mut [f64], part: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get((numbers.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

pub fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut numbers.collect::<Vec<_>>(), 0.5)
}

#[derive(Clone, Copy)]
pub enum Of {
    Thread,
    Process,
}

/// Nanoseconds that this thread has run, or all of this process; not a number where rustix can't tell.
pub fn cpu_time(of: Of) -> f64 {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(match of {
            Of::Thread => ClockId::ThreadCPUTime,
            Of::Process => ClockId::ProcessCPUTime,
        });
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    }
    #[cfg(not(unix))]
    match of {
        Of::Thread | Of::Process => f64::NAN,
    }
}

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

impl Goal {
    pub fn judge(self, ratio: f64) -> String {
        let (sign, number, is_met) = match self {
            Goal::AtMost(number) => ("<=", number, ratio <= number),
            Goal::AtLeast(number) => (">=", number, ratio >= number),
        };
        format!("{sign} {number:<5} {}", if is_met { "met" } else { "not met" })
    }
}

//! Instructions per event, by callgrind: unlike time they repeat on a busy machine.
//!
//! Each candidate runs twice, with few events and with many: the difference is the events' own cost, without the start and the
//! end of the process. Only the first thread counts, the one that logs.

use std::{env, fs, io, path::Path, process::Command};

use crate::{
    candidates::{self, How},
    groups::{Bound, OURS, P1},
    run::said,
    work::{Bursts, Together},
};

const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

/// Prints a line for each candidate whose caller is a thread.
pub(crate) fn print(folder: &Path) -> io::Result<()> {
    let folder = tempfile::tempdir_in(folder)?;
    let is_threads = |how: &How| matches!(how, How::Threads(..));
    let names = candidates::QUEUE.iter().filter(|candidate| is_threads(&candidate.how));
    let mut measured = Vec::new();
    for name in names.map(|candidate| candidate.name) {
        eprintln!("{name}");
        let (few, many) = (count(name, FEW, folder.path())?, count(name, MANY, folder.path())?);
        measured.push((name, (many - few) / (MANY - FEW) as f64));
    }
    let of = |name: &str| measured.iter().find(|(other, _)| *other == name).map_or(f64::NAN, |found| found.1);
    println!("{:<20}{:>12}{:>20}", "", "instructions", format!("/ {P1}"));
    for (name, number) in &measured {
        println!("{name:<20}{number:>12.0}{:>20.3}", number / of(P1));
    }
    println!("\n{OURS}, instructions an event: {}", Bound::AtMost(1400.0).judge(of(OURS)));
    println!("the same / {P1}: {}", Bound::AtMost(0.12).judge(of(OURS) / of(P1)));
    Ok(())
}

/// The instructions of the first thread of a process that logs so many events.
fn count(name: &str, events: u64, folder: &Path) -> io::Result<f64> {
    let (log, out) = (folder.join(format!("{name}-{events}")), folder.join("callgrind"));
    fs::create_dir(&log)?; // each has a folder of its own, as in any run
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--separate-threads=yes"]);
    valgrind.arg(format!("--callgrind-out-file={}", out.display())).arg(env::current_exe()?);
    valgrind.args(["alone", name, &events.to_string()]).arg(log.join("tasks.log"));
    let output = valgrind.output().map_err(|error| io::Error::other(format!("valgrind: {error}")))?;
    said(output)?;
    let text = fs::read_to_string(out.with_file_name("callgrind-01"))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.ok_or_else(|| io::Error::other("callgrind has written no total"))
}

/// The part of that process: the first thread logs. It doesn't ask for the time, which ends it under valgrind.
pub(crate) fn alone(name: &str, events: u64, log: &Path) -> io::Result<()> {
    let How::Threads(voice, open) = candidates::find(name)?.how else {
        panic!("{name} has no threads of ours")
    };
    let finish = open(log)?;
    let together = Together::new(1, false);
    voice.log(Bursts { events, in_bursts: false, cpu_time: || f64::NAN, together: &together });
    finish(events)
}

//! All rounds, and what is printed of them.

use std::{io, path::Path};

use tempfile::TempDir;

use crate::{
    cases::{APPEND, CASES, Case, How, Place, RING},
    figures::{Goal, median},
    run::{self, Figures, WORK, WORKERS, Work},
};

const ROUNDS: usize = 7;

/// What is printed of a work.
struct Row {
    what: &'static str,
    of: fn(&Figures) -> f64,
    /// Beside O_APPEND, where a ratio says something; and what that of the ring should be.
    is_compared: bool,
    goal: Option<Goal>,
}

impl Row {
    const fn new(what: &'static str, of: fn(&Figures) -> f64, goal: Option<Goal>) -> Self {
        Row { what, of, is_compared: true, goal }
    }
}

const CALLER: Row = Row::new("caller's CPU, ns an event", |figures| figures.caller, Some(Goal::AtMost(0.15)));
const WALL: Row = Row::new("caller's wall", |figures| figures.wall, None);
const WRITER: Row =
    Row { is_compared: false, ..Row::new("writer's CPU, ns an event", |figures| figures.writer, None) };
const SATURATED: [Row; 4] =
    [CALLER, WALL, Row::new("1,000 lines/s", |figures| figures.rate / 1e3, Some(Goal::AtLeast(4.0))), WRITER];
const BURSTS: [Row; 5] = [
    CALLER,
    WALL,
    Row::new("one call, ns: p50", |figures| figures.calls[0], None),
    Row::new("p99", |figures| figures.calls[1], None),
    WRITER,
];

/// For each work and each case, the figures of each round.
type Rounds = [[Vec<Figures>; CASES.len()]; WORK.len()];

/// Makes a folder for rings.
pub(crate) fn rings(directory: Option<&str>) -> io::Result<TempDir> {
    let shm = Path::new("/dev/shm");
    match directory {
        Some(directory) => tempfile::tempdir_in(directory),
        None if shm.is_dir() => tempfile::tempdir_in(shm),
        None => tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")),
    }
}

pub(crate) fn compare(directory: Option<&str>) -> io::Result<()> {
    let rings = rings(directory)?;
    let has_python = run::has_python();
    let rounds = measure_all(rings.path(), has_python)?;
    println!(
        "{WORKERS} workers, {ROUNDS} interleaved rounds, medians; in brackets the ratio to {}",
        CASES[APPEND].name
    );
    println!("rings in {}", rings.path().parent().unwrap_or(rings.path()).display());
    CASES.iter().for_each(|Case { name, what, .. }| println!("{name}: {what}"));
    if !has_python {
        println!("there is no python3 here");
    }
    WORK.iter().zip(&rounds).for_each(|(work, rounds)| print(work, rounds));
    Ok(())
}

fn measure_all(rings: &Path, has_python: bool) -> io::Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 0..ROUNDS {
        for (work, figures) in rounds.iter_mut().enumerate() {
            for turn in 0..CASES.len() {
                let case = (round + turn) % CASES.len();
                let is_python = matches!(CASES[case].how, How::Python);
                figures[case].push(if is_python && (!has_python || WORK[work].in_bursts) {
                    Figures::NONE
                } else {
                    measure(&CASES[case], work, rings)?
                });
            }
        }
    }
    Ok(rounds)
}

fn measure(case: &Case, work: usize, rings: &Path) -> io::Result<Figures> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let rings = tempfile::tempdir_in(rings)?;
    let figures = run::run(case, work, &Place::new(folder.path(), rings.path()));
    figures.map_err(|error| io::Error::other(format!("{}, {}: {error}", case.name, WORK[work].what)))
}

/// Prints a part of the table. What it says about goals has no consequence.
fn print(work: &Work, rounds: &[Vec<Figures>; CASES.len()]) {
    let names: String = CASES.iter().map(|case| format!("{:>17}", case.name)).collect();
    println!("\n{:<26}{names}  goal of {}", work.what, CASES[RING].name);
    let events = CASES.iter().map(|case| format!("{:>17}", work.events(case)));
    println!("{:<26}{}", "events of a worker", events.collect::<String>());
    let rows: &[Row] = if work.in_bursts { &BURSTS } else { &SATURATED };
    for Row { what, of, is_compared, goal } in rows {
        let ratio = |case: &[Figures]| {
            let pairs = case.iter().zip(&rounds[APPEND]);
            median(pairs.map(|(one, append)| of(one) / of(append)))
        };
        let cell = |case: &[Figures]| match median(case.iter().map(of)) {
            value if value.is_nan() => "-".to_owned(),
            value if *is_compared => format!("{value:.0} ({:.3})", ratio(case)),
            value => format!("{value:.0}"),
        };
        let cells: String = rounds.iter().map(|case| format!("{:>17}", cell(case))).collect();
        let verdict = goal.map(|goal| goal.judge(ratio(&rounds[RING]))).unwrap_or_default();
        println!("{what:<26}{cells}  {verdict}");
    }
}

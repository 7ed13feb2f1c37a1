//! Compares tracing-tasklog with what a program has without it.
//!
//! ```text
//! compare [PART...] [--quick] [--rounds N] [--svg PATH]    PART: queue, files, processes, rings, levels; all if none is given
//! compare instructions                                     the instructions of an event, by callgrind
//! ```
//!
//! Everything that is compared does the same: it logs the same event, and has it in a file when the run ends. Each run is a
//! process of its own. They take turns, another one first each time, and a ratio is the median of the ratios of all rounds. A run
//! counts from its first event until the file is complete. Threads of one run begin each burst at the same time.
//!
//! A goal that is missed fails nothing, because on a busy machine time proves nothing. A file that doesn't hold each of its lines,
//! and nothing else, does. `--quick` is for that: one round with few events, and no figures. `--rounds 1` has figures soon that say
//! little.
//!
//! The files are below the target folder, or in `$COMPARE_DIR`.

mod candidates;
mod figures;
mod groups;
mod instructions;
mod lines;
mod processes;
mod rounds;
mod run;
mod svg;
mod table;
mod work;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use self::{
    groups::{GROUPS, Group},
    rounds::Results,
};

const USAGE: &str = "usage: cargo bench --bench compare -- [queue] [files] [processes] [rings] [levels] [--quick] [--rounds N] [--svg PATH], or instructions";

/// What to do.
struct Options {
    groups: Vec<&'static Group>,
    is_quick: bool,
    rounds: Option<usize>,
    svg: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[&str]) -> io::Result<Self> {
        let mut options = Options { groups: Vec::new(), is_quick: false, rounds: None, svg: None };
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            match argument {
                "--quick" => options.is_quick = true,
                "--rounds" => {
                    let rounds = arguments.next().and_then(|number| number.parse().ok());
                    options.rounds = Some(rounds.ok_or_else(|| io::Error::other(USAGE))?);
                }
                "--svg" => {
                    options.svg = Some(arguments.next().ok_or_else(|| io::Error::other(USAGE))?.into())
                }
                name => {
                    let group = GROUPS.iter().find(|group| group.name == name);
                    options.groups.push(group.ok_or_else(|| io::Error::other(USAGE))?);
                }
            }
        }
        if options.groups.is_empty() {
            options.groups = GROUPS.iter().collect();
        }
        Ok(options)
    }

    fn rounds(&self, group: &Group) -> usize {
        if self.is_quick { 1 } else { self.rounds.unwrap_or(group.rounds) }
    }
}

/// Where the files are written.
fn folder() -> io::Result<PathBuf> {
    let target = || Ok(env::current_exe()?.with_file_name(""));
    env::var_os("COMPARE_DIR").map(PathBuf::from).map_or_else(target, Ok)
}

fn compare(options: &Options) -> io::Result<()> {
    let began = Instant::now();
    let folder = tempfile::tempdir_in(folder()?)?;
    let mut results = Results::default();
    for group in &options.groups {
        results.add(group, options.rounds(group), options.is_quick, folder.path())?;
    }
    if options.is_quick {
        println!("each candidate has written its lines, and nothing else");
        return Ok(());
    }
    table::print_goals(&options.groups, &results);
    for group in &options.groups {
        table::print_all(group, options.rounds(group), &results);
        table::print_by_threads(group, &results);
    }
    println!("\nIt took {} s.", began.elapsed().as_secs());
    if !run::has_python() {
        println!("\nThere is no python3 here.");
    }
    match options.groups.iter().find(|group| group.name == groups::QUEUE) {
        Some(group) => write_svg(group, &results, options.svg.as_deref()),
        None => Ok(()),
    }
}

/// Writes the plot, below the target folder unless told otherwise.
fn write_svg(group: &Group, results: &Results, path: Option<&Path>) -> io::Result<()> {
    let path = path
        .map_or_else(|| Ok(env::current_exe()?.with_extension("svg")), |path| io::Result::Ok(path.into()))?;
    fs::write(&path, svg::draw(group, results))?;
    println!("\nA plot of it: {}", path.display());
    Ok(())
}

fn numbers<const N: usize>(texts: [&str; N]) -> [u64; N] {
    texts.map(|text| text.parse().expect("a number"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // What this program starts itself with.
        ["run", name, threads, events, in_bursts, log] => {
            run::run(name, numbers([threads, events, in_bursts]), Path::new(log))
        }
        ["work", name, events, in_bursts, worker, threads, log, rings] => {
            let numbers = numbers([events, in_bursts, worker, threads]);
            processes::work(name, numbers, Path::new(log), Path::new(rings))
        }
        ["alone", name, events, log] => {
            instructions::alone(name, events.parse().expect("a number"), Path::new(log))
        }
        ["instructions"] => folder().and_then(|folder| instructions::print(&folder)),
        ref arguments => Options::parse(arguments).and_then(|options| compare(&options)),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("compare: {error}");
    ExitCode::FAILURE
}

//! Compares tracing-tasklog with what a program has without it.

mod candidates;
mod figures;
mod lines;
mod rounds;
mod run;
mod table;
mod work;

use std::{
    env, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use self::rounds::{Group, Results};

const GROUPS: [Group; 1] =
    [Group { name: "queue", rounds: 5, works: &work::QUEUE, candidates: &candidates::QUEUE }];

/// Where the files are written: below the target folder, unless told otherwise.
fn folder() -> io::Result<PathBuf> {
    let target = || Ok(env::current_exe()?.with_file_name(""));
    env::var_os("COMPARE_DIR").map(PathBuf::from).map_or_else(target, Ok)
}

fn compare(is_quick: bool) -> io::Result<()> {
    let folder = tempfile::tempdir_in(folder()?)?;
    let mut results = Results::default();
    for group in &GROUPS {
        results.add(group, is_quick, folder.path())?;
    }
    GROUPS.iter().for_each(|group| table::print(group, &results));
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(false),
        ["--quick"] => compare(true),
        ["run", name, threads, events, in_bursts, log] => {
            let numbers = [threads, events, in_bursts].map(|number| number.parse().expect("a number"));
            run::run(name, numbers, Path::new(log))
        }
        _ => Err(io::Error::other("usage: cargo bench --bench compare [-- --quick]")),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("compare: {error}");
    ExitCode::FAILURE
}

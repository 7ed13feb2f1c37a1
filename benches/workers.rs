//! Prints what it costs several processes to log into one file: through a `SharedQueue` across processes, and through what
//! programs have without it.
//!
//! ```text
//! workers [DIRECTORY]          compares the cases: `cargo bench --features multiprocess --bench workers`
//! workers list                 the cases, one a line
//! workers CASE EVENTS          logs EVENTS events in one process, for a tool that looks from outside
//! ```
//!
//! All workers are processes of their own and begin at the same time. They get the same event in the same span through the
//! same layer; what differs is the writer. The file is below the target folder. The rings are in `DIRECTORY`: where it isn't
//! given, in /dev/shm if there is one, else below the target folder. Python has no such layer: there it is its `logging`, which
//! writes the same lines.
//!
//! The caller's CPU is that of the worker's process while it logs, the writer's CPU that of the process that writes the file. A
//! run counts from the moment in which the workers are told to begin until the file is complete.
//!
//! The cases take turns, another one first each time, and a ratio is the median of the ratios of all rounds.
//!
//! A goal that is missed fails nothing, because on a busy machine time proves nothing. A file that doesn't hold each line of
//! each worker exactly once, whole and in order, does.
#![allow(clippy::print_stdout)] // it is what a bench is for

#[cfg(unix)]
#[path = "workers/cases.rs"]
mod cases;
#[cfg(unix)]
mod figures;
#[cfg(unix)]
#[path = "workers/run.rs"]
mod run;
#[cfg(unix)]
#[path = "workers/table.rs"]
mod table;

#[cfg(not(unix))]
fn main() {
    println!("a queue across processes is for Unix");
}

#[cfg(unix)]
fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table::compare(None),
        ["list"] => {
            cases::CASES.iter().for_each(|case| println!("{}", case.name));
            Ok(())
        }
        ["work", name, work, worker, folder, rings] => run::work(name, work, worker, folder, rings),
        [name, events] => run::alone(name, events.parse().expect("a number of events")),
        [directory] => table::compare(Some(directory)),
        _ => panic!("expected nothing, a directory, `list`, or a case and a number of events"),
    }
}

//! The processes: entry points that do nothing unless they are asked for.

use std::{
    env,
    fmt::Display,
    fs::File,
    io::Write as _,
    path::PathBuf,
    process,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use tracing_tasklog::writer::{Collector, InstanceFile, Overflow, Running, SharedQueue};

use super::LATEST;
use crate::support::{
    child::{hang, role, say},
    holds_within,
    ledger::Ledger,
    verify::numbered,
    wait_until,
};

pub fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("the parent says {name}"))
}

pub fn number<T: FromStr<Err: Display>>(name: &str) -> T {
    variable(name).parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file of the place.
pub fn place(name: &str) -> PathBuf {
    PathBuf::from(variable("PLACE")).join(name)
}

/// Waits until the parent gives a sign.
pub fn wait_for_sign(sign: &str) {
    let (path, limit) = (place(sign), Duration::from_secs(number("LIMIT")));
    wait_until(&format!("{sign} is given"), limit, || path.exists());
}

/// What a worker's counters say.
pub fn account(queue: &SharedQueue) -> String {
    let (stats, drops) = (queue.stats(), queue.drops());
    format!(
        "accepted={} written={} dropped={} queued={} cut={} full={} stalled={} nested={}",
        stats.accepted_lines,
        stats.written_lines,
        stats.dropped_lines,
        stats.queued_lines,
        stats.cut_lines,
        drops.queue_full,
        drops.queue_stalled,
        drops.nested
    )
}

/// Waits until there is nothing in the ring: what is in the log is taken a moment later.
fn wait_until_taken(queue: &SharedQueue) {
    wait_until("all is taken", LATEST, || queue.stats().queued_lines == 0);
}

/// Writes the `n`th line of a slot. Their lengths differ.
pub fn write_line(queue: &SharedQueue, ledger: &Ledger, slot: u32, n: u64) {
    let line = numbered(slot, n, (n % 61) as usize) + "\n";
    let mut queue = queue.clone();
    ledger.around(slot, n, || queue.write_all(line.as_bytes()).expect("writing never fails"));
}

/// SIGKILL for this very process.
fn kill_oneself() -> ! {
    kill_process(getpid(), Signal::KILL).expect("it is this very process");
    hang()
}

/// Ends the process as it is told to; by returning if it returns.
fn end(how: &str) {
    match how {
        "return" => {}
        "exit" => process::exit(0),
        "abort" => process::abort(),
        "kill" => kill_oneself(),
        "hang" => hang(),
        _ => panic!("nobody ends by {how}"),
    }
}

/// A worker: see [`super::Work`].
#[test]
fn child_works() {
    if !role("workers_kit::children::child_works") {
        return;
    }
    // A stall is not what these tests are about.
    let builder = SharedQueue::builder().capacity_bytes(number("CAPACITY")).stall_timeout(3 * LATEST);
    let queue = builder.connect(place("q")).expect("a ring can be made");
    let (ledger, written) = (Ledger::open(place("ledger")), AtomicU64::new(0));
    let (lines, rest_after, fate) =
        (number::<u64>("LINES"), number::<u64>("REST_AFTER"), number::<u64>("FATE"));
    say("ready");
    if !variable("BEGIN").is_empty() {
        wait_for_sign(&variable("BEGIN"));
    }
    let stop = place("stop");
    let work = |slot: u32| {
        for n in 1.. {
            write_line(&queue, &ledger, slot, n);
            written.fetch_add(1, Ordering::Relaxed);
            if n == lines || (lines == 0 && n % 16 == 0 && stop.exists()) {
                break;
            }
            if rest_after > 0 && n % rest_after == 0 {
                holds_within(Duration::from_millis(1), || false);
            }
        }
    };
    thread::scope(|scope| {
        let first = number::<u32>("FIRST");
        (first..first + number::<u32>("THREADS")).for_each(|slot| drop(scope.spawn(move || work(slot))));
        if fate > 0 {
            while written.load(Ordering::Relaxed) < fate {
                thread::yield_now();
            }
            kill_oneself();
        }
    });
    say(&format!("account {}", account(&queue)));
    end(&variable("END"));
}

/// A worker that writes lines in phases, and says after each of them what became of it.
#[test]
fn child_works_in_phases() {
    if !role("workers_kit::children::child_works_in_phases") {
        return;
    }
    let overflow = match variable("OVERFLOW").as_str() {
        "block" => Overflow::Block,
        "newest" => Overflow::DropNewest,
        millis => Overflow::BlockFor(Duration::from_millis(millis.parse().expect("milliseconds"))),
    };
    let stall = Duration::from_millis(number("STALL"));
    let builder = SharedQueue::builder().capacity_bytes(super::SMALL).overflow(overflow);
    let builder = builder.stall_timeout(stall).on_error(|error| say(&format!("told {error}")));
    let queue = builder.connect(place("q")).expect("a ring can be made");
    let ledger = Ledger::open(place("ledger"));
    let (mut n, slot) = (0, number("SLOT"));
    say("ready");
    for (phase, lines) in variable("PHASES").split(' ').enumerate() {
        wait_for_sign(&format!("go{phase}"));
        if phase == 2 {
            wait_until_taken(&queue);
        }
        say(&format!("begin{phase}"));
        let began = Instant::now();
        for _ in 0..lines.parse::<u64>().expect("a number") {
            n += 1;
            write_line(&queue, &ledger, slot, n);
        }
        let took = began.elapsed().as_millis();
        say(&format!("phase{phase} took={took} {}", account(&queue)));
    }
    wait_for_sign("end");
    wait_until_taken(&queue);
    say(&format!("last {}", account(&queue)));
}

/// Takes the limit of open files down, if it is told to.
fn limit_files() {
    if let Ok(files) = env::var("NOFILE") {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit { current: Some(files.parse().expect("a number")), maximum };
        setrlimit(Resource::Nofile, limit).expect("less is always allowed");
    }
}

/// Has all files open that this process may have, but so many; returns those.
fn hold_files() -> Vec<File> {
    let Ok(free) = env::var("FREE").unwrap_or_default().parse::<usize>() else { return Vec::new() };
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.truncate(files.len() - free);
    files
}

/// A collector, until it is told to end.
#[test]
fn child_collects() {
    if !role("workers_kit::children::child_collects") {
        return;
    }
    let log = variable("LOG");
    let builder = Collector::builder(place("q")).on_error(|error| say(&format!("told {error}")));
    let builder = match env::var("WAIT") {
        Ok(_) => builder.if_running(Running::Wait(LATEST)),
        Err(_) => builder,
    };
    say("begins");
    let (held, guard) = match env::var("SINK") {
        Ok(_) => {
            let file = InstanceFile::builder(place(&log));
            let file = match env::var("MAX_BYTES") {
                Ok(bytes) => file.max_bytes(bytes.parse().expect("a number")).backups(100_000).build(),
                Err(_) => file.unlimited().build(),
            };
            (hold_files(), builder.spawn(file.expect("the file can be opened")))
        }
        Err(_) => {
            let file = File::options().append(true).create(true).open(place(&log));
            (hold_files(), builder.spawn(file.expect("the file can be opened")))
        }
    };
    let guard = guard.expect("no other collector runs");
    limit_files();
    say("collects");
    let latest =
        env::var("LATEST").map_or(LATEST, |seconds| Duration::from_secs(seconds.parse().expect("seconds")));
    if env::var("FLUSH").is_ok() && guard.flush(latest).is_ok() {
        say("flushed");
    }
    wait_for_sign(&format!("stop-{log}"));
    let report = guard.shutdown(latest);
    drop(held);
    say(&format!("report written={} dropped={} pending={}", report.written, report.dropped, report.pending));
}

//! What is compared with what, by which work, and what should come out.

use crate::{
    candidates::{self, Candidate, fmt, levels, log, spdlog, stat, tasklog},
    figures::Metric,
    processes,
    work::Work,
};

/// Candidates that do the same work.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) rounds: usize,
    pub(crate) works: &'static [Work],
    pub(crate) candidates: &'static [Candidate],
    /// The one that the others are compared with.
    pub(crate) peer: &'static str,
    pub(crate) goals: &'static [Goal],
}

/// What a ratio should be.
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) work: &'static str,
    /// By which work the peers are measured: the same, as a rule.
    pub(crate) beside: &'static str,
    pub(crate) metric: Metric,
    pub(crate) ours: &'static str,
    pub(crate) peers: &'static [&'static str],
    pub(crate) bound: Bound,
}

#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

/// The group that is plotted.
pub(crate) const QUEUE: &str = "queue";

pub(crate) const SATURATED: &str = "saturated, 1 thread";
const SATURATED_2: &str = "saturated, 2 threads";
pub(crate) const SATURATED_4: &str = "saturated, 4 threads";
const SATURATED_8: &str = "saturated, 8 threads";
pub(crate) const BURSTS: &str = "bursts, 1 thread";
const BURSTS_2: &str = "bursts, 2 threads";
const BURSTS_4: &str = "bursts, 4 threads";
const BURSTS_8: &str = "bursts, 8 threads";
const WRITTEN: &str = "each line written, 1 thread";
const PROCESSES: &str = "saturated, 4 processes";
const PROCESSES_BURSTS: &str = "bursts, 4 processes";
const RINGS: &str = "saturated, 4 × 1 thread";
const RINGS_BURSTS: &str = "bursts, 4 × 1 thread";
const RINGS_THREADS: &str = "saturated, 2 × 4 threads";
const RINGS_THREADS_BURSTS: &str = "bursts, 2 × 4 threads";
const LEVELS: &str = "levels, 1 thread";

pub(crate) const OURS: &str = tasklog::QUEUE.name;
pub(crate) const P1: &str = fmt::NON_BLOCKING.name;
/// The best of them is the best Rust peer.
const RUST: [&str; 10] = [
    P1,
    fmt::DEFAULT_TIMER.name,
    fmt::MUTEX.name,
    spdlog::ASYNC.name,
    spdlog::SYNC.name,
    log::LOGFORTH.name,
    log::FTLOG.name,
    log::FAST_LOG.name,
    log::FLEXI.name,
    log::LOG4RS.name,
];

/// What is measured with any number of threads.
const WITH_MORE_THREADS: [&str; 4] = [OURS, P1, spdlog::ASYNC.name, spdlog::SYNC.name];

/// What is measured with any number of threads in a process.
const BESIDE_APPEND: [&str; 3] = [processes::RING, processes::APPEND, processes::NULL];

pub(crate) const GROUPS: [Group; 5] = [
    Group {
        name: QUEUE,
        rounds: 5,
        works: &[
            Work::saturated(SATURATED, 1, 1_000_000),
            Work::saturated(SATURATED_2, 2, 300_000).only(&WITH_MORE_THREADS),
            Work::saturated(SATURATED_4, 4, 200_000),
            Work::saturated(SATURATED_8, 8, 100_000).only(&WITH_MORE_THREADS),
            Work::bursts(BURSTS, 1, 20),
            Work::bursts(BURSTS_2, 2, 20).only(&WITH_MORE_THREADS),
            Work::bursts(BURSTS_4, 4, 20).only(&WITH_MORE_THREADS),
            Work::bursts(BURSTS_8, 8, 20).only(&WITH_MORE_THREADS),
        ],
        candidates: &candidates::QUEUE,
        peer: P1,
        goals: &[
            Goal::queue("caller ns, bursts, 1 thread", BURSTS, Metric::Caller, &[P1], AtMost(0.10)),
            Goal::queue("", BURSTS, Metric::Caller, &[spdlog::ASYNC.name], AtMost(0.40)),
            Goal::more_threads("caller ns, bursts, 2 threads", BURSTS_2, BURSTS),
            Goal::more_threads("caller ns, bursts, 4 threads", BURSTS_4, BURSTS),
            Goal::queue("", BURSTS_4, Metric::Caller, &[P1], AtMost(0.12)),
            Goal::queue("", BURSTS_4, Metric::Caller, &[spdlog::ASYNC.name], AtMost(0.40)),
            Goal::more_threads("caller ns, bursts, 8 threads", BURSTS_8, BURSTS),
            Goal::queue("p99 ns of a call, bursts", BURSTS, Metric::P99, &[P1], AtMost(0.15)),
            Goal::queue("p99.9 ns of a call, bursts", BURSTS, Metric::P999, &[P1], AtMost(0.25)),
            Goal::queue("caller ns, saturated, 1 thread", SATURATED, Metric::Caller, &[P1], AtMost(0.10)),
            Goal::queue("", SATURATED, Metric::Caller, &[spdlog::SYNC.name], AtMost(0.33)),
            Goal::more_threads("caller ns, saturated, 2 threads", SATURATED_2, SATURATED),
            Goal::more_threads("caller ns, saturated, 4 threads", SATURATED_4, SATURATED),
            Goal::more_threads("caller ns, saturated, 8 threads", SATURATED_8, SATURATED),
            Goal::queue("M lines/s, 1 thread", SATURATED, Metric::Rate, &[P1], AtLeast(10.0)),
            Goal::queue("", SATURATED, Metric::Rate, &RUST, AtLeast(3.0)),
            Goal::queue("", SATURATED, Metric::Rate, &[candidates::PYTHON], AtLeast(150.0)),
            Goal::queue("M lines/s, 4 threads", SATURATED_4, Metric::Rate, &[P1], AtLeast(9.0)),
            Goal::queue("", SATURATED_4, Metric::Rate, &RUST, AtLeast(3.0)),
            Goal::queue("CPU ns of all threads, 1 logs", SATURATED, Metric::All, &[P1], AtMost(0.08)),
        ],
    },
    Group {
        name: "files",
        rounds: 7,
        works: &[Work::saturated(WRITTEN, 1, 200_000)],
        candidates: &candidates::FILES,
        peer: fmt::ROLLING.name,
        goals: &[
            Goal::file("InstanceFile, caller ns", tasklog::INSTANCE.name, &[fmt::ROLLING.name], AtMost(0.55)),
            Goal::file("", tasklog::INSTANCE.name, &[log::LOG4RS_ROLLING.name], AtMost(0.75)),
            Goal::file(
                "WatchedFile, caller ns",
                tasklog::WATCHED.name,
                &[tasklog::UNWATCHED.name],
                AtMost(1.10),
            ),
            Goal::file("", tasklog::WATCHED.name, &[stat::EACH_LINE.name], AtMost(0.40)),
        ],
    },
    Group {
        name: "processes",
        rounds: 5,
        works: &[Work::saturated(PROCESSES, 4, 200_000), Work::bursts(PROCESSES_BURSTS, 4, 20)],
        candidates: &processes::ALL,
        peer: processes::APPEND,
        goals: &[
            Goal::ring(
                "4 processes, caller ns",
                PROCESSES,
                Metric::Caller,
                &[processes::APPEND],
                AtMost(0.12),
            ),
            Goal::ring("4 processes, M lines/s", PROCESSES, Metric::Rate, &[processes::APPEND], AtLeast(5.0)),
            Goal::ring("", PROCESSES, Metric::Rate, &[processes::PYTHON], AtLeast(150.0)),
        ],
    },
    Group {
        name: "rings",
        rounds: 5,
        works: &[
            Work::saturated(RINGS, 4, 200_000).only(&BESIDE_APPEND),
            Work::saturated(RINGS_THREADS, 8, 100_000).threads_each(4).only(&BESIDE_APPEND),
            Work::bursts(RINGS_BURSTS, 4, 20).only(&BESIDE_APPEND),
            Work::bursts(RINGS_THREADS_BURSTS, 8, 20).threads_each(4).only(&BESIDE_APPEND),
        ],
        candidates: &processes::ALL,
        peer: processes::APPEND,
        goals: &[
            Goal::ring(
                "caller ns, 4 processes × 1 thread",
                RINGS,
                Metric::Caller,
                &[processes::APPEND],
                AtMost(0.12),
            ),
            Goal::ring(
                "caller ns, 2 processes × 4 threads",
                RINGS_THREADS,
                Metric::Caller,
                &[processes::APPEND],
                AtMost(0.12),
            ),
            Goal::ring(
                "the same, bursts: 4 × 1",
                RINGS_BURSTS,
                Metric::Caller,
                &[processes::APPEND],
                AtMost(0.12),
            ),
            Goal::ring("2 × 4", RINGS_THREADS_BURSTS, Metric::Caller, &[processes::APPEND], AtMost(0.12)),
        ],
    },
    Group {
        name: "levels",
        rounds: 9,
        works: &[Work::saturated(LEVELS, 1, 4_000_000)],
        candidates: &candidates::LEVELS,
        peer: levels::WRITTEN.name,
        goals: &[
            Goal::level("below min_level, caller ns", levels::BELOW.name, AtMost(0.25)),
            Goal::level("under a LevelFilter, caller ns", levels::FILTERED.name, AtMost(0.01)),
        ],
    },
];

impl Goal {
    const fn queue(
        what: &'static str,
        work: &'static str,
        metric: Metric,
        peers: &'static [&'static str],
        bound: Bound,
    ) -> Self {
        Goal { what, work, beside: work, metric, ours: OURS, peers, bound }
    }

    /// Ours beside ours with one thread.
    const fn more_threads(what: &'static str, work: &'static str, beside: &'static str) -> Self {
        let (metric, peers) = (Metric::Caller, [OURS].as_slice());
        Goal { what, work, beside, metric, ours: OURS, peers, bound: AtMost(1.3) }
    }

    const fn file(
        what: &'static str,
        ours: &'static str,
        peers: &'static [&'static str],
        bound: Bound,
    ) -> Self {
        Goal { what, work: WRITTEN, beside: WRITTEN, metric: Metric::Caller, ours, peers, bound }
    }

    const fn ring(
        what: &'static str,
        work: &'static str,
        metric: Metric,
        peers: &'static [&'static str],
        bound: Bound,
    ) -> Self {
        Goal { what, work, beside: work, metric, ours: processes::RING, peers, bound }
    }

    const fn level(what: &'static str, ours: &'static str, bound: Bound) -> Self {
        let (metric, peers) = (Metric::Caller, [levels::WRITTEN.name].as_slice());
        Goal { what, work: LEVELS, beside: LEVELS, metric, ours, peers, bound }
    }
}

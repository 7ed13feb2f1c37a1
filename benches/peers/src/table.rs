//! What is printed.

use crate::{
    candidates::Candidate,
    figures::Metric,
    groups::{Bound, Goal, Group},
    rounds::Results,
    work::Work,
};

/// Prints a line for each goal of some groups. That one isn't met has no consequence: on a busy machine time proves nothing.
pub(crate) fn print_goals(groups: &[&Group], results: &Results) {
    println!("{:<36}{:>10}  {:<28}{:>8}  goal", "", "ours", "peer", "ratio");
    for goal in groups.iter().flat_map(|group| group.goals) {
        print_goal(goal, results);
    }
}

fn print_goal(goal: &Goal, results: &Results) {
    let Goal { work, beside, metric, .. } = *goal;
    let Some(peer) = results.best(beside, goal.peers, metric) else { return };
    let (ours, theirs) = (results.median(work, goal.ours, metric), results.median(beside, peer, metric));
    let best = if goal.peers.len() > 1 { "best: " } else { "" };
    let other_work = if work == beside { String::new() } else { format!(", {}", Work::heading(beside)) };
    let peer_cell = format!("{:>8} {best}{peer}{other_work}", number(theirs));
    let ratio = results.ratio((work, goal.ours), (beside, peer), metric);
    let verdict = goal.bound.judge(ratio);
    println!("{:<36}{:>10}  {peer_cell:<28}{:>8}  {verdict}", goal.what, number(ours), number(ratio));
}

impl Bound {
    pub(crate) fn judge(self, ratio: f64) -> String {
        let (sign, bound, is_met) = match self {
            Bound::AtMost(bound) => ("≤", bound, ratio <= bound),
            Bound::AtLeast(bound) => ("≥", bound, ratio >= bound),
        };
        let verdict = if ratio.is_nan() {
            "not measured"
        } else if is_met {
            "met"
        } else {
            "not met"
        };
        format!("{sign} {bound:<6} {verdict}")
    }
}

/// Prints the medians of all candidates, and behind each the ratio to the peer.
pub(crate) fn print_all(group: &Group, rounds: usize, results: &Results) {
    let Group { name, peer, .. } = group;
    println!("\n{name}: medians of {rounds} rounds, in brackets that of the ratios to {peer}");
    let is_measured = |candidate: &&Candidate| group.works.iter().any(|work| candidate.does(work));
    for candidate in group.candidates.iter().filter(is_measured) {
        println!("  {:<18}{}", candidate.name, candidate.what);
    }
    for work in group.works {
        let is_measured = |metric: &Metric| !results.median(work.name, group.peer, *metric).is_nan();
        let metrics: Vec<Metric> = Metric::ALL.into_iter().filter(is_measured).collect();
        let heads: String = metrics.iter().map(|metric| format!("{:>19}", metric.what())).collect();
        println!("\n  {:<28}{heads}", work.name);
        for candidate in group.candidates.iter().filter(|candidate| candidate.does(work)) {
            let cell = |&metric: &Metric| {
                let median = results.median(work.name, candidate.name, metric);
                let ratio = results.ratio((work.name, candidate.name), (work.name, group.peer), metric);
                format!("{:>19}", format!("{} ({})", number(median), number(ratio)))
            };
            let cells: String = metrics.iter().map(cell).collect();
            println!("  {:<28}{cells}", candidate.name);
        }
    }
}

/// Prints what becomes of the figures when more threads log: a column for each number of threads, the same work otherwise.
pub(crate) fn print_by_threads(group: &Group, results: &Results) {
    let kinds = [
        (true, "bursts", [Metric::Caller, Metric::P99, Metric::P999].as_slice()),
        (false, "no pauses", [Metric::Caller, Metric::Rate].as_slice()),
    ];
    for (in_bursts, kind, metrics) in kinds {
        let works: Vec<&Work> = group.works.iter().filter(|work| work.in_bursts == in_bursts).collect();
        if works.len() < 2 {
            continue;
        }
        for metric in metrics {
            let heads = works.iter().map(|work| format!("{:>16}", Work::heading(work.name)));
            println!("\n  {:<28}{}", format!("{}, {kind}", metric.what()), heads.collect::<String>());
            let does_all = |candidate: &&Candidate| works.iter().all(|work| candidate.does(work));
            for candidate in group.candidates.iter().filter(does_all) {
                let cell = |work: &&Work| results.median(work.name, candidate.name, *metric);
                let cells = works.iter().map(cell).map(|median| format!("{:>16}", number(median)));
                println!("  {:<28}{}", candidate.name, cells.collect::<String>());
            }
        }
    }
}

/// With three digits that count; a dash for what wasn't measured.
pub(crate) fn number(number: f64) -> String {
    match number.abs() {
        size if size.is_nan() => "-".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

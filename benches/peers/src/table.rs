//! What is printed.

use crate::{
    candidates::P1,
    figures::Metric,
    rounds::{Group, Results},
};

/// Prints the medians of all candidates, and behind each the ratio to the first peer.
pub(crate) fn print(group: &Group, results: &Results) {
    for work in group.works {
        println!("\n{}", work.name);
        for candidate in group.candidates {
            let cell = |&metric: &Metric| {
                let number = results.median(work.name, candidate.name, metric);
                let ratio = results.ratio(work.name, candidate.name, P1, metric);
                format!("{number:>10.2} {:<8}", format!("({ratio:.3})"))
            };
            let cells: String = Metric::ALL.iter().map(cell).collect();
            println!("{:<20}{cells}", candidate.name);
        }
    }
}

//! All runs of a group, interleaved.

use std::{collections::BTreeMap, io, path::Path};

use crate::{
    figures::{Figures, Metric, median},
    groups::Group,
    run::measure,
};

/// What the runs of a candidate have come to, in the order of the rounds, by the names of the work and the candidate.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<(&'static str, &'static str), Vec<Figures>>);

impl Results {
    /// Not a number where nothing was measured.
    pub(crate) fn median(&self, work: &'static str, name: &'static str, metric: Metric) -> f64 {
        median(self.of(work, name).iter().map(|figures| figures.of(metric)))
    }

    /// The median of the ratios of all rounds, each to what the peer has come to in the same round, by the work `beside`.
    pub(crate) fn ratio(
        &self,
        (work, name): (&'static str, &'static str),
        (beside, peer): (&'static str, &'static str),
        metric: Metric,
    ) -> f64 {
        let pairs = self.of(work, name).iter().zip(self.of(beside, peer));
        median(pairs.map(|(one, peer)| one.of(metric) / peer.of(metric)))
    }

    /// The peer whose median is best.
    pub(crate) fn best(
        &self,
        work: &'static str,
        peers: &[&'static str],
        metric: Metric,
    ) -> Option<&'static str> {
        let cost = |name: &&'static str| {
            let median = self.median(work, name, metric);
            if metric == Metric::Rate { -median } else { median }
        };
        peers.iter().copied().min_by(|one, other| cost(one).total_cmp(&cost(other)))
    }

    fn of(&self, work: &'static str, name: &'static str) -> &[Figures] {
        self.0.get(&(work, name)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Runs every candidate once a round, another one first each time: what the machine does meanwhile hits them alike.
    pub(crate) fn add(
        &mut self,
        group: &Group,
        rounds: usize,
        is_quick: bool,
        folder: &Path,
    ) -> io::Result<()> {
        let count = group.candidates.len();
        for round in 0..rounds {
            eprintln!("{}: round {} of {rounds}", group.name, round + 1);
            for work in group.works {
                let candidates = (0..count).map(|turn| &group.candidates[(round + turn) % count]);
                for candidate in candidates.filter(|candidate| candidate.does(work)) {
                    let events = work.share(candidate.one_of, is_quick);
                    let figures = measure(candidate, work, events, folder).map_err(|error| {
                        io::Error::other(format!("{}, {}: {error}", candidate.name, work.name))
                    })?;
                    self.0.entry((work.name, candidate.name)).or_default().push(figures);
                }
            }
        }
        Ok(())
    }
}

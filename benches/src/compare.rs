//! Two reports of the same machine against each other.

use std::fmt::Write;

use crate::paired::{Estimate, Measured, estimate_of, median};
use crate::report::{Entry, Report};

/// How far an interval may lie from 1 before a change is worth a look.
const TOLERANCE: f64 = 0.05;

/// One workload's change: our time now over our time before, each measured in the time of the
/// peers of the same round, so that a machine that has become slower is no change.
#[derive(Clone, Debug)]
pub struct Change {
    /// The workload's name.
    pub workload: String,
    /// Below 1: faster than before.
    pub ratio: Estimate,
}

impl Change {
    /// Tells whether the whole interval lies more than 5 % away from 1.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.ratio.low > 1.0 + TOLERANCE || self.ratio.high < 1.0 - TOLERANCE
    }
}

/// Returns the changes of the workloads that both reports have.
#[must_use]
pub fn changes(now: &Report, before: &Report) -> Vec<Change> {
    let pair = |entry: &Entry| {
        let old = before.entries.iter().find(|old| old.workload == entry.workload)?;
        let (now, old) = (against_peers(entry), against_peers(old));
        let ratio = median(now.clone()) / median(old.clone());
        let ratio = estimate_of(|resample| median(resample(&now)) / median(resample(&old)), ratio);
        Some(Change { workload: entry.workload.clone(), ratio })
    };
    now.entries.iter().filter_map(pair).collect()
}

/// Returns, for each round, our figure over the geometric mean of the peers'.
fn against_peers(entry: &Entry) -> Vec<f64> {
    let (ours, peers) = entry.systems.split_first().expect("an entry has our system");
    let mean = |round: usize| {
        let logarithms = peers.iter().map(|peer: &Measured| peer.rounds[round].ln());
        (logarithms.sum::<f64>() / peers.len().max(1) as f64).exp()
    };
    ours.rounds.iter().enumerate().map(|(round, own)| own / mean(round)).collect()
}

/// Returns the changes as a table.
#[must_use]
pub fn markdown(changes: &[Change], name: &str) -> String {
    let mut text = format!(
        "\n# Against {name}\n\nOur time now over then, each in the time of its peers; below 1 is \
         faster. Marked: the interval lies\nmore than 5 % away from 1.\n\n\
         | workload | change | interval | |\n|---|---|---|---|\n"
    );
    for change in changes {
        let Estimate { median, low, high } = change.ratio;
        let mark = if change.is_clear() { "changed" } else { "" };
        let _ =
            writeln!(text, "| {} | {median:.2} | {low:.2} – {high:.2} | {mark} |", change.workload);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{entry, report};

    #[test]
    fn a_slower_machine_is_no_change_and_a_slower_system_is() {
        let before = report(vec![entry("w", &[("ours", 1.0), ("theirs", 2.0)])]);
        let slower = report(vec![entry("w", &[("ours", 3.0), ("theirs", 6.0)])]);
        let worse = report(vec![entry("w", &[("ours", 1.2), ("theirs", 2.0)])]);
        let same = changes(&slower, &before);
        assert_eq!(same.len(), 1);
        assert!((same[0].ratio.median - 1.0).abs() < 1e-9 && !same[0].is_clear());
        let changed = changes(&worse, &before);
        assert!((changed[0].ratio.median - 1.2).abs() < 1e-9 && changed[0].is_clear());
        let table = markdown(&changed, "before");
        assert!(table.contains("| w | 1.20 | 1.20 – 1.20 | changed |"), "{table}");
    }

    #[test]
    fn a_workload_that_one_report_lacks_is_left_out() {
        let before = report(vec![entry("old", &[("ours", 1.0), ("theirs", 2.0)])]);
        let now = report(vec![entry("new", &[("ours", 1.0), ("theirs", 2.0)])]);
        assert!(changes(&now, &before).is_empty());
    }
}

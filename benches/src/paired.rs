//! The paired runner: systems in turn, in one process, so that what disturbs the machine disturbs
//! all of them; compared by the ratio of times that were measured next to each other.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// One system's way to run a workload.
pub struct System<'a> {
    /// The system's name.
    pub name: &'static str,
    /// Runs the workload once, and checks the answer.
    pub run: Box<dyn Fn() + 'a>,
}

impl std::fmt::Debug for System<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("System").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> System<'a> {
    /// Makes a system from a function that returns an answer, and the right answer.
    pub fn new<R: PartialEq + std::fmt::Debug + 'a>(
        name: &'static str,
        expected: R,
        run: impl Fn() -> R + 'a,
    ) -> Self {
        let run =
            move || assert_eq!(black_box(run()), expected, "{name} computes the wrong answer");
        System { name, run: Box::new(run) }
    }
}

/// A value with the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// What was measured of one system.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Measured {
    /// The system's name.
    pub system: &'static str,
    /// Seconds a run.
    pub seconds: Estimate,
    /// The system's time over the first system's, paired by round.
    pub ratio: Estimate,
}

/// Runs every system once to warm up, then `rounds` times in turn, beginning with another one each
/// time. The first system is the one that the others are compared with.
///
/// # Panics
///
/// Panics if a system computes a wrong answer.
#[must_use]
pub fn measure(systems: &[System<'_>], rounds: usize) -> Vec<Measured> {
    let mut times = vec![Vec::with_capacity(rounds); systems.len()];
    systems.iter().for_each(|system| (system.run)());
    for round in 0..rounds {
        for turn in 0..systems.len() {
            let index = (round + turn) % systems.len();
            times[index].push(time(&systems[index]).as_secs_f64());
        }
    }
    let names = systems.iter().map(|system| system.name);
    names.zip(&times).map(|(name, own)| compare(name, own, &times[0])).collect()
}

/// Sums a system's times up, and sets them against the first system's, round by round.
fn compare(system: &'static str, own: &[f64], first: &[f64]) -> Measured {
    let ratios: Vec<f64> = own.iter().zip(first).map(|(own, first)| own / first).collect();
    Measured { system, seconds: estimate(own), ratio: estimate(&ratios) }
}

fn time(system: &System<'_>) -> Duration {
    let start = Instant::now();
    (system.run)();
    start.elapsed()
}

/// Resamples for an interval.
const RESAMPLES: usize = 2000;

/// Returns the median, and its interval by the bootstrap's percentiles. The generator's seed is
/// fixed, so equal samples give equal intervals.
fn estimate(samples: &[f64]) -> Estimate {
    let mut random = fastrand::Rng::with_seed(1);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let resample = samples.iter().map(|_| samples[random.usize(..samples.len())]);
            median(resample.collect())
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |part: usize| medians[RESAMPLES * part / 1000];
    Estimate { median: median(samples.to_vec()), low: at(25), high: at(975) }
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len() % 2 == 1 {
        samples[middle]
    } else {
        (samples[middle - 1] + samples[middle]) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_of_equal_samples_is_that_sample() {
        let same = estimate(&[2.0; 7]);
        assert_eq!(same, Estimate { median: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn the_interval_holds_the_median_and_lies_within_the_samples() {
        let samples = [1.0, 5.0, 2.0, 4.0, 3.0, 100.0, 3.5];
        let Estimate { median, low, high } = estimate(&samples);
        assert_eq!(median, 3.5);
        assert!(1.0 <= low && low <= median && median <= high && high < 100.0, "{low} {high}");
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        // The machine is ten times as slow in the second half; that is no difference of systems.
        let first: Vec<f64> = (0..8).map(|round| if round < 4 { 1.0 } else { 10.0 }).collect();
        let twice: Vec<f64> = first.iter().map(|time| time * 2.0).collect();
        let Measured { ratio, seconds, .. } = compare("twice", &twice, &first);
        assert_eq!(ratio, Estimate { median: 2.0, low: 2.0, high: 2.0 });
        assert!(seconds.low < seconds.high);
    }

    #[test]
    fn every_system_runs_once_to_warm_up_and_once_a_round() {
        let runs = [const { std::cell::Cell::new(0) }; 2];
        let count = |index: usize| {
            let runs = &runs;
            move || runs[index].set(runs[index].get() + 1)
        };
        let measured =
            measure(&[System::new("a", (), count(0)), System::new("b", (), count(1))], 7);
        assert_eq!(runs.map(|runs| runs.get()), [8, 8]);
        assert_eq!(measured[0].ratio, Estimate { median: 1.0, low: 1.0, high: 1.0 });
    }

    #[test]
    #[should_panic(expected = "wrong answer")]
    fn a_wrong_answer_fails_the_run() {
        let _ = measure(&[System::new("wrong", 42, || 41)], 1);
    }
}

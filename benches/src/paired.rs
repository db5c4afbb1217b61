//! The paired runner: systems in turn, so that what disturbs the machine disturbs all of them;
//! compared by the ratio of figures that were measured next to each other.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::contention::Contention;

/// What one run of a system gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The figure by which systems are compared: most often the time of the whole run.
    pub seconds: f64,
    /// Single latencies in seconds, where the workload measures such.
    pub latencies: Vec<f64>,
    /// What contenders went through, where the workload has such.
    pub contention: Option<Contention>,
}

impl Run {
    /// A run that took so long.
    #[must_use]
    pub fn took(seconds: f64) -> Self {
        Run { seconds, ..Run::default() }
    }

    /// A run of which the median latency is the figure.
    ///
    /// # Panics
    ///
    /// Panics if there are none.
    #[must_use]
    pub fn of(latencies: Vec<f64>) -> Self {
        Run { seconds: median(latencies.clone()), latencies, contention: None }
    }
}

/// Why a run gave no figure, although no answer was wrong.
pub type Crash = String;

/// One system's way to run a workload.
pub struct System<'a> {
    /// The system's name.
    pub name: &'static str,
    /// Its workers, or contenders, where they differ within a workload.
    pub workers: Option<usize>,
    /// Runs the workload once, checks the answer, and returns what was measured.
    pub run: Box<dyn Fn() -> Result<Run, Crash> + 'a>,
}

impl fmt::Debug for System<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> System<'a> {
    /// Makes a system from a function that returns an answer, and the right answer. The figure is
    /// the function's time.
    pub fn new<R: PartialEq + fmt::Debug + 'a>(
        name: &'static str,
        expected: R,
        run: impl Fn() -> R + 'a,
    ) -> Self {
        Self::checked(name, run, move |answer| {
            assert_eq!(answer, expected, "{name} computes the wrong answer");
        })
    }

    /// Makes a system from a function that returns an answer, and what panics if that is wrong. The
    /// figure is the function's time.
    pub fn checked<R: 'a>(
        name: &'static str,
        run: impl Fn() -> R + 'a,
        check: impl Fn(R) + 'a,
    ) -> Self {
        Self::measured(name, move || {
            let start = Instant::now();
            let answer = black_box(run());
            let seconds = start.elapsed().as_secs_f64();
            check(answer);
            Run::took(seconds)
        })
    }

    /// Makes a system from a function that measures itself, and panics if an answer is wrong.
    pub fn measured(name: &'static str, run: impl Fn() -> Run + 'a) -> Self {
        System { name, workers: None, run: Box::new(move || Ok(run())) }
    }

    /// Sets the number of workers, or contenders.
    #[must_use]
    pub fn with_workers(self, workers: usize) -> Self {
        System { workers: Some(workers), ..self }
    }
}

/// A value with the interval that holds it with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// What was measured of one system.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// The system's name.
    pub system: String,
    /// Its workers, or contenders, where they differ within a workload.
    pub workers: Option<usize>,
    /// The figures of all rounds, in their order.
    pub rounds: Vec<f64>,
    /// The figure.
    pub seconds: Estimate,
    /// The system's figure over the first system's, paired by round.
    pub ratio: Estimate,
    /// The latencies of all rounds in rising order; empty where the workload measures none.
    pub latencies: Vec<f64>,
    /// What contenders went through, where the workload has such: the medians of all rounds.
    #[serde(default)]
    pub contention: Option<Contention>,
}

impl Measured {
    /// Returns the system's name, with its workers where they differ.
    #[must_use]
    pub fn label(&self) -> String {
        match self.workers {
            Some(workers) => format!("{} × {workers}", self.system),
            None => self.system.clone(),
        }
    }

    /// Returns the latency within which `part` of all lay; nothing if none were measured.
    #[must_use]
    pub fn latency(&self, part: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        Some(self.latencies[(last as f64 * part).round() as usize])
    }
}

/// What all rounds of a workload gave.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The systems that ran to the end, ours first.
    pub systems: Vec<Measured>,
    /// The others, each with what became of it.
    pub crashes: Vec<(&'static str, Crash)>,
}

/// Runs every system once to warm up, then `rounds` times in turn, beginning with another one each
/// time. The first system is the one that the others are compared with. A system that crashes once
/// is left out.
///
/// # Panics
///
/// Panics if a system computes a wrong answer, or if the first one crashes.
#[must_use]
pub fn measure(systems: &[System<'_>], rounds: usize) -> Outcome {
    let mut runs: Vec<Result<Vec<Run>, Crash>> =
        systems.iter().map(|system| (system.run)().map(|_| Vec::with_capacity(rounds))).collect();
    for round in 0..rounds {
        for turn in 0..systems.len() {
            let index = (round + turn) % systems.len();
            if let Ok(so_far) = &mut runs[index] {
                match (systems[index].run)() {
                    Ok(run) => so_far.push(run),
                    Err(crash) => runs[index] = Err(crash),
                }
            }
        }
    }
    let figures = |runs: &[Run]| runs.iter().map(|run| run.seconds).collect::<Vec<_>>();
    let ours = |index: usize| runs[index].as_ref().expect("the first system does not crash");
    let is_contended = ours(0).iter().any(|run| run.contention.is_some());
    let base = |system| if is_contended { as_many_of_ours(systems, system) } else { 0 };
    let firsts: Vec<Vec<f64>> = systems.iter().map(|system| figures(ours(base(system)))).collect();
    let mut outcome = Outcome::default();
    for ((system, runs), first) in systems.iter().zip(runs).zip(firsts) {
        match runs {
            Ok(runs) => {
                let mut latencies: Vec<f64> =
                    runs.iter().flat_map(|run| run.latencies.iter().copied()).collect();
                latencies.sort_by(f64::total_cmp);
                let compared = compare(system.name, figures(&runs), &first);
                let contention: Vec<_> = runs.iter().filter_map(|run| run.contention).collect();
                outcome.systems.push(Measured {
                    workers: system.workers,
                    latencies,
                    contention: Contention::median(&contention),
                    ..compared
                });
            }
            Err(crash) => outcome.crashes.push((system.name, crash)),
        }
    }
    outcome
}

/// Returns the index of the first system's run with as many contenders.
fn as_many_of_ours(systems: &[System<'_>], system: &System<'_>) -> usize {
    let ours = systems[0].name;
    let is_base = |one: &System<'_>| one.name == ours && one.workers == system.workers;
    systems.iter().position(is_base).unwrap_or(0)
}

/// Sums a system's figures up, and sets them against the first system's, round by round.
fn compare(system: &str, rounds: Vec<f64>, first: &[f64]) -> Measured {
    let ratios: Vec<f64> = rounds.iter().zip(first).map(|(own, first)| own / first).collect();
    Measured {
        system: system.to_owned(),
        workers: None,
        seconds: estimate(&rounds),
        ratio: estimate(&ratios),
        rounds,
        latencies: Vec::new(),
        contention: None,
    }
}

/// Resamples for an interval.
const RESAMPLES: usize = 2000;

/// Returns the median, and its interval by the bootstrap's percentiles.
#[must_use]
pub fn estimate(samples: &[f64]) -> Estimate {
    estimate_of(|resample| median(resample(samples)), median(samples.to_vec()))
}

/// Returns the interval of what `statistic` computes from resamples. The generator's seed is fixed,
/// so equal samples give equal intervals.
pub(crate) fn estimate_of(
    statistic: impl Fn(&mut dyn FnMut(&[f64]) -> Vec<f64>) -> f64,
    median: f64,
) -> Estimate {
    let mut random = fastrand::Rng::with_seed(1);
    let mut resample = |samples: &[f64]| -> Vec<f64> {
        samples.iter().map(|_| samples[random.usize(..samples.len())]).collect()
    };
    let mut values: Vec<f64> = (0..RESAMPLES).map(|_| statistic(&mut resample)).collect();
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values[RESAMPLES * part / 1000];
    Estimate { median, low: at(25), high: at(975) }
}

pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
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
    use std::cell::Cell;

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
        let Measured { ratio, seconds, .. } = compare("twice", twice, &first);
        assert_eq!(ratio, Estimate { median: 2.0, low: 2.0, high: 2.0 });
        assert!(seconds.low < seconds.high);
    }

    #[test]
    fn every_system_runs_once_to_warm_up_and_once_a_round() {
        let runs = [const { Cell::new(0) }; 2];
        let count = |index: usize| {
            let runs = &runs;
            move || runs[index].set(runs[index].get() + 1)
        };
        let measured =
            measure(&[System::new("a", (), count(0)), System::new("b", (), count(1))], 7);
        assert_eq!(runs.map(|runs| runs.get()), [8, 8]);
        assert_eq!(measured.systems[0].ratio, Estimate { median: 1.0, low: 1.0, high: 1.0 });
    }

    #[test]
    fn latencies_of_all_rounds_are_kept_but_those_of_the_first_run() {
        let next = Cell::new(0.0);
        let run = || {
            next.set(next.get() + 1.0);
            Run::of(vec![next.get(); 2])
        };
        let measured = measure(&[System::measured("a", run)], 3).systems.remove(0);
        assert_eq!(measured.latencies, [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        assert_eq!(measured.rounds, [2.0, 3.0, 4.0]);
        assert_eq!(measured.latency(0.5), Some(3.0));
        assert_eq!(measured.latency(1.0), Some(4.0));
    }

    #[test]
    fn a_system_that_crashes_is_named_and_left_out() {
        let runs = Cell::new(0);
        let crash = System {
            name: "crashes",
            workers: None,
            run: Box::new(|| {
                runs.set(runs.get() + 1);
                if runs.get() < 3 { Ok(Run::took(1.0)) } else { Err("signal 11".to_owned()) }
            }),
        };
        let outcome = measure(&[System::new("goes on", (), || ()), crash], 7);
        assert_eq!(outcome.crashes, [("crashes", "signal 11".to_owned())]);
        assert_eq!(outcome.systems.len(), 1);
        assert_eq!(runs.get(), 3, "it is not run again");
    }

    #[test]
    #[should_panic(expected = "wrong answer")]
    fn a_wrong_answer_fails_the_run() {
        let _ = measure(&[System::new("wrong", 42, || 41)], 1);
    }
}

//! What those who contend for one lock go through, and what that costs.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::counting::allocations_of;
use crate::paired::{Run, median};

/// One run's measurements, or the medians of several runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contention {
    /// Operations a second, of all contenders together.
    pub throughput: f64,
    /// The time in seconds within which half of all waits end.
    pub p50: f64,
    /// The same for 95 %.
    pub p95: f64,
    /// The same for 99 %.
    pub p99: f64,
    /// The share of the contenders' time that they spend waiting, from 0 to 1.
    pub waiting: f64,
    /// Allocations for each operation.
    pub allocations: f64,
    /// Cycles of the processor's clock for each operation, on all CPUs together; zero where they
    /// are not to be had.
    pub cycles: f64,
}

impl Contention {
    /// Returns the medians, each for itself; nothing if there are none.
    #[must_use]
    pub fn median(runs: &[Contention]) -> Option<Contention> {
        let of = |field: fn(&Contention) -> f64| median(runs.iter().map(field).collect());
        (!runs.is_empty()).then(|| Contention {
            throughput: of(|run| run.throughput),
            p50: of(|run| run.p50),
            p95: of(|run| run.p95),
            p99: of(|run| run.p99),
            waiting: of(|run| run.waiting),
            allocations: of(|run| run.allocations),
            cycles: of(|run| run.cycles),
        })
    }
}

/// The waits of one contender.
#[derive(Debug)]
pub(crate) struct Waits(Vec<Duration>);

impl Waits {
    /// Makes room for so many, which takes no allocation later.
    pub(crate) fn of(turns: usize) -> Self {
        Waits(Vec::with_capacity(turns))
    }

    /// Notes a wait that began then and ends now.
    pub(crate) fn end(&mut self, begin: Instant) {
        self.0.push(begin.elapsed());
    }
}

/// Runs `program`, which has so many contenders take so many turns each, and returns their waits.
///
/// Allocations are counted in runs of their own, so that counting delays nobody.
pub(crate) fn measure(
    contenders: usize,
    turns: usize,
    program: impl Fn(usize) -> Vec<Waits>,
) -> Run {
    let operations = (contenders * turns) as f64;
    let (cpu, start) = (cpu_time(), Instant::now());
    let waits = program(turns);
    let seconds = start.elapsed().as_secs_f64();
    let cycles = (cpu_time() - cpu).as_secs_f64() * cycles_per_second() / operations;

    let mut waits: Vec<f64> =
        waits.into_iter().flat_map(|waits| waits.0).map(|wait| wait.as_secs_f64()).collect();
    assert_eq!(waits.len() as f64, operations, "every turn has its wait");
    waits.sort_by(f64::total_cmp);
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part).round() as usize];

    // What comes before and after the turns cancels out.
    let few = turns.div_ceil(4);
    let counted = |turns| allocations_of(|| _ = program(turns)) as f64;
    let allocations = (counted(2 * few) - counted(few)) / (contenders * few) as f64;

    let contention = Contention {
        throughput: operations / seconds,
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        waiting: waits.iter().sum::<f64>() / (seconds * contenders as f64),
        allocations: allocations.max(0.0),
        cycles,
    };
    Run { contention: Some(contention), ..Run::took(seconds) }
}

/// The CPU time of the process, of all its threads that are or were.
#[cfg(unix)]
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and `time` is there to be written.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "every Unix has this clock");
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.try_into().expect("below a second"))
}

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    Duration::ZERO
}

/// The frequency of the counter that every x86-64 processor of the last 15 years has: constant,
/// near the nominal clock.
#[cfg(target_arch = "x86_64")]
fn cycles_per_second() -> f64 {
    use std::arch::x86_64::_rdtsc;
    use std::sync::OnceLock;
    static FREQUENCY: OnceLock<f64> = OnceLock::new();
    *FREQUENCY.get_or_init(|| {
        let start = Instant::now();
        // SAFETY: reading the counter changes nothing.
        let before = unsafe { _rdtsc() };
        while start.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        // SAFETY: as above.
        let cycles = unsafe { _rdtsc() } - before;
        cycles as f64 / start.elapsed().as_secs_f64()
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn cycles_per_second() -> f64 {
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_summed_up() {
        let run = measure(2, 100, |turns| {
            let wait = |turn: usize| Duration::from_nanos(turn as u64 + 1);
            (0..2).map(|_| Waits((0..turns).map(wait).collect())).collect()
        });
        let contention = run.contention.unwrap();
        assert!((contention.p50 - 51e-9).abs() < 2e-9, "{contention:?}");
        assert!((contention.p99 - 99e-9).abs() < 2e-9, "{contention:?}");
        let waited = contention.waiting * run.seconds * 2.0;
        assert!((waited - 2.0 * 5050e-9).abs() < 1e-9, "{contention:?}");
        assert!((contention.throughput * run.seconds - 200.0).abs() < 1e-6);
    }
}

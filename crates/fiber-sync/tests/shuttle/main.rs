//! Models that are too large for every interleaving: fibers, threads and tasks at once on one
//! primitive, in schedules drawn at random; what they saw must be what a sequential primitive
//! could have shown. Parked threads wake spuriously at times.
//!
//! A failure prints its schedule, and `cargo xtask shuttle fiber-sync MODEL --schedule ..` runs it
//! again.
#![cfg(shuttle)]

mod history;
mod kinds;
mod locks;
mod values;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, MaxSteps, Runner};

/// The same draw each time, so that a mutant is killed each time; `SHUTTLE_RANDOM_SEED` draws anew.
const SEED: u64 = 5;

/// As many threads may be preempted at the worst moment in schedules of the second kind.
const PREEMPTIONS: usize = 4;

/// More than any model needs.
const MAX_STEPS: usize = 20_000;

/// Runs `model` in so many schedules of two kinds; or in the one of `SHUTTLE_SCHEDULE`.
fn check(schedules: usize, model: impl Fn() + Send + Sync + 'static) {
    if let Ok(schedule) = std::env::var("SHUTTLE_SCHEDULE") {
        return shuttle::replay(model, &schedule);
    }
    let mut config = Config::new();
    config.stack_size = 0x2_0000; // two for each kilobyte of a debug build's frames
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS); // a thread parks in vain, for ever
    let model = std::sync::Arc::new(model);
    let (first, second) = (model.clone(), model);
    let random = RandomScheduler::new_from_seed(SEED, schedules / 2);
    Runner::new(random, config.clone()).run(move || first());
    let worst = PctScheduler::new_from_seed(SEED, PREEMPTIONS, schedules / 2);
    Runner::new(worst, config).run(move || second());
}

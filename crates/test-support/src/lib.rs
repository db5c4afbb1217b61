#![doc = include_str!("../README.md")]

mod allocations;
#[cfg(loom)]
mod models;

pub use allocations::{Counting, allocation_count, allocation_count_of_all_threads};
#[cfg(loom)]
pub use models::{block_on, model, unparking};

/// Returns the seed of a test at random, `STRESS_SEED` if that is set. Prints it, so that a failure
/// can be replayed.
#[must_use]
pub fn seed() -> u64 {
    let seed = std::env::var("STRESS_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    println!("STRESS_SEED={seed}");
    seed
}

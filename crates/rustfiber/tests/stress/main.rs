//! Everything at once, at random, for `STRESS_SECONDS`, from `STRESS_SEED`; with oracles.

#[path = "../support/mod.rs"]
mod support;

mod futures;
mod jobs;
mod tally;

use std::env;
use std::time::{Duration, Instant};

use test_support::seed;

use support::must_end;

/// How long each test runs; a search for rare schedules sets more.
const SECONDS: &str = "STRESS_SECONDS";

/// Runs rounds, each with a seed of its own.
fn in_rounds(round: impl Fn(u64)) {
    let seconds = env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(5));
    let first = seed();
    let begin = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || begin.elapsed() < time {
        let seed = first.wrapping_add(rounds);
        println!("STRESS_SEED={seed}"); // shown if the test fails, the last being the one
        round(seed);
        rounds += 1;
    }
    println!("{rounds} rounds");
}

#[test]
fn everything_at_once_runs_each_job_and_drops_each_value_once() {
    in_rounds(|seed| must_end(move || jobs::run_round(seed)));
}

#[test]
fn each_future_ends_or_is_dropped_once_whoever_wakes_it() {
    in_rounds(futures::run_round);
}

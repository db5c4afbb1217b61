//! Model checks: each test is one claim of a README beside the code.
#![cfg(loom)]

mod ring;
mod ring_and_sleep;
mod sleep;
mod task_state;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

/// Explores every interleaving with at most `preemptions` involuntary switches; without a bound,
/// all.
fn model(preemptions: impl Into<Option<usize>>, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions.into());
    builder.max_branches = 20_000;
    let (executions, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let counted = Arc::clone(&executions);
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        check();
    });
    let name = thread::current().name().unwrap_or("model").to_string();
    println!("{name}: {} executions, {:.1?}", executions.load(Relaxed), start.elapsed());
}

//! Sorts of a slice, as each system's users call them.

use std::time::Instant;

use rayon::slice::ParallelSliceMut;

use super::{Context, With, Workload};
use crate::paired::{Run, System};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "sort/random",
        about: "a million random 64-bit numbers, equal ones left in their order; sequential is \
                std's `sort`",
        bound: "half of sequential",
        make: |context, with| stable(context, |random| random.u64(..), with),
    },
    Workload {
        name: "sort/unstable-random",
        about: "the same in place, as all that are unstable; sequential is std's `sort_unstable`",
        bound: "half of sequential",
        make: |context, with| unstable(context, |random| random.u64(..), with),
    },
    Workload {
        name: "sort/few-values",
        about: "a million numbers of 16 values",
        bound: "half of sequential",
        make: |context, with| stable(context, |random| random.u64(..16), with),
    },
    Workload {
        name: "sort/unstable-few-values",
        about: "the same in place",
        bound: "half of sequential",
        make: |context, with| unstable(context, |random| random.u64(..16), with),
    },
    Workload {
        name: "sort/sorted",
        about: "a million numbers that are in order: one look at each",
        bound: "half of sequential, and a wake",
        make: |context, with| stable(context, rising(), with),
    },
    Workload {
        name: "sort/unstable-sorted",
        about: "the same in place",
        bound: "half of sequential, and a wake",
        make: |context, with| unstable(context, rising(), with),
    },
    Workload {
        name: "sort/reversed",
        about: "a million numbers that are in order from the end",
        bound: "half of sequential, and a wake",
        make: |context, with| stable(context, falling(), with),
    },
    Workload {
        name: "sort/unstable-reversed",
        about: "the same in place",
        bound: "half of sequential, and a wake",
        make: |context, with| unstable(context, falling(), with),
    },
];

fn rising() -> impl FnMut(&mut fastrand::Rng) -> u64 {
    let mut next = 0;
    move |_| {
        next += 1;
        next
    }
}

fn falling() -> impl FnMut(&mut fastrand::Rng) -> u64 {
    let mut rising = rising();
    move |random| u64::MAX - rising(random)
}

fn stable(context: &Context, number: impl FnMut(&mut fastrand::Rng) -> u64, with: With<'_>) {
    let (rustfiber, rayon) = (&context.pools.rustfiber, &context.pools.rayon);
    let input = input(context, number);
    with(&[
        system("rustfiber", &input, |n| rustfiber.run(|| rustfiber::par_sort(n))),
        system("rayon", &input, |n| rayon.install(|| n.par_sort())),
        system("sequential", &input, <[u64]>::sort),
    ]);
}

fn unstable(context: &Context, number: impl FnMut(&mut fastrand::Rng) -> u64, with: With<'_>) {
    let (rustfiber, rayon) = (&context.pools.rustfiber, &context.pools.rayon);
    let input = input(context, number);
    with(&[
        system("rustfiber", &input, |n| rustfiber.run(|| rustfiber::par_sort_unstable(n))),
        system("rayon", &input, |n| rayon.install(|| n.par_sort_unstable())),
        system("sequential", &input, <[u64]>::sort_unstable),
    ]);
}

/// Numbers, and the same in order: the oracle is std.
struct Input {
    numbers: Vec<u64>,
    sorted: Vec<u64>,
}

fn input(context: &Context, mut number: impl FnMut(&mut fastrand::Rng) -> u64) -> Input {
    let mut random = fastrand::Rng::with_seed(7);
    let count = context.pick(300_000, 1_000_000);
    let numbers: Vec<u64> = (0..count).map(|_| number(&mut random)).collect();
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    Input { numbers, sorted }
}

/// The time is the sort's alone: a copy of what is sorted already takes longer than its sort.
fn system<'a>(name: &'static str, input: &'a Input, sort: impl Fn(&mut [u64]) + 'a) -> System<'a> {
    System::measured(name, move || {
        let mut numbers = input.numbers.clone();
        let start = Instant::now();
        sort(&mut numbers);
        let seconds = start.elapsed().as_secs_f64();
        assert!(numbers == input.sorted, "{name} does not sort");
        Run::took(seconds)
    })
}

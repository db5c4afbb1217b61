//! The same work on more and more workers, also on more than there are CPUs.

use super::{Context, With, Workload};
use crate::fork_join::{
    ForkJoin, fibonacci, fibonacci_by_addition, parallel_for, plain_for, queens, queens_by_table,
};
use crate::paired::System;
use crate::peers::{Chili, Pools, Rayon, RustFiber};

pub(super) const WORKLOADS: &[Workload] = &[
    Workload {
        name: "speed-up/fibonacci",
        about: "joins and nothing else",
        bound: "as many times as fast as there are CPUs",
        make: |context, with| {
            let n = context.pick(28, 32);
            on_each(context, &Fibonacci(n), fibonacci_by_addition(n), with);
        },
    },
    Workload {
        name: "speed-up/queens",
        about: "an irregular tree with little work in a node",
        bound: "as many times as fast as there are CPUs",
        make: |context, with| {
            let board = context.pick(11, 12);
            on_each(context, &Queens(board), queens_by_table(board), with);
        },
    },
    Workload {
        name: "speed-up/loop",
        about: "a loop of items of about 1 µs",
        bound: "as many times as fast as there are CPUs",
        make: |context, with| {
            let items = context.pick(20_000, 100_000);
            on_each(context, &Loop(items), plain_for(0..items, 600), with);
        },
    },
];

/// A program for any system.
trait Program: Sync {
    fn run<S: ForkJoin>(&self, scope: &mut S::Scope<'_>) -> u64;
}

struct Fibonacci(u32);
struct Queens(u32);
struct Loop(u64);

impl Program for Fibonacci {
    fn run<S: ForkJoin>(&self, scope: &mut S::Scope<'_>) -> u64 {
        fibonacci::<S>(scope, self.0)
    }
}

impl Program for Queens {
    fn run<S: ForkJoin>(&self, scope: &mut S::Scope<'_>) -> u64 {
        queens::<S>(scope, self.0)
    }
}

impl Program for Loop {
    fn run<S: ForkJoin>(&self, scope: &mut S::Scope<'_>) -> u64 {
        parallel_for::<S>(scope, 0..self.0, 600)
    }
}

/// The program on one worker, on one for each CPU, and on two and four times as many.
fn on_each(context: &Context, program: &impl Program, expected: u64, with: With<'_>) {
    let cpus = context.pools.workers;
    let mut counts = vec![1, cpus, 2 * cpus, 4 * cpus];
    counts.dedup();
    let pools: Vec<Pools> = counts.into_iter().map(Pools::start).collect();
    let mut systems = Vec::new();
    for pools in &pools {
        let rustfiber = || pools.rustfiber.run(|| program.run::<RustFiber>(&mut ()));
        let rayon = || pools.rayon.install(|| program.run::<Rayon>(&mut ()));
        let chili = || program.run::<Chili>(&mut pools.chili.scope());
        systems.push(System::new("rustfiber", expected, rustfiber).with_workers(pools.workers));
        systems.push(System::new("rayon", expected, rayon).with_workers(pools.workers));
        systems.push(System::new("chili", expected, chili).with_workers(pools.workers));
    }
    with(&systems);
}

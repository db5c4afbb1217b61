//! `join` against its peers', in one process, each on its own pool of as many workers as CPUs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rustfiber_benches::fork_join::{fibonacci, fibonacci_by_addition};
use rustfiber_benches::peers::{Chili, Pools, Rayon, RustFiber};
use rustfiber_benches::report::Machine;

const N: u32 = 22;

fn join(criterion: &mut Criterion) {
    let machine = Machine::this();
    println!("{machine:?}");
    let pools = Pools::start(machine.cpus);
    let expected = fibonacci_by_addition(N);
    assert_eq!(pools.rustfiber.run(|| fibonacci::<RustFiber>(&mut (), N)), expected);
    assert_eq!(pools.rayon.install(|| fibonacci::<Rayon>(&mut (), N)), expected);
    assert_eq!(fibonacci::<Chili>(&mut pools.chili.scope(), N), expected);

    let mut group = criterion.benchmark_group("fibonacci");
    group.bench_function("rustfiber", |bencher| {
        let run = || pools.rustfiber.run(|| fibonacci::<RustFiber>(&mut (), black_box(N)));
        bencher.iter(run);
    });
    group.bench_function("rayon", |bencher| {
        let run = || pools.rayon.install(|| fibonacci::<Rayon>(&mut (), black_box(N)));
        bencher.iter(run);
    });
    group.bench_function("chili", |bencher| {
        bencher.iter(|| fibonacci::<Chili>(&mut pools.chili.scope(), black_box(N)));
    });
    group.finish();
}

criterion_group!(benches, join);
criterion_main!(benches);

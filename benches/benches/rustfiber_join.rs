//! `join` against rayon's, in one process, each on its own pool of as many workers as CPUs.

use std::hint::black_box;
use std::thread::available_parallelism;

use criterion::{Criterion, criterion_group, criterion_main};
use rustfiber::Runtime;
use rustfiber_benches::{Rayon, RustFiber, fibonacci, fibonacci_by_addition, sum};

const FIBONACCI: u32 = 22;
const NUMBERS: u64 = 1_000_000;

fn join(criterion: &mut Criterion) {
    let workers = available_parallelism().map_or(1, usize::from);
    println!("{workers} CPUs, {} on {}", std::env::consts::ARCH, std::env::consts::OS);
    let runtime = Runtime::builder().workers(workers).build().expect("the workers start");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(workers).build();
    let pool = pool.expect("rayon's workers start");

    let expected = fibonacci_by_addition(FIBONACCI);
    assert_eq!(runtime.run(|| fibonacci::<RustFiber>(FIBONACCI)), expected);
    assert_eq!(pool.install(|| fibonacci::<Rayon>(FIBONACCI)), expected);
    let mut group = criterion.benchmark_group("fibonacci");
    group.bench_function("rustfiber", |bencher| {
        let run = || runtime.run(|| fibonacci::<RustFiber>(black_box(FIBONACCI)));
        bencher.iter(run);
    });
    group.bench_function("rayon", |bencher| {
        bencher.iter(|| pool.install(|| fibonacci::<Rayon>(black_box(FIBONACCI))));
    });
    group.finish();

    let numbers: Vec<u64> = (1..=NUMBERS).collect();
    let expected = NUMBERS * (NUMBERS + 1) / 2;
    assert_eq!(runtime.run(|| sum::<RustFiber>(&numbers)), expected);
    assert_eq!(pool.install(|| sum::<Rayon>(&numbers)), expected);
    let mut group = criterion.benchmark_group("sum");
    group.bench_function("rustfiber", |bencher| {
        bencher.iter(|| runtime.run(|| sum::<RustFiber>(black_box(&numbers))));
    });
    group.bench_function("rayon", |bencher| {
        bencher.iter(|| pool.install(|| sum::<Rayon>(black_box(&numbers))));
    });
    group.finish();
}

criterion_group!(benches, join);
criterion_main!(benches);

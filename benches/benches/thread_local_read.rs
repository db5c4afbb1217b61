//! What it costs to find the worker by a thread-local instead of by an argument.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rustfiber_benches::report::Machine;

/// Calls that are timed together.
const CALLS: u64 = 1000;

/// Stands for a worker: something behind one word that each call reads.
struct Worker {
    word: Cell<u64>,
}

thread_local! {
    /// As the runtime's own: one word, `const`-initialised, without a destructor.
    static CURRENT: Cell<Option<&'static Worker>> = const { Cell::new(None) };
}

// The compiler must neither lift the look-up out of the loop nor see that all calls return the
// same: hence calls, with a `black_box` in each. They only read, so none waits for the one before.

#[inline(never)]
fn read_by_thread_local() -> u64 {
    black_box(());
    CURRENT.get().map_or(0, |worker| worker.word.get())
}

#[inline(never)]
fn read_by_argument(worker: &Worker) -> u64 {
    black_box(());
    worker.word.get()
}

fn look_up(criterion: &mut Criterion) {
    println!("{:?}", Machine::this());
    let worker: &'static Worker = Box::leak(Box::new(Worker { word: Cell::new(3) }));
    CURRENT.set(Some(worker));
    let by_thread_local = || (0..CALLS).map(|_| read_by_thread_local()).sum::<u64>();
    let by_argument = || (0..CALLS).map(|_| read_by_argument(worker)).sum::<u64>();
    assert_eq!([by_thread_local(), by_argument()], [3 * CALLS; 2]);

    let mut group = criterion.benchmark_group("look-up");
    group.throughput(Throughput::Elements(CALLS));
    group.bench_function("thread-local", |bencher| bencher.iter(by_thread_local));
    group.bench_function("argument", |bencher| bencher.iter(by_argument));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = look_up
}
criterion_main!(benches);

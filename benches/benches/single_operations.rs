//! Single operations that nobody contends for, beside what else is there for the same purpose.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use parking_lot::{Condvar, Mutex};
use rustfiber::{Counter, Event, Runtime, join, scope, spawn, yield_now};
use tokio::sync::Notify;

/// Operations of jobs, inside one, on one worker.
fn jobs(criterion: &mut Criterion) {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut group = criterion.benchmark_group("job");
    group.bench_function("join", |bencher| {
        runtime.run(|| {
            bencher.iter(|| assert_eq!(join(|| black_box(1), || black_box(2)), (1, 2)));
        });
    });
    group.bench_function("scope-of-one", |bencher| {
        runtime.run(|| {
            bencher.iter(|| {
                let mut ran = false;
                scope(|s| s.spawn(|| ran = true));
                assert!(ran);
            });
        });
    });
    group.bench_function("spawn-join", |bencher| {
        runtime.run(|| bencher.iter(|| assert_eq!(spawn(|| 7).join().unwrap(), 7)));
    });
    group.bench_function("yield", |bencher| runtime.run(|| bencher.iter(yield_now)));
    group.finish();
}

/// Signals that are there before somebody waits for them.
fn signals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("signal");
    let event = Event::new();
    group.bench_function("event", |bencher| {
        bencher.iter(|| {
            event.set();
            event.wait();
        });
    });
    group.bench_function("counter", |bencher| {
        bencher.iter(|| {
            let counter = Counter::new(black_box(1));
            counter.done();
            counter.wait();
        });
    });
    let (is_set, was_set) = (Mutex::new(false), Condvar::new());
    group.bench_function("parking_lot-condvar", |bencher| {
        bencher.iter(|| {
            *is_set.lock() = true;
            was_set.notify_one();
            let mut is_set = is_set.lock();
            while !std::mem::take(&mut *is_set) {
                was_set.wait(&mut is_set);
            }
        });
    });
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let notify = Notify::new();
    group.bench_function("tokio-notify", |bencher| {
        bencher.iter(|| {
            notify.notify_one();
            tokio.block_on(notify.notified());
        });
    });
    let (sender, receiver) = crossbeam_channel::bounded(1);
    group.bench_function("crossbeam-channel", |bencher| {
        bencher.iter(|| {
            sender.send(()).unwrap();
            receiver.recv().unwrap();
        });
    });
    let (sender, receiver) = mpsc::sync_channel(1);
    group.bench_function("std-channel", |bencher| {
        bencher.iter(|| {
            sender.send(()).unwrap();
            receiver.recv().unwrap();
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = jobs, signals
}
criterion_main!(benches);

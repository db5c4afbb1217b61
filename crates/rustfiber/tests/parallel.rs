//! Parallel loops: each item once, in order where that shows, on as many workers as there are.

mod support;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustfiber::{Counter, current_worker, par_for, par_for_each, par_map, par_map_reduce};

use support::{must_end, runtime_with};

#[test]
fn each_number_is_called_once() {
    for workers in [1, 2, 4] {
        let runtime = runtime_with(workers);
        for length in [0, 1, 2, 3, 7, 64, 1000, 30_000] {
            let calls: Vec<AtomicUsize> = (0..length).map(|_| AtomicUsize::new(0)).collect();
            runtime.run(|| {
                par_for(0..length, |number| _ = calls[number].fetch_add(1, Ordering::Relaxed));
            });
            assert!(calls.into_iter().all(|calls| calls.into_inner() == 1), "{length}, {workers}");
        }
    }
}

#[test]
fn each_item_is_called_once() {
    let runtime = runtime_with(4);
    let mut items: Vec<usize> = (0..30_000).collect();
    runtime.run(|| par_for_each(&mut items, |item| *item += 1));
    assert!(items.into_iter().eq(1..=30_000));
    runtime.run(|| par_for_each(&mut [] as &mut [u8], |_| unreachable!("there is no item")));
}

#[test]
fn results_are_reduced_in_order() {
    let runtime = runtime_with(4);
    let digits = |from: usize, to| {
        let append = |mut all: Vec<usize>, mut more: Vec<usize>| {
            all.append(&mut more);
            all
        };
        runtime.run(|| par_map_reduce(from..to, |number| vec![number], append))
    };
    assert!(digits(5, 20_000).unwrap().into_iter().eq(5..20_000));
    assert_eq!(digits(7, 8), Some(vec![7]));
    assert_eq!(digits(7, 7), None);
}

#[test]
fn values_come_in_order() {
    for workers in [1, 2, 4] {
        let runtime = runtime_with(workers);
        for length in [0, 1, 2, 7, 1000, 30_000] {
            let values = runtime.run(|| par_map(3..3 + length, |number| number.to_string()));
            assert_eq!(values.len(), length);
            assert!(values.into_iter().eq((3..3 + length).map(|number| number.to_string())));
        }
        assert_eq!(runtime.run(|| par_map(0..1000, |_| ())).len(), 1000);
    }
}

#[test]
fn a_panic_drops_the_values_that_are_there_once() {
    struct Value<'a>(Box<usize>, &'a AtomicUsize);
    impl Drop for Value<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            assert_ne!(*self.0 % 100, 7, "a drop that panics does not keep others from it");
        }
    }
    let runtime = runtime_with(4);
    for last in [0, 1, 500, 9_999] {
        let (made, drops) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let map = |number: usize| {
            if number == last {
                resume_unwind(Box::new("in a call"));
            }
            made.fetch_add(1, Ordering::SeqCst);
            Value(Box::new(number), &drops)
        };
        let outcome = runtime.run(|| catch_unwind(AssertUnwindSafe(|| par_map(0..10_000, map))));
        let payload = outcome.err().expect("a call panicked");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"in a call"));
        assert_eq!(made.into_inner(), drops.into_inner());
    }
}

/// The first number waits for the last: a loop that is never split would not end.
#[test]
fn a_thief_gets_a_part_of_the_loop() {
    must_end(|| {
        let (last, workers) = (Counter::new(1), Mutex::new(HashSet::new()));
        runtime_with(2).run(|| {
            par_for(0..1000, |number| {
                if number == 0 {
                    rustfiber::without_suspending(|| last.wait());
                }
                workers.lock().unwrap().insert(current_worker());
                if number == 999 {
                    last.done();
                }
            });
        });
        assert_eq!(workers.into_inner().unwrap().len(), 2);
    });
}

#[test]
fn calls_may_loop_and_wait_in_turn() {
    must_end(|| {
        let runtime = runtime_with(2);
        let counters: Vec<Counter> = (0..100).map(|_| Counter::new(1)).collect();
        // Outer loops suspend inside of inner ones.
        runtime.run(|| {
            par_for(0..100, |number| {
                par_for(0..10, |inner| {
                    if inner == 5 {
                        counters[number].done();
                    }
                });
                counters[number].wait();
            });
        });
        assert!(counters.iter().all(|counter| counter.value() == 0));
    });
}

#[test]
fn a_panic_comes_out_when_all_calls_have_ended() {
    let runtime = runtime_with(4);
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let outcome = runtime.run(|| {
        catch_unwind(AssertUnwindSafe(|| {
            par_for(0..10_000, |number| {
                begun.fetch_add(1, Ordering::SeqCst);
                let _ended = Ended(&ended);
                assert_ne!(number, 7_000, "this one panics");
            });
        }))
    });
    let payload = outcome.unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().contains("this one panics"));
    assert_eq!(begun.into_inner(), ended.into_inner());
}

struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_plain_thread_may_loop() {
    let workers = Mutex::new(HashSet::new());
    par_for(0..100, |_| _ = workers.lock().unwrap().insert(thread::current().id()));
    assert!(!workers.into_inner().unwrap().contains(&thread::current().id()));
    assert_eq!(par_map_reduce(0..101, |number| number, |a, b| a + b), Some(5050));
}

//! Joins of more than two: each closure once, all results in order, and panics as `join` has them.

mod support;

use std::array;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustfiber::{Counter, current_worker, join_all, without_suspending};

use support::{must_end, runtime_with};

fn each_once<const N: usize>() {
    for workers in [1, 2, 4] {
        let calls: [AtomicUsize; N] = array::from_fn(|_| AtomicUsize::new(0));
        let closures = array::from_fn::<_, N, _>(|n| {
            let calls = &calls;
            move || (n, calls[n].fetch_add(1, Ordering::Relaxed))
        });
        let results = runtime_with(workers).run(|| join_all(closures));
        assert_eq!(results, array::from_fn(|n| (n, 0)));
        assert!(calls.iter().all(|calls| calls.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn an_arrays_closures_run_once_each_with_results_in_order() {
    each_once::<0>();
    each_once::<1>();
    each_once::<2>();
    each_once::<3>();
    each_once::<7>();
    each_once::<100>();
}

#[test]
fn a_tuples_closures_may_differ_and_borrow() {
    let (mut text, numbers) = (String::new(), [1, 2, 3]);
    runtime_with(2).run(|| {
        assert_eq!(join_all((|| 'a',)), ('a',));
        assert_eq!(join_all((|| 'a', || 1)), ('a', 1));
        let sum = || numbers.iter().sum::<i32>();
        assert_eq!(join_all((sum, || text.push('x'), || numbers.len())), (6, (), 3));
        assert_eq!(join_all((|| 0, || 1_u8, || 2, || 3_i64)), (0, 1, 2, 3));
        assert_eq!(join_all((|| 0, || 1_u8, || 2, || 3, || "4")), (0, 1, 2, 3, "4"));
        assert_eq!(join_all((|| 0, || 1_u8, || 2, || 3, || 4, || '5')), (0, 1, 2, 3, 4, '5'));
        assert_eq!(join_all((|| 0, || 1, || 2, || 3, || 4, || 5, || [6])), (0, 1, 2, 3, 4, 5, [6]));
        let all = join_all((|| 0, || 1, || 2, || 3, || 4, || 5, || 6, || numbers));
        assert_eq!(all, (0, 1, 2, 3, 4, 5, 6, [1, 2, 3]));
    });
    assert_eq!(text, "x");
}

/// Each closure waits until all run, on a thread of its own.
#[test]
fn closures_run_in_parallel() {
    must_end(|| {
        let all = Counter::new(4);
        let closure = || {
            without_suspending(|| {
                all.done();
                all.wait();
            });
            current_worker().unwrap()
        };
        let runtime = runtime_with(4);
        let mut workers = runtime.run(|| join_all([&closure; 4]));
        workers.sort_unstable();
        assert_eq!(workers, [0, 1, 2, 3]);
    });
}

#[test]
fn closures_may_wait_for_each_other_on_one_worker() {
    must_end(|| {
        let (first, second) = (Counter::new(1), Counter::new(1));
        runtime_with(1).run(|| {
            join_all((|| first.wait(), || second.wait(), || first.done(), || second.done()));
        });
    });
}

#[test]
fn a_plain_thread_may_join_many() {
    assert!(join_all([current_worker; 3]).iter().all(Option::is_some));
    assert!(join_all((current_worker, || ())).0.is_some());
}

/// Counts its drops; panics in one if told to.
struct Counted<'a> {
    drops: &'a AtomicUsize,
    panics: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            resume_unwind(Box::new("in a drop"));
        }
    }
}

fn panic_of<R>(f: impl FnOnce() -> R) -> &'static str {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    payload.downcast_ref::<&str>().unwrap()
}

#[test]
fn the_first_panic_in_order_comes_out_when_all_have_ended() {
    for workers in [1, 2, 4] {
        let runtime = runtime_with(workers);
        for (panicking, expected) in [(&[2][..], "2"), (&[6, 3], "3"), (&[0, 1, 5], "0")] {
            let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let closures = array::from_fn::<_, 7, _>(|n| {
                let (begun, ended) = (&begun, &ended);
                move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    let _ended = Counted { drops: ended, panics: false };
                    if panicking.contains(&n) {
                        resume_unwind(Box::new(["0", "1", "2", "3", "4", "5", "6"][n]));
                    }
                }
            });
            assert_eq!(panic_of(|| runtime.run(|| join_all(closures))), expected);
            assert_eq!(begun.into_inner(), ended.into_inner());
        }
        let fail = |text: &'static str| resume_unwind(Box::new(text));
        let of_a_tuple = || join_all((|| 0, || fail("b"), || 2, || fail("d"), || 4));
        assert_eq!(panic_of(|| runtime.run(of_a_tuple)), "b");
    }
}

#[test]
fn a_panic_drops_closures_and_results_once_each_even_if_their_drops_panic() {
    for workers in [1, 2, 4] {
        let runtime = runtime_with(workers);
        for panics in [false, true] {
            let (kept, results) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let calls = AtomicUsize::new(0);
            let closures = array::from_fn::<_, 7, _>(|n| {
                let kept = Counted { drops: &kept, panics: false };
                let (results, calls) = (&results, &calls);
                move || {
                    let _kept = &kept;
                    calls.fetch_add(1, Ordering::Relaxed);
                    if n == 3 {
                        resume_unwind(Box::new("of a closure"));
                    }
                    Counted { drops: results, panics }
                }
            });
            assert_eq!(panic_of(|| runtime.run(|| join_all(closures))), "of a closure");
            assert_eq!(kept.into_inner(), 7);
            assert_eq!(results.into_inner(), calls.into_inner() - 1, "one result a call but one");
        }
    }
}

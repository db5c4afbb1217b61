//! Sorts of slices that are long enough to be split; `src/sort.rs` tests with short pieces.

mod support;

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustfiber::{
    par_sort, par_sort_by, par_sort_by_key, par_sort_unstable, par_sort_unstable_by,
    par_sort_unstable_by_key,
};

use support::runtime_with;

const SEED: &str = "STRESS_SEED";

fn random() -> fastrand::Rng {
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    println!("{SEED}={seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn every_sort_sorts_as_std_does() {
    let mut random = random();
    for workers in [1, 2, 4] {
        let runtime = runtime_with(workers);
        for count in [0, 1, 2, 8193, 40_000 + random.usize(..1000)] {
            for values in [2, 1000, u64::MAX] {
                let numbers: Vec<u64> = (0..count).map(|_| random.u64(..values)).collect();
                let check = |sort: fn(&mut [u64]), by: fn(&mut [u64])| {
                    let (mut numbers, mut sorted) = (numbers.clone(), numbers.clone());
                    runtime.run(|| sort(&mut numbers));
                    by(&mut sorted);
                    assert!(numbers == sorted, "{count}, {values}, {workers}");
                };
                check(par_sort, <[u64]>::sort);
                check(par_sort_unstable, <[u64]>::sort);
                check(|n| par_sort_by(n, |a, b| b.cmp(a)), |n| n.sort_by(|a, b| b.cmp(a)));
                check(
                    |n| par_sort_unstable_by(n, |a, b| b.cmp(a)),
                    |n| n.sort_by_key(|n| Reverse(*n)),
                );
                check(|n| par_sort_by_key(n, |n| n % 7), |n| n.sort_by_key(|n| n % 7));
                check(|n| par_sort_unstable_by_key(n, |n| !n), |n| n.sort_by_key(|n| !n));
            }
        }
    }
}

#[test]
fn runs_are_recognised_and_equal_items_not_reversed() {
    let runtime = runtime_with(2);
    for falls in [false, true] {
        let mut items: Vec<(usize, usize)> = (0..200_000).map(|n| (n / 2, n)).collect();
        if falls {
            items.reverse();
        }
        let (comparisons, length) = (AtomicUsize::new(0), items.len());
        let order = |a: &(usize, usize), b: &(usize, usize)| {
            comparisons.fetch_add(1, Ordering::Relaxed);
            a.0.cmp(&b.0)
        };
        runtime.run(|| par_sort_by(&mut items, order));
        assert!(items.iter().map(|item| item.0).eq((0..length).map(|n| n / 2)));
        if !falls {
            assert_eq!(comparisons.into_inner(), length, "one a pair, and one for the direction");
        }
        assert!(items.chunks(2).all(|pair| (pair[0].1 < pair[1].1) != falls));
    }
}

#[test]
fn items_without_size_and_slices_without_items_are_sorted() {
    let runtime = runtime_with(2);
    runtime.run(|| {
        par_sort(&mut [(); 100_000]);
        par_sort_unstable(&mut [(); 100_000]);
        par_sort::<String>(&mut []);
        par_sort_unstable::<String>(&mut []);
    });
}

/// Sequences of panics over the whole of sorts, and all items dropped once after each.
#[test]
fn a_panic_leaves_each_item_once() {
    struct Item<'a>(String, &'a AtomicUsize);
    impl Drop for Item<'_> {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    const COUNT: usize = 40_000;
    let mut random = random();
    let runtime = runtime_with(2);
    for try_number in 0..20 {
        let (drops, comparisons) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let items = (0..COUNT).map(|n| Item(format!("{n:06}"), &drops));
        let mut items: Vec<Item<'_>> = items.collect();
        random.shuffle(&mut items);
        let last = random.usize(..800_000);
        let order = |a: &Item<'_>, b: &Item<'_>| {
            if comparisons.fetch_add(1, Ordering::Relaxed) == last {
                resume_unwind(Box::new("in a comparison"));
            }
            a.0.cmp(&b.0)
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            runtime.run(|| match try_number % 2 {
                0 => par_sort_by(&mut items, order),
                _ => par_sort_unstable_by(&mut items, order),
            });
        }));
        assert_eq!(outcome.is_err(), comparisons.into_inner() > last);
        assert_eq!(drops.load(Ordering::Relaxed), 0);
        let mut names: Vec<&str> = items.iter().map(|item| item.0.as_str()).collect();
        names.sort_unstable();
        assert!(names.into_iter().eq((0..COUNT).map(|n| format!("{n:06}"))));
        drop(items);
        assert_eq!(drops.into_inner(), COUNT);
    }
}

#[test]
fn a_plain_thread_may_sort() {
    let mut numbers: Vec<u32> = (0..100_000).rev().map(|n| n ^ 5).collect();
    let own = thread::current().id();
    par_sort_by(&mut numbers, |a, b| {
        assert_ne!(thread::current().id(), own, "a long sort moves to the runtime");
        a.cmp(b)
    });
    assert!(numbers.is_sorted());
}

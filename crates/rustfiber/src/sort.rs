//! Sorting: halves in parallel, and std's sort for what is short.

mod stable;
mod unstable;

use std::cmp::Ordering::{self, Less};

use crate::join::join;
use crate::runtime::default_runtime;
use crate::worker::Worker;

/// Sorts `items`, possibly in parallel, and leaves equal items in their order: as `sort` of std.
///
/// Takes a buffer as long as `items`, and some as long as the short parts that std sorts.
/// [`par_sort_unstable`] takes none, and is most often faster. Short slices are sorted at once;
/// longer ones outside any worker move into the default runtime.
///
/// # Panics
///
/// With the panic of a comparison, after all that have begun have ended; or, as std may, if the
/// order is not total. Then `items` holds the same items in some order.
///
/// # Blocking
///
/// Suspends the fiber while other workers sort parts.
///
/// # Examples
///
/// ```
/// let mut words = ["split", "where", "somebody", "asks"];
/// rustfiber::par_sort(&mut words);
/// assert_eq!(words, ["asks", "somebody", "split", "where"]);
/// ```
pub fn par_sort<T: Ord + Send>(items: &mut [T]) {
    stable::sort(items, &T::cmp);
}

/// Sorts `items` by a comparison: as [`par_sort`].
///
/// # Panics
///
/// As [`par_sort`].
///
/// # Blocking
///
/// As [`par_sort`].
///
/// # Examples
///
/// ```
/// let mut numbers = [0.5, -1.0, 0.25];
/// rustfiber::par_sort_by(&mut numbers, f64::total_cmp);
/// assert_eq!(numbers, [-1.0, 0.25, 0.5]);
/// ```
pub fn par_sort_by<T: Send>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering + Sync) {
    stable::sort(items, &compare);
}

/// Sorts `items` by a key, which is computed at each comparison: as [`par_sort`].
///
/// # Panics
///
/// As [`par_sort`], and with the panic of a call of `key`.
///
/// # Blocking
///
/// As [`par_sort`].
///
/// # Examples
///
/// ```
/// let mut words = ["split", "where", "somebody", "asks"];
/// rustfiber::par_sort_by_key(&mut words, |word| word.len());
/// assert_eq!(words, ["asks", "split", "where", "somebody"]);
/// ```
pub fn par_sort_by_key<T: Send, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K + Sync) {
    stable::sort(items, &|a: &T, b: &T| key(a).cmp(&key(b)));
}

/// Sorts `items`, possibly in parallel, in their place, and equal items in any order: as
/// `sort_unstable` of std. Else as [`par_sort`].
///
/// # Panics
///
/// As [`par_sort`].
///
/// # Blocking
///
/// As [`par_sort`].
///
/// # Examples
///
/// ```
/// let mut numbers: Vec<u32> = (0..100_000).map(|number| number * 7919 % 100_000).collect();
/// rustfiber::par_sort_unstable(&mut numbers);
/// assert!(numbers.into_iter().eq(0..100_000));
/// ```
pub fn par_sort_unstable<T: Ord + Send>(items: &mut [T]) {
    unstable::sort(items, &T::cmp);
}

/// Sorts `items` by a comparison: as [`par_sort_unstable`].
///
/// # Panics
///
/// As [`par_sort`].
///
/// # Blocking
///
/// As [`par_sort`].
///
/// # Examples
///
/// ```
/// let mut numbers = [1, 3, 2];
/// rustfiber::par_sort_unstable_by(&mut numbers, |a, b| b.cmp(a));
/// assert_eq!(numbers, [3, 2, 1]);
/// ```
pub fn par_sort_unstable_by<T: Send>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering + Sync) {
    unstable::sort(items, &compare);
}

/// Sorts `items` by a key, which is computed at each comparison: as [`par_sort_unstable`].
///
/// # Panics
///
/// As [`par_sort_by_key`].
///
/// # Blocking
///
/// As [`par_sort`].
///
/// # Examples
///
/// ```
/// let mut numbers = [-3, 1, 2];
/// rustfiber::par_sort_unstable_by_key(&mut numbers, |number: &i32| number.abs());
/// assert_eq!(numbers, [1, 2, -3]);
/// ```
pub fn par_sort_unstable_by_key<T: Send, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K + Sync) {
    unstable::sort(items, &|a: &T, b: &T| key(a).cmp(&key(b)));
}

/// Moves the caller of a long sort to a worker, unless it is one.
fn on_a_worker(sort: impl FnOnce() + Send) {
    match Worker::current() {
        Some(_) => sort(),
        None => default_runtime().run(sort),
    }
}

/// Looks for order in one piece: some 10 µs of numbers.
const RUN_LEAF: usize = if cfg!(test) { 8 } else { 1 << 14 };

/// Tells whether `items` are in order, after reversing them if that is all they lack.
fn is_one_run<T: Send>(items: &mut [T], compare: &(impl Fn(&T, &T) -> Ordering + Sync)) -> bool {
    let [first, second, ..] = items else { return true };
    if compare(second, first) != Less {
        return is_sorted(items, &|a, b| compare(b, a) != Less);
    }
    let falls = is_sorted(items, &|a, b| compare(b, a) == Less);
    if falls {
        items.reverse();
    }
    falls
}

/// Looks at the middle first: random items are hardly looked at.
fn is_sorted<T: Send>(items: &mut [T], in_order: &(impl Fn(&T, &T) -> bool + Sync)) -> bool {
    if items.len() <= RUN_LEAF {
        return items.is_sorted_by(in_order);
    }
    let (left, right) = items.split_at_mut(items.len() / 2);
    let (Some(last), Some(first)) = (left.last(), right.first()) else { return true };
    in_order(last, first) && {
        let (left, right) = join(|| is_sorted(left, in_order), || is_sorted(right, in_order));
        left && right
    }
}

/// With such short pieces that few items show all that many do.
#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::Runtime;

    type Order<'a, T> = &'a (dyn Fn(&T, &T) -> Ordering + Sync);

    type Sort<T> = fn(&mut [T], Order<'_, T>);

    fn both<T: Send + 'static>() -> [Sort<T>; 2] {
        [
            |items, order| par_sort_by(items, order),
            |items, order| par_sort_unstable_by(items, order),
        ]
    }

    fn runtimes() -> [Runtime; 3] {
        [1, 2, 4].map(|workers| Runtime::builder().workers(workers).build().unwrap())
    }

    /// Numbers of `values` values, in one of the orders that sorts treat apart.
    fn numbers(random: &mut fastrand::Rng, count: usize, values: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..count).map(|_| random.u32(..values)).collect();
        match random.u32(..6) {
            0 => numbers.sort_unstable(),
            1 => numbers.sort_unstable_by(|a, b| b.cmp(a)),
            2 => numbers[..count / 2].sort_unstable(),
            3 => numbers[count / 3..].sort_unstable_by(|a, b| b.cmp(a)),
            4 if count != 0 => {
                numbers.sort_unstable();
                numbers.swap(random.usize(..count), random.usize(..count));
            }
            _ => {}
        }
        numbers
    }

    #[test]
    fn results_are_those_of_std() {
        for runtime in runtimes() {
            let mut random = fastrand::Rng::with_seed(2);
            for count in (0..200).chain([1000, 3001]) {
                for values in [1, 2, 5, 100, u32::MAX] {
                    let numbers = numbers(&mut random, count, values);
                    let mut sorted = numbers.clone();
                    sorted.sort();
                    for sort in both() {
                        let mut numbers = numbers.clone();
                        runtime.run(|| sort(&mut numbers, &u32::cmp));
                        assert_eq!(numbers, sorted);
                    }
                }
            }
        }
    }

    #[test]
    fn equal_items_stay_in_their_order() {
        for runtime in runtimes() {
            let mut random = fastrand::Rng::with_seed(3);
            for count in (0..300).chain([1000, 3001]) {
                for values in [1, 2, 5, 30] {
                    let numbers = numbers(&mut random, count, values);
                    let mut items: Vec<(u32, usize)> = numbers.into_iter().zip(0..).collect();
                    runtime.run(|| par_sort_by_key(&mut items, |item| item.0));
                    assert!(items.is_sorted(), "{items:?}");
                }
            }
        }
    }

    /// An item on the heap, and how often it was compared: may be lost, double, or out of date.
    struct Item {
        number: Box<usize>,
        looks: Cell<usize>,
    }

    impl Item {
        fn all(count: usize) -> Vec<Item> {
            let mut random = fastrand::Rng::with_seed(4);
            let mut items: Vec<Item> =
                (0..count).map(|n| Item { number: Box::new(n), looks: Cell::new(0) }).collect();
            random.shuffle(&mut items);
            items
        }

        /// Each is there once, and knows of all comparisons.
        fn check(items: &[Item], comparisons: usize) {
            let mut numbers: Vec<usize> = items.iter().map(|item| *item.number).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..items.len()));
            let looks: usize = items.iter().map(|item| item.looks.get()).sum();
            assert_eq!(looks, 2 * comparisons);
        }
    }

    /// Counts comparisons, in `comparisons` and in the items.
    fn counted(comparisons: &AtomicUsize, a: &Item, b: &Item) -> usize {
        a.looks.set(a.looks.get() + 1);
        b.looks.set(b.looks.get() + 1);
        comparisons.fetch_add(1, Relaxed)
    }

    #[test]
    fn a_panic_in_any_comparison_loses_no_item() {
        const COUNT: usize = 150;
        for runtime in runtimes() {
            for sort in both() {
                for last in 0.. {
                    let comparisons = AtomicUsize::new(0);
                    let order = |a: &Item, b: &Item| {
                        if counted(&comparisons, a, b) == last {
                            resume_unwind(Box::new("in a comparison"));
                        }
                        a.number.cmp(&b.number)
                    };
                    let mut items = Item::all(COUNT);
                    let outcome = catch_unwind(AssertUnwindSafe(|| {
                        runtime.run(|| sort(&mut items, &order));
                    }));
                    Item::check(&items, comparisons.into_inner());
                    if outcome.is_ok() {
                        assert!(items.is_sorted_by_key(|item| *item.number));
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn an_order_that_is_none_loses_no_item() {
        for runtime in runtimes() {
            for sort in both() {
                for seed in 0..300 {
                    let comparisons = AtomicUsize::new(0);
                    let order = |a: &Item, b: &Item| {
                        let number = counted(&comparisons, a, b) as u64;
                        match fastrand::Rng::with_seed(seed << 32 | number).u32(..4) {
                            0 => Ordering::Equal,
                            1 => Ordering::Greater,
                            _ => Less,
                        }
                    };
                    let mut items = Item::all(200);
                    // std may panic, and need not.
                    let _ = catch_unwind(AssertUnwindSafe(|| {
                        runtime.run(|| sort(&mut items, &order));
                    }));
                    Item::check(&items, comparisons.into_inner());
                }
            }
        }
    }
}

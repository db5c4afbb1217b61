//! Quicksort: partitions are sorted in parallel, each in its place. Elements are swapped and
//! nothing else, so a panic leaves all of them.

use std::cmp::Ordering::{self, Less};

use super::{is_one_run, on_a_worker};
use crate::join::join;

/// What is left to std's sort: some 100 µs of random numbers.
const LEAF: usize = if cfg!(test) { 16 } else { 1 << 13 };

/// The pivot is the median of so many: within 3/8 and 5/8 of all, but once in 200 times.
const SAMPLES: usize = if cfg!(test) { 5 } else { 127 };

pub(super) fn sort<T: Send>(items: &mut [T], compare: &(impl Fn(&T, &T) -> Ordering + Sync)) {
    if items.len() <= LEAF || size_of::<T>() == 0 {
        return items.sort_unstable_by(compare);
    }
    on_a_worker(|| {
        if !is_one_run(items, compare) {
            sort_parts(items, None, compare);
        }
    });
}

/// Sorts `items`, none of which is smaller than the one `before`. That one is borrowed mutably, as
/// a type that is `Send` alone cannot be shared with other workers.
fn sort_parts<T: Send>(
    items: &mut [T],
    before: Option<&mut T>,
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    if items.len() <= LEAF {
        return items.sort_unstable_by(compare);
    }
    let (low_end, high_begin) = part(items, before.as_deref(), compare);
    let (low, high) = items.split_at_mut(high_begin);
    let (low, between) = low.split_at_mut(low_end);
    let pivot = between.last_mut();
    join(|| sort_parts(low, before, compare), || sort_parts(high, pivot, compare));
}

/// Moves smaller elements before larger ones. Returns the end of the smaller and the begin of the
/// larger; those between are in place. Neither part has more than three quarters of the elements.
fn part<T>(
    items: &mut [T],
    before: Option<&T>,
    compare: &impl Fn(&T, &T) -> Ordering,
) -> (usize, usize) {
    let count = items.len();
    choose_pivot(items, compare);
    let is_least = before.is_some_and(|before| compare(before, &items[0]) != Less);
    let low_end = match is_least {
        true => 0,
        false => partition(items, |item, pivot| compare(item, pivot) == Less),
    };
    items.swap(0, low_end);
    let mut high_begin = low_end + 1;
    if low_end < count / 4 {
        // Perhaps because many are equal to the pivot, and stay with it.
        high_begin += partition(&mut items[low_end..], |item, pivot| compare(pivot, item) != Less);
    }
    if low_end.max(count - high_begin) <= count - count / 4 {
        return (low_end, high_begin);
    }
    // Takes longer, but linear time whatever the elements.
    items.select_nth_unstable_by(count / 2, compare);
    (count / 2, count / 2 + 1)
}

/// Moves an element to the front that is near the median, as far as samples tell.
fn choose_pivot<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    let step = items.len() / SAMPLES;
    (0..SAMPLES).for_each(|sample| items.swap(sample, sample * step));
    items[..SAMPLES].select_nth_unstable_by(SAMPLES / 2, compare);
    items.swap(0, SAMPLES / 2);
}

/// Moves those behind the first element, the pivot, that are low before the others, and counts
/// them. Without a branch that depends on an element: it would be guessed wrong every other time.
fn partition<T>(items: &mut [T], is_low: impl Fn(&T, &T) -> bool) -> usize {
    let (pivot, items) = items.split_first_mut().expect("there is a pivot");
    let mut low_count = 0;
    for index in 0..items.len() {
        let is_low = is_low(&items[index], pivot);
        items.swap(low_count, index);
        low_count += usize::from(is_low);
    }
    low_count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the pivot: a sort of adversarial numbers is not quadratic, nor deep.
    #[test]
    fn no_part_has_more_than_three_quarters() {
        let mut random = fastrand::Rng::with_seed(1);
        for values in [1, 2, 3, 10, 100, 1000] {
            for count in 17..300 {
                for sorted_part in [0, count / 2, count] {
                    let mut items: Vec<u32> = (0..count).map(|_| random.u32(..values)).collect();
                    items[..sorted_part].sort_unstable();
                    check_part(&mut items, None);
                    let least = *items.iter().min().unwrap();
                    check_part(&mut items, Some(least));
                }
            }
        }
    }

    fn check_part(items: &mut [u32], before: Option<u32>) {
        let mut sorted = items.to_vec();
        sorted.sort_unstable();
        let (low_end, high_begin) = part(items, before.as_ref(), &u32::cmp);
        assert!(low_end < high_begin, "the pivot is in place");
        assert!(low_end.max(items.len() - high_begin) <= items.len() - items.len() / 4);
        assert_eq!(items[low_end..high_begin], sorted[low_end..high_begin]);
        let (low, high) = (&items[..low_end], &items[high_begin..]);
        assert!(low.iter().max() <= Some(&items[low_end]));
        assert!(high.iter().all(|item| *item >= items[high_begin - 1]));
    }
}

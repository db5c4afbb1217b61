//! Merge sort: halves are sorted in parallel, and merged in parallel, into a buffer and back in
//! turn.
//!
//! A panic leaves all elements in the slice: where a comparison may panic, the slice is either left
//! as it is or restored from the buffer. The buffer owns nothing, and what lies in it is forgotten.
//!
//! A comparison may also change elements, where their type has cells. Then a copy is out of date,
//! but never the one that is used next: a merge does not look at an element again that it has
//! written, and from there on it is the written one that is looked at.

use std::cmp::Ordering::{self, Less};
use std::hint::select_unpredictable;
use std::mem::{self, MaybeUninit};
use std::ptr;

use super::{is_one_run, on_a_worker};
use crate::join::join;

/// What is left to std's sort: some 200 µs of random numbers.
const SORT_LEAF: usize = if cfg!(test) { 8 } else { 1 << 14 };

/// What one worker merges: some 10 µs of random numbers.
const MERGE_LEAF: usize = if cfg!(test) { 8 } else { 1 << 13 };

pub(super) fn sort<T: Send>(items: &mut [T], compare: &(impl Fn(&T, &T) -> Ordering + Sync)) {
    if items.len() <= SORT_LEAF || size_of::<T>() == 0 {
        return items.sort_by(compare);
    }
    on_a_worker(|| {
        if !is_one_run(items, compare) {
            sort_in_place(items, &mut Box::new_uninit_slice(items.len()), compare);
        }
    });
}

/// Sorts `items` by way of the buffer, which is as long.
fn sort_in_place<T: Send>(
    items: &mut [T],
    buffer: &mut [MaybeUninit<T>],
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    if items.len() <= SORT_LEAF {
        return items.sort_by(compare);
    }
    let middle = items.len() / 2;
    let (left, right) = items.split_at_mut(middle);
    let (left_buffer, right_buffer) = buffer.split_at_mut(middle);
    join(|| sort_into(left, left_buffer, compare), || sort_into(right, right_buffer, compare));
    // SAFETY: `sort_into` has written both halves.
    let sorted = unsafe { buffer.assume_init_mut() };
    // SAFETY: nothing but elements is written, and each is there once when the guard is gone.
    let items = unsafe { &mut *(ptr::from_mut(items) as *mut [MaybeUninit<T>]) };
    let guard = RestoreOnUnwind { sorted, items };
    let (left, right) = guard.sorted.split_at_mut(middle);
    merge(left, right, guard.items, compare);
    mem::forget(guard);
}

/// Sorts `items`, and leaves them in the buffer, which is as long, as well as where they were.
fn sort_into<T: Send>(
    items: &mut [T],
    buffer: &mut [MaybeUninit<T>],
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    if items.len() <= SORT_LEAF {
        items.sort_by(compare);
        return copy(items, buffer);
    }
    let middle = items.len() / 2;
    let (left, right) = items.split_at_mut(middle);
    let (left_buffer, right_buffer) = buffer.split_at_mut(middle);
    join(
        || sort_in_place(left, left_buffer, compare),
        || sort_in_place(right, right_buffer, compare),
    );
    merge(left, right, buffer, compare);
}

/// Puts all elements back when a merge panics.
struct RestoreOnUnwind<'a, T> {
    sorted: &'a mut [T],
    items: &'a mut [MaybeUninit<T>],
}

impl<T> Drop for RestoreOnUnwind<'_, T> {
    fn drop(&mut self) {
        copy(self.sorted, self.items);
    }
}

/// Merges into a slice that is as long as both; of equal elements, those of `a` come first. Unless
/// it panics, each element is copied once. The order does not matter for that.
fn merge<T: Send>(
    a: &mut [T],
    b: &mut [T],
    into: &mut [MaybeUninit<T>],
    compare: &(impl Fn(&T, &T) -> Ordering + Sync),
) {
    if into.len() <= MERGE_LEAF {
        return merge_here(a, b, into, compare);
    }
    let (in_a, in_b) = cut(a, b, compare);
    let ((a_low, a_high), (b_low, b_high)) = (a.split_at_mut(in_a), b.split_at_mut(in_b));
    let (low, high) = into.split_at_mut(in_a + in_b);
    join(|| merge(a_low, b_low, low, compare), || merge(a_high, b_high, high, compare));
}

/// Returns how many elements of each come into the lower part of a merge. The longer slice is
/// halved, the other is cut where the upper half's first element would come.
fn cut<T>(a: &[T], b: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    if a.len() >= b.len() {
        let half = a.len() / 2;
        (half, b.partition_point(|b| compare(b, &a[half]) == Less))
    } else {
        let half = b.len() / 2;
        (a.partition_point(|a| compare(&b[half], a) != Less), half)
    }
}

/// Merges as two merges of about equal size, step by step in turn: a step waits for the one before
/// it in the same merge, from load to comparison to load.
fn merge_here<T>(
    a: &[T],
    b: &[T],
    into: &mut [MaybeUninit<T>],
    compare: &impl Fn(&T, &T) -> Ordering,
) {
    let is_in_order = |(a, b)| compare(b, a) != Less;
    if a.last().zip(b.first()).is_none_or(is_in_order) {
        let (from_a, from_b) = into.split_at_mut(a.len());
        copy(a, from_a);
        return copy(b, from_b);
    }
    let (in_a, in_b) = cut(a, b, compare);
    let ((a_low, a_high), (b_low, b_high)) = (a.split_at(in_a), b.split_at(in_b));
    let (low, high) = into.split_at_mut(in_a + in_b);
    let mut low = Merge { a: a_low, b: b_low, into: low };
    let mut high = Merge { a: a_high, b: b_high, into: high };
    while low.has_both() && high.has_both() {
        low.step(compare);
        high.step(compare);
    }
    low.finish(compare);
    high.finish(compare);
}

/// What is still to be merged.
struct Merge<'a, T> {
    a: &'a [T],
    b: &'a [T],
    into: &'a mut [MaybeUninit<T>],
}

impl<T> Merge<'_, T> {
    fn has_both(&self) -> bool {
        !self.a.is_empty() && !self.b.is_empty()
    }

    /// Copies the smaller of the two first elements. Without a branch that depends on them: it
    /// would be guessed wrong every other time.
    fn step(&mut self, compare: &impl Fn(&T, &T) -> Ordering) {
        let from_b = compare(&self.b[0], &self.a[0]) == Less;
        let next = select_unpredictable(from_b, &self.b[0], &self.a[0]);
        let (place, rest) = mem::take(&mut self.into).split_first_mut().expect("as long as both");
        // SAFETY: a reference to an element, and one to a place in another slice.
        unsafe { ptr::copy_nonoverlapping(next, place.as_mut_ptr(), 1) };
        self.a = &self.a[usize::from(!from_b)..];
        self.b = &self.b[usize::from(from_b)..];
        self.into = rest;
    }

    fn finish(mut self, compare: &impl Fn(&T, &T) -> Ordering) {
        while self.has_both() {
            self.step(compare);
        }
        let (from_a, from_b) = self.into.split_at_mut(self.a.len());
        copy(self.a, from_a);
        copy(self.b, from_b);
    }
}

fn copy<T>(from: &[T], into: &mut [MaybeUninit<T>]) {
    assert_eq!(from.len(), into.len(), "an element would be lost");
    // SAFETY: as long, and no two borrows of one slice.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), into.as_mut_ptr().cast(), from.len()) }
}

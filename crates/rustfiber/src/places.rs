//! Room for values that are computed in pieces, each in its place.

use std::mem;
use std::ops::Range;

use crate::panic::drop_quietly;

/// Room for the values of consecutive numbers, which nothing else uses.
pub(crate) struct Places<T> {
    pub(crate) first: *mut T,
    pub(crate) numbers: Range<usize>,
}

/// Values in their places. Owns them until it is forgotten.
pub(crate) struct Values<T> {
    first: *mut T,
    count: usize,
}

// SAFETY: as a mutable slice.
unsafe impl<T: Send> Send for Places<T> {}
// SAFETY: as a vector.
unsafe impl<T: Send> Send for Values<T> {}

impl<T> Places<T> {
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Returns the first `count` places, and the others.
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        assert!(count <= self.len());
        let Places { first, numbers: Range { start, end } } = self;
        let middle = start + count;
        // SAFETY: there are so many places.
        let others = unsafe { first.add(count) };
        (Places { first, numbers: start..middle }, Places { first: others, numbers: middle..end })
    }

    pub(crate) fn fill(self, value: impl Fn(usize) -> T) -> Values<T> {
        // If `value` panics, those before are dropped.
        let mut values = Values { first: self.first, count: 0 };
        for number in self.numbers {
            let value = value(number);
            // SAFETY: as many places as numbers.
            let place = unsafe { values.first.add(values.count) };
            // SAFETY: a place is nobody else's, and was empty.
            unsafe { place.write(value) };
            values.count += 1;
        }
        values
    }
}

impl<T> Values<T> {
    /// Joins values with those in the places behind them.
    pub(crate) fn append(self, more: Self) -> Self {
        // SAFETY: one place behind those of `self`, in the same room.
        let end = unsafe { self.first.add(self.count) };
        assert_eq!(end, more.first, "values in between are missing");
        let (first, count) = (self.first, self.count + more.count);
        mem::forget((self, more));
        Values { first, count }
    }

    /// Counts the values, which are the caller's from now on.
    pub(crate) fn release(self) -> usize {
        let count = self.count;
        mem::forget(self);
        count
    }
}

impl<T> Drop for Values<T> {
    fn drop(&mut self) {
        for index in 0..self.count {
            // SAFETY: there are so many values.
            let place = unsafe { self.first.add(index) };
            // SAFETY: the value is there, and is not used again.
            drop_quietly(unsafe { place.read() });
        }
    }
}

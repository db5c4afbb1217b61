//! Model checks: each test is one claim of a README beside the code.
#![cfg(loom)]

mod join_cell;
mod lists;
mod wait_queue;

use std::ptr::NonNull;

use loom::cell::UnsafeCell;
use test_support::model;

/// Something shared that is freed by hand, so that the model sees who still touches it.
struct Shared<T>(NonNull<T>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: the tests share only types that are `Sync`.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Shared(NonNull::from(Box::leak(Box::new(value))))
    }

    fn get(&self) -> &T {
        // SAFETY: the memory outlives the model's execution: `free` only marks it.
        unsafe { self.0.as_ref() }
    }

    /// As `get`, for values that hold the reference.
    fn get_forever(&self) -> &'static T {
        // SAFETY: leaked.
        unsafe { &*self.0.as_ptr() }
    }

    /// Takes the value for the caller alone; loom reports everybody who still touches it.
    #[expect(clippy::mut_from_ref, reason = "exclusive access is what the model checks")]
    fn free(&self) -> &mut T {
        // SAFETY: loom runs one thread at a time, and reports accesses that are not ordered.
        unsafe { &mut *self.0.as_ptr() }
    }
}

/// A cell that is written before a wake and read after the wait.
struct Data(UnsafeCell<usize>);
// SAFETY: loom checks the accesses.
unsafe impl Sync for Data {}
// SAFETY: as above.
unsafe impl Send for Data {}

impl Data {
    fn new() -> Self {
        Data(UnsafeCell::new(0))
    }

    /// Takes the value, as freeing it would.
    fn take(&self) -> usize {
        self.0.with_mut(|value| {
            // SAFETY: loom reports a race.
            unsafe { std::mem::take(&mut *value) }
        })
    }

    fn add_one(&self) {
        self.0.with_mut(|value| {
            // SAFETY: loom reports a race.
            unsafe { *value += 1 }
        });
    }

    fn read(&self) -> usize {
        self.0.with(|value| {
            // SAFETY: loom reports a race.
            unsafe { *value }
        })
    }
}

//! An allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, which counts. A test installs it as its `global_allocator`.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    static OF_THIS_THREAD: Cell<usize> = const { Cell::new(0) };
}

static OF_ALL_THREADS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OF_THIS_THREAD.set(OF_THIS_THREAD.get() + 1);
        OF_ALL_THREADS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Counts what the calling thread has allocated so far, if [`Counting`] is installed.
#[must_use]
pub fn allocation_count() -> usize {
    OF_THIS_THREAD.get()
}

/// As [`allocation_count`], of all threads.
#[must_use]
pub fn allocation_count_of_all_threads() -> usize {
    OF_ALL_THREADS.load(Ordering::Relaxed)
}

//! The bug that ThreadSanitizer must find: two fibers of two threads write one word, unordered.
//!
//! The second begins when the first has ended, and its thread too. In truth that is an order, but
//! nothing that the second thread looks at says so. The sanitizer sees the race if it remembers a
//! fiber that is no more, and does not take the second for the first.

use std::cell::UnsafeCell;
use std::thread;

use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};

struct Word(UnsafeCell<u32>);

// SAFETY: it is not: that is the bug.
unsafe impl Sync for Word {}

static WORD: Word = Word(UnsafeCell::new(0));

fn main() {
    let first = thread::spawn(|| write_on_a_fiber(1));
    let second = thread::spawn(move || {
        // `join` would be an order; this is a Relaxed load.
        while !first.is_finished() {
            thread::yield_now();
        }
        write_on_a_fiber(2);
    });
    second.join().expect("nothing panics");
}

fn write_on_a_fiber(value: u32) {
    let stack = Stack::new(StackSize::default()).expect("there is memory for one stack");
    let mut fiber = Fiber::new(stack, move |suspender: &Suspender<(), ()>, ()| {
        suspender.suspend(());
        // SAFETY: none: another fiber writes here too.
        unsafe { *WORD.0.get() = value };
        suspender.suspend(());
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

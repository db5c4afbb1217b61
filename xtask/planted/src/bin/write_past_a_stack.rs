//! The bug that memcheck must find: a fiber writes below its stack pointer, past what its stack
//! holds. The bytes are mapped and writable, so nothing else notices.

use std::hint::black_box;

use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};

fn main() {
    let stack = Stack::new(StackSize::default()).expect("there is memory for one stack");
    let mut fiber = Fiber::new(stack, |suspender: &Suspender<(), ()>, ()| {
        let gone = address_in_a_frame_that_ends();
        suspender.suspend(());
        // SAFETY: none: the frame has ended.
        unsafe { gone.write_volatile(1) };
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

/// Returns an address far below the stack pointer of the caller.
#[inline(never)]
fn address_in_a_frame_that_ends() -> *mut u64 {
    let mut frame = [0_u64; 1024];
    black_box(&mut frame).as_mut_ptr()
}

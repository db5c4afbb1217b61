//! The bug that AddressSanitizer must find: a fiber counts down a counter that has been freed.

use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};
use intrusive_waitlist::CounterList;

fn main() {
    let counter = Box::into_raw(Box::new(CounterList::new(2)));
    let stack = Stack::new(StackSize::default()).expect("there is memory for one stack");
    let mut fiber = Fiber::new(stack, move |suspender: &Suspender<(), ()>, ()| {
        suspender.suspend(());
        // SAFETY: none: whoever resumed has freed the counter.
        let _ = unsafe { (*counter).done() };
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    // SAFETY: made by `Box::into_raw`; but the fiber has not finished with it.
    drop(unsafe { Box::from_raw(counter) });
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

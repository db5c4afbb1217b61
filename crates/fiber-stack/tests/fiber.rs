//! Fibers: values both ways, panics, drops, and who may suspend whom.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fiber_stack::{Fiber, Resumed, Stack, StackSize, Suspender};

fn stack() -> Stack {
    Stack::new(StackSize::new(128 * 1024).unwrap()).unwrap()
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> &str {
    match payload.downcast_ref::<String>() {
        Some(text) => text,
        None => payload.downcast_ref::<&str>().expect("a panic with a message"),
    }
}

/// Adds to a number when it is dropped.
struct CountDrop(&'static AtomicUsize);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn values_go_both_ways_unchanged() {
    // Larger than a word, and owned, so that a value lost or doubled on the way shows.
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<Vec<u64>, [u64; 9]>, first| {
        let mut input: Vec<u64> = first;
        for round in 0..1000 {
            let sum = input.iter().sum::<u64>();
            let output = std::array::from_fn(|index| sum + round + index as u64);
            input = suspender.suspend(output);
        }
        format!("last {input:?}")
    });
    for round in 0..1000_u64 {
        let input = vec![round, 2 * round, 7];
        let expected = std::array::from_fn(|index| 3 * round + 7 + round + index as u64);
        match fiber.resume(input) {
            Resumed::Suspended(output) => assert_eq!(output, expected),
            Resumed::Finished(_) => panic!("finished in round {round}"),
        }
        assert!(!fiber.is_finished());
    }
    let Resumed::Finished(Ok(text)) = fiber.resume(vec![1, 2]) else { panic!("not finished") };
    assert_eq!(text, "last [1, 2]");
    assert!(fiber.is_finished());
}

#[test]
fn zero_sized_and_over_aligned_values_pass() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(64))]
    struct Aligned(u8);

    let captured = Aligned(7);
    let mut fiber = Fiber::new(stack(), move |suspender: &Suspender<(), Aligned>, ()| {
        assert!((&raw const captured).is_aligned());
        suspender.suspend(captured);
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(Aligned(7))));
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

#[test]
fn closure_may_capture_1024_bytes() {
    let captured = [3_u8; 1024];
    let mut fiber = Fiber::new(stack(), move |_: &Suspender<(), ()>, ()| {
        captured.iter().map(|&byte| u32::from(byte)).sum::<u32>()
    });
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(3072))));
}

#[test]
fn closure_runs_on_the_stack_it_was_given() {
    let stack = stack();
    let range = stack.range();
    let mut fiber = Fiber::new(stack, |_: &Suspender<(), ()>, ()| {
        let local = Cell::new(0);
        std::hint::black_box(&local).as_ptr().addr()
    });
    assert_eq!(fiber.stack(), range);
    let Resumed::Finished(Ok(address)) = fiber.resume(()) else { panic!("not finished") };
    // AddressSanitizer may keep locals elsewhere (detect_stack_use_after_return).
    assert!(range.contains(address) || cfg!(feature = "sanitizer"));
    assert!(!range.contains(range.lowest() - 1) && !range.contains(range.base()));
    assert!(range.contains(range.lowest()) && range.contains(range.base() - 1));
    assert_eq!(fiber.into_stack().range(), range);
}

#[test]
fn panic_leaves_the_fiber_as_a_value_with_its_payload() {
    #[derive(Debug, PartialEq)]
    struct Payload(u64, String);

    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), ()>, ()| {
        let _on_stack = CountDrop(&DROPS);
        suspender.suspend(());
        panic_any(Payload(42, "kept".to_owned()));
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    assert_eq!(DROPS.load(Relaxed), 0);
    let Resumed::<(), ()>::Finished(Err(payload)) = fiber.resume(()) else { panic!("no panic") };
    assert_eq!(DROPS.load(Relaxed), 1);
    assert!(!std::thread::panicking());
    assert_eq!(*payload.downcast::<Payload>().unwrap(), Payload(42, "kept".to_owned()));
    assert!(fiber.is_finished());

    // The stack is as good as new.
    let mut next = Fiber::new(fiber.into_stack(), |_: &Suspender<(), ()>, ()| 7);
    assert!(matches!(next.resume(()), Resumed::Finished(Ok(7))));
}

#[test]
fn panic_caught_inside_a_fiber_stays_inside() {
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), u32>, ()| {
        for number in 0..3 {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                suspender.suspend(number);
                panic_any(number);
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&number));
        }
    });
    for number in 0..3 {
        let Resumed::Suspended(seen) = fiber.resume(()) else { panic!("finished early") };
        assert_eq!(seen, number);
    }
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

#[test]
fn resuming_a_finished_fiber_panics_with_the_contract() {
    let mut fiber = Fiber::new(stack(), |_: &Suspender<(), ()>, ()| ());
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(fiber.resume(())))).unwrap_err();
    assert_eq!(panic_text(&*panic), "fiber-stack: a finished fiber was resumed");
}

#[test]
fn dropping_an_unfinished_fiber_panics_and_leaks_its_stack() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let stack = stack();
    let bytes = stack.size().bytes();
    let mut fiber = Fiber::new(stack, |suspender: &Suspender<(), *const u64>, ()| {
        let _on_stack = CountDrop(&DROPS);
        let value = 0x5eed_u64;
        suspender.suspend(&raw const value);
        std::hint::black_box(&value);
    });
    let Resumed::Suspended(value) = fiber.resume(()) else { panic!("finished early") };

    let panic = catch_unwind(AssertUnwindSafe(|| drop(fiber))).unwrap_err();
    assert_eq!(
        panic_text(&*panic),
        format!(
            "fiber-stack: a fiber was dropped before it finished; \
             its stack of {bytes} bytes is leaked"
        )
    );
    assert_eq!(DROPS.load(Relaxed), 0);
    // SAFETY: the stack is leaked with its frames, so the local lives for ever. Were it unmapped,
    // this would fault and fail the test all the same.
    assert_eq!(unsafe { value.read_volatile() }, 0x5eed);
}

#[test]
fn taking_the_stack_of_an_unfinished_fiber_panics_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), ()>, ()| {
        let _on_stack = CountDrop(&DROPS);
        suspender.suspend(());
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(fiber.into_stack()))).unwrap_err();
    assert!(panic_text(&*panic).starts_with("fiber-stack: a fiber was dropped before it finished"));
    assert_eq!(DROPS.load(Relaxed), 0);
}

#[test]
fn dropping_an_unfinished_fiber_during_a_panic_keeps_that_panic() {
    let panic = catch_unwind(|| {
        let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), ()>, ()| {
            suspender.suspend(());
        });
        assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
        panic_any("the first panic");
    })
    .unwrap_err();
    assert_eq!(panic_text(&*panic), "the first panic");
}

#[test]
fn fiber_that_never_started_drops_its_closure_once() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    fn idle(stack: Stack) -> Fiber<(), (), ()> {
        let captured = CountDrop(&DROPS);
        Fiber::new(stack, move |_: &Suspender<(), ()>, ()| drop(captured))
    }
    drop(idle(stack()));
    assert_eq!(DROPS.load(Relaxed), 1);
    let stack = idle(stack()).into_stack();
    assert_eq!(DROPS.load(Relaxed), 2);
    let mut fiber = idle(stack);
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
    assert_eq!(DROPS.load(Relaxed), 3);
    drop(fiber);
    assert_eq!(DROPS.load(Relaxed), 3);
}

#[test]
fn destructor_panic_of_a_never_started_closure_goes_to_the_caller() {
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct PanicOnDrop;

    impl Drop for PanicOnDrop {
        fn drop(&mut self) {
            panic_any("a destructor panicked");
        }
    }

    fn idle() -> Fiber<(), (), ()> {
        let captured = (PanicOnDrop, CountDrop(&DROPS));
        Fiber::new(stack(), move |_: &Suspender<(), ()>, ()| drop(captured))
    }

    let panic = catch_unwind(|| drop(idle())).unwrap_err();
    assert_eq!(panic_text(&*panic), "a destructor panicked");
    assert_eq!(DROPS.load(Relaxed), 1);
    let panic = catch_unwind(|| drop(idle().into_stack())).unwrap_err();
    assert_eq!(panic_text(&*panic), "a destructor panicked");
    assert_eq!(DROPS.load(Relaxed), 2);
}

#[test]
fn fibers_nest_and_each_suspends_to_its_own_resumer() {
    let mut outer = Fiber::new(stack(), |outer: &Suspender<(), String>, ()| {
        let mut inner = Fiber::new(stack(), |inner: &Suspender<(), u32>, ()| {
            inner.suspend(1);
            inner.suspend(2);
        });
        while let Resumed::Suspended(number) = inner.resume(()) {
            outer.suspend(format!("inner {number}"));
        }
        outer.suspend("inner finished".to_owned());
    });
    for expected in ["inner 1", "inner 2", "inner finished"] {
        let Resumed::Suspended(text) = outer.resume(()) else { panic!("finished early") };
        assert_eq!(text, expected);
    }
    assert!(matches!(outer.resume(()), Resumed::Finished(Ok(()))));
}

thread_local! {
    /// What `scoped_tls` does behind a safe interface: a reference in a thread-local.
    static SMUGGLED: Cell<Option<*const Suspender<(), ()>>> = const { Cell::new(None) };
}

fn suspend_the_smuggled() {
    let suspender = SMUGGLED.get().expect("a suspender was put there");
    // SAFETY: both tests below keep that suspender's frame alive, suspended or running.
    unsafe { &*suspender }.suspend(());
}

const OUTSIDE: &str = "fiber-stack: a suspender was used while its fiber was not the one running";

#[test]
fn suspender_refuses_to_suspend_from_outside_its_fiber() {
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), ()>, ()| {
        SMUGGLED.set(Some(suspender));
        suspender.suspend(());
    });
    assert!(matches!(fiber.resume(()), Resumed::Suspended(())));
    let panic = catch_unwind(suspend_the_smuggled).unwrap_err();
    assert_eq!(panic_text(&*panic), OUTSIDE);
    assert!(matches!(fiber.resume(()), Resumed::Finished(Ok(()))));
}

#[test]
fn suspender_refuses_to_suspend_from_a_nested_fiber() {
    let mut outer = Fiber::new(stack(), |outer: &Suspender<(), ()>, ()| {
        SMUGGLED.set(Some(outer));
        let mut inner = Fiber::new(stack(), |_: &Suspender<(), ()>, ()| suspend_the_smuggled());
        let Resumed::Finished(Err(panic)) = inner.resume(()) else { panic!("no panic") };
        assert_eq!(panic_text(&*panic), OUTSIDE);
        outer.suspend(()); // Itself it may.
    });
    assert!(matches!(outer.resume(()), Resumed::Suspended(())));
    assert!(matches!(outer.resume(()), Resumed::Finished(Ok(()))));
}

#[test]
fn panic_during_a_panic_of_the_resumer_stays_in_its_fiber() {
    static OUTCOMES: AtomicUsize = AtomicUsize::new(0);
    struct ResumeOnDrop(Fiber<(), (), ()>);

    impl Drop for ResumeOnDrop {
        fn drop(&mut self) {
            assert!(std::thread::panicking());
            if let Resumed::Finished(Err(_)) = self.0.resume(()) {
                OUTCOMES.fetch_add(1, Relaxed);
            }
        }
    }

    let panic = catch_unwind(|| {
        let fiber = Fiber::new(stack(), |_: &Suspender<(), ()>, ()| panic_any("in the fiber"));
        let _guard = ResumeOnDrop(fiber);
        panic_any("in the resumer");
    })
    .unwrap_err();
    assert_eq!(panic_text(&*panic), "in the resumer");
    assert_eq!(OUTCOMES.load(Relaxed), 1);
    assert!(!std::thread::panicking());
}

#[test]
fn thread_locals_and_rc_are_sound_on_a_suspended_fiber() {
    thread_local! {
        static SHARED: RefCell<Option<Rc<Cell<u32>>>> = const { RefCell::new(None) };
    }
    let shared = Rc::new(Cell::new(0));
    SHARED.set(Some(Rc::clone(&shared)));
    let mut fiber = Fiber::new(stack(), |suspender: &Suspender<(), ()>, ()| {
        for _ in 0..10 {
            let mine = SHARED.with_borrow(|shared| shared.clone()).unwrap();
            suspender.suspend(());
            mine.set(mine.get() + 1);
        }
    });
    let mut count = 0;
    while let Resumed::Suspended(()) = fiber.resume(()) {
        assert_eq!(shared.get(), count);
        count += 1;
    }
    assert_eq!((shared.get(), count), (10, 10));
    SHARED.take();
    assert_eq!(Rc::strong_count(&shared), 1);
}

//! Many registrations against many completions, on real threads, with an oracle.

use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;
use intrusive_waitlist::{CompletionList, CounterList, FiberHandle, Registration, Waiter};
use test_support::seed;

#[test]
fn a_hundred_thousand_random_registrations_are_all_notified() {
    // ThreadSanitizer makes each thread many times as dear.
    const WAITS: u64 = if cfg!(rustfiber_tsan) { 20_000 } else { 100_000 };
    let mut random = Rng::with_seed(seed());
    let (mut waits, mut round) = (0, 0);
    while waits < WAITS {
        round += 1;
        let (waiters, decrements) = (1 + random.u64(..4), 1 + random.u64(..3));
        let delays: Vec<u64> = (0..waiters + decrements).map(|_| random.u64(..200)).collect();
        let counter = CounterList::new(decrements as usize);
        let returned = AtomicUsize::new(0);
        thread::scope(|s| {
            let threads = delays.iter().enumerate().map(|(index, delay)| {
                let (counter, returned) = (&counter, &returned);
                s.spawn(move || {
                    (0..*delay).for_each(|_| std::hint::spin_loop());
                    if index < waiters as usize {
                        counter.wait_thread();
                        returned.fetch_add(1, Ordering::Relaxed);
                    } else {
                        counter.done().wake_all();
                    }
                })
            });
            // Joined, because a scope waits for its closures only: LeakSanitizer takes what the
            // standard library frees after them for leaked if the process ends meanwhile.
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(returned.into_inner(), waiters as usize, "round {round}");
        waits += waiters;
    }
}

/// A counter whose only owner is the thread that waits; it is freed as soon as the wait returns.
#[test]
fn first_waiter_may_free_the_counter() {
    struct Raw(NonNull<CounterList>);
    // SAFETY: `CounterList` is `Sync`.
    unsafe impl Send for Raw {}

    for _ in 0..10_000 {
        let counter = NonNull::from(Box::leak(Box::new(CounterList::new(1))));
        let shared = Raw(counter);
        let completer = thread::spawn(move || {
            let shared = shared;
            // SAFETY: the count is outstanding, so the waiter has not freed the counter.
            unsafe { shared.0.as_ref() }.done().wake_all();
        });
        // SAFETY: freed below, by this thread.
        unsafe { counter.as_ref() }.wait_thread();
        // SAFETY: made by `Box::leak` above; the wait has returned, so nobody touches it again.
        drop(unsafe { Box::from_raw(counter.as_ptr()) });
        completer.join().unwrap();
    }
}

#[test]
fn woken_yields_waiters_in_arrival_order() {
    static ORDER: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    fn wake(fiber: NonNull<()>) {
        ORDER.lock().unwrap().push(fiber.addr().get());
    }
    let list = CompletionList::new();
    let waiters: Vec<Waiter> = (1..=5)
        .map(|id| {
            let id = NonNull::new(std::ptr::without_provenance_mut(id)).unwrap();
            // SAFETY: `wake` only looks at the address.
            Waiter::fiber(unsafe { FiberHandle::new(id, wake) })
        })
        .collect();
    for waiter in &waiters {
        // SAFETY: `waiters` outlives the completion below.
        assert_eq!(unsafe { list.register(waiter) }, Registration::Registered);
    }
    list.complete().wake_all();
    assert_eq!(*ORDER.lock().unwrap(), [1, 2, 3, 4, 5]);
    assert!(waiters.iter().all(Waiter::is_notified));
    // SAFETY: a completed list does not touch the waiter.
    let late = unsafe { list.register(&Waiter::current_thread()) };
    assert_eq!(late, Registration::AlreadyDone);
}

#[test]
#[should_panic(expected = "`add` after the counter reached zero")]
fn add_after_zero_panics() {
    let counter = CounterList::new(1);
    counter.done().wake_all();
    counter.add(1);
}

#[test]
#[should_panic(expected = "`done` below zero")]
fn done_below_zero_panics() {
    let counter = CounterList::new(0);
    counter.done().wake_all();
}

#[test]
fn misuse_is_recognised_for_ever_after() {
    let counter = CounterList::new(0);
    for _ in 0..3 {
        let below_zero = || counter.done().wake_all();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(below_zero)).is_err());
        let add = || counter.add(1);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(add)).is_err());
        assert_eq!(counter.value(), 0);
        assert!(counter.is_done());
    }
}

//! The lists that cannot be left: each test is one claim of the crate's README.

use std::ptr::NonNull;

use intrusive_waitlist::{
    CompletionList, CounterList, FiberHandle, Registration, SignalList, SplitCounter, Waiter,
};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::{Data, Shared, model};

#[test]
fn first_waiter_frees_the_counter() {
    model(3, || {
        let counter = Shared::new(CounterList::new(2));
        let threads: Vec<_> =
            (0..2).map(|_| thread::spawn(move || counter.get().done().wake_all())).collect();
        counter.get().wait_thread();
        counter.free().retire();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn is_done_allows_freeing_too() {
    model(3, || {
        let counter = Shared::new(CounterList::new(1));
        let thread = thread::spawn(move || counter.get().done().wake_all());
        while !counter.get().is_done() {
            thread::yield_now();
        }
        counter.free().retire();
        thread.join().unwrap();
    });
}

/// Of two jobs that began at home one ends there; the other begins a third elsewhere.
#[test]
fn home_and_others_share_a_split_counter() {
    model(3, || {
        let counter = Shared::new(SplitCounter::new());
        // SAFETY: this thread is the home.
        unsafe { counter.get().add_local() };
        let thread = thread::spawn(move || {
            counter.get().add();
            counter.get().done().wake_all();
            counter.get().done().wake_all();
        });
        // SAFETY: as above. The second moves to the shared word.
        unsafe { counter.get().add_local() };
        // SAFETY: as above.
        unsafe { counter.get().done_local() };
        // SAFETY: as above, once.
        unsafe { counter.get().close() }.wake_all();
        counter.get().wait_thread();
        counter.free().retire();
        thread.join().unwrap();
    });
}

/// Jobs that others began end at home, more than began there: the second moves to the shared word.
#[test]
fn what_others_began_ends_at_home() {
    model(3, || {
        let counter = Shared::new(SplitCounter::new());
        (0..3).for_each(|_| counter.get().add());
        let thread = thread::spawn(move || counter.get().done().wake_all());
        // SAFETY: this thread is the home.
        (0..2).for_each(|_| unsafe { counter.get().done_local() });
        // SAFETY: as above, once.
        unsafe { counter.get().close() }.wake_all();
        counter.get().wait_thread();
        counter.free().retire();
        thread.join().unwrap();
    });
}

#[test]
fn register_races_with_complete() {
    model(4, || {
        let list = Arc::new(CompletionList::new());
        let completer = {
            let list = Arc::clone(&list);
            thread::spawn(move || list.complete().wake_all())
        };
        // Hangs, which loom reports as a deadlock, if the registration is lost.
        list.wait_thread();
        assert!(list.is_done());
        completer.join().unwrap();
    });
}

#[test]
fn two_waiters_one_completion() {
    model(3, || {
        let counter = Shared::new(CounterList::new(1));
        let waiter = thread::spawn(move || counter.get().wait_thread());
        let completer = thread::spawn(move || counter.get().done().wake_all());
        counter.get().wait_thread();
        waiter.join().unwrap();
        counter.free().retire();
        completer.join().unwrap();
    });
}

#[test]
fn data_is_published() {
    model(3, || {
        let counter = Arc::new(CounterList::new(2));
        let parts: [_; 2] = std::array::from_fn(|_| Arc::new(Data::new()));
        let threads: Vec<_> = parts
            .iter()
            .cloned()
            .map(|part| {
                let counter = Arc::clone(&counter);
                thread::spawn(move || {
                    part.add_one();
                    counter.done().wake_all();
                })
            })
            .collect();
        counter.wait_thread();
        for part in &parts {
            part.add_one();
            assert_eq!(part.read(), 2);
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn node_is_reusable_after_notification() {
    model(3, || {
        // `wait_thread` retires its node when it returns: the model fails if the claimant is not
        // done with it. The second list reuses the frame.
        let lists = Arc::new([CompletionList::new(), CompletionList::new()]);
        let completer = {
            let lists = Arc::clone(&lists);
            thread::spawn(move || lists.iter().for_each(|list| list.complete().wake_all()))
        };
        lists.iter().for_each(CompletionList::wait_thread);
        completer.join().unwrap();
    });
}

#[test]
fn two_decrements_complete_once() {
    model(4, || {
        let counter = Arc::new(CounterList::new(2));
        let other_began = Arc::new(AtomicBool::new(false));
        let other = {
            let (counter, other_began) = (Arc::clone(&counter), Arc::clone(&other_began));
            thread::spawn(move || {
                other_began.store(true, Ordering::Relaxed);
                counter.done().wake_all();
            })
        };
        counter.done().wake_all();
        // Done after the second decrement, not after the first, and whoever sees it sees that.
        assert!(!counter.is_done() || other_began.load(Ordering::Relaxed));
        other.join().unwrap();
        assert!(counter.is_done());
        assert_eq!(counter.value(), 0);
    });
}

#[test]
fn add_races_with_done() {
    model(4, || {
        // One count is this thread's, the other one's is the other thread's.
        let counter = Arc::new(CounterList::new(2));
        let other = {
            let counter = Arc::clone(&counter);
            thread::spawn(move || counter.done().wake_all())
        };
        counter.add(1);
        counter.done().wake_all();
        assert!(!counter.is_done(), "the count that was added is outstanding");
        counter.done().wake_all();
        other.join().unwrap();
        assert!(counter.is_done());
    });
}

#[test]
fn a_waiter_that_saw_its_notification_may_go() {
    model(4, || {
        fn nobody(_: NonNull<()>) {}
        let list = Arc::new(CompletionList::new());
        let completer = {
            let list = Arc::clone(&list);
            thread::spawn(move || list.complete().wake_all())
        };
        // SAFETY: `nobody` may be called at any time.
        let waiter = Waiter::fiber(unsafe { FiberHandle::new(NonNull::dangling(), nobody) });
        // SAFETY: the waiter stays here until it is notified.
        if unsafe { list.register(&waiter) } == Registration::Registered {
            // Not by parking or joining: these alone would order the claimant's accesses.
            while !waiter.is_notified() {
                thread::yield_now();
            }
        }
        waiter.retire();
        completer.join().unwrap();
    });
}

#[test]
fn add_under_an_outstanding_count() {
    model(3, || {
        let counter = Shared::new(CounterList::new(1));
        let child = thread::spawn(move || {
            // The parent's count is outstanding: it is handed to this thread.
            counter.get().add(1);
            let grandchild = thread::spawn(move || counter.get().done().wake_all());
            counter.get().done().wake_all();
            grandchild.join().unwrap();
        });
        counter.get().wait_thread();
        counter.free().retire();
        child.join().unwrap();
    });
}

#[test]
fn fiber_handle_is_woken_once() {
    model(4, || {
        fn wake(fiber: NonNull<()>) {
            // SAFETY: points to the leaked `Data` below.
            let woken = unsafe { fiber.cast::<Data>().as_ref() };
            woken.add_one();
        }
        let woken = Shared::new(Data::new());
        let list = Arc::new(CompletionList::new());
        let completer = {
            let list = Arc::clone(&list);
            thread::spawn(move || list.complete().wake_all())
        };
        // SAFETY: `wake` may be called from anywhere; the data is leaked.
        let waiter = Waiter::fiber(unsafe { FiberHandle::new(woken.0.cast(), wake) });
        // SAFETY: the waiter stays here until it is notified.
        let registration = unsafe { list.register(&waiter) };
        let registered = registration == Registration::Registered;
        completer.join().unwrap();
        assert_eq!(waiter.is_notified(), registered);
        assert_eq!(woken.get().read(), usize::from(registered));
        waiter.retire();
    });
}

#[test]
fn a_signal_is_taken_once() {
    model(3, || {
        let signal = Arc::new(SignalList::new());
        let setter = {
            let signal = Arc::clone(&signal);
            thread::spawn(move || signal.set().into_iter().for_each(|handle| handle.wake()))
        };
        signal.wait_thread();
        assert!(!signal.try_take(), "the waiter took it");
        setter.join().unwrap();
        assert!(!signal.try_take(), "the waiter took it");
    });
}

#[test]
fn two_signals_wake_two_waiters() {
    model(3, || {
        let signal = Arc::new(SignalList::new());
        let set = |signal: Arc<SignalList>| {
            thread::spawn(move || signal.set().into_iter().for_each(|handle| handle.wake()))
        };
        let waiter = Waiter::current_thread();
        // SAFETY: the waiter stays in this frame until it is notified, below.
        let registration = unsafe { signal.register(&waiter) };
        assert_eq!(registration, Registration::Registered);
        let setters = [set(Arc::clone(&signal)), set(Arc::clone(&signal))];
        // Finds the flag of the second setter, or is woken by it.
        signal.wait_thread();
        waiter.park_until_notified();
        setters.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!signal.try_take(), "each signal went to a waiter");
        waiter.retire();
    });
}

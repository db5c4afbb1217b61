use std::cell::Cell;
use std::future::{pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use fiber_sync::block_on;
use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, Primitive, install};

use crate::common::{BLOCKED, as_fiber, as_thread_and_fiber};

/// Pending the first `times` times, each of which `on_poll` gets the waker of.
fn pending_for(times: usize, on_poll: impl Fn(&Waker)) -> impl Future<Output = usize> {
    let mut polls = 0;
    poll_fn(move |context| {
        polls += 1;
        if polls > times {
            return Poll::Ready(polls);
        }
        on_poll(context.waker());
        Poll::Pending
    })
}

#[test]
fn a_future_that_is_ready_is_not_waited_for() {
    as_fiber(|| {
        assert_eq!(block_on(ready(7)), 7);
        assert_eq!(BLOCKED.get(), 0);
    });
}

#[test]
fn a_wake_during_the_poll_is_not_lost() {
    as_thread_and_fiber(|| {
        assert_eq!(block_on(pending_for(3, Waker::wake_by_ref)), 4);
        assert_eq!(BLOCKED.get(), 0);
    });
}

#[test]
fn a_wake_from_elsewhere_ends_the_wait() {
    as_thread_and_fiber(|| {
        let (sender, wakers) = mpsc::channel::<Waker>();
        thread::scope(|s| {
            s.spawn(move || wakers.into_iter().for_each(Waker::wake));
            let output = block_on(pending_for(100, |waker| sender.send(waker.clone()).unwrap()));
            assert_eq!(output, 101);
            drop(sender);
        });
    });
}

thread_local! {
    static WAKER: Cell<Option<Waker>> = const { Cell::new(None) };
}

/// Calls the waker when the future's thread waits for it, and not before.
struct WakesWhoWaits;

// SAFETY: returns what `park_thread` returns.
unsafe impl Blocker for WakesWhoWaits {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        assert_eq!(wait.what(), Primitive::BlockOn);
        WAKER.take().expect("one wait").wake();
        wait.park_thread()
    }
}

#[test]
fn a_storm_of_wakes_costs_one_poll() {
    let _installed = install(&WakesWhoWaits);
    let polls = Cell::new(0);
    let storm = pending_for(2, |waker| {
        polls.set(polls.get() + 1);
        match polls.get() {
            1 => (0..100).for_each(|_| waker.wake_by_ref()),
            _ => WAKER.set(Some(waker.clone())),
        }
    });
    assert_eq!(block_on(storm), 3);
    assert!(WAKER.take().is_none(), "it has not waited between the second poll and the third");
}

/// Lets a future wait for what somebody else does when it is their turn.
#[test]
fn a_future_that_wakes_itself_lets_others_go_first() {
    thread_local! {
        static YIELDS: Cell<usize> = const { Cell::new(0) };
    }
    struct Yields;
    // SAFETY: returns what `park_thread` returns.
    unsafe impl Blocker for Yields {
        fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
            wait.park_thread()
        }

        fn yield_now(&self) {
            YIELDS.set(YIELDS.get() + 1);
        }
    }
    let _installed = install(&Yields);
    block_on(poll_fn(|context| {
        context.waker().wake_by_ref();
        if YIELDS.get() == 3 { Poll::Ready(()) } else { Poll::Pending }
    }));
}

#[test]
fn calls_may_be_nested() {
    as_thread_and_fiber(|| {
        let outer = pending_for(2, |waker| {
            let inner = pending_for(3, |inner| {
                waker.wake_by_ref(); // not the inner one's
                inner.wake_by_ref();
            });
            assert_eq!(block_on(inner), 4);
        });
        assert_eq!(block_on(outer), 3);
    });
}

#[test]
fn a_waker_may_be_called_when_its_future_has_ended() {
    as_thread_and_fiber(|| {
        let late = Mutex::new(None);
        let first = pending_for(1, |waker| {
            waker.wake_by_ref();
            *late.lock().unwrap() = Some(waker.clone());
        });
        assert_eq!(block_on(first), 2);
        let late = late.into_inner().unwrap().unwrap();
        let polls = Cell::new(0);
        // It wakes nobody else: the next future has another signal.
        let next = pending_for(1, |waker| {
            polls.set(polls.get() + 1);
            late.wake_by_ref();
            assert!(!late.will_wake(waker));
            waker.wake_by_ref();
        });
        assert_eq!((block_on(next), polls.get()), (2, 1));
        late.wake();
    });
}

#[test]
fn a_wake_that_comes_late_does_not_count_for_the_next_future() {
    let _installed = install(&WakesWhoWaits);
    block_on(poll_fn(|context| {
        context.waker().wake_by_ref();
        Poll::Ready(())
    }));
    let next = pending_for(1, |waker| WAKER.set(Some(waker.clone())));
    assert_eq!(block_on(next), 2);
    assert!(WAKER.take().is_none(), "it has waited");
}

#[test]
fn a_panic_of_the_future_comes_out_and_leaves_nothing_behind() {
    as_thread_and_fiber(|| {
        let panics = poll_fn(|context| -> Poll<()> {
            context.waker().wake_by_ref();
            panic!("poll")
        });
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(panics))).is_err());
        assert_eq!(block_on(pending_for(1, Waker::wake_by_ref)), 2);
    });
}

#[test]
fn wakers_may_outlive_the_thread() {
    let waker = thread::spawn(|| {
        let kept = Mutex::new(None);
        let future = pending_for(1, |waker| {
            *kept.lock().unwrap() = Some(waker.clone());
            waker.wake_by_ref();
        });
        block_on(future);
        kept.into_inner().unwrap().unwrap()
    });
    waker.join().unwrap().wake();
}

/// A thread-local that is destroyed may still wait.
#[test]
fn a_destructor_at_the_threads_end_may_wait() {
    struct Waits(mpsc::Sender<usize>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.send(block_on(pending_for(1, Waker::wake_by_ref))).unwrap();
        }
    }
    thread_local! {
        static WAITS: Cell<Option<Waits>> = const { Cell::new(None) };
    }
    let (sender, outputs) = mpsc::channel();
    // Registered before, and so destroyed after the spare signals.
    thread::spawn(move || {
        WAITS.set(Some(Waits(sender)));
        block_on(ready(()));
    });
    assert_eq!(outputs.recv(), Ok(2));
}

#[test]
fn a_future_that_is_not_ready_is_dropped_if_the_caller_may_not_wait() {
    struct Refuses;
    // SAFETY: registers nothing.
    unsafe impl Blocker for Refuses {
        fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
            assert_eq!(wait.site().file(), file!(), "the site is the caller's");
            panic!("no fiber for {wait:?}");
        }
    }
    let _installed = install(&Refuses);
    assert!(catch_unwind(|| block_on(pending::<()>())).is_err());
}

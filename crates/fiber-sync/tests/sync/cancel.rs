use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, install};
use fiber_sync::{Barrier, CancelToken, Cancelled, Mutex, Semaphore};

use crate::common::{Task, as_thread_and_fiber, block_on};

const SOON: Duration = Duration::from_millis(5);
const FAR: Duration = Duration::from_secs(3600);

#[test]
fn all_clones_and_descendants_are_cancelled_and_no_ancestor() {
    let root = CancelToken::new();
    let token = root.child();
    let (child, grandchild) = (token.child(), token.child().child());
    token.clone().cancel();
    token.cancel();
    let late = token.child().child();
    assert!([&token, &child, &grandchild, &late].map(CancelToken::is_cancelled) == [true; 4]);
    assert!(!root.is_cancelled() && !root.child().is_cancelled());
}

#[test]
fn a_child_is_reached_when_the_tokens_between_are_gone() {
    let root = CancelToken::new();
    let descendant = root.child().child();
    root.cancel();
    assert!(descendant.is_cancelled());
}

#[test]
fn many_descendants_take_no_stack_and_many_short_lived_children_no_memory() {
    let root = CancelToken::new();
    let last = (0..100_000).fold(root.child(), |token, _| token.child());
    for _ in 0..100_000 {
        drop(root.child());
    }
    root.cancel();
    assert!(last.is_cancelled());
    drop((root, last));
}

#[test]
fn waits_end_when_the_token_is_cancelled() {
    as_thread_and_fiber(|| {
        let token = CancelToken::new();
        assert!(!token.wait_timeout(Duration::ZERO));
        assert!(!token.wait_deadline(Instant::now()));
        thread::scope(|s| {
            let (child, waits) = (token.child(), Arc::new(Barrier::new(2)));
            let is_waiting = Arc::clone(&waits);
            s.spawn(move || {
                let mut task = Task::waiting(child.cancelled());
                is_waiting.wait();
                child.wait();
                assert_eq!((task.wake_count(), task.poll()), (1, Some(())));
            });
            waits.wait();
            token.cancel();
            token.wait();
        });
        assert!(token.wait_timeout(Duration::ZERO));
        assert!(Task::new(token.cancelled()).poll().is_some());
    });
}

#[test]
fn a_result_that_is_there_wins_and_a_token_that_is_cancelled_before_forbids_the_first_poll() {
    as_thread_and_fiber(|| {
        let token = CancelToken::new();
        assert_eq!(token.run(ready(1)), Ok(1));
        assert_eq!(token.run(async { token.cancel() }), Ok(()));
        assert_eq!(token.run(async { panic!("polled") }), Err(Cancelled));
    });
}

#[test]
fn a_wait_can_be_cancelled() {
    as_thread_and_fiber(|| {
        let (token, semaphore) = (CancelToken::new(), Semaphore::new(0));
        thread::scope(|s| {
            s.spawn(|| token.cancel());
            assert!(matches!(token.run(semaphore.acquire_async()), Err(Cancelled)));
        });
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire().is_ok(), "nobody is left in line");
    });
}

/// Calls `before_waiting` when the future waits for the first time.
struct Meanwhile<F>(F);

// SAFETY: returns what `park_thread` returns.
unsafe impl<F: Fn()> Blocker for Meanwhile<F> {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        (self.0)();
        wait.park_thread()
    }
}

fn run_meanwhile<R>(meanwhile: impl Fn() + 'static, f: impl FnOnce() -> R) -> R {
    let blocker: &'static _ = Box::leak(Box::new(Meanwhile(meanwhile)));
    let _installed = install(blocker);
    f()
}

/// Both come while the future waits: the order does not matter.
#[test]
fn where_grant_and_cancellation_meet_nothing_is_lost() {
    for grant_first in [true, false] {
        let (token, semaphore) = (CancelToken::new(), Arc::new(Semaphore::new(0)));
        let (canceller, granter) = (token.clone(), Arc::clone(&semaphore));
        let meet = move || {
            if grant_first {
                granter.add_permits(1);
            }
            canceller.cancel();
            if !grant_first {
                granter.add_permits(1);
            }
        };
        let permit = run_meanwhile(meet, || token.run(semaphore.acquire_async()));
        assert!(permit.is_ok_and(|permit| permit.is_ok()), "the grant wins");
        assert_eq!(semaphore.available_permits(), 1);
    }
}

/// Cancelled first, and granted when it is too late: the permit stays.
#[test]
fn a_grant_after_the_cancellation_goes_to_the_next() {
    let (token, mutex) = (CancelToken::new(), Mutex::new(()));
    let held = mutex.lock();
    let mut cancelled = Task::waiting(token.run_async(mutex.lock_async()));
    let mut next = Task::waiting(mutex.lock_async());
    token.cancel();
    assert!(matches!(cancelled.poll(), Some(Err(Cancelled))));
    drop(held);
    assert!(next.poll().is_some());
}

#[test]
fn a_task_that_was_granted_and_is_dropped_passes_the_grant_on() {
    let (token, semaphore) = (CancelToken::new(), Semaphore::new(0));
    let waiting = Task::waiting(token.run_async(semaphore.acquire_async()));
    token.cancel();
    semaphore.add_permits(1);
    drop(waiting);
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_deadline_ends_blocking_waits_and_is_seen_by_who_looks() {
    as_thread_and_fiber(|| {
        let parent = CancelToken::new();
        let token = parent.with_timeout(SOON);
        let (start, child) = (Instant::now(), token.child());
        assert_eq!(child.run(pending::<()>()), Err(Cancelled));
        assert!(start.elapsed() >= SOON && child.is_cancelled());
        token.wait();
        assert!(token.is_cancelled() && !parent.is_cancelled());
        let token = parent.with_deadline(Instant::now());
        assert!(token.is_cancelled() && block_on(token.run_async(ready(1))) == Err(Cancelled));
    });
}

#[test]
fn a_child_has_the_earlier_deadline() {
    let now = Instant::now();
    let token = CancelToken::new().with_deadline(now + FAR);
    assert_eq!(CancelToken::new().deadline(), None);
    assert_eq!(token.child().deadline(), Some(now + FAR));
    assert_eq!(token.with_deadline(now + 2 * FAR).deadline(), Some(now + FAR));
    assert_eq!(token.with_deadline(now + SOON).deadline(), Some(now + SOON));
    assert_eq!(token.with_timeout(Duration::MAX).deadline(), Some(now + FAR));
    assert!(!token.wait_timeout(SOON), "its own limit is far");
}

#[test]
fn a_future_that_wakes_itself_for_ever_is_cancelled_in_time() {
    as_thread_and_fiber(|| {
        let spins = std::future::poll_fn(|context| -> std::task::Poll<()> {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        });
        assert_eq!(CancelToken::new().with_timeout(SOON).run(spins), Err(Cancelled));
    });
}

#[test]
fn a_future_that_was_woken_before_the_deadline_is_polled_after_it() {
    as_thread_and_fiber(|| {
        let token = CancelToken::new().with_timeout(SOON);
        let deadline = token.deadline().unwrap();
        let mut is_woken = false;
        let future = std::future::poll_fn(|context| {
            if is_woken {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            is_woken = true;
            while Instant::now() < deadline {
                thread::yield_now();
            }
            std::task::Poll::Pending
        });
        assert_eq!(token.run(future), Ok(()));
    });
}

#[test]
fn a_waker_that_panics_keeps_no_descendant_from_being_cancelled() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic_any("waker");
        }
    }
    let (root, waker) = (CancelToken::new(), Waker::from(Arc::new(Panics)));
    let children = [root.child(), root.child()];
    let mut waits = [&root, &children[0], &children[1]].map(|token| Box::pin(token.cancelled()));
    for wait in &mut waits {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| root.cancel())).is_err());
    assert!(children.iter().all(CancelToken::is_cancelled) && root.is_cancelled());
}

/// Only the first panic comes out. The others are dropped, which may panic in turn.
#[test]
fn a_waker_whose_panic_cannot_be_dropped_keeps_no_descendant_from_being_cancelled() {
    struct Explosive;
    impl Drop for Explosive {
        fn drop(&mut self) {
            panic_any("payload");
        }
    }
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic_any(Explosive);
        }
    }
    let (root, waker) = (CancelToken::new(), Waker::from(Arc::new(Panics)));
    let children = [(); 4].map(|()| root.child());
    let mut waits = children.each_ref().map(|token| Box::pin(token.cancelled()));
    for wait in &mut waits {
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let payload = catch_unwind(AssertUnwindSafe(|| root.cancel())).unwrap_err();
    assert!(payload.is::<Explosive>(), "another panic came out");
    std::mem::forget(payload);
    assert!(children.iter().all(CancelToken::is_cancelled) && root.is_cancelled());
}

#[test]
fn who_sees_a_token_cancelled_sees_its_descendants_cancelled() {
    struct Looks(CancelToken, CancelToken);
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            let Looks(root, leaf) = &*self;
            root.cancel();
            assert!(root.is_cancelled() && leaf.is_cancelled());
        }
    }
    let root = CancelToken::new();
    let (one, other) = (root.child(), root.child());
    let leaves = [one.child(), other.child()];
    let looks = |leaf: &CancelToken| Waker::from(Arc::new(Looks(root.clone(), leaf.clone())));
    let mut waits: Vec<_> = [&root, &one, &other, &leaves[0], &leaves[1]]
        .into_iter()
        .flat_map(|token| leaves.each_ref().map(|leaf| (Box::pin(token.cancelled()), looks(leaf))))
        .collect();
    for (wait, waker) in &mut waits {
        assert!(wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    }
    root.cancel();
}

/// Either the child is in the list that is cancelled, or it is made cancelled.
#[test]
fn a_child_that_is_made_during_the_cancellation_is_cancelled() {
    for _ in 0..1000 {
        let token = CancelToken::new();
        let child = thread::scope(|s| {
            s.spawn(|| token.cancel());
            token.child().child()
        });
        assert!(child.is_cancelled());
    }
}

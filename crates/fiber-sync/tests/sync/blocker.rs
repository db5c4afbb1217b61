use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fiber_sync::blocker::{Blocker, BlockingWait, Outcome, Primitive, install};
use fiber_sync::{
    Barrier, Condvar, ManualResetEvent, Mutex, Semaphore, TimeoutError, Unfair, WaitGroup,
};

use crate::common::{BLOCKED, Fibers, LAST_WAIT, as_fiber};

#[test]
fn the_installed_blocker_carries_waits_out() {
    as_fiber(|| {
        let semaphore = Semaphore::new(0);
        assert!(semaphore.acquire_timeout(Duration::ZERO).is_err());
        assert_eq!((BLOCKED.get(), LAST_WAIT.get()), (1, Some(Primitive::Semaphore)));
    });
}

#[test]
fn who_need_not_wait_does_not_ask_the_blocker() {
    as_fiber(|| {
        let semaphore = Semaphore::new(1);
        drop(semaphore.acquire().unwrap());
        drop(semaphore.acquire_timeout(Duration::ZERO).unwrap());
        assert_eq!(BLOCKED.get(), 0);
    });
}

#[test]
fn a_blocker_is_installed_until_its_guard_is_dropped() {
    let semaphore = Semaphore::new(0);
    let wait = || semaphore.acquire_timeout(Duration::ZERO).unwrap_err();
    {
        let _installed = install(&Fibers);
        assert_eq!((wait(), BLOCKED.get()), (TimeoutError::TimedOut, 1));
        {
            let _parks = install(&Parks);
            assert_eq!((wait(), BLOCKED.get()), (TimeoutError::TimedOut, 1));
        }
        assert_eq!((wait(), BLOCKED.get()), (TimeoutError::TimedOut, 2));
    }
    assert_eq!((wait(), BLOCKED.get()), (TimeoutError::TimedOut, 2));
}

/// A runtime's thread that cannot suspend.
struct Parks;

// SAFETY: returns what `park_thread` returns.
unsafe impl Blocker for Parks {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        wait.park_thread()
    }
}

/// Has no fiber to suspend.
struct Refuses;

// SAFETY: registers nothing.
unsafe impl Blocker for Refuses {
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
        assert_eq!(wait.site().file(), file!(), "the site is the caller's");
        assert!(wait.deadline().is_none_or(|deadline| deadline > Instant::now()));
        panic!("no fiber for {wait:?}");
    }
}

#[test]
fn a_blocker_that_refuses_unwinds_the_caller() {
    let semaphore = Semaphore::new(1);
    let held = semaphore.acquire().unwrap();
    let _installed = install(&Refuses);
    let far = Duration::from_secs(3600);
    for wait in
        [&|| _ = semaphore.acquire(), &|| _ = semaphore.acquire_timeout(far)] as [&dyn Fn(); 2]
    {
        assert!(catch_unwind(AssertUnwindSafe(wait)).is_err());
    }
    drop(held);
    assert!(semaphore.acquire().is_ok());
}

#[test]
fn a_blocker_must_not_give_up_without_a_deadline() {
    struct GivesUp;
    // SAFETY: registers nothing; the outcome that it has not got is what is tested.
    unsafe impl Blocker for GivesUp {
        fn block(&self, _: &BlockingWait<'_>) -> Option<Outcome> {
            None
        }
    }
    let _installed = install(&GivesUp);
    let semaphore = Semaphore::new(0);
    assert!(catch_unwind(AssertUnwindSafe(|| _ = semaphore.acquire())).is_err());
}

/// Runs `meanwhile` between the beginning of the wait that `wait` makes, and its registration.
fn in_between(wait: impl FnOnce(), meanwhile: impl FnOnce() + 'static) {
    thread_local! {
        static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }
    struct InBetween;
    // SAFETY: returns what `park_thread` returns.
    unsafe impl Blocker for InBetween {
        fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
            if let Some(meanwhile) = MEANWHILE.take() {
                meanwhile();
            }
            wait.park_thread()
        }
    }
    MEANWHILE.set(Some(Box::new(meanwhile)));
    let _installed = install(&InBetween);
    wait();
    assert!(MEANWHILE.take().is_none(), "nobody has waited");
}

#[test]
fn what_happens_between_the_look_and_the_registration_is_not_missed() {
    const LIMIT: Duration = Duration::from_secs(10);
    fn check(wait: impl FnOnce(), meanwhile: impl FnOnce() + 'static) {
        let begin = Instant::now();
        in_between(wait, meanwhile);
        assert!(begin.elapsed() < LIMIT, "only the limit has ended the wait");
    }

    static EVENT: ManualResetEvent = ManualResetEvent::new(false);
    check(|| assert!(EVENT.wait_timeout(LIMIT)), || EVENT.set());
    static PULSED: ManualResetEvent = ManualResetEvent::new(false);
    let pulse = || {
        PULSED.set();
        PULSED.reset();
    };
    check(|| assert!(PULSED.wait_timeout(LIMIT)), pulse);

    static GROUP: WaitGroup = WaitGroup::new(2);
    check(|| assert!(GROUP.wait_at_most_timeout(1, LIMIT)), || GROUP.done());
    static BARRIER: Barrier = Barrier::new(2);
    check(
        || assert!(!BARRIER.wait_timeout(LIMIT).unwrap().is_leader()),
        || assert!(BARRIER.wait().is_leader()),
    );

    static PERMITS: Semaphore = Semaphore::new(0);
    check(|| PERMITS.acquire_timeout(LIMIT).unwrap().forget(), || PERMITS.add_permits(1));
    static UNFAIR: Semaphore<Unfair> = Semaphore::unfair(0);
    check(|| UNFAIR.acquire_timeout(LIMIT).unwrap().forget(), || UNFAIR.add_permits(1));
    check(|| UNFAIR.acquire_many_timeout(2, LIMIT).unwrap().forget(), || UNFAIR.add_permits(2));
}

#[test]
fn a_mutex_is_unlocked_after_the_registration() {
    static MUTEX: Mutex<()> = Mutex::new(());
    static CHANGED: Condvar = Condvar::new();
    let wait = || {
        let limit = Duration::from_millis(1);
        let (guard, result) = CHANGED.wait_timeout(MUTEX.lock(), limit);
        assert!(result.timed_out());
        drop(guard);
    };
    in_between(wait, || assert!(MUTEX.try_lock().is_none()));
    assert!(MUTEX.try_lock().is_some());
}

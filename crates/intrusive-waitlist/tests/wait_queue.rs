//! The wait queue on one thread, and a few threads: what each operation does, and what it refuses.
#![cfg(all(not(loom), feature = "std"))]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use intrusive_waitlist::wait_queue::{Outcome, Registration, Wait, Waiter};
use intrusive_waitlist::{FiberHandle, WaitQueue};

const GRANTED: Option<Outcome> = Some(Outcome::Granted);
const WOKEN: Option<Outcome> = Some(Outcome::Woken);
const CLOSED: Option<Outcome> = Some(Outcome::Closed);

thread_local! {
    /// The fibers that were made ready on this thread, by number.
    static READY: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

fn take_ready() -> Vec<usize> {
    READY.take()
}

/// A waiter of a fiber with a number.
fn fiber(number: usize) -> Waiter {
    fn wake(fiber: NonNull<()>) {
        READY.with_borrow_mut(|ready| ready.push(fiber.addr().get() - 1));
    }
    let number = NonNull::new(std::ptr::without_provenance_mut(number + 1)).unwrap();
    // SAFETY: `wake` only looks at the address.
    Waiter::fiber(unsafe { FiberHandle::new(number, wake) })
}

fn register(queue: &WaitQueue, waiter: &Waiter, permits: usize) -> Registration {
    // SAFETY: the tests keep their waiters until they are out of the queue.
    unsafe { queue.register(waiter, permits) }
}

fn cancel(queue: &WaitQueue, waiter: &Waiter) -> Option<Outcome> {
    // SAFETY: the tests cancel what they have registered, once.
    unsafe { queue.cancel(waiter) }
}

/// Puts a number of fibers into the queue, which want one permit each.
fn registered(queue: &WaitQueue, count: usize) -> Vec<Waiter> {
    let waiters: Vec<_> = (0..count).map(fiber).collect();
    for waiter in &waiters {
        assert_eq!(register(queue, waiter, 1), Registration::Registered);
    }
    waiters
}

/// A waker that runs a function.
struct Call<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Call<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn calling(f: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Call(f)))
}

/// A waker that counts.
fn counting() -> (Waker, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    (calling(move || _ = counted.fetch_add(1, Relaxed)), count)
}

fn poll(future: Pin<&mut Wait<'_>>, waker: &Waker) -> Poll<Outcome> {
    future.poll(&mut Context::from_waker(waker))
}

fn poll_idly(future: Pin<&mut Wait<'_>>) -> Poll<Outcome> {
    poll(future, Waker::noop())
}

fn panics(f: impl FnOnce()) -> bool {
    panic::catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn queue_and_waiter_are_compact() {
    assert!(size_of::<WaitQueue>() <= 5 * size_of::<usize>());
    assert!(size_of::<Waiter>() <= 64);
    fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<WaitQueue>();
    crosses_threads::<Waiter>();
    crosses_threads::<Wait<'_>>();
    static QUEUE: WaitQueue = WaitQueue::new(1);
    assert_eq!(QUEUE.try_acquire(1), GRANTED);
}

#[test]
fn a_large_wait_is_not_overtaken_by_small_ones() {
    let queue = WaitQueue::new(1);
    let (large, small) = (fiber(0), fiber(1));
    assert_eq!(register(&queue, &large, 3), Registration::Registered);
    assert_eq!(register(&queue, &small, 1), Registration::Registered);
    assert_eq!(queue.waiter_count(), 2);
    assert_eq!(queue.try_acquire(1), None);
    assert_eq!(queue.try_acquire(0), None);
    queue.release(1);
    assert_eq!((large.outcome(), small.outcome()), (None, None));
    queue.release(1);
    assert_eq!((large.outcome(), small.outcome()), (GRANTED, None));
    queue.release(2);
    assert_eq!((small.outcome(), queue.available_permits()), (GRANTED, 1));
    assert_eq!(take_ready(), [0, 1]);
}

#[test]
fn a_release_serves_more_than_a_batch_in_order() {
    let queue = WaitQueue::new(0);
    let waiters = registered(&queue, 100);
    queue.release(101);
    assert!(waiters.iter().all(|waiter| waiter.outcome() == GRANTED));
    assert_eq!(take_ready(), (0..100).collect::<Vec<_>>());
    assert_eq!(queue.available_permits(), 1);
}

/// What a queue does, as simply as it can be said.
#[derive(Default)]
struct Oracle {
    permits: usize,
    is_closed: bool,
    /// Number and permits; `None`: waits for a wake.
    waiting: VecDeque<(usize, Option<usize>)>,
    over: Vec<(usize, Outcome)>,
}

impl Oracle {
    fn register(&mut self, number: usize, permits: Option<usize>) -> Registration {
        if self.is_closed {
            return Registration::Ready(Outcome::Closed);
        }
        if self.waiting.is_empty() && permits.is_some_and(|permits| permits <= self.permits) {
            self.permits -= permits.unwrap();
            return Registration::Ready(Outcome::Granted);
        }
        self.waiting.push_back((number, permits));
        Registration::Registered
    }

    fn settle(&mut self) {
        while let Some(&(number, permits)) = self.waiting.front() {
            match permits {
                Some(permits) if permits <= self.permits => {
                    self.permits -= permits;
                    self.over.push((number, Outcome::Granted));
                }
                _ if self.is_closed => self.over.push((number, Outcome::Closed)),
                _ => return,
            }
            self.waiting.pop_front();
        }
    }

    fn wake(&mut self, count: usize) -> usize {
        let count = count.min(self.waiting.len());
        self.over.extend(self.waiting.drain(..count).map(|(number, _)| (number, Outcome::Woken)));
        count
    }

    fn cancel(&mut self, number: usize) -> Option<Outcome> {
        self.waiting.retain(|(other, _)| *other != number);
        let outcome = self.over.iter().find(|(other, _)| *other == number);
        outcome.map(|(_, outcome)| *outcome)
    }
}

#[test]
fn random_operations_do_what_the_oracle_says() {
    for seed in 0..300 {
        let (queue, mut oracle, mut random) =
            (WaitQueue::new(0), Oracle::default(), Rng::with_seed(seed));
        let mut waiters: Vec<Box<Waiter>> = Vec::new();
        let mut in_queue: Vec<usize> = Vec::new();
        for step in 0..400 {
            let number = waiters.len();
            match random.usize(..100) {
                0..60 => {
                    let permits = Some(random.usize(..4)).filter(|_| step % 5 != 0);
                    waiters.push(Box::new(fiber(number)));
                    let found = match permits {
                        Some(permits) => register(&queue, &waiters[number], permits),
                        // SAFETY: as in `register`.
                        None => unsafe { queue.register_wait(&waiters[number]) },
                    };
                    assert_eq!(found, oracle.register(number, permits), "seed {seed}");
                    if found == Registration::Registered {
                        in_queue.push(number);
                    }
                }
                60..75 => {
                    let permits = random.usize(..8) * random.usize(..8);
                    queue.release(permits);
                    oracle.permits += permits;
                }
                75..88 if !in_queue.is_empty() => {
                    let place = random.usize(..in_queue.len());
                    let number = in_queue.swap_remove(place);
                    assert_eq!(cancel(&queue, &waiters[number]), oracle.cancel(number));
                }
                88..93 => {
                    let count = random.usize(..4);
                    assert_eq!(queue.wake(count), oracle.wake(count), "seed {seed}");
                }
                93..95 => {
                    assert_eq!(queue.wake_all(), oracle.wake(usize::MAX), "seed {seed}");
                }
                95..99 => {
                    queue.notify_one();
                    if oracle.wake(1) == 0 {
                        oracle.permits = oracle.permits.max(1);
                    }
                }
                99 if step > 300 => {
                    assert_eq!(queue.close(), !oracle.is_closed);
                    oracle.is_closed = true;
                }
                _ => (),
            }
            oracle.settle();
            assert_eq!(queue.waiter_count(), oracle.waiting.len(), "seed {seed}, step {step}");
            let available = if oracle.waiting.is_empty() { oracle.permits } else { 0 };
            assert_eq!(queue.available_permits(), available, "seed {seed}, step {step}");
            let numbers: Vec<_> = oracle.over.iter().map(|(number, _)| *number).collect();
            READY.with_borrow(|ready| assert_eq!(*ready, numbers, "seed {seed}, step {step}"));
        }
        for (number, outcome) in &oracle.over {
            assert_eq!(waiters[*number].outcome(), Some(*outcome), "seed {seed}");
        }
        queue.close();
        take_ready();
    }
}

#[test]
fn a_timeout_in_vain_leaves_no_trace() {
    let queue = WaitQueue::new(1);
    let (start, timeout) = (Instant::now(), Duration::from_millis(5));
    assert_eq!(queue.acquire_thread_timeout(2, timeout), None);
    assert_eq!(queue.wait_thread_timeout(timeout), None);
    assert!(start.elapsed() >= 2 * timeout);
    assert_eq!(queue.acquire_thread_timeout(2, Duration::ZERO), None);
    assert_eq!((queue.waiter_count(), queue.available_permits()), (0, 1));
    assert_eq!(queue.acquire_thread_timeout(1, Duration::ZERO), GRANTED);
}

/// A timeout of nothing gives up as soon as it has registered.
#[test]
fn a_timeout_in_the_instant_of_the_grant_loses_no_permit() {
    let (queue, is_over) = (WaitQueue::new(0), AtomicBool::new(false));
    let (granted, released) = thread::scope(|s| {
        let waiter = s.spawn(|| {
            let attempts = 0..200_000;
            let outcomes = attempts.map(|_| queue.acquire_thread_timeout(1, Duration::ZERO));
            let granted = outcomes.filter(|outcome| *outcome == GRANTED).count();
            is_over.store(true, Relaxed);
            granted
        });
        let mut released = 0;
        while !is_over.load(Relaxed) {
            if queue.available_permits() == 0 {
                queue.release(1);
                released += 1;
            }
        }
        (waiter.join().unwrap(), released)
    });
    assert_eq!(granted + queue.available_permits(), released);
}

#[test]
fn an_endless_timeout_is_none() {
    let queue = WaitQueue::new(0);
    thread::scope(|s| {
        let waiter = s.spawn(|| queue.wait_thread_timeout(Duration::MAX));
        while queue.wake_all() == 0 {
            thread::yield_now();
        }
        assert_eq!(waiter.join().unwrap(), WOKEN);
    });
}

#[test]
fn a_head_that_gives_up_lets_its_followers_go() {
    let queue = WaitQueue::new(0);
    let head = fiber(100);
    assert_eq!(register(&queue, &head, 50), Registration::Registered);
    let waiters = registered(&queue, 40);
    queue.release(39);
    assert_eq!(cancel(&queue, &head), None);
    assert_eq!(take_ready(), (0..39).collect::<Vec<_>>());
    assert_eq!(cancel(&queue, &waiters[39]), None);
    assert_eq!(queue.available_permits(), 0);
}

#[test]
fn a_waker_is_replaced_when_the_task_is_polled_again() {
    let queue = WaitQueue::new(0);
    let mut wait = pin!(queue.acquire(1));
    let ((first, first_count), (second, second_count)) = (counting(), counting());
    for waker in [&first, &first, &second, &second] {
        assert!(poll(wait.as_mut(), waker).is_pending());
    }
    queue.release(1);
    assert_eq!((first_count.load(Relaxed), second_count.load(Relaxed)), (0, 1));
    assert_eq!(poll(wait.as_mut(), &first), Poll::Ready(Outcome::Granted));
}

/// However the wait ends, nobody keeps the waker, and nobody drops it twice.
#[test]
fn each_clone_of_a_waker_is_dropped_once() {
    type End = fn(&WaitQueue, &mut Option<Pin<Box<Wait<'_>>>>);
    let ends: [End; 5] = [
        |queue, _| queue.release(1),
        |queue, _| assert!(queue.close()),
        |_, wait| drop(wait.take()),
        |_, wait| assert!(poll_idly(wait.as_mut().unwrap().as_mut()).is_pending()),
        |queue, wait| {
            queue.release(1);
            drop(wait.take());
        },
    ];
    // Alone, and in line.
    for (end, ahead) in ends.into_iter().flat_map(|end| [(end, 0), (end, 1)]) {
        let (queue, task) = (WaitQueue::new(0), Arc::new(Call(|| ())));
        // So that a second drop would be counted, and not free it.
        let _spare = Arc::clone(&task);
        let _ahead = registered(&queue, ahead);
        let mut wait = Some(Box::pin(queue.acquire(1)));
        let waker = Waker::from(Arc::clone(&task));
        assert!(poll(wait.as_mut().unwrap().as_mut(), &waker).is_pending());
        queue.release(ahead);
        end(&queue, &mut wait);
        drop(wait);
        drop(waker);
        assert_eq!(Arc::strong_count(&task), 2);
    }
}

#[test]
fn a_future_that_is_dropped_gives_back_what_it_was_given() {
    type Give = fn(&WaitQueue);
    let forwarded: [(Give, Option<Outcome>); 4] = [
        (|queue| queue.release(1), GRANTED),
        (|queue| assert_eq!(queue.wake(1), 1), WOKEN),
        (WaitQueue::notify_one, WOKEN),
        (|queue| assert!(queue.close()), CLOSED),
    ];
    for (give, outcome) in forwarded {
        let queue = WaitQueue::new(0);
        let mut wait = Box::pin(queue.acquire(1));
        assert!(poll_idly(wait.as_mut()).is_pending());
        let next = fiber(0);
        assert_eq!(register(&queue, &next, 1), Registration::Registered);
        give(&queue);
        // Closing ends both waits by itself.
        assert_eq!(next.outcome(), outcome.filter(|outcome| *outcome == Outcome::Closed));
        drop(wait);
        assert_eq!(next.outcome(), outcome);
        assert_eq!(queue.available_permits(), 0);
    }
}

#[test]
fn a_notification_that_nobody_takes_up_is_stored_once() {
    let queue = WaitQueue::new(0);
    let mut waits = [Box::pin(queue.acquire(1)), Box::pin(queue.acquire(1))];
    for wait in &mut waits {
        assert!(poll_idly(wait.as_mut()).is_pending());
    }
    queue.notify_one();
    queue.notify_one();
    drop(waits);
    assert_eq!(queue.available_permits(), 1);
}

#[test]
fn a_wake_of_all_is_not_handed_on() {
    let queue = WaitQueue::new(0);
    let mut wait = Box::pin(queue.wait());
    assert!(poll_idly(wait.as_mut()).is_pending());
    assert_eq!(queue.wake_all(), 1);
    let next = fiber(0);
    // SAFETY: cancelled below.
    assert_eq!(unsafe { queue.register_wait(&next) }, Registration::Registered);
    drop(wait);
    assert_eq!(cancel(&queue, &next), None);
    assert_eq!((queue.wake(1), queue.wake_all()), (0, 0));
}

#[test]
fn an_enabled_wait_keeps_its_place() {
    let queue = WaitQueue::new(0);
    let mut wait = pin!(queue.wait());
    assert!(!wait.as_mut().enable(Waker::noop()));
    assert!(!wait.as_mut().enable(Waker::noop()));
    assert_eq!(queue.wake_all(), 1);
    assert!(wait.as_mut().enable(Waker::noop()));
    assert_eq!(poll_idly(wait.as_mut()), Poll::Ready(Outcome::Woken));

    let mut granted = Box::pin(WaitQueue::acquire(&queue, 1));
    queue.release(1);
    assert!(granted.as_mut().enable(Waker::noop()));
    assert_eq!(queue.available_permits(), 0);
    drop(granted);
    assert_eq!(queue.available_permits(), 1);
}

#[test]
fn a_closed_queue_refuses_but_counts() {
    let queue = WaitQueue::new(0);
    let waiters = registered(&queue, 40);
    let mut wait = pin!(queue.acquire(1));
    assert!(poll_idly(wait.as_mut()).is_pending());
    assert!(queue.close());
    assert!(!queue.close());
    assert!(queue.is_closed());
    assert!(waiters.iter().all(|waiter| waiter.outcome() == CLOSED));
    assert_eq!(poll_idly(wait.as_mut()), Poll::Ready(Outcome::Closed));
    queue.release(2);
    assert_eq!(queue.available_permits(), 2);
    assert_eq!(queue.try_acquire(1), CLOSED);
    assert_eq!(queue.acquire_thread(1), Outcome::Closed);
    assert_eq!(queue.wait_thread_timeout(Duration::MAX), CLOSED);
    assert_eq!(poll_idly(pin!(queue.acquire(1))), Poll::Ready(Outcome::Closed));
}

/// Each waker waits again at once, in the middle of the wake: 40 waiters are three batches.
#[test]
fn wake_all_does_not_wake_those_who_wait_again() {
    static QUEUE: WaitQueue = WaitQueue::new(0);
    static AGAIN: Mutex<Vec<Pin<Box<Wait<'_>>>>> = Mutex::new(Vec::new());
    let again = calling(|| {
        let mut wait = Box::pin(QUEUE.wait());
        assert!(poll_idly(wait.as_mut()).is_pending());
        AGAIN.lock().unwrap().push(wait);
    });
    let mut waits: Vec<_> = (0..40).map(|_| Box::pin(QUEUE.wait())).collect();
    for wait in &mut waits {
        assert!(poll(wait.as_mut(), &again).is_pending());
    }
    assert_eq!(QUEUE.wake_all(), 40);
    assert_eq!(QUEUE.waiter_count(), 40);
    for wait in AGAIN.lock().unwrap().iter_mut() {
        assert!(poll_idly(wait.as_mut()).is_pending());
    }
    AGAIN.lock().unwrap().clear();
    assert_eq!(QUEUE.waiter_count(), 0);
}

#[test]
fn a_waker_may_drop_and_release_and_wait() {
    static QUEUE: WaitQueue = WaitQueue::new(0);
    let second = Arc::new(Mutex::new(Some(Box::pin(QUEUE.acquire(1)))));
    let drop_second = {
        let second = Arc::clone(&second);
        calling(move || {
            let taken = second.lock().unwrap().take();
            drop(taken);
            QUEUE.release(1);
            assert!(QUEUE.waiter_count() <= 1);
        })
    };
    let mut first = pin!(QUEUE.acquire(1));
    assert!(poll(first.as_mut(), &drop_second).is_pending());
    assert!(poll_idly(second.lock().unwrap().as_mut().unwrap().as_mut()).is_pending());
    let third = fiber(0);
    assert_eq!(register(&QUEUE, &third, 3), Registration::Registered);
    QUEUE.release(2);
    assert_eq!(third.outcome(), None, "the second's permit came back, and one more");
    QUEUE.release(1);
    assert_eq!(third.outcome(), GRANTED);
    assert_eq!(poll_idly(first.as_mut()), Poll::Ready(Outcome::Granted));
}

/// Who gives up waits for the claim, so it has ended before the waker of another runs.
#[test]
fn a_waker_may_drop_a_wait_that_was_claimed() {
    static QUEUE: WaitQueue = WaitQueue::new(0);
    let claimed = Arc::new(Mutex::new(Some(Box::pin(QUEUE.acquire(1)))));
    assert!(poll_idly(claimed.lock().unwrap().as_mut().unwrap().as_mut()).is_pending());
    let claim = QUEUE.claim().expect("it waits alone");
    let drop_claimed = {
        let claimed = Arc::clone(&claimed);
        calling(move || {
            let taken = claimed.lock().unwrap().take();
            drop(taken);
        })
    };
    let mut other = pin!(QUEUE.acquire(1));
    assert!(poll(other.as_mut(), &drop_claimed).is_pending());
    claim.close(&QUEUE);
    assert!(claimed.lock().unwrap().is_none() && QUEUE.is_closed());
    assert_eq!(poll_idly(other.as_mut()), Poll::Ready(Outcome::Closed));
}

#[test]
fn a_claim_that_is_dropped_grants_the_permit() {
    let queue = WaitQueue::new(0);
    let waiter = fiber(0);
    assert_eq!(register(&queue, &waiter, 1), Registration::Registered);
    drop(queue.claim());
    assert_eq!((waiter.outcome(), take_ready()), (GRANTED, vec![0]));
    assert_eq!(queue.available_permits(), 0);
}

/// 40 wakers in three batches, of which two panic.
#[test]
fn wakers_that_panic_keep_nobody_asleep() {
    let queue = WaitQueue::new(0);
    let (counting, count) = counting();
    let panicking = calling(|| panic!("the waker's panic"));
    let mut waits: Vec<_> = (0..40).map(|_| Box::pin(queue.acquire(1))).collect();
    for (index, wait) in waits.iter_mut().enumerate() {
        let waker = if matches!(index, 3 | 20) { &panicking } else { &counting };
        assert!(poll(wait.as_mut(), waker).is_pending());
    }
    let payload = panic::catch_unwind(AssertUnwindSafe(|| queue.release(41))).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the waker's panic"));
    assert_eq!(count.load(Relaxed), 38);
    assert!(waits.iter_mut().all(|wait| poll_idly(wait.as_mut()).is_ready()));
    assert_eq!(queue.available_permits(), 1);
}

#[test]
fn who_gives_up_does_not_pay_for_panics_of_others() {
    let queue = WaitQueue::new(1);
    let head = fiber(0);
    assert_eq!(register(&queue, &head, 2), Registration::Registered);
    let mut follower = pin!(queue.acquire(1));
    let panicking = calling(|| panic!("the waker's panic"));
    assert!(poll(follower.as_mut(), &panicking).is_pending());
    assert_eq!(cancel(&queue, &head), None);
    assert_eq!(poll_idly(follower.as_mut()), Poll::Ready(Outcome::Granted));
}

#[test]
fn a_waker_that_panics_while_its_waker_unwinds_is_survived() {
    struct ReleaseOnDrop<'a>(&'a WaitQueue);
    impl Drop for ReleaseOnDrop<'_> {
        fn drop(&mut self) {
            self.0.release(1);
        }
    }
    let queue = WaitQueue::new(0);
    let mut wait = pin!(queue.acquire(1));
    let panicking = calling(|| panic!("the waker's panic"));
    assert!(poll(wait.as_mut(), &panicking).is_pending());
    let unwind = || {
        let _release = ReleaseOnDrop(&queue);
        panic!("the releaser's panic");
    };
    let payload = panic::catch_unwind(AssertUnwindSafe(unwind)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the releaser's panic"));
    assert_eq!(poll_idly(wait.as_mut()), Poll::Ready(Outcome::Granted));
}

/// A waker whose parts panic as its data says.
fn touchy(data: &'static Touchy) -> Waker {
    fn data_of(data: *const ()) -> &'static Touchy {
        // SAFETY: made from such a reference, below.
        unsafe { &*data.cast::<Touchy>() }
    }
    fn clone(data: *const ()) -> RawWaker {
        assert!(!data_of(data).clone_panics, "the clone's panic");
        RawWaker::new(data, &VTABLE)
    }
    fn wake(_: *const ()) {}
    fn drop(data: *const ()) {
        assert!(!data_of(data).drop_panics || thread::panicking(), "the destructor's panic");
    }
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop);
    let raw = RawWaker::new(std::ptr::from_ref(data).cast(), &VTABLE);
    // SAFETY: the functions agree on the data, which may be used from any thread.
    unsafe { Waker::from_raw(raw) }
}

struct Touchy {
    clone_panics: bool,
    drop_panics: bool,
}

#[test]
fn wakers_that_panic_when_they_are_cloned_or_dropped_do_no_harm() {
    static CLONE: Touchy = Touchy { clone_panics: true, drop_panics: false };
    static DROP: Touchy = Touchy { clone_panics: false, drop_panics: true };
    let queue = WaitQueue::new(0);
    let mut wait = Box::pin(queue.acquire(1));
    let (clone, drop_) = (touchy(&CLONE), std::mem::ManuallyDrop::new(touchy(&DROP)));
    // First poll; then a new waker; then the same, whose destructor panics when it is replaced.
    assert!(panics(|| _ = poll(wait.as_mut(), &clone)));
    assert!(poll_idly(wait.as_mut()).is_pending());
    assert!(panics(|| _ = poll(wait.as_mut(), &clone)));
    assert!(poll(wait.as_mut(), &drop_).is_pending());
    assert!(panics(|| _ = poll_idly(wait.as_mut())));
    assert_eq!(queue.waiter_count(), 1);
    queue.release(1);
    assert_eq!(poll_idly(wait.as_mut()), Poll::Ready(Outcome::Granted));
    drop(wait);
    assert_eq!(queue.available_permits(), 0);
}

#[test]
fn misuse_panics_and_changes_nothing() {
    let queue = WaitQueue::new(WaitQueue::MAX_PERMITS);
    assert!(panics(|| queue.release(1)));
    assert!(panics(|| queue.release(usize::MAX)));
    assert!(panics(|| _ = queue.acquire_thread(WaitQueue::MAX_PERMITS + 1)));
    assert!(panics(|| drop(queue.acquire(usize::MAX))));
    assert!(panics(|| drop(WaitQueue::new(usize::MAX))));
    assert_eq!(queue.available_permits(), WaitQueue::MAX_PERMITS);
    let mut wait = pin!(queue.acquire(WaitQueue::MAX_PERMITS));
    assert!(poll_idly(wait.as_mut()).is_ready());
    assert!(panics(|| _ = poll_idly(wait.as_mut())));
    assert_eq!(queue.waiter_count(), 0);
}

#[test]
fn fibers_threads_and_tasks_wait_side_by_side_in_order() {
    let queue = WaitQueue::new(0);
    let fibers = registered(&queue, 1);
    thread::scope(|s| {
        let thread = s.spawn(|| queue.acquire_thread(1));
        while queue.waiter_count() < 2 {
            thread::yield_now();
        }
        let mut task = pin!(queue.acquire(1));
        assert!(poll_idly(task.as_mut()).is_pending());
        queue.release(1);
        assert_eq!((fibers[0].outcome(), queue.waiter_count()), (GRANTED, 2));
        queue.release(1);
        assert_eq!(thread.join().unwrap(), Outcome::Granted);
        assert!(poll_idly(task.as_mut()).is_pending());
        queue.release(1);
        assert!(poll_idly(task.as_mut()).is_ready());
    });
}

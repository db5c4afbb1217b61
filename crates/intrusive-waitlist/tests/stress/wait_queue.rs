//! The wait queue: threads, tasks and fibers in one queue, which give up at random.

use std::future::Future;
use std::pin::{Pin, pin};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use fastrand::Rng;
use intrusive_waitlist::wait_queue::{Outcome, Registration, Wait, Waiter};
use intrusive_waitlist::{FiberHandle, WaitQueue};
use test_support::seed;

/// ThreadSanitizer makes each operation many times as dear.
const fn scaled(count: u64) -> u64 {
    if cfg!(rustfiber_tsan) { count / 10 } else { count }
}

/// A hand-made waker: sets a flag, and unparks the thread that looks at it.
struct Flag {
    is_set: AtomicBool,
    thread: Thread,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        // The unpark orders what matters.
        self.is_set.store(true, Relaxed);
        self.thread.unpark();
    }
}

fn flag() -> Arc<Flag> {
    Arc::new(Flag { is_set: AtomicBool::new(true), thread: thread::current() })
}

fn poll(future: Pin<&mut Wait<'_>>, flag: &Arc<Flag>) -> Poll<Outcome> {
    future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(flag))))
}

/// Permits of which no more may be held than there are.
struct Bounded {
    queue: WaitQueue,
    held: AtomicUsize,
    total: usize,
}

impl Bounded {
    fn new(total: usize) -> Self {
        Bounded { queue: WaitQueue::new(total), held: AtomicUsize::new(0), total }
    }

    fn begin(&self, outcome: Outcome, permits: usize) {
        assert_eq!(outcome, Outcome::Granted);
        let held = self.held.fetch_add(permits, Relaxed) + permits;
        assert!(held <= self.total, "{held} permits of {} are held", self.total);
    }

    fn end(&self, permits: usize) {
        self.held.fetch_sub(permits, Relaxed);
        self.queue.release(permits);
    }

    fn hold(&self, outcome: Outcome, permits: usize, random: &mut Rng) {
        self.begin(outcome, permits);
        (0..random.u64(..50)).for_each(|_| std::hint::spin_loop());
        self.end(permits);
    }
}

/// Takes permits in one of the ways that there are for threads.
fn acquire_somehow(bounded: &Bounded, random: &mut Rng) {
    let permits = 1 + random.usize(..3);
    let queue = &bounded.queue;
    match random.u64(..6) {
        0 => bounded.hold(queue.acquire_thread(permits), permits, random),
        1 => {
            let timeout = Duration::from_micros(random.u64(..60));
            if let Some(outcome) = queue.acquire_thread_timeout(permits, timeout) {
                bounded.hold(outcome, permits, random);
            }
        }
        2 => {
            if let Some(outcome) = queue.try_acquire(permits) {
                bounded.hold(outcome, permits, random);
            }
        }
        3 => {
            let mut wait = pin!(queue.acquire(permits));
            let outcome = loop {
                // A new waker each time.
                if let Poll::Ready(outcome) = poll(wait.as_mut(), &flag()) {
                    break outcome;
                }
                thread::park();
            };
            bounded.hold(outcome, permits, random);
        }
        4 => {
            // Dropped after some polls, in vain or not.
            let mut wait = pin!(queue.acquire(permits));
            for _ in 0..random.u64(..4) {
                if let Poll::Ready(outcome) = poll(wait.as_mut(), &flag()) {
                    bounded.hold(outcome, permits, random);
                    break;
                }
                thread::park_timeout(Duration::from_micros(random.u64(..20)));
            }
        }
        _ => {
            let waiter = Waiter::fiber(nobody());
            // SAFETY: cancelled below, in this frame.
            let outcome = match unsafe { queue.register(&waiter, permits) } {
                Registration::Ready(outcome) => Some(outcome),
                Registration::Registered => {
                    (0..random.u64(..200)).for_each(|_| std::hint::spin_loop());
                    // SAFETY: registered.
                    unsafe { queue.cancel(&waiter) }
                }
            };
            if let Some(outcome) = outcome {
                bounded.hold(outcome, permits, random);
            }
        }
    }
}

/// A fiber that nobody resumes: its waiter is looked at.
fn nobody() -> FiberHandle {
    fn wake(_: NonNull<()>) {}
    // SAFETY: `wake` does nothing.
    unsafe { FiberHandle::new(NonNull::dangling(), wake) }
}

/// One of the tasks of a thread: it acquires, holds until its next step, and releases; sometimes it
/// gives up in between.
struct Task<'a> {
    bounded: &'a Bounded,
    permits: usize,
    wait: Option<Pin<Box<Wait<'a>>>>,
    is_holding: bool,
    flag: Arc<Flag>,
    rounds_left: u64,
}

impl<'a> Task<'a> {
    fn new(bounded: &'a Bounded, rounds: u64) -> Self {
        let (permits, wait, is_holding) = (0, None, false);
        Task { bounded, permits, wait, is_holding, flag: flag(), rounds_left: rounds }
    }

    /// Does one step if it was woken. Returns whether it was.
    fn step(&mut self, random: &mut Rng) -> bool {
        if self.rounds_left == 0 || !self.flag.is_set.swap(false, Relaxed) {
            return false;
        }
        if self.is_holding {
            self.bounded.end(self.permits);
            self.is_holding = false;
            self.rounds_left -= 1;
            self.flag.is_set.store(true, Relaxed);
        } else {
            self.wait_a_step(random);
        }
        true
    }

    fn wait_a_step(&mut self, random: &mut Rng) {
        let wait = self.wait.get_or_insert_with(|| {
            self.permits = 1 + random.usize(..3);
            Box::pin(self.bounded.queue.acquire(self.permits))
        });
        if random.u64(..8) == 0 {
            self.flag = flag();
            self.flag.is_set.store(false, Relaxed);
        }
        match poll(wait.as_mut(), &self.flag) {
            Poll::Ready(outcome) => {
                self.wait = None;
                self.bounded.begin(outcome, self.permits);
                self.is_holding = true;
                self.flag.is_set.store(true, Relaxed);
            }
            Poll::Pending if random.u64(..8) == 0 => {
                self.wait = None;
                self.rounds_left -= 1;
                self.flag.is_set.store(true, Relaxed);
            }
            Poll::Pending => (),
        }
    }
}

fn run_tasks(bounded: &Bounded, rounds: u64, random: &mut Rng) {
    let mut tasks: Vec<Task<'_>> = (0..8).map(|_| Task::new(bounded, rounds)).collect();
    while tasks.iter().any(|task| task.rounds_left != 0) {
        let stepped = tasks.iter_mut().map(|task| task.step(random)).filter(|step| *step).count();
        if stepped == 0 {
            thread::park();
        }
    }
}

#[test]
fn threads_and_tasks_that_give_up_at_random_lose_no_permit() {
    let (seed, bounded) = (seed(), Bounded::new(3));
    thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|index| {
                let bounded = &bounded;
                s.spawn(move || {
                    let mut random = Rng::with_seed(seed + index);
                    match index {
                        0 => run_tasks(bounded, scaled(20_000), &mut random),
                        _ => {
                            (0..scaled(100_000))
                                .for_each(|_| acquire_somehow(bounded, &mut random));
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(bounded.held.into_inner(), 0);
    assert_eq!(bounded.queue.waiter_count(), 0);
    assert_eq!(bounded.queue.available_permits(), 3);
}

/// Fibers, so that nobody's own speed blurs the order: whoever is granted while an older one is
/// neither granted nor gone has overtaken it.
#[test]
fn nobody_overtakes() {
    const WAITERS: usize = 48;
    let seed = seed();
    for round in 0..scaled(10_000) {
        let mut random = Rng::with_seed(seed + round);
        let queue = WaitQueue::new(0);
        let waiters: Vec<Waiter> = (0..WAITERS).map(|_| Waiter::fiber(nobody())).collect();
        let gone: Vec<AtomicBool> = (0..WAITERS).map(|_| AtomicBool::new(false)).collect();
        let released: Vec<u64> = (0..2).map(|_| random.u64(..20)).collect();
        let (seed_of_canceller, first) = (random.u64(..), random.usize(..8));
        let register = |waiter| {
            // SAFETY: `waiters` outlives the scope, and all that are left are cancelled below.
            assert_eq!(unsafe { queue.register(waiter, 1) }, Registration::Registered);
        };
        waiters[..first].iter().for_each(register);
        thread::scope(|s| {
            let releasers = released.iter().map(|count| {
                let queue = &queue;
                s.spawn(move || (0..*count).for_each(|_| queue.release(1)))
            });
            let mut threads: Vec<_> = releasers.collect();
            let (waiters, gone, queue) = (&waiters, &gone, &queue);
            threads.push(s.spawn(move || {
                let mut random = Rng::with_seed(seed_of_canceller);
                for index in (0..first).filter(|_| random.u64(..3) == 0) {
                    // Before the attempt, so that nobody takes it for overtaken.
                    gone[index].store(true, Relaxed);
                    // SAFETY: registered above; cancelled once.
                    let _ = unsafe { queue.cancel(&waiters[index]) };
                }
            }));
            let mut registered = first;
            for waiter in &waiters[first..] {
                // SAFETY: as above.
                match unsafe { queue.register(waiter, 1) } {
                    Registration::Registered => registered += 1,
                    // Nobody was waiting: enough for this round.
                    Registration::Ready(_) => break,
                }
                // Each of the other threads may be about to notify one that it has let go.
                check_order(&waiters[..registered], gone, threads.len());
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            check_order(&waiters[..registered], gone, 0);
            let granted_at_once = usize::from(registered < WAITERS);
            let granted =
                waiters[..registered].iter().filter(|waiter| waiter.outcome().is_some()).count();
            for (waiter, gone) in waiters[..registered].iter().zip(gone) {
                if waiter.outcome().is_none() && !gone.load(Relaxed) {
                    // SAFETY: registered, and not cancelled.
                    assert_eq!(unsafe { queue.cancel(waiter) }, None);
                }
            }
            let released = released.iter().sum::<u64>() as usize;
            assert_eq!(granted + granted_at_once + queue.available_permits(), released);
            assert_eq!(queue.waiter_count(), 0);
        });
    }
}

/// Looks from the youngest to the oldest: what happened to the older ones before is seen then. So
/// many may have been let go, and not be notified yet: a hand-over does that in two steps.
fn check_order(waiters: &[Waiter], gone: &[AtomicBool], let_go: usize) {
    let Some(youngest) = waiters.iter().rposition(|waiter| waiter.outcome().is_some()) else {
        return;
    };
    let is_served =
        |index: &usize| waiters[*index].outcome().is_some() || gone[*index].load(Relaxed);
    let overtaken: Vec<_> = (0..youngest).filter(|index| !is_served(index)).collect();
    assert!(overtaken.len() <= let_go, "{youngest} was served before {overtaken:?}");
}

/// A flag with relaxed orderings, and a wake; tasks that look at the flag when they have begun to
/// wait.
#[test]
fn no_wake_is_missed() {
    let (queue, generation) = (WaitQueue::new(0), AtomicUsize::new(0));
    let (arrived, rounds) = (AtomicUsize::new(0), scaled(20_000) as usize);
    thread::scope(|s| {
        for index in 0..3 {
            let (queue, generation, arrived) = (&queue, &generation, &arrived);
            s.spawn(move || {
                for round in 1..=rounds {
                    arrived.fetch_add(1, Relaxed);
                    while generation.load(Relaxed) < round {
                        let mut wait = pin!(queue.wait());
                        if wait.as_mut().enable(Waker::noop()) || generation.load(Relaxed) >= round
                        {
                            continue;
                        }
                        while poll(wait.as_mut(), &flag()).is_pending() {
                            match (index + round) % 3 {
                                0 => thread::yield_now(),
                                _ => thread::park(),
                            }
                        }
                    }
                }
            });
        }
        for round in 1..=rounds {
            while arrived.load(Relaxed) < round * 3 {
                thread::yield_now();
            }
            generation.store(round, Relaxed);
            queue.wake_all();
        }
    });
    assert_eq!(queue.waiter_count(), 0);
}

#[test]
fn a_close_ends_every_wait_and_loses_no_permit() {
    let seed = seed();
    for round in 0..scaled(10_000) {
        let mut random = Rng::with_seed(seed + round);
        let queue = WaitQueue::new(0);
        let (released, delay) = (random.usize(..4), random.u64(..300));
        let granted = AtomicUsize::new(0);
        thread::scope(|s| {
            let waiters = (0..3).map(|index| {
                let (queue, granted) = (&queue, &granted);
                s.spawn(move || {
                    let outcome = if index == 0 {
                        queue.acquire_thread(1)
                    } else {
                        let mut wait = pin!(queue.acquire(1));
                        loop {
                            if let Poll::Ready(outcome) = poll(wait.as_mut(), &flag()) {
                                break outcome;
                            }
                            thread::park();
                        }
                    };
                    granted.fetch_add(usize::from(outcome == Outcome::Granted), Relaxed);
                })
            });
            let mut threads: Vec<_> = waiters.collect();
            threads.push(s.spawn(|| (0..released).for_each(|_| queue.release(1))));
            (0..delay).for_each(|_| std::hint::spin_loop());
            assert!(queue.close());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        assert_eq!(granted.into_inner() + queue.available_permits(), released, "round {round}");
        assert_eq!(queue.waiter_count(), 0);
    }
}

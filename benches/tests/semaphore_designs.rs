//! What every design of the wait queue has to do, by one source for all three: the product, and the
//! two that it was chosen over.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use rustfiber_benches::semaphores::{Hybrid, Intrusive, Segmented, TaskSemaphore};

macro_rules! for_each_design {
    ($($test:ident)*) => {
        mod intrusive { $(#[test] fn $test() { super::$test::<super::Intrusive>() })* }
        mod hybrid { $(#[test] fn $test() { super::$test::<super::Hybrid>() })* }
        mod segmented { $(#[test] fn $test() { super::$test::<super::Segmented>() })* }
    };
}

for_each_design! {
    permits_are_counted
    who_waits_longest_is_served_first
    nobody_overtakes
    who_gives_up_leaves_no_hole
    a_grant_that_nobody_takes_goes_on
    only_the_last_waker_is_woken
    a_spurious_poll_changes_nothing
    a_waker_may_use_the_semaphore
    random_operations_do_what_a_simple_queue_does
    threads_that_give_up_lose_no_permit_and_no_update
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

type Wait<'a, S> = Pin<Box<dyn Future<Output = <S as TaskSemaphore>::Acquired<'a>> + Send + 'a>>;

/// A task that waits.
struct Task<'a, S: TaskSemaphore> {
    wait: Wait<'a, S>,
    wakes: Arc<Wakes>,
}

impl<'a, S: TaskSemaphore> Task<'a, S> {
    /// One that has been polled, and has to wait.
    fn waiting(semaphore: &'a S) -> Self {
        let mut task = Task { wait: Box::pin(semaphore.acquire()), wakes: Arc::default() };
        assert!(task.poll().is_none(), "it has to wait");
        task
    }

    fn poll(&mut self) -> Option<S::Acquired<'a>> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    fn is_woken(&self) -> bool {
        self.wakes.count() > 0
    }
}

fn permits_are_counted<S: TaskSemaphore>() {
    let semaphore = S::with_permits(2);
    let (first, second) = (semaphore.try_acquire(), semaphore.try_acquire());
    assert!(first.is_some() && second.is_some());
    assert!(semaphore.try_acquire().is_none());
    drop(first);
    let third = semaphore.try_acquire();
    assert!(third.is_some() && semaphore.try_acquire().is_none());
    drop((second, third));
    assert!(semaphore.try_acquire().is_some());
}

fn who_waits_longest_is_served_first<S: TaskSemaphore>() {
    let semaphore = S::with_permits(1);
    let held = semaphore.try_acquire().unwrap();
    let mut tasks: Vec<_> = (0..5).map(|_| Task::waiting(&semaphore)).collect();
    drop(held);
    for next in 0..tasks.len() {
        for (index, task) in tasks.iter().enumerate() {
            assert_eq!(task.is_woken(), index <= next, "task {index} in turn {next}");
        }
        drop(tasks[next].poll().expect("it was woken with its permit"));
    }
}

fn nobody_overtakes<S: TaskSemaphore>() {
    let semaphore = S::with_permits(1);
    let held = semaphore.try_acquire().unwrap();
    let mut first = Task::waiting(&semaphore);
    drop(held);
    assert!(semaphore.try_acquire().is_none(), "the permit is the first's, polled or not");
    let mut second = Task::waiting(&semaphore);
    drop(first.poll().unwrap());
    drop(second.poll().unwrap());
    assert!(semaphore.try_acquire().is_some());
}

fn who_gives_up_leaves_no_hole<S: TaskSemaphore>() {
    for count in 1..4 {
        for gone in 0..count {
            let semaphore = S::with_permits(1);
            let held = semaphore.try_acquire().unwrap();
            let mut tasks: VecDeque<_> = (0..count).map(|_| Task::waiting(&semaphore)).collect();
            let given_up = tasks.remove(gone).unwrap();
            let wakes = Arc::clone(&given_up.wakes);
            drop(given_up);
            drop(held);
            for task in &mut tasks {
                drop(task.poll().expect("it is its turn"));
            }
            assert_eq!((wakes.count(), Arc::strong_count(&wakes)), (0, 1), "{gone} of {count}");
            assert!(semaphore.try_acquire().is_some(), "{gone} of {count}");
        }
    }
}

fn a_grant_that_nobody_takes_goes_on<S: TaskSemaphore>() {
    let semaphore = S::with_permits(1);
    let held = semaphore.try_acquire().unwrap();
    let (first, mut second) = (Task::waiting(&semaphore), Task::waiting(&semaphore));
    drop(held);
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    drop(second.poll().unwrap());
    let held = semaphore.try_acquire().unwrap();
    let alone = Task::waiting(&semaphore);
    drop(held);
    drop(alone);
    assert!(semaphore.try_acquire().is_some());
}

fn only_the_last_waker_is_woken<S: TaskSemaphore>() {
    for behind in 0..2 {
        let semaphore = S::with_permits(1);
        let held = semaphore.try_acquire().unwrap();
        let mut task = Task::waiting(&semaphore);
        let _others: Vec<_> = (0..behind).map(|_| Task::waiting(&semaphore)).collect();
        let before = std::mem::take(&mut task.wakes);
        assert!(task.poll().is_none());
        drop(held);
        assert_eq!((before.count(), task.wakes.count()), (0, 1));
        assert!(task.poll().is_some());
    }
}

fn a_spurious_poll_changes_nothing<S: TaskSemaphore>() {
    let semaphore = S::with_permits(1);
    let held = semaphore.try_acquire().unwrap();
    let mut tasks: Vec<_> = (0..3).map(|_| Task::waiting(&semaphore)).collect();
    for task in &mut tasks {
        assert!(task.poll().is_none());
    }
    drop(held);
    for task in &mut tasks {
        drop(task.poll().expect("its place is what it was"));
    }
}

fn a_waker_may_use_the_semaphore<S: TaskSemaphore>() {
    struct Uses<S>(Arc<S>, AtomicUsize);
    impl<S: TaskSemaphore> Wake for Uses<S> {
        fn wake(self: Arc<Self>) {
            assert!(self.0.try_acquire().is_none(), "the permit is the waiter's");
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    for behind in 0..2 {
        let semaphore = Arc::new(S::with_permits(1));
        let uses = Arc::new(Uses(Arc::clone(&semaphore), AtomicUsize::new(0)));
        let held = semaphore.try_acquire().unwrap();
        let mut wait = Box::pin(semaphore.acquire());
        let waker = Waker::from(Arc::clone(&uses));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let _others: Vec<_> = (0..behind).map(|_| Task::waiting(&*semaphore)).collect();
        drop(held);
        assert_eq!(uses.1.load(Ordering::Relaxed), 1);
    }
}

/// Against a queue that is as simple as can be.
fn random_operations_do_what_a_simple_queue_does<S: TaskSemaphore>() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let semaphore = S::with_permits(2);
        let mut held: Vec<S::Permit<'_>> = Vec::new();
        let mut granted: Vec<S::Acquired<'_>> = Vec::new();
        // Who waits, oldest first, and whether it has been granted its permit.
        let mut line: Vec<(Task<'_, S>, bool)> = Vec::new();
        let mut free = 2;
        for _ in 0..100 {
            match random.u8(..6) {
                0 => {
                    let permit = semaphore.try_acquire();
                    assert_eq!(permit.is_some(), free > 0);
                    free -= usize::from(permit.is_some());
                    held.extend(permit);
                }
                1 | 2 => {
                    let mut task =
                        Task { wait: Box::pin(semaphore.acquire()), wakes: Arc::default() };
                    let permit = task.poll();
                    assert_eq!(permit.is_some(), free > 0);
                    free -= usize::from(permit.is_some());
                    if permit.is_none() {
                        line.push((task, false));
                    }
                    granted.extend(permit);
                }
                3 if !held.is_empty() || !granted.is_empty() => {
                    if held.pop().is_none() {
                        granted.pop();
                    }
                    free += grant(&mut line);
                }
                4 if !line.is_empty() => {
                    let (task, was_granted) = line.remove(random.usize(..line.len()));
                    drop(task);
                    if was_granted {
                        free += grant(&mut line);
                    }
                }
                5 if !line.is_empty() => {
                    let place = random.usize(..line.len());
                    let permit = line[place].0.poll();
                    assert_eq!(permit.is_some(), line[place].1);
                    if permit.is_some() {
                        line.remove(place);
                    }
                    granted.extend(permit);
                }
                _ => (),
            }
            for (task, was_granted) in &line {
                assert_eq!(task.is_woken(), *was_granted);
            }
        }
    }

    /// Gives a permit to the oldest who has none; returns it if there is nobody.
    fn grant<S: TaskSemaphore>(line: &mut [(Task<'_, S>, bool)]) -> usize {
        match line.iter_mut().find(|(_, was_granted)| !was_granted) {
            Some((_, was_granted)) => {
                *was_granted = true;
                0
            }
            None => 1,
        }
    }
}

/// What only the permit keeps whole.
#[derive(Default)]
struct Sum(UnsafeCell<usize>);

// SAFETY: whoever has the one permit is alone.
unsafe impl Sync for Sum {}

impl Sum {
    /// # Safety
    ///
    /// The caller is alone.
    unsafe fn add_one(&self) {
        // SAFETY: the caller's promise.
        unsafe { *self.0.get() += 1 };
    }
}

fn threads_that_give_up_lose_no_permit_and_no_update<S: TaskSemaphore>() {
    const THREADS: u64 = 4;
    const TURNS: usize = 2_000;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (semaphore, sum) = (S::with_permits(1), Sum::default());
    let contend = |number| {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut added = 0;
        while added < TURNS {
            let mut wait = Box::pin(semaphore.acquire());
            let mut polls = if random.bool() { usize::MAX } else { random.usize(1..3) };
            // PROGRESS: who waits without end is granted its permit, for others give theirs back.
            let permit = loop {
                match wait.as_mut().poll(&mut context) {
                    Poll::Ready(permit) => break Some(permit),
                    Poll::Pending if polls == usize::MAX => thread::park(),
                    Poll::Pending => polls -= 1,
                }
                if polls == 0 {
                    break None;
                }
            };
            if permit.is_some() {
                // SAFETY: the permit is the only one.
                unsafe { sum.add_one() };
                added += 1;
            }
        }
    };
    thread::scope(|s| (0..THREADS).for_each(|number| _ = s.spawn(move || contend(number))));
    assert_eq!(sum.0.into_inner(), THREADS as usize * TURNS);
    assert!(semaphore.try_acquire().is_some());

    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
}

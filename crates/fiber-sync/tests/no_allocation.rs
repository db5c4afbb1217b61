//! Waiting allocates nothing, whoever waits.

#[path = "common/mod.rs"]
mod common;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use fiber_sync::{
    AutoResetEvent, Barrier, Condvar, ManualResetEvent, Mutex, OnceCell, Policy, RwLock, Semaphore,
    WaitGroup, channel, oneshot,
};
use test_support::{Counting, allocation_count};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Runs `f` many times, as a thread and as a fiber, after a first time in which the thread's handle
/// and the like are made.
fn allocates_nothing(f: impl Fn() + Sync) {
    common::as_thread_and_fiber(|| {
        f();
        let before = allocation_count();
        (0..100).for_each(|_| f());
        assert_eq!(allocation_count() - before, 0);
    });
}

/// Polls `future` until it has to wait, has `release` end that, and returns what came of it.
fn wait_as_task<T>(future: impl Future<Output = T>, release: impl FnOnce()) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    release();
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the wait is not over"),
    }
}

const AT_ONCE: Duration = Duration::ZERO;

#[test]
fn a_semaphore_allocates_nothing() {
    fn check<P: Policy>(semaphore: &Semaphore<P>) {
        allocates_nothing(|| {
            // In line, and given up.
            assert!(semaphore.acquire_timeout(AT_ONCE).is_err());
            let permit = wait_as_task(semaphore.acquire_async(), || semaphore.add_permits(1));
            permit.unwrap().forget();
        });
    }
    check(&Semaphore::new(0));
    check(&Semaphore::unfair(0));
}

#[test]
fn a_mutex_and_a_condition_variable_allocate_nothing() {
    let (mutex, changed) = (Mutex::new(()), Condvar::new());
    allocates_nothing(|| {
        let guard = mutex.lock();
        assert!(mutex.lock_timeout(AT_ONCE).is_none());
        drop(wait_as_task(mutex.lock_async(), || drop(guard)));
        drop(changed.wait_timeout(mutex.lock(), AT_ONCE));
        drop(wait_as_task(changed.wait_async(mutex.lock()), || _ = changed.notify_one()));
    });
}

#[test]
fn a_bounded_channel_allocates_nothing() {
    let (sender, receiver) = channel::bounded(1);
    allocates_nothing(|| {
        assert!(receiver.recv_timeout(AT_ONCE).is_err());
        wait_as_task(receiver.recv_async(), || sender.send(1).unwrap()).unwrap();
        sender.send(2).unwrap();
        assert!(sender.send_timeout(3, AT_ONCE).is_err());
        wait_as_task(sender.send_async(3), || _ = receiver.recv().unwrap()).unwrap();
        receiver.recv().unwrap();
    });
}

/// Making one allocates, and takes place before the counting.
#[test]
fn a_oneshot_allocates_nothing() {
    common::as_thread_and_fiber(|| {
        let mut waits: Vec<_> =
            (0..100).map(|_| (oneshot::channel(), oneshot::channel())).collect();
        // The thread's handle, and the fiber, are made by the first wait.
        assert!(!AutoResetEvent::new(false).wait_timeout(AT_ONCE));
        let before = allocation_count();
        for ((sender, mut receiver), (refused, refuser)) in waits.drain(..) {
            assert!(receiver.recv_timeout(AT_ONCE).is_err());
            let received = wait_as_task(receiver.recv_async(), || sender.send(1).unwrap());
            assert_eq!(received, Ok(1));
            wait_as_task(refused.closed_async(), || drop::<oneshot::Receiver<u8>>(refuser));
        }
        assert_eq!(allocation_count() - before, 0);
    });
}

/// Two threads, or a thread and a fiber, that hand over to each other: waits that are granted.
#[test]
fn waits_that_are_granted_allocate_nothing() {
    let turns = [AutoResetEvent::new(true), AutoResetEvent::new(false)];
    let (mutex, changed) = (Mutex::new(0), Condvar::new());
    let rounds = |index: usize| {
        // The thread's handle, and the fiber, are made by the first wait that parks.
        assert!(!AutoResetEvent::new(false).wait_timeout(AT_ONCE));
        let before = allocation_count();
        for _ in 0..1_000 {
            turns[index].wait();
            turns[1 - index].set();
            let is_others = |turn: &mut usize| *turn % 2 != index;
            *changed.wait_while(mutex.lock(), is_others) += 1;
            changed.notify_all();
        }
        assert_eq!(allocation_count() - before, 0);
    };
    common::as_thread_and_fiber(|| {
        std::thread::scope(|s| {
            s.spawn(|| rounds(1));
            rounds(0);
        });
    });
}

#[test]
fn events_barriers_and_groups_allocate_nothing() {
    let (manual, auto) = (ManualResetEvent::new(false), AutoResetEvent::new(false));
    let (barrier, group) = (Barrier::new(2), WaitGroup::new(0));
    allocates_nothing(|| {
        assert!(!manual.wait_timeout(AT_ONCE) && !auto.wait_timeout(AT_ONCE));
        wait_as_task(manual.wait_async(), || manual.set());
        manual.reset();
        wait_as_task(auto.wait_async(), || auto.set());
        assert!(barrier.wait_timeout(AT_ONCE).is_none());
        wait_as_task(barrier.wait_async(), || _ = barrier.wait());
        let ticket = group.ticket();
        assert!(!group.wait_timeout(AT_ONCE));
        wait_as_task(group.wait_async(), || drop(ticket));
    });
}

#[test]
fn a_cell_allocates_nothing() {
    allocates_nothing(|| {
        let cell = OnceCell::new();
        let mut making = pin!(cell.get_or_init_async(std::future::pending));
        let mut context = Context::from_waker(Waker::noop());
        assert!(making.as_mut().poll(&mut context).is_pending());
        let waits = cell.get_or_init_async(|| std::future::ready(1));
        assert!(pin!(waits).poll(&mut context).is_pending());
        assert!(cell.wait_timeout(AT_ONCE).is_none());
        let cell = OnceCell::new();
        wait_as_task(cell.wait_async(), || cell.set(1).unwrap());
    });
}

#[test]
fn a_lock_allocates_nothing() {
    let lock = RwLock::new(());
    allocates_nothing(|| {
        let guard = lock.write();
        assert!(lock.read_timeout(AT_ONCE).is_none() && lock.write_timeout(AT_ONCE).is_none());
        let guard = wait_as_task(lock.read_async(), || drop(guard));
        drop(wait_as_task(lock.write_async(), || drop(guard)));
    });
}

#[test]
fn block_on_allocates_nothing() {
    let semaphore = Semaphore::new(0);
    let woken_meanwhile = || {
        let mut polls = 0;
        std::future::poll_fn(move |context| {
            polls += 1;
            let waker = context.waker().clone();
            waker.wake();
            if polls < 3 { std::task::Poll::Pending } else { std::task::Poll::Ready(polls) }
        })
    };
    allocates_nothing(|| {
        semaphore.add_permits(1);
        fiber_sync::block_on(async {
            semaphore.acquire_async().await.unwrap().forget();
            assert_eq!(woken_meanwhile().await, 3);
            assert_eq!(fiber_sync::block_on(woken_meanwhile()), 3);
        });
    });
}

#[test]
fn calls_of_block_on_that_wait_at_the_same_time_allocate_nothing_either() {
    fn nest(depth: usize) {
        if depth != 0 {
            fiber_sync::block_on(async { nest(depth - 1) });
        }
    }
    allocates_nothing(|| nest(100));
}

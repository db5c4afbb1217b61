//! What async-lock's and tokio's tests check and no other test here does; see
//! docs/sync-behaviour.md.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use fiber_sync::{Closed, Mutex, RwLock, Semaphore, TryError};

use crate::common::{Task, block_on};

#[test]
fn temporaries_may_end_a_block() {
    // It compiles: the futures and guards of these last expressions do not outlive their locks.
    let count = {
        let semaphore = Semaphore::new(1);
        block_on(semaphore.acquire_async()).unwrap().count()
    };
    let value = {
        let mutex = Mutex::new(2);
        *block_on(mutex.lock_async())
    };
    let other = {
        let lock = RwLock::new(3);
        *block_on(lock.read_async())
    };
    assert_eq!((count, value, other), (1, 2, 3));
}

#[test]
fn values_are_lent_and_taken_out() {
    let value = Rc::new(1);
    let (mut mutex, mut lock) = (Mutex::new(Rc::clone(&value)), RwLock::new(Rc::clone(&value)));
    *mutex.get_mut() = Rc::new(2);
    *lock.get_mut() = Rc::new(3);
    assert_eq!(Rc::strong_count(&value), 1);
    assert_eq!((*mutex.into_inner(), *lock.into_inner()), (2, 3));
    drop((Mutex::new(Rc::clone(&value)), RwLock::new(Rc::clone(&value)).into_inner()));
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn no_permits_are_always_there() {
    let semaphore = Semaphore::new(0);
    assert_eq!(semaphore.acquire_many(0).unwrap().count(), 0);
    assert_eq!(semaphore.try_acquire_many(0).unwrap().count(), 0);
    // Behind a waiter, and served at once when the waiter is.
    let mut first = Task::waiting(semaphore.acquire_async());
    let mut none = Task::waiting(semaphore.acquire_many_async(0));
    semaphore.add_permits(1);
    assert!(first.poll().unwrap().is_ok() && none.poll().unwrap().is_ok());
}

#[test]
fn a_large_wait_collects_what_is_released_bit_by_bit() {
    let semaphore = Semaphore::new(5);
    let mut permits = semaphore.acquire_many(5).unwrap();
    let mut large = Task::waiting(semaphore.acquire_many_async(5));
    let mut small = Task::waiting(semaphore.acquire_async());
    for _ in 0..4 {
        drop(permits.split(1));
        assert_eq!((large.wake_count(), small.wake_count()), (0, 0));
    }
    drop(permits);
    assert_eq!((large.wake_count(), small.wake_count()), (1, 0));
    drop(large.poll().unwrap());
    assert!(small.poll().unwrap().is_ok());
    // Permits that were forgotten do not come back.
    assert_eq!(semaphore.forget_permits(2), 2);
    assert_eq!(semaphore.try_acquire_many(4).unwrap_err(), TryError::WouldBlock);
    assert_eq!(semaphore.available_permits(), 3);
}

/// A waker that uses the semaphore when it is woken, and when it is dropped.
struct Meddler(Arc<Semaphore>, AtomicUsize);

impl Meddler {
    fn meddle(&self) {
        self.1.fetch_add(1, SeqCst);
        assert_eq!(self.0.try_acquire().err(), Some(TryError::Closed));
        assert_eq!(block_on(self.0.acquire_async()).err(), Some(Closed));
        self.0.add_permits(1);
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

#[test]
fn a_close_wakes_and_drops_wakers_outside_the_lock() {
    let semaphore = Arc::new(Semaphore::new(0));
    let mut waits: Vec<_> = (0..20).map(|_| Box::pin(semaphore.acquire_async())).collect();
    for wait in &mut waits {
        let meddler = Meddler(Arc::clone(&semaphore), AtomicUsize::new(0));
        let waker = Waker::from(Arc::new(meddler));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    semaphore.close();
    let mut context = Context::from_waker(Waker::noop());
    let mut closed = 0;
    for mut wait in waits {
        match wait.as_mut().poll(&mut context) {
            Poll::Ready(Err(Closed)) => closed += 1,
            // By a waker of the first batch: permits that are released before a wait has ended.
            Poll::Ready(Ok(permit)) => drop(permit),
            Poll::Pending => panic!("a wait goes on"),
        }
    }
    assert!(closed >= 16, "{closed} waits were ended by the close");
    assert_eq!(semaphore.available_permits(), 40, "each was woken and dropped");
}

#[test]
fn permits_beyond_the_limit_are_refused_in_all_forms() {
    let semaphore = Semaphore::new(1);
    for count in [Semaphore::MAX_PERMITS + 1, usize::MAX] {
        let refused = catch_unwind(AssertUnwindSafe(|| {
            drop(block_on(semaphore.acquire_many_async(count)));
        }));
        assert!(refused.is_err());
        assert_eq!(semaphore.try_acquire_many(count).err(), Some(TryError::WouldBlock));
    }
    assert!(semaphore.try_acquire().is_ok());
    drop(Semaphore::new(Semaphore::MAX_PERMITS));
}

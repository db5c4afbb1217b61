//! Sizes, and who may be sent and shared.

use std::cell::Cell;
use std::mem::size_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use fiber_sync::blocker::Waiter;
use fiber_sync::*;

fn is_send<T: Send>() {}
fn is_sync<T: Sync>() {}
fn is_send_and_sync<T: Send + Sync>() {}
fn is_value_send<T: Send>(_: &T) {}

#[test]
fn primitives_are_compact() {
    if cfg!(target_pointer_width = "64") {
        assert_eq!(size_of::<Semaphore>(), 40);
        assert_eq!(size_of::<Semaphore<Unfair>>(), 48);
        assert_eq!(size_of::<Mutex<()>>(), 48);
        assert_eq!(size_of::<RwLock<()>>(), 40);
        assert_eq!(size_of::<Condvar>(), 40);
        assert_eq!(size_of::<AutoResetEvent>(), 40);
        assert_eq!(size_of::<ManualResetEvent>(), 48);
        assert_eq!(size_of::<WaitGroup>(), 48);
        assert_eq!(size_of::<Barrier>(), 56);
        assert_eq!(size_of::<OnceCell<u32>>(), 88);
        assert_eq!(size_of::<Waiter>(), 64);
    }
}

#[test]
fn a_semaphore_goes_anywhere() {
    is_send_and_sync::<Semaphore>();
    is_send_and_sync::<SemaphorePermit<'_>>();
    is_send_and_sync::<OwnedSemaphorePermit>();
    let semaphore = Arc::new(Semaphore::new(1));
    is_value_send(&semaphore.acquire_async());
    is_value_send(&semaphore.clone().acquire_owned_async());
    is_send_and_sync::<Semaphore<Unfair>>();
    is_send_and_sync::<OwnedSemaphorePermit<Unfair>>();
    is_value_send(&Semaphore::unfair(1).acquire_async());
    is_send::<Closed>();
    is_sync::<TimeoutError>();
}

#[test]
fn a_mutex_goes_where_its_value_goes() {
    is_send_and_sync::<Condvar>();
    // `Cell` is `Send` alone.
    is_send_and_sync::<Mutex<Cell<u8>>>();
    is_send::<MutexGuard<'_, Cell<u8>>>();
    is_send::<OwnedMutexGuard<Cell<u8>>>();
    is_send_and_sync::<MutexGuard<'_, u8>>();
    is_send_and_sync::<OwnedMutexGuard<u8>>();
    let (mutex, changed) = (Arc::new(Mutex::new(Cell::new(1))), Condvar::new());
    is_value_send(&mutex.lock_async());
    is_value_send(&mutex.clone().lock_owned_async());
    is_value_send(&changed.wait_async(mutex.lock()));
    is_value_send(&changed.wait_while_async(mutex.lock(), |_| true));
}

#[test]
fn channels_go_where_their_values_go() {
    is_send_and_sync::<channel::Sender<Cell<u8>>>();
    is_send_and_sync::<channel::Receiver<Cell<u8>>>();
    is_send_and_sync::<oneshot::Sender<Cell<u8>>>();
    is_send_and_sync::<oneshot::Receiver<Cell<u8>>>();
    is_send::<channel::IntoIter<Cell<u8>>>();
    let (sender, receiver) = channel::bounded(1);
    is_value_send(&sender.send_async(Cell::new(1)));
    is_value_send(&receiver.recv_async());
    let (sender, mut receiver) = oneshot::channel::<Cell<u8>>();
    is_value_send(&sender.closed_async());
    is_value_send(&receiver.recv_async());
}

#[test]
fn events_barriers_and_groups_go_anywhere() {
    is_send_and_sync::<ManualResetEvent>();
    is_send_and_sync::<AutoResetEvent>();
    is_send_and_sync::<Barrier>();
    is_send_and_sync::<WaitGroup>();
    is_send_and_sync::<Ticket<'_>>();
    let (manual, auto) = (ManualResetEvent::new(true), AutoResetEvent::new(true));
    is_value_send(&manual.wait_async());
    is_value_send(&auto.wait_async());
    is_value_send(&Barrier::new(1).wait_async());
    is_value_send(&WaitGroup::new(0).wait_async());
}

#[test]
fn a_cell_goes_where_its_value_goes() {
    is_send_and_sync::<OnceCell<u8>>();
    is_send::<OnceCell<Cell<u8>>>();
    // The closure is called by one thread only, and goes there.
    is_send_and_sync::<Lazy<u8, Box<dyn FnOnce() -> u8 + Send>>>();
    let cell = OnceCell::new();
    is_value_send(&cell.get_or_init_async(|| std::future::ready(1)));
    is_value_send(&cell.wait_async());
}

#[test]
fn a_lock_goes_where_its_value_goes() {
    is_send_and_sync::<RwLock<u8>>();
    is_send::<RwLock<Cell<u8>>>();
    is_send_and_sync::<RwLockReadGuard<'_, u8>>();
    is_send_and_sync::<RwLockWriteGuard<'_, u8>>();
    is_send_and_sync::<OwnedRwLockReadGuard<u8>>();
    is_send_and_sync::<OwnedRwLockWriteGuard<u8>>();
    let lock = Arc::new(RwLock::new(1));
    is_value_send(&lock.read_async());
    is_value_send(&lock.write_async());
    is_value_send(&lock.clone().read_owned_async());
    is_value_send(&lock.clone().write_owned_async());
}

#[test]
fn what_a_panic_leaves_whole_may_be_used_after_it() {
    fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
    is_unwind_safe::<Semaphore>();
    is_unwind_safe::<Semaphore<Unfair>>();
    is_unwind_safe::<Condvar>();
    is_unwind_safe::<ManualResetEvent>();
    is_unwind_safe::<AutoResetEvent>();
    is_unwind_safe::<Barrier>();
    is_unwind_safe::<WaitGroup>();
    is_unwind_safe::<OnceCell<u8>>();
    is_unwind_safe::<Lazy<u8>>();
    is_unwind_safe::<channel::Sender<Cell<u8>>>();
    is_unwind_safe::<channel::Receiver<Cell<u8>>>();
    is_unwind_safe::<oneshot::Sender<Cell<u8>>>();
    is_unwind_safe::<oneshot::Receiver<Cell<u8>>>();
}

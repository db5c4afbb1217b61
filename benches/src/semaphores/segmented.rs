//! The rejected design without a lock: a `crossbeam_queue::SegQueue<Waker>` beside a count.
//!
//! Nothing can be taken out of the middle of such a queue, so each place in line is an entry of its
//! own, in which its owner and whoever pops it agree by one compare-and-swap: `GRANTED`, or `GONE`.
//!
//! `balance` is what there is less what is owed: permits, less the entries in the queue or on the
//! way there. A release of a negative balance pays for one entry, so it pops one. If its owner is
//! gone, the permit is still there: it is released again, which pays for the next.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use crossbeam_queue::SegQueue;
use crossbeam_utils::Backoff;
use parking_lot::Mutex;

use super::TaskSemaphore;

/// A semaphore with a queue without a lock.
pub struct Segmented {
    balance: AtomicIsize,
    queue: SegQueue<Arc<Entry>>,
}

/// A place in line.
struct Entry {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

const WAITING: u8 = 0;
const GRANTED: u8 = 1;
const GONE: u8 = 2;

impl Entry {
    fn is_granted(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `decide`: receives what the releaser did.
        self.state.load(Ordering::Acquire) == GRANTED
    }

    /// Returns whether it was this call that ended the wait.
    fn decide(&self, end: u8) -> bool {
        // ORDERING: Release passes what the releaser did to the owner; Acquire on failure, for an
        // owner who gives up and was granted.
        let decided =
            self.state.compare_exchange(WAITING, end, Ordering::Release, Ordering::Acquire);
        decided.is_ok()
    }

    fn wake(&self) {
        let waker = self.waker.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes `waker` from now on. Whoever grants takes the waker after its decision, under the
    /// lock, so a look after this misses no grant.
    fn set_waker(&self, waker: &Waker) {
        let mut known = self.waker.lock();
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return;
        }
        drop(known);
        let new = Some(waker.clone());
        known = self.waker.lock();
        let stale = std::mem::replace(&mut *known, new);
        drop(known);
        drop(stale);
    }
}

impl Segmented {
    fn try_take(&self) -> bool {
        // ORDERING: Acquire, pairs with the Release in `release`.
        let taken = self.balance.fetch_update(Ordering::Acquire, Ordering::Relaxed, |balance| {
            (balance > 0).then(|| balance - 1)
        });
        taken.is_ok()
    }

    /// Gets in line, unless there is a permit.
    fn enter(&self, waker: &Waker) -> Option<Arc<Entry>> {
        // Before the debt is made: whoever pays waits for the entry.
        let waker = Mutex::new(Some(waker.clone()));
        let entry = Arc::new(Entry { state: AtomicU8::new(WAITING), waker });
        // ORDERING: Acquire, as in `try_take`.
        if self.balance.fetch_sub(1, Ordering::Acquire) > 0 {
            return None;
        }
        self.queue.push(Arc::clone(&entry));
        Some(entry)
    }

    fn release(&self) {
        // ORDERING: Release, pairs with the Acquire of who takes the permit.
        while self.balance.fetch_add(1, Ordering::Release) < 0 {
            let entry = self.pop();
            if entry.decide(GRANTED) {
                return entry.wake();
            }
            // Its owner is gone, and owes no more; the permit is still to be given.
        }
    }

    fn pop(&self) -> Arc<Entry> {
        let backoff = Backoff::new();
        loop {
            if let Some(entry) = self.queue.pop() {
                return entry;
            }
            // PROGRESS: the balance says that an entry is on its way; its owner is between the
            // decrement and the push.
            backoff.snooze();
        }
    }
}

impl TaskSemaphore for Segmented {
    const NAME: &'static str = "segmented";

    type Permit<'a> = Permit<'a>;

    type Acquired<'a> = Permit<'a>;

    fn with_permits(permits: usize) -> Self {
        let balance = isize::try_from(permits).expect("fewer permits than addresses");
        Segmented { balance: AtomicIsize::new(balance), queue: SegQueue::new() }
    }

    fn acquire(&self) -> impl Future<Output = Permit<'_>> + Send {
        Acquire { semaphore: self, entry: None }
    }

    fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_take().then(|| Permit(self))
    }
}

impl fmt::Debug for Segmented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segmented").finish_non_exhaustive()
    }
}

/// A permit of a [`Segmented`].
#[derive(Debug)]
pub struct Permit<'a>(&'a Segmented);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

struct Acquire<'a> {
    semaphore: &'a Segmented,
    /// While it waits.
    entry: Option<Arc<Entry>>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        match &self.entry {
            Some(entry) => {
                if !entry.is_granted() {
                    entry.set_waker(context.waker());
                    if !entry.is_granted() {
                        return Poll::Pending;
                    }
                }
                self.entry = None;
            }
            None if semaphore.try_take() => (),
            None => {
                self.entry = semaphore.enter(context.waker());
                if self.entry.is_some() {
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Permit(semaphore))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(entry) = &self.entry else { return };
        if !entry.decide(GONE) {
            return self.semaphore.release();
        }
        // The entry stays in the queue until it is popped; what it would wake need not.
        drop(entry.waker.lock().take());
    }
}

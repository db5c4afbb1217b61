//! The lock bit: who holds it settles what others have left behind, and wakes after the unlock.

use core::mem;
use core::ptr;

use crate::primitive::Ordering;

use super::WaitQueue;
use super::batch::{Panics, WakeBatch};
use super::list::List;
use super::waiter::{Verdict, Waiter};
use super::word::{LOCKED_MASK, Word};

/// What a look at the state word found, and took if it could.
pub(super) enum Look<'a> {
    /// Somebody waits, and the caller is the holder now.
    Held(Holder<'a>),
    /// Somebody waits, and somebody else is the holder.
    Busy(Word),
    /// Nobody waits.
    NoQueue(Word),
}

/// The right to touch the list. Ends with [`Holder::deliver`], and must.
#[must_use = "the lock bit stays set until `deliver`"]
pub(super) struct Holder<'a> {
    queue: &'a WaitQueue,
    is_closed: bool,
}

impl WaitQueue {
    /// Becomes the holder if somebody waits and nobody holds. Never blocks.
    pub(super) fn look(&self) -> Look<'_> {
        // ORDERING: Acquire, pairs with the unlock in `settle`: who sees that nobody waits sees
        // what the last holder did.
        let mut word = Word(self.state.load(Ordering::Acquire));
        loop {
            if !word.is_queued() {
                return Look::NoQueue(word);
            }
            if word.is_locked() {
                return Look::Busy(word);
            }
            match self.replace(word, word.locked()) {
                Ok(()) => return Look::Held(Holder::new(self, word)),
                Err(seen) => word = seen,
            }
        }
    }
}

impl<'a> Holder<'a> {
    /// The caller has just put the lock bit into the state word, which was `taken`.
    pub(super) fn new(queue: &'a WaitQueue, taken: Word) -> Self {
        let mut holder = Holder { queue, is_closed: taken.is_closed() };
        holder.append(taken);
        holder
    }

    fn append(&mut self, taken: Word) {
        self.with_list(|list| {
            // SAFETY: the inbox was in the state word until this holder replaced it.
            unsafe { list.append(taken.newest()) }
        });
    }

    fn with_list<R>(&mut self, f: impl FnOnce(&mut List) -> R) -> R {
        self.queue.list.with_mut(|list| {
            // SAFETY: only the holder touches the list, and there is one at a time.
            f(unsafe { &mut *list })
        })
    }

    pub(super) fn waiter_count(&mut self) -> usize {
        self.with_list(|list| list.len)
    }

    pub(super) fn add(&mut self, permits: usize) {
        self.with_list(|list| list.add(permits));
    }

    pub(super) fn mark(&mut self, count: usize, verdict: Verdict) -> usize {
        self.with_list(|list| list.mark(count, verdict))
    }

    /// Takes a waiter out. Returns false if it has been notified or moved, or is going to be: by
    /// whoever delivers next, or hands over.
    ///
    /// # Safety
    ///
    /// The waiter was registered with this queue, or moved to it, and has not been taken out.
    pub(super) unsafe fn unlink(&mut self, waiter: &Waiter) -> bool {
        // SAFETY: the caller keeps the same contract.
        if !unsafe { self.has(waiter) } {
            return false;
        }
        // SAFETY: in the list.
        let mark = unsafe { waiter.mark.get() };
        // A waker that was counted has to come, also if the batch was full.
        if mark.is_some() {
            return false;
        }
        self.with_list(|list| {
            // SAFETY: in the list.
            unsafe { list.unlink(waiter) };
        });
        true
    }

    /// Tells whether a waiter is in the list: not notified, nor moved, nor about to be notified by
    /// whoever hands over.
    ///
    /// # Safety
    ///
    /// As for [`Holder::unlink`].
    pub(super) unsafe fn has(&self, waiter: &Waiter) -> bool {
        // SAFETY: the caller holds the queue, or the other from which it was moved here.
        let moved = unsafe { waiter.moved() };
        let is_elsewhere = moved.is_some_and(|(target, _)| !ptr::eq(target, self.queue));
        if is_elsewhere || waiter.verdict().is_some() {
            return false;
        }
        // SAFETY: not in the inbox, which was appended, nor notified: so it is in the list, or was
        // handed over, which does not touch this.
        let prev = unsafe { waiter.prev.get() };
        // Null: it never was in the list, and whoever hands it over is about to notify it.
        !prev.is_null()
    }

    /// Settles, unlocks and wakes, until nobody who may go is left or somebody else holds.
    pub(super) fn deliver(mut self) -> Panics {
        let queue = self.queue;
        let mut panics = Panics::new();
        loop {
            let mut batch = WakeBatch::new();
            let more_may_go = self.settle(&mut batch);
            batch.wake_all(&mut panics);
            if !more_may_go {
                return panics;
            }
            match queue.look() {
                Look::Held(holder) => self = holder,
                // PROGRESS: whoever holds now has begun after this unlock, and settles all.
                Look::Busy(_) | Look::NoQueue(_) => return panics,
            }
        }
    }

    /// Notifies whoever may go, as the batch has room, and unlocks. Returns whether the list has
    /// more of them.
    fn settle(&mut self, batch: &mut WakeBatch) -> bool {
        let queue = self.queue;
        loop {
            let held = Word::held(self.is_closed);
            let (more_may_go, unlocked) = self.with_list(|list| {
                // Nearly always there is none. What a look misses comes with PENDING after it.
                if queue.credit.load(Ordering::Relaxed) != 0 {
                    // ORDERING: Acquire receives what the releasers did, for the waiters.
                    list.add(queue.credit.swap(0, Ordering::Acquire));
                }
                let more_may_go = list.settle(held.is_closed(), batch);
                if !list.is_empty() {
                    return (more_may_go, held.unlocked());
                }
                // The permits leave the list before others may enter it.
                (more_may_go, held.with_count(mem::take(&mut list.left)))
            });
            let Err(seen) = queue.replace(held, unlocked) else { return more_may_go };
            // Somebody pushed, left credit, or closed.
            if !unlocked.is_queued() {
                self.add(unlocked.count());
            }
            debug_assert!(seen.is_locked());
            // ORDERING: AcqRel, as a lock: receives the pushed nodes, and the credit left before
            // PENDING.
            let taken = Word(queue.state.fetch_and(LOCKED_MASK, Ordering::AcqRel));
            self.is_closed = taken.is_closed();
            self.append(taken);
        }
    }
}

//! What both kinds of owners do: push, lock, publish, hand over.

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;

use super::{CLOSED, LOCKED, Ring, Share, Slots};
use crate::barrier::Barrier;
use crate::job::Job;
use crate::primitive::{Backoff, Ordering, fence};

/// What a push did beside pushing.
#[must_use = "a worker may sleep that the published jobs need"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Nothing that concerns others.
    Quiet,
    /// Private jobs became public: call `Sleep::notify_job`.
    Published,
}

/// The one owner of a ring; moves between threads, and is used by one at a time.
pub(super) struct Owner {
    ring: Arc<Ring>,
    not_sync: PhantomData<Cell<()>>,
}

impl Owner {
    pub(super) fn new(share: Share, capacity: usize, barrier: Barrier) -> Self {
        Owner { ring: Arc::new(Ring::new(share, capacity, barrier)), not_sync: PhantomData }
    }

    #[inline(always)]
    pub(super) fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Pushes a job and returns its index.
    #[inline(always)]
    pub(super) fn push(&self, job: Job) -> (u64, Push) {
        let ring = &*self.ring;
        let index = ring.owner.top.load(Ordering::Relaxed); // P1; nobody else writes it
        // P2. SAFETY: the push before this one saw to it that the slot is free.
        unsafe { ring.set_word(index, job.into_pointer().as_ptr()) };
        // P3. ORDERING: Release, pairs with the Acquire in `force` (F7): publishes the slot.
        ring.owner.top.store(index + 1, Ordering::Release);
        ring.barrier.light(); // P4
        // P5. PROGRESS: after P4, so that a parker that closed the gate too late to be seen here
        // sees the push in its last look.
        if index >= ring.bounds.gate.load(Ordering::Relaxed) {
            return (index, self.push_slow(index));
        }
        (index, Push::Quiet)
    }

    /// The push at `index` met the gate: somebody is hungry, or the next push may have no room.
    #[cold]
    #[inline(never)]
    fn push_slow(&self, index: u64) -> Push {
        let ring = &*self.ring;
        let bounds = ring.bounds();
        if !ring.barrier.is_asymmetric() {
            // ORDERING: SeqCst fence, pairs with the one in `heavy`: this is the P4 of fenced mode.
            fence(Ordering::SeqCst);
            if index < bounds.gate.load(Ordering::Relaxed) {
                return Push::Quiet;
            }
        }
        // ORDERING: Acquire, pairs with the Release in `set_range`: thieves have read the slots
        // below.
        let head = ring.public.head.load(Ordering::Acquire);
        let gate = bounds.gate.load(Ordering::Relaxed);
        let must_grow = index + 2 - head > self.capacity();
        if must_grow {
            self.lock();
        } else if !self.try_lock() {
            // PROGRESS: a searcher has the lock, and looks again before it sleeps; the gate stays
            // as it is, so that the next push comes here too.
            return Push::Quiet;
        }
        let (head, split) = ring.range();
        if index + 2 - head > self.capacity() {
            self.grow(head, index);
        }
        let open = head + self.capacity() - 1;
        // Not a store: it could erase a demand that came meanwhile.
        let was_only_room = gate != CLOSED
            && bounds
                .gate
                .compare_exchange(gate, open, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        let push = if was_only_room { Push::Quiet } else { self.publish(head, split, index + 1) };
        ring.unlock();
        push
    }

    /// Answers a demand, under the lock. The gate opens only if something becomes public: else
    /// whoever is hungry would go unheard.
    fn publish(&self, head: u64, split: u64, top: u64) -> Push {
        let ring = &*self.ring;
        let private = top - split;
        let count = match ring.share {
            Share::One => private.min(1),
            Share::Half => private.div_ceil(2),
        };
        if count == 0 {
            return Push::Quiet;
        }
        if cfg!(any(debug_assertions, loom)) {
            assert!(count <= private, "an owner published what it has not pushed");
        }
        // PROGRESS: the fence in `Sleep::notify_job`, which the caller goes on to, and the one
        // before a last look: either the last look closes the gate after this, or its parker is
        // seen and woken.
        ring.bounds().gate.store(head + self.capacity() - 1, Ordering::Relaxed);
        self.set_limit(split + count);
        ring.set_range(head, split + count);
        Push::Published
    }

    /// Publishes if somebody is hungry. For a worker that has jobs, and may push none for a while.
    #[inline]
    pub(super) fn serve(&self) -> Push {
        if self.ring.bounds.gate.load(Ordering::Relaxed) == CLOSED {
            self.serve_slow()
        } else {
            Push::Quiet
        }
    }

    #[cold]
    fn serve_slow(&self) -> Push {
        let ring = &*self.ring;
        let top = ring.owner.top.load(Ordering::Relaxed);
        let is_hungry = ring.bounds().gate.load(Ordering::Relaxed) == CLOSED;
        if !is_hungry || top == ring.public.split.load(Ordering::Relaxed) || !self.try_lock() {
            return Push::Quiet;
        }
        let (head, split) = ring.range();
        let push = self.publish(head, split, top);
        ring.unlock();
        push
    }

    /// Makes all private jobs public.
    #[inline(always)]
    pub(super) fn hand_over(&self) -> Push {
        let top = self.ring.owner.top.load(Ordering::Relaxed);
        if top == self.ring.public.split.load(Ordering::Relaxed) {
            return Push::Quiet;
        }
        self.hand_over_slow(top)
    }

    #[cold]
    #[inline(never)]
    fn hand_over_slow(&self, top: u64) -> Push {
        let ring = &*self.ring;
        self.lock();
        let (head, _) = ring.range();
        self.set_limit(top);
        ring.set_range(head, top);
        ring.unlock();
        Push::Published
    }

    /// Takes the lock, from a thief in its barrier if need be.
    pub(super) fn lock(&self) {
        let backoff = Backoff::new();
        // PROGRESS: a thief holds the lock while it copies a few words, and never while it waits.
        while !self.try_lock() {
            backoff.snooze();
        }
    }

    /// Takes the lock unless a thief is at work under it. A thief in its barrier is cancelled.
    fn try_lock(&self) -> bool {
        let lock = &self.ring.public.lock;
        let mut state = lock.load(Ordering::Relaxed);
        while state != LOCKED {
            // ORDERING: Acquire, pairs with the Release in `unlock`.
            match lock.compare_exchange(state, LOCKED, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// Sets the limit, under the lock.
    pub(super) fn set_limit(&self, to: u64) {
        // A swap: its place among the thieves' raises is certain.
        self.ring.bounds().limit.swap(to, Ordering::Relaxed);
    }

    /// Doubles the ring, under the lock; `[head, last]` are its jobs.
    fn grow(&self, head: u64, last: u64) {
        let ring = &*self.ring;
        let slots = Slots::new(self.capacity() as usize * 2);
        for index in head..=last {
            // SAFETY: the owner, and the index is in use.
            let word = unsafe { ring.word(index) };
            slots.at(index).with_mut(|slot| {
                // SAFETY: nobody else has the new slots yet.
                unsafe { *slot = word }
            });
        }
        let old = ring.owner.slots.with_mut(|place| {
            // SAFETY: the owner has the lock, without which no thief looks at the slots.
            mem::replace(unsafe { &mut *place }, slots)
        });
        drop(old);
    }

    fn capacity(&self) -> u64 {
        self.ring.owner.slots.with(|slots| {
            // SAFETY: only the owner replaces the slots.
            let slots = unsafe { &*slots };
            slots.mask + 1
        })
    }
}

#![doc = include_str!("README.md")]

mod batch;
#[cfg(feature = "std")]
mod blocking;
mod holder;
mod list;
mod need;
mod requeue;
mod slot;
mod wait;
mod waiter;
mod word;

use core::fmt;
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::{self, NonNull};
use core::task::Waker;

use crate::primitive::{AtomicUsize, Backoff, Ordering, RacyCell};

use batch::{Panics, wake_one};
use holder::{Holder, Look};
use list::List;
use need::Need;
use waiter::{Handle, Verdict};
use word::{COUNT_MAX, Word};

pub use slot::{Claim, Slot};
pub use wait::Wait;
pub use waiter::Waiter;

/// A count of permits and a first-in-first-out queue of those who wait for them, or for a wake.
///
/// 40 bytes, no allocation, no mutex. Fibers, threads and tasks wait in one queue, and each of them
/// may give up. The [module](self) has the protocol.
pub struct WaitQueue {
    /// A [`Word`].
    state: AtomicUsize,
    /// Permits that were released while somebody else held, and that no holder has seen.
    credit: AtomicUsize,
    list: RacyCell<List>,
}

// SAFETY: `list` is touched under the lock bit only, and its nodes are `Send` and `Sync`.
unsafe impl Send for WaitQueue {}
// SAFETY: as above; the rest is atomic.
unsafe impl Sync for WaitQueue {}
// A waker's panic leaves the queue whole: it comes when the lock bit is released.
impl UnwindSafe for WaitQueue {}
impl RefUnwindSafe for WaitQueue {}

/// How a wait ended.
#[must_use = "permits that were granted are lost unless they are released"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// With the permits that the waiter asked for.
    Granted,
    /// By [`WaitQueue::wake`], [`WaitQueue::wake_all`] or [`WaitQueue::notify_one`]: without any
    /// permits.
    Woken,
    /// By [`WaitQueue::close`]: without any permits.
    Closed,
}

/// What came of the attempt to reach a waiter.
struct Reached<'a> {
    /// Nothing, if it was reached.
    verdict: Option<Verdict>,
    /// The wake that moved it.
    moved_by: Option<Verdict>,
    /// Where it was last.
    queue: &'a WaitQueue,
}

/// What became of an attempt to wait.
#[must_use = "a registered waiter must wait, or be cancelled"]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Registration {
    /// The waiter is in the queue.
    Registered,
    /// There was no need to wait, or no use in it; the queue does not know the waiter.
    Ready(Outcome),
}

impl WaitQueue {
    /// The most permits that a queue may have.
    pub const MAX_PERMITS: usize = COUNT_MAX;

    /// Creates a queue in which nobody waits.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`WaitQueue::MAX_PERMITS`].
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(permits: usize) -> Self {
        assert!(permits <= COUNT_MAX, "WaitQueue::new: more permits than `MAX_PERMITS`");
        WaitQueue {
            state: AtomicUsize::new(Word::of_count(permits).0),
            credit: AtomicUsize::new(0),
            list: RacyCell::new(List::new()),
        }
    }

    /// Creates a queue in which nobody waits.
    #[cfg(loom)]
    #[must_use]
    pub fn new(permits: usize) -> Self {
        WaitQueue {
            state: AtomicUsize::new(Word::of_count(permits).0),
            credit: AtomicUsize::new(0),
            list: RacyCell::new(List::new()),
        }
    }

    /// Takes `permits`, if that takes no waiting: [`Outcome::Granted`] or [`Outcome::Closed`].
    /// While somebody waits nobody overtakes.
    #[inline]
    pub fn try_acquire(&self, permits: usize) -> Option<Outcome> {
        // ORDERING: Acquire, as in `close` and `release`; receives what they did before.
        let mut word = Word(self.state.load(Ordering::Acquire));
        loop {
            if word.is_closed() {
                return Some(Outcome::Closed);
            }
            if word.is_queued() || word.count() < permits {
                return None;
            }
            match self.take(word, permits) {
                Ok(()) => return Some(Outcome::Granted),
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes the permit of a queue that has one, if that takes no waiting: as
    /// [`WaitQueue::try_acquire`] of one permit, but a try without a look, as suits a mutex.
    #[inline]
    pub fn try_lock(&self) -> bool {
        let (free, taken) = (Word::of_count(1).0, Word::of_count(0).0);
        // ORDERING: Acquire, pairs with the Release of who added the permit.
        let locked = self.state.compare_exchange(free, taken, Ordering::Acquire, Ordering::Relaxed);
        locked.is_ok() || self.try_acquire(1) == Some(Outcome::Granted)
    }

    /// Gives back what [`WaitQueue::try_lock`] or a wait for one permit has taken, as
    /// [`WaitQueue::release`] of one permit, but likewise.
    ///
    /// # Panics
    ///
    /// As [`WaitQueue::release`].
    #[inline]
    pub fn unlock(&self) {
        let (free, taken) = (Word::of_count(1).0, Word::of_count(0).0);
        // ORDERING: Release, pairs with the Acquire of who takes the permit.
        let unlocked =
            self.state.compare_exchange(taken, free, Ordering::Release, Ordering::Relaxed);
        if unlocked.is_err() {
            self.release(1);
        }
    }

    /// Waits, as a task, for `permits`.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`WaitQueue::MAX_PERMITS`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in the queue, and nothing else: permits that it was
    /// granted and did not report go on to the next.
    #[inline]
    pub fn acquire(&self, permits: usize) -> Wait<'_> {
        assert_permits(permits);
        Wait::new(self, Need::of_permits(permits))
    }

    /// Waits, as a task, for a wake; permits do not matter. Counts from the first poll, or from
    /// [`Wait::enable`].
    ///
    /// # Cancel safety
    ///
    /// A wake by [`WaitQueue::wake`] or [`WaitQueue::notify_one`] that the future has not reported
    /// when it is dropped goes on to the next.
    #[inline]
    pub fn wait(&self) -> Wait<'_> {
        Wait::new(self, Need::WAKE)
    }

    /// Adds `permits`, and wakes those for whom they suffice, in order of arrival. Never blocks.
    ///
    /// # Panics
    ///
    /// Panics if there would be more than [`WaitQueue::MAX_PERMITS`]; while somebody waits, those
    /// above the limit are dropped instead. A panic of a waker comes out of this when everybody has
    /// been woken.
    #[inline]
    pub fn release(&self, permits: usize) {
        assert_permits(permits);
        let word = Word(self.state.load(Ordering::Relaxed));
        let is_done = permits == 0 || (!word.is_queued() && self.add_to_count(word, permits));
        if !is_done {
            self.release_slowly(permits);
        }
    }

    #[cold]
    fn release_slowly(&self, permits: usize) {
        let word = Word(self.state.load(Ordering::Relaxed));
        if word.is_alone() && self.hand_over(word, permits - 1, Verdict::Granted) {
            return;
        }
        self.release_with(permits).resume();
    }

    fn release_with(&self, mut permits: usize) -> Panics {
        while permits != 0 {
            match self.look() {
                Look::NoQueue(word) if self.add_to_count(word, permits) => break,
                Look::NoQueue(_) => (),
                Look::Held(mut holder) => {
                    holder.add(permits);
                    return holder.deliver();
                }
                Look::Busy(word) => permits = self.leave_to_holder(word, permits),
            }
        }
        Panics::new()
    }

    /// Notifies the one who waits alone, and leaves `permits` to whoever comes next: in one step,
    /// and without a holder. Returns false if the word is another by now.
    fn hand_over(&self, word: Word, permits: usize, verdict: Verdict) -> bool {
        debug_assert!(word.is_alone());
        if self.replace(word, Word::of_count(permits)).is_err() {
            return false;
        }
        // SAFETY: the word was replaced, which nobody else can do as well.
        unsafe { claim_of(word) }.end(verdict);
        true
    }

    /// Takes the one who waits alone, for one permit, out of the queue: the caller has that permit,
    /// which is not counted yet, and perhaps a value for the waiter's slot. Nothing if nobody waits
    /// alone, the queue has been closed, or others come in between: [`WaitQueue::release`] the
    /// permit then.
    ///
    /// Until the claim is used or dropped, whoever would cancel the wait waits for the caller: so
    /// nothing in between may wait for others, or run their code.
    #[inline]
    pub fn claim(&self) -> Option<Claim<'_>> {
        let word = Word(self.state.load(Ordering::Relaxed));
        if !word.is_alone() || self.replace(word, Word::of_count(0)).is_err() {
            return None;
        }
        // SAFETY: as in `hand_over`.
        Some(unsafe { claim_of(word) })
    }

    /// Leaves permits to whoever holds. Returns permits that the caller has to release after all.
    fn leave_to_holder(&self, mut word: Word, permits: usize) -> usize {
        // ORDERING: Release, pairs with the takers of the credit; passes what the releaser did to
        // the waiter that is granted these permits.
        self.credit.fetch_add(permits, Ordering::Release);
        while word.is_locked() {
            // ORDERING: Release, pairs with the holder's unlock that this makes fail: it sees the
            // credit. Also if PENDING is set: only what precedes the holder's next look is seen.
            // PROGRESS: the holder does not unlock over PENDING.
            match self.state.compare_exchange_weak(
                word.0,
                word.with_pending().0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return 0,
                Err(seen) => word = Word(seen),
            }
        }
        // The holder has gone, perhaps without this credit.
        // ORDERING: Acquire, as the holder's; others' permits may be among these.
        self.credit.swap(0, Ordering::Acquire)
    }

    /// Wakes the `count` oldest waiters, whatever they wait for, without any permits; nothing is
    /// stored. Returns how many there were.
    ///
    /// Whoever registers after this was called is not woken by it. A waiter that registers and
    /// *then* looks at a flag cannot miss that the flag was set before `wake`, whatever the
    /// orderings of the flag.
    ///
    /// # Blocking
    ///
    /// Waits for a holder in its critical section, as [`WaitQueue::cancel`] does.
    pub fn wake(&self, count: usize) -> usize {
        let (woken, panics) = self.mark_and_deliver(count, Verdict::Woken);
        panics.resume();
        woken
    }

    /// Wakes everybody who waits; otherwise as [`WaitQueue::wake`].
    pub fn wake_all(&self) -> usize {
        let (woken, panics) = self.mark_and_deliver(usize::MAX, Verdict::WokenWithAll);
        panics.resume();
        woken
    }

    fn mark_and_deliver(&self, count: usize, verdict: Verdict) -> (usize, Panics) {
        let mut backoff = Backoff::new();
        loop {
            match self.look() {
                Look::Held(mut holder) => {
                    let woken = holder.mark(count, verdict);
                    return (woken, holder.deliver());
                }
                Look::Busy(_) => backoff.wait(),
                // Not by a load: of this and a registration one comes first, so that one side sees
                // what the other did before.
                Look::NoQueue(word) if self.replace(word, word).is_ok() => {
                    return (0, Panics::new());
                }
                Look::NoQueue(_) => (),
            }
        }
    }

    /// Wakes the oldest waiter without any permits; if nobody waits, leaves one permit, unless
    /// there is one.
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::wake`].
    pub fn notify_one(&self) {
        let word = Word(self.state.load(Ordering::Relaxed));
        if word.is_alone() && self.hand_over(word, 0, Verdict::Notified) {
            return;
        }
        self.notify().resume();
    }

    fn notify(&self) -> Panics {
        let mut backoff = Backoff::new();
        loop {
            match self.look() {
                Look::Held(mut holder) => {
                    holder.mark(1, Verdict::Notified);
                    return holder.deliver();
                }
                Look::Busy(_) => backoff.wait(),
                Look::NoQueue(word) => {
                    // Also if there is one already: its taker is to see what this caller did.
                    if self.replace(word, word.with_count(word.count().max(1))).is_ok() {
                        return Panics::new();
                    }
                }
            }
        }
    }

    /// Refuses all further waiting, and ends every wait for which the permits do not suffice. Never
    /// blocks. Returns whether it was this call that closed the queue.
    ///
    /// Permits may still be released, and are counted. Where this meets another thread's `release`,
    /// waiters may still be granted its permits after this has returned.
    pub fn close(&self) -> bool {
        let (is_first, holder) = self.set_closed();
        holder.map_or(Panics::new(), Holder::deliver).resume();
        is_first
    }

    /// Sets CLOSED. Returns whether it was this call, and the right to end every wait, unless
    /// nobody waits or somebody else has it.
    fn set_closed(&self) -> (bool, Option<Holder<'_>>) {
        // ORDERING: Acquire, for a caller who acts on the queue's having been closed by another.
        let mut word = Word(self.state.load(Ordering::Acquire));
        loop {
            if word.is_closed() {
                return (false, None);
            }
            let closed = word.with_closed();
            let is_free = word.is_queued() && !word.is_locked();
            match self.replace(word, if is_free { closed.locked() } else { closed }) {
                // PROGRESS: a holder that does not know of the close fails to unlock.
                Ok(()) => return (true, is_free.then(|| Holder::new(self, closed))),
                Err(seen) => word = seen,
            }
        }
    }

    /// Tells whether the queue has been closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        // ORDERING: Acquire, pairs with `close`; receives what the closer did before.
        Word(self.state.load(Ordering::Acquire)).is_closed()
    }

    /// Returns the permits that [`WaitQueue::try_acquire`] could take; none while somebody waits.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        let word = Word(self.state.load(Ordering::Relaxed));
        if word.is_queued() { 0 } else { word.count() }
    }

    /// Tells whether somebody waited at some moment during the call.
    #[inline]
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        Word(self.state.load(Ordering::Relaxed)).is_queued()
    }

    /// Counts those who wait.
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::wake`].
    #[must_use]
    pub fn waiter_count(&self) -> usize {
        let mut backoff = Backoff::new();
        loop {
            match self.look() {
                Look::Held(mut holder) => {
                    let count = holder.waiter_count();
                    holder.deliver().suppress();
                    return count;
                }
                Look::Busy(_) => backoff.wait(),
                Look::NoQueue(_) => return 0,
            }
        }
    }

    /// Takes `permits` for `waiter`, or puts it into the queue to be granted them. Never blocks.
    ///
    /// # Panics
    ///
    /// Panics if `permits` exceeds [`WaitQueue::MAX_PERMITS`].
    ///
    /// # Safety
    ///
    /// If this returns [`Registration::Registered`], `waiter` must neither move nor be dropped, nor
    /// be accessed but by shared reference, until its [`Waiter::outcome`] is there or
    /// [`WaitQueue::cancel`] has taken it out. The queue must live as long. The waiter must be
    /// fresh: it serves one registration.
    #[inline]
    pub unsafe fn register(&self, waiter: &Waiter, permits: usize) -> Registration {
        assert_permits(permits);
        // SAFETY: the caller keeps the same contract.
        unsafe { self.push(waiter, Need::of_permits(permits)) }
    }

    /// As [`WaitQueue::register`] for one permit, by a waiter that may be given a value with it:
    /// whoever [claims](WaitQueue::claim) the waiter may put one into the slot.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::register`], also of the slot. `slot` comes from [`Slot::erase`], of a
    /// slot for what those who claim from this queue give.
    #[inline]
    pub unsafe fn register_with_slot(&self, waiter: &Waiter, slot: NonNull<()>) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.push(waiter, Need::permit_with(slot)) }
    }

    /// Puts `waiter` into the queue until a wake; permits do not matter. Never blocks.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::register`].
    pub unsafe fn register_wait(&self, waiter: &Waiter) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.push(waiter, Need::WAKE) }
    }

    /// # Safety
    ///
    /// As for [`WaitQueue::register`].
    #[inline]
    unsafe fn push(&self, waiter: &Waiter, need: Need) -> Registration {
        // SAFETY: not in the queue yet, so the node is still the caller's alone.
        unsafe { waiter.need.replace(need) };
        // SAFETY: the caller keeps the same contract.
        unsafe { self.enqueue(waiter, need.permits()) }
    }

    /// Takes `permits`, or puts a waiter that needs so many here into the queue: the last touch of
    /// the waiter.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::register`]; and the node is the caller's alone.
    #[inline]
    unsafe fn enqueue(&self, waiter: &Waiter, permits: usize) -> Registration {
        // Not the pointer itself: when it comes back out of the state word, another waiter may have
        // been at this address in between.
        let address = ptr::from_ref(waiter).expose_provenance();
        // ORDERING: Acquire, as in `try_acquire`.
        let mut word = Word(self.state.load(Ordering::Acquire));
        loop {
            if word.is_closed() {
                return Registration::Ready(Outcome::Closed);
            }
            let (below, carry) =
                if word.is_queued() { (word.newest(), 0) } else { (0, word.count()) };
            if !word.is_queued() && carry >= permits {
                match self.take(word, permits) {
                    Ok(()) => return Registration::Ready(Outcome::Granted),
                    Err(seen) => word = seen,
                }
                continue;
            }
            // SAFETY: as above.
            unsafe { waiter.next.replace(ptr::without_provenance(below)) };
            // SAFETY: as above.
            unsafe { waiter.carry.replace(carry) };
            match self.replace(word, word.with_newest(address, permits)) {
                Ok(()) => return Registration::Registered,
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes a registered waiter out of the queue, unless its wait is over: then this returns the
    /// outcome, and permits that were granted are the caller's. Any thread may call this while the
    /// waiter lives: of a timer and a waker one wins. Panics of wakers that are woken by this, for
    /// the waiter was in their way, are dropped.
    ///
    /// # Blocking
    ///
    /// Waits for a holder in its critical section: for a time that grows with the number of
    /// waiters that it notifies, but without any code of others; or for whoever has
    /// [claimed](WaitQueue::claim) the waiter. Never suspends a fiber.
    ///
    /// # Safety
    ///
    /// The waiter was registered with this queue, and has not been taken out.
    pub unsafe fn cancel(&self, waiter: &Waiter) -> Option<Outcome> {
        // SAFETY: the caller keeps the same contract.
        let reached = unsafe { self.remove(waiter) };
        if let (None, Some(wake)) = (reached.verdict, reached.moved_by) {
            self.give_back(wake, 0).suppress();
        }
        reached.verdict.map(Verdict::outcome)
    }

    /// As [`WaitQueue::cancel`], but gives what the waiter was granted, or woken for, to the next.
    ///
    /// # Blocking
    ///
    /// As [`WaitQueue::cancel`].
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::cancel`].
    pub unsafe fn abandon(&self, waiter: &Waiter) {
        // SAFETY: the caller keeps the same contract.
        let Reached { verdict, moved_by, queue } = unsafe { self.remove(waiter) };
        // First the wake: whoever it moves is then there to be granted the permit.
        let mut panics = moved_by.map_or(Panics::new(), |wake| self.give_back(wake, 0));
        if let Some(verdict) = verdict {
            // SAFETY: notified, so the node is the caller's alone.
            let permits = unsafe { waiter.permits() };
            panics = panics.or(queue.give_back(verdict, permits));
        }
        panics.resume();
    }

    /// Gives to the next what a waiter was granted, or woken for.
    fn give_back(&self, verdict: Verdict, permits: usize) -> Panics {
        match verdict {
            Verdict::Closed | Verdict::WokenWithAll => Panics::new(),
            Verdict::Woken => self.mark_and_deliver(1, Verdict::Woken).1,
            Verdict::Notified => self.notify(),
            Verdict::Granted => self.release_with(permits),
        }
    }

    /// Has `waker` woken when the wait of a registered waiter is over, instead of the waker that it
    /// has. Returns what came of the wait, if it is over already.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::cancel`], and the caller is the waiter's owner.
    #[cold]
    unsafe fn set_waker(&self, waiter: &Waiter, waker: Waker) -> Option<Outcome> {
        // What this is in the end is dropped here, before an outcome is reported: it is somebody
        // else's code, and its panic would take along what the wait was granted.
        let mut handle = Some(Handle::Task(waker));
        let replace = |holder: &mut Holder<'_>| {
            // SAFETY: the caller keeps the same contract.
            let is_here = unsafe { holder.has(waiter) };
            if is_here {
                // SAFETY: in the list, and the caller is the owner.
                handle = unsafe { waiter.replace_handle(handle.take()) };
            }
            is_here
        };
        // SAFETY: the caller keeps the same contract.
        unsafe { self.reach(waiter, replace) }.verdict.map(Verdict::outcome)
    }

    /// # Safety
    ///
    /// As for [`WaitQueue::cancel`].
    unsafe fn remove<'a>(&'a self, waiter: &'a Waiter) -> Reached<'a> {
        let word = Word(self.state.load(Ordering::Relaxed));
        let is_alone = word.is_alone() && word.newest() == ptr::from_ref(waiter).addr();
        if is_alone && self.replace(word, Word::of_count(0)).is_ok() {
            return Reached { verdict: None, moved_by: None, queue: self };
        }
        let unlink = |holder: &mut Holder<'_>| {
            // SAFETY: the caller keeps the same contract.
            unsafe { holder.unlink(waiter) }
        };
        // SAFETY: the caller keeps the same contract.
        unsafe { self.reach(waiter, unlink) }
    }

    /// Has `act` done under the lock of the queue in which the waiter is, unless its wait is over.
    /// It returns false if the waiter is not there, or is to be notified.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::cancel`].
    unsafe fn reach<'a>(
        &'a self,
        waiter: &'a Waiter,
        mut act: impl FnMut(&mut Holder<'_>) -> bool,
    ) -> Reached<'a> {
        let (mut queue, mut moved_by) = (self, None);
        let mut backoff = Backoff::new();
        loop {
            if let Some(verdict) = waiter.verdict() {
                // SAFETY: its wait is over.
                let moved = unsafe { waiter.moved() };
                let queue = moved.map_or(self, |(target, _)| {
                    // SAFETY: the target outlives the wait, which the caller's contract covers.
                    unsafe { &*target }
                });
                let moved_by = moved.map(|(_, wake)| wake);
                return Reached { verdict: Some(verdict), moved_by, queue };
            }
            let moved = match queue.look() {
                Look::Held(mut holder) => {
                    let is_done = act(&mut holder);
                    // SAFETY: held.
                    let moved = unsafe { waiter.moved() };
                    // In any case: the inbox was taken, and whoever was behind it may go. A panic
                    // would keep the caller from learning what came of the wait.
                    holder.deliver().suppress();
                    if is_done {
                        return Reached { verdict: None, moved_by, queue };
                    }
                    moved
                }
                // SAFETY: nobody waits there any more.
                Look::NoQueue(_) => unsafe { waiter.moved() },
                Look::Busy(_) => None,
            };
            match moved {
                Some((target, wake)) if !ptr::eq(target, queue) => {
                    // SAFETY: as above. It is there by now: it was moved by a holder that has
                    // unlocked.
                    queue = unsafe { &*target };
                    moved_by = Some(wake);
                }
                // PROGRESS: not notified, so it is in the queue, or on its way to the other, and a
                // holder is inside its critical section; it unlocks without waiting for anybody. Or
                // it was taken out to be notified, which is a few instructions from here.
                _ => backoff.wait(),
            }
        }
    }

    /// Takes permits from a count that suffices.
    #[inline]
    fn take(&self, word: Word, permits: usize) -> Result<(), Word> {
        let new = word.with_count(word.count() - permits);
        // ORDERING: Acquire, pairs with the Release of who added the permits. On failure the value
        // seen may be closed.
        let taken =
            self.state.compare_exchange_weak(word.0, new.0, Ordering::Acquire, Ordering::Acquire);
        taken.map(|_| ()).map_err(Word)
    }

    /// Adds permits to a count. Returns false if the word is another by now.
    #[inline]
    fn add_to_count(&self, word: Word, permits: usize) -> bool {
        let count = word.count() + permits;
        assert_permits(count);
        // ORDERING: Release, pairs with the Acquire of who takes the permits.
        let added = self.state.compare_exchange(
            word.0,
            word.with_count(count).0,
            Ordering::Release,
            Ordering::Relaxed,
        );
        added.is_ok()
    }

    /// Replaces the state word, as one who passes on what it knows and receives what others did.
    #[inline]
    fn replace(&self, word: Word, new: Word) -> Result<(), Word> {
        // ORDERING: AcqRel. A lock receives the pushed nodes and the list, an unlock passes them
        // on; a registration passes its node; a wake and a registration see what the other did
        // before. Acquire on failure, for loops that end on what they see.
        let replaced =
            self.state.compare_exchange(word.0, new.0, Ordering::AcqRel, Ordering::Acquire);
        replaced.map(|_| ()).map_err(Word)
    }

    /// Checks that nobody else may still touch this queue, as freeing it would require.
    #[cfg(loom)]
    pub fn retire(&mut self) {
        self.state.with_mut(|state| *state = usize::MAX);
        self.credit.with_mut(|credit| *credit = usize::MAX);
        self.list.with_mut(|_| ());
    }
}

/// # Safety
///
/// The word was that of a queue in which one waited alone, and it was the caller who has replaced
/// it.
#[inline]
unsafe fn claim_of<'a>(word: Word) -> Claim<'a> {
    // SAFETY: it was in the queue, and nobody else knows it any more but its owner, who waits for
    // the notification.
    unsafe { Claim::new(ptr::with_exposed_provenance(word.newest())) }
}

#[inline]
fn assert_permits(permits: usize) {
    assert!(permits <= COUNT_MAX, "wait queue contract: {permits} permits exceed `MAX_PERMITS`");
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Word(self.state.load(Ordering::Relaxed));
        f.debug_struct("WaitQueue")
            .field("available_permits", &self.available_permits())
            .field("has_waiters", &word.is_queued())
            .field("closed", &word.is_closed())
            .finish_non_exhaustive()
    }
}

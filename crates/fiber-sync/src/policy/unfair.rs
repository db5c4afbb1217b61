//! The unfair kind: who is woken has to be the fastest.
//!
//! Permits are never handed over: a release adds them, and wakes as many as may use them. Who was
//! woken and is too late waits again, behind the others. So that a permit that is released and
//! taken again and again does not wake all who wait one after another, one wake at a time is on its
//! way for a permit:
//!
//! | `state` | means | set in | cleared in |
//! |---|---|---|---|
//! | a count | so many permits | | |
//! | `WAITING` | somebody may be in the queue | S1 | S5 |
//! | `WAKING` | one was woken, or is about to be, and has not tried yet | S2 | S3, S4, S5 |
//! | `MANY` | somebody may be in the queue who wants more than one permit | S1 | S2 |
//!
//! Each step is one read-modify-write of `state`, and what it leads to:
//!
//! - S1 somebody *has registered*: sets `WAITING`. If there are enough permits, S2 for all of
//!   them.
//! - S2 `n` permits *come*: if somebody waits, sets `WAKING`, and wakes `n`; one less if there was
//!   none before, and one is on its way who will find these. Under `MANY`, clears it and wakes all
//!   instead; those who fail set it again.
//! - S3 one *who was woken tries*: clears `WAKING`, and takes permits if they suffice.
//! - S4 one who may have been woken *is dropped*: clears `WAKING`; S2 for all permits.
//! - S5 *fewer were woken*: clears `WAITING`, and `WAKING` if none was. If somebody is in the queue
//!   now, sets `WAITING` again; S2 for all permits.
//!
//! Without `MANY`, there are no permits, or as many as there are permits are on their way, or
//! everybody who waits is on the way, or about to do S1 or S5. A wake that was given to one that
//! fails is not missed: there was no permit then, and whoever has it does S2. With `MANY` that is
//! not so, as permits may be too few for one and enough for another; so a release wakes all, and
//! who sets `MANY` where there are permits does so for the wakes that came before, and for those
//! who were counted on while one who wants more was on the way.

use std::fmt;
use std::mem;
use std::pin::pin;
use std::task::Waker;

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use super::{Permits, Policy, WHAT};
use crate::blocker::{BlockingWait, Need};
use crate::error::{Closed, TimeoutError, TryError};
use crate::primitive::{AtomicUsize, Ordering, const_fn};
use crate::wait::Limit;

/// Permits go to whoever comes first: who has waited longest is woken, but another may be faster.
///
/// A permit that is released and wanted again at once costs no change of fibers or threads; but a
/// waiter may starve. A task that was woken, and is neither polled nor dropped, may keep others
/// waiting, as if it had the permit.
///
/// It serves those who want one permit each. While somebody waits for more at once, each release
/// wakes everybody who waits.
pub struct Unfair {
    /// A [`State`].
    state: AtomicUsize,
    /// Whoever waits for a wake; closed with the semaphore.
    queue: WaitQueue,
}

const WAITING: usize = 1;
const WAKING: usize = 2;
const MANY: usize = 4;
const ONE_PERMIT: usize = 8;

/// As many wakes as there are waiters.
const ALL: usize = usize::MAX;

/// One reading of `state`.
#[derive(Clone, Copy)]
struct State(usize);

impl State {
    fn permits(self) -> usize {
        self.0 / ONE_PERMIT
    }

    fn has(self, flag: usize) -> bool {
        self.0 & flag != 0
    }

    fn with(self, flag: usize) -> State {
        State(self.0 | flag)
    }

    fn without(self, flags: usize) -> State {
        State(self.0 & !flags)
    }

    /// With so many permits more, if there may be as many.
    fn with_more(self, permits: usize) -> Option<State> {
        let sum = self.permits().checked_add(permits)?;
        (sum <= WaitQueue::MAX_PERMITS).then(|| State(self.0 + permits * ONE_PERMIT))
    }

    fn with_fewer(self, permits: usize) -> Option<State> {
        (self.permits() >= permits).then(|| State(self.0 - permits * ONE_PERMIT))
    }

    /// Of the permits there are, `new` have come (S2). Returns how many to wake.
    fn when_new(self, new: usize) -> (State, usize) {
        if new == 0 || !self.has(WAITING) {
            return (self, 0);
        }
        if self.has(MANY) {
            return (self.without(MANY), ALL);
        }
        let on_its_way = self.has(WAKING) && self.permits() == new;
        match new - usize::from(on_its_way) {
            0 => (self, 0),
            wakes => (self.with(WAKING), wakes),
        }
    }
}

impl Policy for Unfair {}

impl Unfair {
    const_fn! {
        pub(crate) const fn new(permits: usize) -> Self {
            assert!(
                permits <= WaitQueue::MAX_PERMITS,
                "Semaphore: more permits than `MAX_PERMITS`"
            );
            Unfair { state: AtomicUsize::new(permits * ONE_PERMIT), queue: WaitQueue::new(0) }
        }
    }

    /// S1, when the caller is in the queue.
    fn announce(&self, count: usize) {
        let flags = if count > 1 { WAITING | MANY } else { WAITING };
        // ORDERING: Release passes the registration to who sees WAITING. Acquire is not needed: of
        // this and a release one comes first.
        let before = State(self.state.fetch_or(flags, Ordering::Release));
        if count > 1 && !before.has(MANY) && before.permits() > 0 {
            self.wake(ALL);
        } else if before.permits() >= count {
            self.wake_for(|state| state);
        }
    }

    /// S3. Returns whether the permits were there.
    fn try_when_woken(&self, count: usize) -> bool {
        let mut is_taken = false;
        self.update(|state| {
            let state = state.without(WAKING);
            let taken = state.with_fewer(count);
            is_taken = taken.is_some();
            taken.unwrap_or(state)
        });
        is_taken
    }

    /// Changes the state, and does S2 for all permits there are then.
    fn wake_for(&self, change: impl Fn(State) -> State) {
        self.wake(self.wakes_for(change));
    }

    fn wakes_for(&self, change: impl Fn(State) -> State) -> usize {
        let mut wakes = 0;
        self.update(|state| {
            let state = change(state);
            let (state, to_wake) = state.when_new(state.permits());
            wakes = to_wake;
            state
        });
        wakes
    }

    fn update(&self, mut change: impl FnMut(State) -> State) {
        let change = |state| Some(change(State(state)).0);
        // ORDERING: Acquire, pairs with `release` and `announce`, whose Release goes on to whoever
        // reads what this writes, as of every read-modify-write.
        let _always = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, change);
    }

    /// Wakes so many, and does S5.
    fn wake(&self, mut wakes: usize) {
        while wakes != 0 {
            let woken = self.queue.wake(wakes);
            // PROGRESS: under `MANY`, whoever fails has to wait for another release.
            if woken == wakes || wakes == ALL {
                return;
            }
            let stale = if woken == 0 { WAITING | WAKING } else { WAITING };
            // ORDERING: Acquire receives the registrations of those whose WAITING this clears.
            self.state.fetch_and(!stale, Ordering::Acquire);
            if self.queue.waiter_count() == 0 {
                return;
            }
            wakes = self.wakes_for(|state| state.with(WAITING));
        }
    }
}

impl Permits for Unfair {
    #[inline]
    fn try_acquire(&self, count: usize) -> Result<(), TryError> {
        if self.queue.is_closed() {
            return Err(TryError::Closed);
        }
        let take = |state| Some(State(state).with_fewer(count)?.0);
        // ORDERING: Acquire, pairs with the Release in `release`.
        let taken = self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.map_or(Err(TryError::WouldBlock), |_| Ok(()))
    }

    #[track_caller]
    fn acquire(&self, count: usize, limit: Limit) -> Result<(), TimeoutError> {
        match self.try_acquire(count) {
            Ok(()) => return Ok(()),
            Err(TryError::Closed) => return Err(TimeoutError::Closed),
            Err(TryError::WouldBlock) => assert_possible(count),
        }
        let deadline = limit.deadline();
        let announce = || self.announce(count);
        loop {
            let turn = Turn(self); // for a panic of a waker in `announce`
            let wait = BlockingWait::new(&self.queue, Need::Wake, WHAT, deadline);
            let outcome = wait.after_registration(&announce).block();
            mem::forget(turn);
            match outcome {
                Some(Outcome::Granted | Outcome::Woken) if self.try_when_woken(count) => {
                    return Ok(());
                }
                Some(Outcome::Granted | Outcome::Woken) => (),
                Some(Outcome::Closed) => return Err(TimeoutError::Closed),
                None => return self.try_acquire(count).or(Err(TimeoutError::TimedOut)),
            }
        }
    }

    async fn acquire_async(&self, count: usize) -> Result<(), Closed> {
        match self.try_acquire(count) {
            Ok(()) => return Ok(()),
            Err(TryError::Closed) => return Err(Closed),
            Err(TryError::WouldBlock) => assert_possible(count),
        }
        loop {
            // Dropped after the wait, whose wake goes on to the next in the queue, if there is one.
            let turn = Turn(self);
            let mut wait = pin!(self.queue.wait());
            // By nobody yet: `announce` may wake it, and nobody has to wake who runs.
            wait.as_mut().enable(Waker::noop());
            self.announce(count);
            let outcome = wait.await;
            mem::forget(turn);
            match outcome {
                Outcome::Granted | Outcome::Woken if self.try_when_woken(count) => return Ok(()),
                Outcome::Granted | Outcome::Woken => (),
                Outcome::Closed => return Err(Closed),
            }
        }
    }

    fn release(&self, count: usize) {
        if count == 0 {
            return; // of a permit that was forgotten
        }
        let mut wakes = 0;
        let add = |state| {
            let (state, to_wake) = State(state).with_more(count)?.when_new(count);
            wakes = to_wake;
            Some(state.0)
        };
        // ORDERING: Release, pairs with who takes the permits. Acquire receives the registrations
        // of those who announced them.
        let added = self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
        assert!(added.is_ok(), "semaphore contract: permits exceed `MAX_PERMITS`");
        self.wake(wakes);
    }

    fn available(&self) -> usize {
        State(self.state.load(Ordering::Relaxed)).permits()
    }

    fn queue(&self) -> &WaitQueue {
        &self.queue
    }
}

fn assert_possible(count: usize) {
    assert!(
        count <= WaitQueue::MAX_PERMITS,
        "semaphore contract: {count} permits exceed `MAX_PERMITS`"
    );
}

/// A wait, which does S4 if it is dropped before it is over.
struct Turn<'a>(&'a Unfair);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.wake_for(|state| state.without(WAKING));
    }
}

impl fmt::Debug for Unfair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfair").finish_non_exhaustive()
    }
}

//! How the caller of a blocking form waits: a runtime's business, if the thread has one.
//!
//! The blocking forms of this crate end in a [`BlockingWait`]. Without a runtime, the calling
//! thread registers a waiter and parks. A runtime [installs](install) a [`Blocker`] on each of its
//! threads, and is called instead: it may register a waiter for the fiber that runs, and switch to
//! another fiber.
//!
//! A blocker for fibers, in outline:
//!
//! ```text
//! unsafe impl Blocker for Fibers {
//!     fn without_suspending(&self, f: &dyn Fn()) {
//!         let _guard = self.forbid_suspension(); // `fiber_that_can_suspend` finds none meanwhile
//!         f();
//!     }
//!
//!     fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome> {
//!         let Some(fiber) = self.fiber_that_can_suspend() else { return wait.park_thread() };
//!         let waiter = Waiter::fiber(fiber.handle());
//!         if let Registration::Ready(outcome) = unsafe { wait.register(&waiter) } {
//!             return Some(outcome);
//!         }
//!         match wait.deadline() {
//!             // Also if the waiter has been notified by now: its waker resumes the fiber.
//!             None => fiber.suspend(),
//!             // The timer calls `wait.cancel(&waiter)`: on `None`, it resumes the fiber and has
//!             // this return `None`; on `Some`, a waker resumes the fiber.
//!             Some(deadline) => fiber.suspend_until(deadline, wait, &waiter)?,
//!         }
//!         waiter.outcome()
//!     }
//! }
//! ```

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr::NonNull;
use std::time::Instant;

pub use intrusive_waitlist::wait_queue::{Outcome, Registration, Waiter};
pub use intrusive_waitlist::{FiberHandle, WaitQueue};

pub use crate::owner::Owner;

use crate::primitive;

thread_local! {
    static BLOCKER: Cell<Option<&'static dyn Blocker>> = const { Cell::new(None) };
}

/// How the code on a runtime's thread waits.
///
/// # Safety
///
/// Whoever implements this promises that [`Blocker::block`]
/// - calls [`BlockingWait::register`] at most once, or [`BlockingWait::park_thread`], but not both;
/// - returns the outcome that its waiter, its registration, [`BlockingWait::cancel`] or
///   [`BlockingWait::park_thread`] has given it, or `None` if one of the last two has returned
///   `None`;
/// - does not unwind after `register` has returned [`Registration::Registered`];
/// - suspends no fiber on behalf of what runs inside [`Blocker::without_suspending`];
/// - uses the wait, and its queue, for nothing else.
pub unsafe trait Blocker {
    /// Waits until `wait` is over, and returns how it ended; `None` if the deadline came first.
    ///
    /// May panic, if it has not registered a waiter: the blocking form that was called unwinds.
    fn block(&self, wait: &BlockingWait<'_>) -> Option<Outcome>;

    /// Runs `f`, which runs code of others, while a waiter of the calling fiber is registered and
    /// the fiber has not been suspended: that code must not suspend it, as it may be on its way to
    /// be resumed. A wait in it ends in [`BlockingWait::park_thread`].
    ///
    /// A blocker that never suspends need not do anything about it, as this.
    fn without_suspending(&self, f: &dyn Fn()) {
        f();
    }

    /// Lets others that are ready go first, if there are any.
    fn yield_now(&self) {
        primitive::yield_now();
    }
}

/// Makes `blocker` responsible for the calling thread's waits, until the guard is dropped: then
/// whoever was responsible before is again.
#[must_use = "the blocker is uninstalled when this is dropped"]
pub fn install(blocker: &'static dyn Blocker) -> Installed {
    Installed { before: BLOCKER.replace(Some(blocker)), _of_this_thread: PhantomData }
}

/// Keeps a [`Blocker`] installed; see [`install`]. Guards are dropped in the reverse order of their
/// making.
pub struct Installed {
    before: Option<&'static dyn Blocker>,
    /// Neither `Send` nor `Sync`.
    _of_this_thread: PhantomData<*const ()>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        BLOCKER.set(self.before);
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installed").finish_non_exhaustive()
    }
}

/// Lets other fibers of the thread go first; threads take turns without.
pub(crate) fn yield_now() {
    if let Some(blocker) = BLOCKER.get() {
        blocker.yield_now();
    }
}

/// What of this crate a caller waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is named after its type, module or function")]
pub enum Primitive {
    AutoResetEvent,
    Barrier,
    BlockOn,
    CancelToken,
    ChannelReceiver,
    ChannelSender,
    Condvar,
    ManualResetEvent,
    Mutex,
    OnceCell,
    OneshotReceiver,
    OneshotSender,
    RwLock,
    Semaphore,
    Sleep,
    WaitGroup,
}

/// One wait of a blocking form, for a [`Blocker`] to carry out.
pub struct BlockingWait<'a> {
    queue: &'a WaitQueue,
    need: Need<'a>,
    deadline: Option<Instant>,
    what: Primitive,
    site: &'static Location<'static>,
    owner: Option<&'a Owner>,
    /// Runs once the waiter is in the queue.
    after_registration: Option<&'a dyn Fn()>,
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

/// What ends a wait.
#[derive(Clone, Copy)]
pub(crate) enum Need<'a> {
    Permits(usize),
    /// A permit, and perhaps a value for this slot, which whoever makes the wait keeps until it is
    /// over.
    PermitWithSlot(NonNull<()>),
    Wake,
    /// A wake, and then a permit of this queue.
    WakeThenPermitOf(&'a WaitQueue),
}

impl<'a> BlockingWait<'a> {
    #[track_caller]
    pub(crate) fn new(
        queue: &'a WaitQueue,
        need: Need<'a>,
        what: Primitive,
        deadline: Option<Instant>,
    ) -> Self {
        let (site, panic) = (Location::caller(), Cell::new(None));
        let (owner, after_registration) = (None, None);
        BlockingWait { queue, need, deadline, what, site, owner, after_registration, panic }
    }

    /// Makes known who keeps the caller waiting.
    pub(crate) fn behind(self, owner: &'a Owner) -> Self {
        BlockingWait { owner: Some(owner), ..self }
    }

    /// Has `f` run once the waiter is in the queue. A panic of `f` comes out of
    /// [`BlockingWait::block`] when the wait is over.
    pub(crate) fn after_registration(self, f: &'a dyn Fn()) -> Self {
        BlockingWait { after_registration: Some(f), ..self }
    }

    /// Waits as the thread's blocker sees fit. Nothing comes back only if there is a deadline.
    #[inline(always)] // a frame that is returned from after a switch costs a mispredicted return
    pub(crate) fn block(self) -> Option<Outcome> {
        let outcome = match BLOCKER.get() {
            Some(blocker) => blocker.block(&self),
            None => self.park_thread(),
        };
        assert!(
            outcome.is_some() || self.deadline.is_some(),
            "blocker contract: a wait without a deadline was given up"
        );
        if let Some(payload) = self.panic.take() {
            self.unwind(payload, outcome);
        }
        outcome
    }

    /// Goes on with a panic that came after the registration.
    #[cold]
    fn unwind(&self, payload: Box<dyn Any + Send>, outcome: Option<Outcome>) -> ! {
        /// Released while unwinding: so another waker's panic does not take the first's place.
        struct Granted<'a>(&'a WaitQueue);
        impl Drop for Granted<'_> {
            fn drop(&mut self) {
                self.0.release(1);
            }
        }
        let _granted = match (self.need, outcome) {
            (Need::WakeThenPermitOf(other), Some(Outcome::Granted)) => Some(Granted(other)),
            _ => None,
        };
        panic::resume_unwind(payload)
    }

    /// Returns when to give up; `None`: never.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns what is waited on.
    #[must_use]
    #[inline]
    pub fn what(&self) -> Primitive {
        self.what
    }

    /// Returns where the blocking form was called.
    #[must_use]
    #[inline]
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Returns who keeps the caller waiting, if this is a wait for a mutex.
    #[must_use]
    #[inline]
    pub fn owner(&self) -> Option<&'a Owner> {
        self.owner
    }

    /// Returns the queue, for a timer on another thread: it gives up by [`WaitQueue::cancel`], as
    /// [`BlockingWait::cancel`] does.
    #[must_use]
    pub fn queue(&self) -> &'a WaitQueue {
        self.queue
    }

    /// Begins the wait, unless it is over at once. Never blocks.
    ///
    /// # Safety
    ///
    /// Called once. If this returns [`Registration::Registered`], `waiter` must neither move nor be
    /// dropped, nor be accessed but by shared reference, until its [`Waiter::outcome`] is there or
    /// [`BlockingWait::cancel`] has taken it out; nor may this wait's [`Blocker::block`] return.
    /// The waiter must be fresh.
    #[inline]
    pub unsafe fn register(&self, waiter: &Waiter) -> Registration {
        let registration = match self.need {
            // SAFETY: the caller keeps the same contract; the queue is borrowed for longer than
            // `block` runs.
            Need::Permits(permits) => unsafe { self.queue.register(waiter, permits) },
            // SAFETY: as above; the slot is kept as long.
            Need::PermitWithSlot(slot) => unsafe { self.queue.register_with_slot(waiter, slot) },
            // SAFETY: as above.
            Need::Wake => unsafe { self.queue.register_wait(waiter) },
            // SAFETY: as above; so is the other queue.
            Need::WakeThenPermitOf(other) => unsafe { self.queue.register_requeue(waiter, other) },
        };
        if let (Registration::Registered, Some(f)) = (registration, self.after_registration) {
            self.run_registered(f);
        }
        registration
    }

    #[inline(never)]
    fn run_registered(&self, f: &dyn Fn()) {
        let run = AssertUnwindSafe(|| match BLOCKER.get() {
            Some(blocker) => blocker.without_suspending(f),
            None => f(),
        });
        // The waiter's frame must not unwind now.
        self.panic.set(panic::catch_unwind(run).err());
    }

    /// Gives up: takes the waiter out of the queue, unless its wait is over: then this returns the
    /// outcome, which is the outcome of the wait. Of a waker and whoever calls this one wins; a
    /// fiber is woken by the waker if, and only if, this returns an outcome.
    ///
    /// # Blocking
    ///
    /// Waits for others' critical sections of a few instructions. Never suspends a fiber.
    ///
    /// # Safety
    ///
    /// The waiter was registered by this wait, has not been taken out, and lives until this
    /// returns.
    pub unsafe fn cancel(&self, waiter: &Waiter) -> Option<Outcome> {
        // SAFETY: the caller keeps the same contract; who blocks does not poll.
        unsafe { self.queue.cancel(waiter) }
    }

    /// Waits as a plain thread does: the way of threads without a blocker, and of a blocker that
    /// cannot suspend.
    ///
    /// # Blocking
    ///
    /// Looks for some microseconds whether the permits come, unless others wait already. Then parks
    /// the calling thread, at most until the deadline, when this returns `None` unless the wait is
    /// over.
    pub fn park_thread(&self) -> Option<Outcome> {
        if let Some(outcome) = self.spin() {
            return Some(outcome);
        }
        let waiter = Waiter::current_thread();
        // SAFETY: the waiter stays in this frame, which does not unwind, until its wait is over or
        // it was taken out.
        if let Registration::Ready(outcome) = unsafe { self.register(&waiter) } {
            return Some(outcome);
        }
        let Some(deadline) = self.deadline else { return Some(waiter.park()) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // SAFETY: registered above, and not taken out.
                return unsafe { self.cancel(&waiter) };
            }
            // PROGRESS: as in `Waiter::park`, and ends in time.
            primitive::park_timeout(left);
            let outcome = waiter.outcome();
            if outcome.is_some() {
                return outcome;
            }
        }
    }

    /// Tries to go without parking, for less than the wake of a thread takes: permits may be back
    /// soon. Not behind others, who would be handed them.
    fn spin(&self) -> Option<Outcome> {
        let Need::Permits(permits) = self.need else { return None };
        for round in 0..primitive::SPIN_ROUNDS {
            if self.queue.has_waiters() {
                return None;
            }
            primitive::spin(round);
            if let Some(outcome) = self.queue.try_acquire(permits) {
                return Some(outcome);
            }
        }
        None
    }
}

impl fmt::Debug for BlockingWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingWait")
            .field("what", &self.what)
            .field("site", &self.site)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_spins_for_permits_unless_others_wait() {
        let queue = WaitQueue::new(1);
        let spin = |need| BlockingWait::new(&queue, need, Primitive::Semaphore, None).spin();
        assert_eq!(spin(Need::Wake), None);
        assert_eq!(spin(Need::Permits(1)), Some(Outcome::Granted));
        assert_eq!(spin(Need::Permits(1)), None);
        let waiter = Waiter::current_thread();
        // SAFETY: the waiter stays until it is taken out below.
        assert_eq!(unsafe { queue.register(&waiter, 2) }, Registration::Registered);
        queue.release(1);
        assert_eq!(spin(Need::Permits(1)), None);
        // SAFETY: registered above.
        assert_eq!(unsafe { queue.cancel(&waiter) }, None);
        assert_eq!(spin(Need::Permits(1)), Some(Outcome::Granted));
    }

    #[test]
    fn a_timeout_after_the_grant_is_the_grant() {
        let queue = WaitQueue::new(0);
        // The permit comes between the registration and the look at the clock.
        let grant = || queue.release(1);
        let wait =
            BlockingWait::new(&queue, Need::Permits(1), Primitive::Semaphore, Some(Instant::now()));
        assert_eq!(wait.after_registration(&grant).park_thread(), Some(Outcome::Granted));
        assert_eq!(queue.available_permits(), 0);
    }
}

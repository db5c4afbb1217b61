//! Flags that are waited for.

use std::fmt;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::Primitive;
use crate::primitive::{AtomicUsize, Ordering, const_fn};
use crate::wait::{self, Limit};

/// A flag that lets everybody go while it is set.
///
/// Who waits when it is set goes on, also if it is reset at once. 48 bytes; waiting allocates
/// nothing. An event that many cores use belongs into a `CachePadded` of its own.
///
/// # Examples
///
/// ```
/// use fiber_sync::ManualResetEvent;
///
/// let started = ManualResetEvent::new(false);
/// std::thread::scope(|s| {
///     (0..3).for_each(|_| _ = s.spawn(|| started.wait()));
///     started.set();
/// });
/// assert!(started.is_set());
/// ```
pub struct ManualResetEvent {
    /// [`SET`], and in the other bits how often it has been set.
    state: AtomicUsize,
    queue: WaitQueue,
}

const SET: usize = 1;
const ONE_MORE_TIME: usize = 2;
const MANUAL: Primitive = Primitive::ManualResetEvent;

impl ManualResetEvent {
    const_fn! {
        /// Creates an event.
        #[must_use]
        pub const fn new(is_set: bool) -> Self {
            let state = AtomicUsize::new(if is_set { SET } else { 0 });
            ManualResetEvent { state, queue: WaitQueue::new(0) }
        }
    }

    /// Sets the event, and lets everybody who waits go. What happened before is seen by whoever a
    /// wait lets go then.
    pub fn set(&self) {
        // ORDERING: Release, pairs with the Acquire in `load`. Also if it is set already: what this
        // caller did is to be seen, too.
        let set = self.state.fetch_update(Ordering::Release, Ordering::Relaxed, |state| {
            let is_set = state & SET != 0;
            Some(if is_set { state } else { state.wrapping_add(ONE_MORE_TIME) | SET })
        });
        if set.is_ok_and(|before| before & SET == 0) {
            self.queue.wake_all();
        }
    }

    /// Resets the event: who waits from now on waits for the next [`ManualResetEvent::set`].
    pub fn reset(&self) {
        // ORDERING: Relaxed; as a read-modify-write it passes on what the setters released.
        self.state.fetch_and(!SET, Ordering::Relaxed);
    }

    /// Tells whether the event is set. If so, what happened before it was is visible.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.load() & SET != 0
    }

    fn load(&self) -> usize {
        // ORDERING: Acquire, pairs with the Release in `set`.
        self.state.load(Ordering::Acquire)
    }

    /// Waits until the event is set.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn wait(&self) {
        let set = self.wait_within(Limit::Never);
        debug_assert!(set, "without a limit");
    }

    /// As [`ManualResetEvent::wait`], for tasks. The wait begins with the first poll.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn wait_async(&self) {
        let before = self.load();
        wait::until_async(&self.queue, || self.has_been_set(before)).await;
    }

    /// As [`ManualResetEvent::wait`], but gives up after `timeout`. Returns whether the event was
    /// set.
    ///
    /// # Blocking
    ///
    /// As [`ManualResetEvent::wait`], for at most about `timeout`.
    #[must_use = "the event may not have been set"]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Limit::After(timeout))
    }

    /// As [`ManualResetEvent::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`ManualResetEvent::wait`], at most until about `deadline`.
    #[must_use = "the event may not have been set"]
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within(&self, limit: Limit) -> bool {
        let before = self.load();
        wait::until(&self.queue, MANUAL, limit, || self.has_been_set(before))
    }

    /// Tells whether the event was set when its state was `before`, or has been set since.
    fn has_been_set(&self, before: usize) -> bool {
        before & SET != 0 || self.load() / ONE_MORE_TIME != before / ONE_MORE_TIME
    }
}

impl fmt::Debug for ManualResetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualResetEvent").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

/// A flag that lets one go, and is reset by that.
///
/// Who has waited longest goes first. Settings are not counted: setting a set event changes
/// nothing. 40 bytes; waiting allocates nothing.
///
/// # Examples
///
/// ```
/// use fiber_sync::AutoResetEvent;
///
/// let (ping, pong) = (AutoResetEvent::new(false), AutoResetEvent::new(false));
/// std::thread::scope(|s| {
///     s.spawn(|| (0..3).for_each(|_| { ping.set(); pong.wait() }));
///     (0..3).for_each(|_| { ping.wait(); pong.set() });
/// });
/// ```
pub struct AutoResetEvent {
    /// One permit, if the event is set.
    queue: WaitQueue,
}

const AUTO: Primitive = Primitive::AutoResetEvent;

impl AutoResetEvent {
    const_fn! {
        /// Creates an event.
        #[must_use]
        pub const fn new(is_set: bool) -> Self {
            AutoResetEvent { queue: WaitQueue::new(is_set as usize) }
        }
    }

    /// Lets the one go that has waited longest; with nobody, sets the event for the next.
    pub fn set(&self) {
        self.queue.notify_one();
    }

    /// Takes the event if it is set; tells whether it was.
    pub fn try_wait(&self) -> bool {
        self.queue.try_acquire(1).is_some()
    }

    /// Waits until the event is set, and takes it.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn wait(&self) {
        let taken = self.wait_within(Limit::Never);
        debug_assert!(taken, "without a limit");
    }

    /// As [`AutoResetEvent::wait`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and nothing else: an event that it has taken
    /// and not returned for is set again.
    pub async fn wait_async(&self) {
        let _taken = self.queue.acquire(1).await;
    }

    /// As [`AutoResetEvent::wait`], but gives up after `timeout`. Returns whether it took the
    /// event.
    ///
    /// # Blocking
    ///
    /// As [`AutoResetEvent::wait`], for at most about `timeout`.
    #[must_use = "the event may not have been taken"]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Limit::After(timeout))
    }

    /// As [`AutoResetEvent::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`AutoResetEvent::wait`], at most until about `deadline`.
    #[must_use = "the event may not have been taken"]
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within(&self, limit: Limit) -> bool {
        wait::acquire(&self.queue, 1, AUTO, limit).is_ok()
    }
}

impl fmt::Debug for AutoResetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_set = self.queue.available_permits() != 0;
        f.debug_struct("AutoResetEvent").field("is_set", &is_set).finish_non_exhaustive()
    }
}

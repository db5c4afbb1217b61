//! A count of what is outstanding.

use std::fmt;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::Primitive;
use crate::primitive::{AtomicU64, Ordering, const_fn};
use crate::wait::{self, Limit};

/// A count of outstanding things, which goes up and down. Who waits goes on when it is zero, or
/// low.
///
/// It may be used again: whoever waits goes on if it *sees* a count that is low enough. A count
/// that rises again at once may be missed, so rounds that must not be are kept apart. 48 bytes;
/// waiting allocates nothing. A group that many cores use belongs into a `CachePadded` of its own.
///
/// # Examples
///
/// ```
/// use fiber_sync::WaitGroup;
///
/// let outstanding = WaitGroup::new(0);
/// std::thread::scope(|s| {
///     for _ in 0..3 {
///         let ticket = outstanding.ticket();
///         s.spawn(move || drop(ticket)); // also if it panics
///     }
///     outstanding.wait_at_most(1);
///     outstanding.wait();
/// });
/// ```
pub struct WaitGroup {
    /// The count; below, the highest that anybody has ever waited for: at this count or a lower
    /// one, the waiters are woken. In one word, so that of a change of one and a change of the
    /// other the second sees the first.
    state: AtomicU64,
    queue: WaitQueue,
}

const WHAT: Primitive = Primitive::WaitGroup;

fn count(state: u64) -> u32 {
    (state >> 32) as u32
}

fn awaited(state: u64) -> u32 {
    state as u32
}

fn state(count: u32, awaited: u32) -> u64 {
    u64::from(count) << 32 | u64::from(awaited)
}

impl WaitGroup {
    /// The highest count.
    pub const MAX_COUNT: u32 = u32::MAX;

    const_fn! {
        /// Creates a group with so many outstanding things.
        #[must_use]
        pub const fn new(count: u32) -> Self {
            WaitGroup { state: AtomicU64::new((count as u64) << 32), queue: WaitQueue::new(0) }
        }
    }

    /// Adds `more` outstanding things.
    ///
    /// # Panics
    ///
    /// Panics if the count would exceed [`WaitGroup::MAX_COUNT`].
    pub fn add(&self, more: u32) {
        let add = |before| Some(state(count(before).checked_add(more)?, awaited(before)));
        // ORDERING: Relaxed; a read-modify-write passes on what `done` released.
        let added = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        assert!(added.is_ok(), "wait group contract: the count exceeds `MAX_COUNT`");
    }

    /// Takes one outstanding thing off. What happened before is seen by whoever a wait lets go
    /// then.
    ///
    /// # Panics
    ///
    /// Panics if there is none.
    pub fn done(&self) {
        let take = |before| Some(state(count(before).checked_sub(1)?, awaited(before)));
        // ORDERING: Release, pairs with the Acquire in `count`.
        match self.state.fetch_update(Ordering::Release, Ordering::Relaxed, take) {
            Ok(before) if count(before) - 1 <= awaited(before) => _ = self.queue.wake_all(),
            Ok(_) => (),
            Err(_) => panic!("wait group contract: more `done`s than outstanding things"),
        }
    }

    /// Adds one outstanding thing, which is done when the ticket is dropped.
    ///
    /// # Panics
    ///
    /// As [`WaitGroup::add`].
    pub fn ticket(&self) -> Ticket<'_> {
        self.add(1);
        Ticket { group: self }
    }

    /// Returns how many things are outstanding. What happened before those were done that are not
    /// is visible.
    #[must_use]
    pub fn count(&self) -> u32 {
        // ORDERING: Acquire, pairs with the Release in `done`.
        count(self.state.load(Ordering::Acquire))
    }

    /// Waits until nothing is outstanding.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_at_most(0);
    }

    /// As [`WaitGroup::wait`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn wait_async(&self) {
        self.wait_at_most_async(0).await;
    }

    /// As [`WaitGroup::wait`], but gives up after `timeout`. Returns whether nothing is
    /// outstanding.
    ///
    /// # Blocking
    ///
    /// As [`WaitGroup::wait`], for at most about `timeout`.
    #[must_use = "there may be outstanding things"]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_at_most_timeout(0, timeout)
    }

    /// As [`WaitGroup::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`WaitGroup::wait`], at most until about `deadline`.
    #[must_use = "there may be outstanding things"]
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_at_most_deadline(0, deadline)
    }

    /// Waits until at most `count` things are outstanding.
    ///
    /// From the first such wait on, each [`WaitGroup::done`] at that count or a lower one wakes all
    /// waiters.
    ///
    /// # Blocking
    ///
    /// As [`WaitGroup::wait`].
    #[track_caller]
    pub fn wait_at_most(&self, count: u32) {
        let is_low = self.wait_within(count, Limit::Never);
        debug_assert!(is_low, "without a limit");
    }

    /// As [`WaitGroup::wait_at_most`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn wait_at_most_async(&self, count: u32) {
        if self.count() > count {
            self.announce(count);
            wait::until_async(&self.queue, || self.count() <= count).await;
        }
    }

    /// As [`WaitGroup::wait_at_most`], but gives up after `timeout`. Returns whether at most
    /// `count` things are outstanding.
    ///
    /// # Blocking
    ///
    /// As [`WaitGroup::wait_timeout`].
    #[must_use = "there may be more outstanding things"]
    #[track_caller]
    pub fn wait_at_most_timeout(&self, count: u32, timeout: Duration) -> bool {
        self.wait_within(count, Limit::After(timeout))
    }

    /// As [`WaitGroup::wait_at_most_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`WaitGroup::wait_deadline`].
    #[must_use = "there may be more outstanding things"]
    #[track_caller]
    pub fn wait_at_most_deadline(&self, count: u32, deadline: Instant) -> bool {
        self.wait_within(count, Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within(&self, count: u32, limit: Limit) -> bool {
        if self.count() <= count {
            return true;
        }
        self.announce(count);
        wait::until(&self.queue, WHAT, limit, || self.count() <= count)
    }

    /// Has waiters woken at this count.
    fn announce(&self, wanted: u32) {
        let raise = |before| (awaited(before) < wanted).then(|| state(count(before), wanted));
        // ORDERING: Relaxed; a `done` before this is seen by the next look at the word.
        let _is_known = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise);
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        Self::new(0)
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// One outstanding thing of a [`WaitGroup`], done when this is dropped.
#[must_use = "the thing is done at once if this is not kept"]
pub struct Ticket<'a> {
    group: &'a WaitGroup,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.group.done();
    }
}

impl fmt::Debug for Ticket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("group", self.group).finish()
    }
}

//! Waiting for time to pass.

use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::wait::Limit;

const WHAT: Primitive = Primitive::Sleep;

/// Waits for at least `duration`.
///
/// # Blocking
///
/// Suspends the fiber, or parks the plain thread.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// fiber_sync::sleep(Duration::from_millis(2));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[track_caller]
pub fn sleep(duration: Duration) {
    wait(Limit::After(duration));
}

/// Waits until `deadline` has come; not at all, if it has.
///
/// # Blocking
///
/// As [`sleep`].
#[track_caller]
pub fn sleep_until(deadline: Instant) {
    wait(Limit::At(deadline));
}

#[track_caller]
fn wait(limit: Limit) {
    let nobody_wakes = WaitQueue::new(0);
    let outcome = BlockingWait::new(&nobody_wakes, Need::Wake, WHAT, limit.deadline()).block();
    debug_assert!(outcome.is_none(), "only the deadline ends it");
}

//! What the primitives have in common: how long to wait, and waiting on a queue in both forms.

use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::Outcome;

use crate::blocker::{BlockingWait, Need};
use crate::error::TimeoutError;

/// How long a blocking form waits.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Never,
    After(Duration),
    At(Instant),
}

impl Limit {
    /// Asks the clock only where a wait begins. A time past the end of time is no limit.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Limit::Never => None,
            Limit::After(timeout) => Instant::now().checked_add(timeout),
            Limit::At(deadline) => Some(deadline),
        }
    }

    /// The same limit for several waits in a row.
    pub(crate) fn fixed(self) -> Limit {
        self.deadline().map_or(Limit::Never, Limit::At)
    }
}

/// Takes permits; waits for them within the limit.
#[inline]
#[track_caller]
pub(crate) fn acquire(
    queue: &WaitQueue,
    permits: usize,
    what: &'static str,
    limit: Limit,
) -> Result<(), TimeoutError> {
    let outcome = match queue.try_acquire(permits) {
        None => BlockingWait::new(queue, Need::Permits(permits), what, limit.deadline()).block(),
        ready => ready,
    };
    match outcome {
        Some(Outcome::Granted | Outcome::Woken) => Ok(()),
        Some(Outcome::Closed) => Err(TimeoutError::Closed),
        None => Err(TimeoutError::TimedOut),
    }
}

/// Waits within the limit until `queue` is closed. Returns whether it is.
#[track_caller]
pub(crate) fn until_closed(queue: &WaitQueue, what: &'static str, limit: Limit) -> bool {
    queue.is_closed()
        || BlockingWait::new(queue, Need::Wake, what, limit.deadline()).block().is_some()
}

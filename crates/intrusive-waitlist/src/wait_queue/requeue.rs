//! Waiting for a wake, and then in the line of another queue: what condition variables do.
//!
//! A wake does not notify such a waiter, but moves it, so that of all who are woken at once each
//! runs only when it is its turn.

use core::ptr;

use super::waiter::{Verdict, Waiter};
use super::{Need, Outcome, Registration, Wait, WaitQueue};

impl WaitQueue {
    /// Waits, as a task, for a wake, and then in the line of `target` for a permit: who is woken
    /// first is there first. Ends with [`Outcome::Granted`]: by `target`. Counts from the first
    /// poll, or from [`Wait::enable`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has reported the permit, the permit goes back to
    /// `target`; and a wake by [`WaitQueue::wake`] or [`WaitQueue::notify_one`] goes on to the next
    /// that waits here.
    pub fn wait_requeue<'a>(&'a self, target: &'a WaitQueue) -> Wait<'a> {
        Wait::new(self, Need::wake_then_permit_of(target))
    }

    /// Puts `waiter` into the queue until a wake, which moves it into the line of `target` for a
    /// permit. Never blocks.
    ///
    /// [`WaitQueue::cancel`] of this queue takes it out of either, and gives a wake that has moved
    /// it, [`WaitQueue::wake_all`] excepted, to the next that waits here. [`Outcome::Granted`] is a
    /// permit of `target`.
    ///
    /// # Safety
    ///
    /// As for [`WaitQueue::register`], also of `target`, which is another queue than this.
    pub unsafe fn register_requeue(&self, waiter: &Waiter, target: &WaitQueue) -> Registration {
        // SAFETY: the caller keeps the same contract.
        unsafe { self.push(waiter, Need::wake_then_permit_of(target)) }
    }
}

/// Moves a waiter that was woken into the line of the queue of which it needs a permit. Returns
/// the verdict, if there is one by now.
///
/// # Safety
///
/// The caller is the holder of the queue with which the waiter was registered, or was moved to, and
/// has just taken it from the list. If nothing is returned, it is not the caller's any more.
pub(super) unsafe fn move_on(node: *const Waiter, verdict: Verdict) -> Option<Verdict> {
    // SAFETY: not notified, so it lives.
    let waiter = unsafe { &*node };
    // SAFETY: the caller is the holder.
    let is_moved = unsafe { waiter.moved_by.get() }.is_some();
    // SAFETY: as above.
    let target = unsafe { waiter.need.get() }.target();
    let Some(target) = target.filter(|_| verdict.is_wake() && !is_moved) else {
        return Some(verdict);
    };
    // SAFETY: as above. In the other list nobody has woken it.
    unsafe { waiter.mark.replace(None) };
    // SAFETY: as above. It was taken from the list, and may never be in another.
    unsafe { waiter.prev.replace(ptr::null()) };
    // SAFETY: as above.
    unsafe { waiter.moved_by.replace(Some(verdict)) };
    // SAFETY: `register_requeue` requires that it lives as long as the waiter waits, and exposed
    // its address.
    let target = unsafe { &*target };
    // Never blocks, and runs no code of others; so it may be done under the lock.
    // SAFETY: the node is in no queue, and the caller's until it is in this one.
    match unsafe { target.enqueue(waiter, 1) } {
        Registration::Registered => None,
        Registration::Ready(Outcome::Closed) => Some(Verdict::Closed),
        Registration::Ready(Outcome::Granted | Outcome::Woken) => Some(Verdict::Granted),
    }
}

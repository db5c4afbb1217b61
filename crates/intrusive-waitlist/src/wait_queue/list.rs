//! The holder's private list: doubly linked, oldest first.

use core::ptr;

use super::batch::WakeBatch;
use super::requeue;
use super::waiter::{Verdict, Waiter};
use super::word::COUNT_MAX;

/// The waiters that a holder has seen, and the permits that wait for the oldest to have enough.
///
/// The nodes of the list live, and their links, permits and marks are the list's, until it notifies
/// or unlinks them: this is what "in the list" means in the comments below.
pub(super) struct List {
    /// The oldest waiter. The `prev` of the oldest is the youngest.
    front: *const Waiter,
    /// Permits that are nobody's yet. Zero while nobody waits: they are in the state word then.
    pub(super) left: usize,
    pub(super) len: usize,
}

impl List {
    pub(super) const fn new() -> Self {
        List { front: ptr::null(), left: 0, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_null()
    }

    /// Adds permits. More than there may be are clipped: this is no place to panic.
    pub(super) fn add(&mut self, permits: usize) {
        self.left = self.left.saturating_add(permits).min(COUNT_MAX);
    }

    /// Appends an inbox, which is newest first.
    ///
    /// # Safety
    ///
    /// `newest` is 0 or was taken from the state word by the caller, with all that is behind it.
    pub(super) unsafe fn append(&mut self, newest: usize) {
        let (mut below, mut oldest) = (newest, ptr::null());
        while below != 0 {
            let node: *const Waiter = ptr::with_exposed_provenance(below);
            // SAFETY: nodes in an inbox live, and exposed their addresses when they were pushed.
            let next = unsafe { &(*node).next };
            // SAFETY: the inbox is the caller's.
            below = unsafe { next.replace(oldest) }.addr();
            oldest = node;
        }
        while !oldest.is_null() {
            let node = oldest;
            // SAFETY: as above.
            let fields = unsafe { &*node };
            // SAFETY: as above.
            oldest = unsafe { fields.next.replace(ptr::null()) };
            // SAFETY: as above.
            self.add(unsafe { fields.carry.get() });
            // SAFETY: a node from the inbox is in no list.
            unsafe { self.push_back(node) };
        }
    }

    /// # Safety
    ///
    /// The node lives, is in no list, and is the caller's to put there.
    unsafe fn push_back(&mut self, node: *const Waiter) {
        let back = if self.front.is_null() {
            self.front = node;
            node
        } else {
            // SAFETY: in the list.
            let front_prev = unsafe { &(*self.front).prev };
            // SAFETY: in the list.
            let back = unsafe { front_prev.replace(node) };
            // SAFETY: in the list.
            let back_next = unsafe { &(*back).next };
            // SAFETY: in the list.
            unsafe { back_next.replace(node) };
            back
        };
        // SAFETY: the caller's promise.
        let prev = unsafe { &(*node).prev };
        // SAFETY: the caller's promise.
        unsafe { prev.replace(back) };
        self.len += 1;
    }

    /// Takes a node out.
    ///
    /// # Safety
    ///
    /// The node is in this list.
    pub(super) unsafe fn unlink(&mut self, node: *const Waiter) {
        // SAFETY: the caller's promise.
        let fields = unsafe { &*node };
        // SAFETY: in the list.
        let next = unsafe { fields.next.get() };
        // SAFETY: in the list.
        let prev = unsafe { fields.prev.get() };
        self.len -= 1;
        if ptr::eq(self.front, node) {
            self.front = next;
        } else {
            // SAFETY: the neighbours of a node in the list are in the list.
            let prev_next = unsafe { &(*prev).next };
            // SAFETY: as above.
            unsafe { prev_next.replace(next) };
        }
        // The youngest is behind the oldest, which is null if the node was the only one.
        let follower = if next.is_null() { self.front } else { next };
        if !follower.is_null() {
            // SAFETY: as above.
            let follower_prev = unsafe { &(*follower).prev };
            // SAFETY: as above.
            unsafe { follower_prev.replace(prev) };
        }
    }

    /// Marks the `count` oldest waiters that no wake has marked yet. Returns how many there were.
    pub(super) fn mark(&mut self, count: usize, verdict: Verdict) -> usize {
        let (mut node, mut marked) = (self.front, 0);
        while !node.is_null() && marked < count {
            // SAFETY: in the list.
            let fields = unsafe { &*node };
            // SAFETY: in the list.
            let mark = unsafe { fields.mark.get() };
            if mark.is_none() {
                // SAFETY: in the list.
                unsafe { fields.mark.replace(Some(verdict)) };
                marked += 1;
            }
            // SAFETY: in the list.
            node = unsafe { fields.next.get() };
        }
        marked
    }

    /// Notifies the oldest waiters, as many as may go and `batch` has room for. Returns whether
    /// more may go.
    pub(super) fn settle(&mut self, is_closed: bool, batch: &mut WakeBatch) -> bool {
        while let Some(verdict) = self.front_verdict(is_closed) {
            if batch.is_full() {
                return true;
            }
            let node = self.front;
            if verdict == Verdict::Granted {
                // SAFETY: in the list.
                let fields = unsafe { &*node };
                // SAFETY: in the list, which the caller holds.
                self.left -= unsafe { fields.permits() };
            }
            // SAFETY: in the list.
            unsafe { self.unlink(node) };
            // SAFETY: just taken from the list.
            let Some(verdict) = (unsafe { requeue::move_on(node, verdict) }) else { continue };
            let notify = |handle: &mut _| {
                // SAFETY: as above, and not moved.
                unsafe { Waiter::notify(node, verdict, handle) }
            };
            // SAFETY: it writes the handle.
            unsafe { batch.push(notify) };
        }
        false
    }

    /// Tells why the oldest waiter may go, if there is one and it may.
    fn front_verdict(&self, is_closed: bool) -> Option<Verdict> {
        if self.front.is_null() {
            return None;
        }
        // SAFETY: in the list.
        let front = unsafe { &*self.front };
        // SAFETY: in the list.
        let mark = unsafe { front.mark.get() };
        // SAFETY: in the list, which the caller holds.
        let permits = unsafe { front.permits() };
        let granted = (permits <= self.left).then_some(Verdict::Granted);
        mark.or(granted).or(is_closed.then_some(Verdict::Closed))
    }
}

//! Where woken fibers arrive: an intrusive queue that anybody pushes to and one worker empties.
//!
//! `head` is null or the newest node of a stack linked through [`Link`].
//!
//! | who | may touch a node's link |
//! |---|---|
//! | the pusher | from `push` until its compare-and-swap succeeds |
//! | the owner | from the swap in `take` on |
//!
//! The compare-and-swap of `push` (Release) passes node and link to the swap of `take` (Acquire).
//! Nodes leave all together, so there is no ABA. `push` touches nothing after its compare-and-swap:
//! from then on the node may run, end and be reused; what the pusher still needs (the inbox, the
//! parker) must be type-stable.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::primitive::{AtomicPtr, Ordering, RacyCell};

/// The link of a node that lives in an [`Inbox`] or a [`Chain`], one at a time.
pub struct Link<T>(RacyCell<*mut T>);

impl<T> Link<T> {
    /// Creates a link that leads nowhere.
    #[must_use]
    pub fn new() -> Self {
        Link(RacyCell::new(ptr::null_mut()))
    }

    /// Sets where the link leads, and returns where it led.
    ///
    /// # Safety
    ///
    /// The caller owns the node, as the module's table says.
    unsafe fn replace(&self, next: *mut T) -> *mut T {
        self.0.with_mut(|link| {
            // SAFETY: the caller has the link to itself.
            unsafe { ptr::replace(link, next) }
        })
    }
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// A type whose values carry the link that queues them.
///
/// # Safety
///
/// `link` always returns the same link of the same value, and nothing else writes it.
pub unsafe trait Linked: Sized {
    /// Returns the value's link.
    fn link(&self) -> &Link<Self>;
}

/// A queue that any thread pushes to and one worker empties. One word; never allocates.
pub struct Inbox<T> {
    head: AtomicPtr<T>,
    owns_nodes: PhantomData<*mut T>,
}

// SAFETY: nodes pass from pusher to owner, so `T: Send` is needed and, with the table, enough.
unsafe impl<T: Send> Send for Inbox<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Inbox<T> {}

impl<T: Linked> Inbox<T> {
    /// Creates an empty inbox.
    #[must_use]
    pub fn new() -> Self {
        Inbox { head: AtomicPtr::new(ptr::null_mut()), owns_nodes: PhantomData }
    }

    /// Tells whether the inbox was empty at some moment during the call.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        // ORDERING: Relaxed; whoever acts on a node takes it with the Acquire of `take`, and the
        // sleep protocol has a fence of its own before this look.
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Pushes a whole batch with one compare-and-swap. The last touch of the batch's nodes.
    pub fn push(&self, batch: Batch<T>) {
        let Some((newest, oldest)) = batch.ends else { return };
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the batch owns its nodes until the compare-and-swap.
            let oldest = unsafe { oldest.as_ref() };
            // SAFETY: as above.
            unsafe { oldest.link().replace(head) };
            // ORDERING: Release, pairs with the Acquire in `take`; publishes nodes and links.
            match self.head.compare_exchange_weak(
                head,
                newest.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes everything, in order of arrival. Only the owner calls this.
    #[must_use]
    pub fn take(&self) -> Chain<T> {
        if self.is_empty() {
            return Chain::new();
        }
        // ORDERING: Acquire, pairs with the Release in `push`; receives nodes and links.
        let mut rest = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        let mut chain = Chain { first: ptr::null_mut(), last: rest };
        while let Some(node) = NonNull::new(rest) {
            // SAFETY: the swap passed the nodes to this owner.
            let link = unsafe { node.as_ref() }.link();
            // SAFETY: as above.
            rest = unsafe { link.replace(chain.first) };
            chain.first = node.as_ptr();
        }
        chain
    }
}

impl<T: Linked> Default for Inbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

/// Nodes on their way to one inbox, newest first.
#[must_use = "the nodes of a batch that is not pushed are lost"]
pub struct Batch<T> {
    /// The newest and the oldest node.
    ends: Option<(NonNull<T>, NonNull<T>)>,
}

impl<T: Linked> Batch<T> {
    /// Creates a batch of one node.
    ///
    /// # Safety
    ///
    /// The caller owns `node`, which is in no queue, and gives it up until an owner takes it.
    pub unsafe fn of(node: NonNull<T>) -> Self {
        Batch { ends: Some((node, node)) }
    }

    /// Creates an empty batch.
    pub fn new() -> Self {
        Batch { ends: None }
    }

    /// Adds a node that arrived after those in the batch.
    ///
    /// # Safety
    ///
    /// As for [`Batch::of`].
    pub unsafe fn add(&mut self, node: NonNull<T>) {
        self.ends = match self.ends {
            None => Some((node, node)),
            Some((newest, oldest)) => {
                // SAFETY: the caller gave the node to this batch.
                let link = unsafe { node.as_ref() }.link();
                // SAFETY: as above.
                unsafe { link.replace(newest.as_ptr()) };
                Some((node, oldest))
            }
        };
    }

    /// Tells whether the batch has no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_none()
    }
}

impl<T: Linked> Default for Batch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("ends", &self.ends).finish()
    }
}

/// A first-in-first-out queue of linked nodes, for one thread.
pub struct Chain<T> {
    first: *mut T,
    last: *mut T,
}

impl<T: Linked> Chain<T> {
    /// Creates an empty chain.
    #[must_use]
    pub const fn new() -> Self {
        Chain { first: ptr::null_mut(), last: ptr::null_mut() }
    }

    /// Tells whether the chain has no nodes.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Puts a node at the end.
    ///
    /// # Safety
    ///
    /// The caller owns `node`, which is in no queue, and gives it up until it is popped.
    pub unsafe fn push_back(&mut self, node: NonNull<T>) {
        // SAFETY: the caller gave the node to this chain.
        let link = unsafe { node.as_ref() }.link();
        // SAFETY: as above.
        unsafe { link.replace(ptr::null_mut()) };
        self.append(Chain { first: node.as_ptr(), last: node.as_ptr() });
    }

    /// Returns the first node, if it is not the only one.
    #[inline]
    #[must_use]
    pub fn first_of_several(&self) -> Option<NonNull<T>> {
        NonNull::new(self.first).filter(|first| first.as_ptr() != self.last)
    }

    /// Takes the first node.
    #[inline]
    pub fn pop_front(&mut self) -> Option<NonNull<T>> {
        let node = NonNull::new(self.first)?;
        // SAFETY: the chain owns its nodes.
        let link = unsafe { node.as_ref() }.link();
        // SAFETY: as above.
        self.first = unsafe { link.replace(ptr::null_mut()) };
        Some(node)
    }

    /// Moves all nodes of `other` to the end.
    pub fn append(&mut self, other: Chain<T>) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other;
            return;
        }
        // SAFETY: both chains own their nodes, and `last` is one while the chain is not empty.
        let last = unsafe { &*self.last };
        // SAFETY: as above.
        unsafe { last.link().replace(other.first) };
        self.last = other.last;
    }
}

impl<T: Linked> Default for Chain<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Chain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("empty", &self.first.is_null()).finish()
    }
}

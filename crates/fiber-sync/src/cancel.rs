//! Telling others to stop: tokens, and waits that end early.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::block_on::block_on_until;
use crate::blocker::{BlockingWait, Need, Primitive};
use crate::wait::{Limit, suppress};

/// A wish to stop, made once, and seen by all who have the token or a child of it.
///
/// Cancelling interrupts nothing by itself. Code that may stop looks
/// ([`CancelToken::is_cancelled`]), or waits by [`CancelToken::run`]. Clones are the same token.
/// Waiting allocates nothing; making tokens does. A child keeps its parent alive, and so all of its
/// ancestors: where each step makes a child of the last step's token, the chain only grows. Make
/// them children of one token instead.
///
/// A token may have a deadline, at which it is cancelled. Blocking forms end then by themselves; so
/// that tasks need no timers of this crate's, a deadline that has passed is otherwise seen by
/// whoever looks: a task wraps its wait in its executor's timeout, until [`CancelToken::deadline`].
///
/// # Examples
///
/// ```
/// use fiber_sync::{CancelToken, Cancelled, Semaphore};
///
/// let (token, permits) = (CancelToken::new(), Semaphore::new(0));
/// std::thread::scope(|s| {
///     s.spawn(|| assert!(matches!(token.run(permits.acquire_async()), Err(Cancelled))));
///     token.cancel();
/// });
///
/// // At most so long, and not longer than `token`.
/// let limited = CancelToken::new().with_timeout(std::time::Duration::from_millis(1));
/// assert!(limited.run(permits.acquire_async()).is_err());
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

/// Why a wait has ended without a result: its token was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cancelled;

struct Node {
    /// Closed when the token is cancelled.
    cancelled: WaitQueue,
    /// Not later than the parent's.
    deadline: Option<Instant>,
    /// Whoever cancels an ancestor comes here by way of the parent, so it is kept.
    parent: Option<Arc<Node>>,
    /// Locked for a few instructions; no code of others runs meanwhile.
    children: Mutex<Children>,
}

#[derive(Default)]
struct Children {
    /// From now on children are cancelled from the start.
    are_cancelled: bool,
    nodes: Vec<Weak<Node>>,
}

const WHAT: Primitive = Primitive::CancelToken;

impl CancelToken {
    /// Creates a token that is cancelled by [`CancelToken::cancel`] only.
    #[must_use]
    pub fn new() -> Self {
        CancelToken { node: Arc::new(Node::new(None, None)) }
    }

    /// Creates a token that is cancelled with this one, and may be cancelled alone.
    #[must_use]
    pub fn child(&self) -> Self {
        self.child_until(None)
    }

    /// Creates a child that is also cancelled at `deadline`.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        self.child_until(Some(deadline))
    }

    /// Creates a child that is also cancelled after `timeout`, counted from now.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        self.child_until(Limit::After(timeout).deadline())
    }

    fn child_until(&self, deadline: Option<Instant>) -> Self {
        let deadline = earlier(deadline, self.node.deadline);
        let child = Arc::new(Node::new(deadline, Some(Arc::clone(&self.node))));
        let mut children = self.node.children();
        if children.are_cancelled {
            // Nobody waits there yet, and there are no children.
            child.children().are_cancelled = true;
            child.cancelled.close();
        } else {
            children.add(&child);
        }
        drop(children);
        CancelToken { node: child }
    }

    /// Cancels the token and its children. Once is for ever; further calls do nothing.
    ///
    /// Whoever sees a token cancelled sees all its descendants cancelled.
    ///
    /// # Panics
    ///
    /// With the first panic of a waker that this calls, when everybody has been woken.
    pub fn cancel(&self) {
        let mut nodes = vec![Arc::clone(&self.node)];
        let mut visited = 0;
        while let Some(node) = nodes.get(visited) {
            let children = node.forbid_children();
            nodes.extend(children);
            visited += 1;
        }
        let mut first_panic = None;
        // Descendants first. Others who cancel meanwhile, also a waker, find them all as well.
        for node in nodes.iter().rev() {
            let close = AssertUnwindSafe(|| node.cancelled.close());
            match (panic::catch_unwind(close), &first_panic) {
                (Ok(_), _) => (),
                (Err(payload), None) => first_panic = Some(payload),
                (Err(payload), Some(_)) => suppress(payload),
            }
            node.forget_children();
        }
        if let Some(payload) = first_panic {
            panic::resume_unwind(payload);
        }
    }

    /// Tells whether the token has been cancelled, or its deadline has passed. What happened before
    /// the cancellation is visible then.
    ///
    /// # Panics
    ///
    /// As [`CancelToken::cancel`], if this is the first to see that the deadline has passed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        if self.node.cancelled.is_closed() {
            return true;
        }
        let is_late = self.node.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_late {
            self.cancel();
        }
        is_late
    }

    /// Returns when the token is cancelled at the latest; `None`: never, by the clock.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline
    }

    /// Waits until the token is cancelled.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread, at most until the token's deadline.
    #[track_caller]
    pub fn wait(&self) {
        let cancelled = self.wait_within(Limit::Never);
        debug_assert!(cancelled, "without a limit but the token's own");
    }

    /// As [`CancelToken::wait`], but gives up after `timeout`. Returns whether the token was
    /// cancelled.
    ///
    /// # Blocking
    ///
    /// As [`CancelToken::wait`], for at most about `timeout`.
    #[must_use = "the token may not have been cancelled"]
    #[track_caller]
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Limit::After(timeout))
    }

    /// As [`CancelToken::wait_timeout`], with the moment at which to give up.
    ///
    /// # Blocking
    ///
    /// As [`CancelToken::wait`], at most until about `deadline`.
    #[must_use = "the token may not have been cancelled"]
    #[track_caller]
    pub fn wait_deadline(&self, deadline: Instant) -> bool {
        self.wait_within(Limit::At(deadline))
    }

    #[track_caller]
    fn wait_within(&self, limit: Limit) -> bool {
        if self.is_cancelled() {
            return true;
        }
        let deadline = earlier(limit.deadline(), self.node.deadline);
        let wait = BlockingWait::new(&self.node.cancelled, Need::Wake, WHAT, deadline);
        wait.block().is_some() || self.is_cancelled()
    }

    /// As [`CancelToken::wait`], for tasks: returns when the token is cancelled. A deadline that
    /// passes meanwhile is not noticed; see [`CancelToken`].
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn cancelled(&self) {
        if !self.is_cancelled() {
            let _closed = self.node.cancelled.wait().await;
        }
    }

    /// Runs `future` to its end, unless the token is cancelled before: then drops it.
    ///
    /// With a future of a primitive of this crate (`token.run(mutex.lock_async())`), this is a wait
    /// that can be cancelled. Nothing is lost where a grant and the cancellation meet: either this
    /// returns what was granted, or the next in line gets it.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]. If the token was cancelled before this call, the future is not polled at all.
    ///
    /// # Panics
    ///
    /// With the panic of the future.
    ///
    /// # Blocking
    ///
    /// As [`block_on`](crate::block_on()), at most until the token's deadline.
    #[track_caller]
    pub fn run<F: IntoFuture>(&self, future: F) -> Result<F::Output, Cancelled> {
        let result = block_on_until(self.run_async(future), self.node.deadline);
        result.unwrap_or_else(|| {
            self.cancel();
            Err(Cancelled)
        })
    }

    /// As [`CancelToken::run`], for tasks. A deadline that passes meanwhile is not noticed; see
    /// [`CancelToken`].
    ///
    /// # Errors
    ///
    /// As [`CancelToken::run`].
    ///
    /// # Cancel safety
    ///
    /// That of `future`.
    pub async fn run_async<F: IntoFuture>(&self, future: F) -> Result<F::Output, Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        let mut future = pin!(future.into_future());
        let mut cancelled = pin!(self.node.cancelled.wait());
        poll_fn(|context| {
            // Where both have come, the result wins.
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            cancelled.as_mut().poll(context).map(|_closed| Err(Cancelled))
        })
        .await
    }
}

/// The earlier of two moments, of which none means never.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

impl Node {
    fn new(deadline: Option<Instant>, parent: Option<Arc<Node>>) -> Self {
        let cancelled = WaitQueue::new(0);
        Node { cancelled, deadline, parent, children: Mutex::default() }
    }

    /// Nothing panics under this lock.
    fn children(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has later children cancelled from the start, and returns the earlier ones, which the caller
    /// cancels.
    fn forbid_children(&self) -> Vec<Arc<Node>> {
        let mut children = self.children();
        children.are_cancelled = true;
        children.nodes.iter().filter_map(Weak::upgrade).collect()
    }

    /// All children are cancelled, and there will be none that are not.
    fn forget_children(&self) {
        let nodes = std::mem::take(&mut self.children().nodes);
        drop(nodes); // without the lock
    }
}

impl Children {
    /// Adds a child. Those that have gone are cleared away when room is needed.
    fn add(&mut self, child: &Arc<Node>) {
        if self.nodes.len() == self.nodes.capacity() {
            self.nodes.retain(|node| node.strong_count() != 0);
            self.nodes.reserve(self.nodes.len() + 1); // so that clearing is rare
        }
        self.nodes.push(Arc::downgrade(child));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One by one: a long line of descendants would overflow the stack.
        let mut parent = self.parent.take();
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.parent.take();
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("is_cancelled", &self.node.cancelled.is_closed())
            .field("deadline", &self.node.deadline)
            .finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was cancelled")
    }
}

impl Error for Cancelled {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_that_have_gone_are_forgotten() {
        let token = CancelToken::new();
        let kept = [(); 10].map(|()| token.child());
        (0..1000).for_each(|_| drop(token.child()));
        assert!(token.node.children().nodes.capacity() < 100);
        token.cancel();
        assert!(kept.iter().all(CancelToken::is_cancelled));
        assert_eq!(token.node.children().nodes.capacity(), 0);
    }
}

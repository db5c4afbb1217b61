//! One value from one sender to one receiver.
//!
//! Each side learns when the other is gone. Waiting allocates nothing; making a channel does.
//!
//! ```
//! use fiber_sync::oneshot;
//!
//! let (sender, mut receiver) = oneshot::channel();
//! std::thread::scope(|s| {
//!     s.spawn(move || sender.send(6 * 7).unwrap());
//!     assert_eq!(receiver.recv(), Ok(42));
//! });
//! ```

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;

use crate::blocker::Primitive;
use crate::error::{Closed, SendError, TimeoutError, TryError};
use crate::primitive::{Mutex, MutexGuard};
use crate::wait::{self, Limit};

/// Makes a channel for one value.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        slot: Mutex::new(Slot { value: None, is_refused: false }),
        settled: WaitQueue::new(0),
        refused: WaitQueue::new(0),
    });
    (Sender { channel: Arc::clone(&channel) }, Receiver { channel })
}

/// What both sides share.
struct Channel<T> {
    /// Locked for a few instructions; no code of others runs meanwhile.
    slot: Mutex<Slot<T>>,
    /// Closed when the value is there, or will never be.
    settled: WaitQueue,
    /// Closed when the receiver takes no value any more.
    refused: WaitQueue,
}

struct Slot<T> {
    value: Option<T>,
    is_refused: bool,
}

const SENDER: Primitive = Primitive::OneshotSender;
const RECEIVER: Primitive = Primitive::OneshotReceiver;

impl<T> Channel<T> {
    /// Nothing panics under this lock.
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side that sends. Dropped without a value, it closes the channel.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// The side that receives. The value is received once; from then on the channel is closed.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends the value. Never blocks.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the value, if the receiver is gone or has closed the channel.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let mut slot = self.channel.slot();
        if slot.is_refused {
            return Err(SendError(value));
        }
        slot.value = Some(value);
        drop(slot);
        // The drop of `self` wakes the receiver.
        Ok(())
    }

    /// Tells whether the receiver is gone or has closed the channel.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.refused.is_closed()
    }

    /// Waits until the receiver is gone or has closed the channel.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn closed(&self) {
        let closed = wait::until_closed(&self.channel.refused, SENDER, Limit::Never);
        debug_assert!(closed, "without a limit");
    }

    /// As [`Sender::closed`], for tasks.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    pub async fn closed_async(&self) {
        let _closed = self.channel.refused.wait().await;
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel.settled.close();
    }
}

impl<T> Receiver<T> {
    /// Receives the value; waits for it if necessary.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the sender is gone without a value, or the value has been received.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn recv(&mut self) -> Result<T, Closed> {
        let settled = wait::until_closed(&self.channel.settled, RECEIVER, Limit::Never);
        debug_assert!(settled, "without a limit");
        self.take()
    }

    /// As [`Receiver::recv`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time; the value can be received later.
    pub async fn recv_async(&mut self) -> Result<T, Closed> {
        let _settled = self.channel.settled.wait().await;
        self.take()
    }

    /// Receives the value, if that takes no waiting.
    ///
    /// # Errors
    ///
    /// [`TryError`] says why there is none.
    pub fn try_recv(&mut self) -> Result<T, TryError> {
        if !self.channel.settled.is_closed() {
            return Err(TryError::WouldBlock);
        }
        Ok(self.take()?)
    }

    /// As [`Receiver::recv`], but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] says why there is no value.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], for at most about `timeout`.
    #[track_caller]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, TimeoutError> {
        self.recv_within(Limit::After(timeout))
    }

    /// As [`Receiver::recv_timeout`], with the moment at which to give up.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], at most until about `deadline`.
    #[track_caller]
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, TimeoutError> {
        self.recv_within(Limit::At(deadline))
    }

    #[track_caller]
    fn recv_within(&mut self, limit: Limit) -> Result<T, TimeoutError> {
        if !wait::until_closed(&self.channel.settled, RECEIVER, limit) {
            return Err(TimeoutError::TimedOut);
        }
        Ok(self.take()?)
    }

    fn take(&mut self) -> Result<T, Closed> {
        self.channel.slot().value.take().ok_or(Closed)
    }

    /// Refuses a value that has not been sent. One that has can still be received. Never blocks.
    pub fn close(&mut self) {
        self.channel.slot().is_refused = true;
        self.channel.refused.close();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        // Not later, with the sender; and not under the lock.
        let unreceived = self.channel.slot().value.take();
        drop(unreceived);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = self.channel.settled.is_closed();
        f.debug_struct("Receiver").field("settled", &settled).finish_non_exhaustive()
    }
}

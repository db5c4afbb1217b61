//! Values from many senders to many receivers, in the order in which they were sent.
//!
//! [`bounded`] makes a channel with room for so many values: who sends into a full one waits.
//! [`unbounded`] makes one in which sending never waits, and memory is the limit. Each value goes
//! to one receiver. Senders and receivers wait in two lines, and each is fair.
//!
//! A channel is *closed* when the last sender, or the last receiver, has been dropped, or by either
//! side's `close`. Nothing can be sent then; what was sent before is still received, unless the
//! receivers are gone: then it is dropped.
//!
//! Where a thread or a fiber waits for the next value, and nobody else does, the value goes
//! straight to it. All else goes through a buffer, whose lock is held for a few instructions.
//!
//! Waiting allocates nothing; making a channel does, and so does the growth of an unbounded one.
//!
//! A panic of a waker comes out of a `send` when the value has been sent, and out of a `close` when
//! everybody has been woken; it never comes out of a `recv`.
//!
//! ```
//! use fiber_sync::channel;
//!
//! let (sender, receiver) = channel::bounded(2);
//! std::thread::scope(|s| {
//!     s.spawn(move || (0..5).for_each(|number| sender.send(number).unwrap()));
//!     assert!(receiver.iter().eq(0..5)); // until the sender is gone
//! });
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use intrusive_waitlist::WaitQueue;
use intrusive_waitlist::wait_queue::{Claim, Outcome, Slot};

use crate::blocker::{BlockingWait, Need, Primitive};
use crate::error::{Closed, SendError, SendTimeoutError, TimeoutError, TryError, TrySendError};
use crate::primitive::{AtomicUsize, Mutex, MutexGuard, Ordering};
use crate::wait::{self, Limit};

/// Makes a channel with room for `capacity` values, which is allocated at once.
///
/// # Panics
///
/// Panics if `capacity` is 0, or exceeds [`Semaphore::MAX_PERMITS`](crate::Semaphore::MAX_PERMITS).
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "channel contract: a bounded channel has room for a value");
    let room = Room { free: WaitQueue::new(capacity), capacity };
    channel(VecDeque::with_capacity(capacity), Some(room))
}

/// Makes a channel in which sending never waits.
#[must_use]
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    channel(VecDeque::new(), None)
}

fn channel<T>(values: VecDeque<T>, room: Option<Room>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        buffer: Mutex::new(Buffer { values, is_closed: false }),
        len: AtomicUsize::new(0),
        filled: WaitQueue::new(0),
        room,
        sender_count: AtomicUsize::new(1),
        receiver_count: AtomicUsize::new(1),
    });
    (Sender { channel: Arc::clone(&channel) }, Receiver { channel })
}

/// What senders and receivers share.
struct Channel<T> {
    /// Locked for a few instructions, and for the growth of an unbounded channel; never while code
    /// of others runs.
    buffer: Mutex<Buffer<T>>,
    /// The number of values in the buffer, written under its lock.
    len: AtomicUsize,
    /// A permit for each value in the buffer that no receiver is about to take. Closed with the
    /// channel; from then on receivers take what is there without permits. Those that block have a
    /// [`Slot`] there.
    filled: WaitQueue,
    room: Option<Room>,
    sender_count: AtomicUsize,
    receiver_count: AtomicUsize,
}

struct Buffer<T> {
    values: VecDeque<T>,
    /// Nothing is pushed any more.
    is_closed: bool,
}

/// Of a bounded channel.
struct Room {
    /// A permit for each free place that no sender is about to fill. Closed with the channel.
    free: WaitQueue,
    capacity: usize,
}

impl Room {
    /// Frees a place. A panic of the waker of a sender would take the received value along, so it
    /// goes no further.
    fn vacate(&self) {
        panic::catch_unwind(|| self.free.release(1)).unwrap_or_else(wait::suppress);
    }
}

const SENDER: Primitive = Primitive::ChannelSender;
const RECEIVER: Primitive = Primitive::ChannelReceiver;

impl<T> Channel<T> {
    /// Nothing panics under this lock.
    fn buffer(&self) -> MutexGuard<'_, Buffer<T>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a value to the receiver that waits alone, or puts it into the buffer; there is room.
    #[inline]
    fn push(&self, value: T) -> Result<(), SendError<T>> {
        match self.filled.claim() {
            // What is in the buffer goes first: somebody has a permit for it, and has not come yet.
            Some(receiver) if self.len() == 0 && receiver.has_slot() => {
                // SAFETY: a receiver's slot is for a value. Where it is on another thread, values
                // are `Send`, as neither side can go there otherwise.
                unsafe { receiver.give(value) };
                Ok(())
            }
            receiver => self.store(value, receiver),
        }
    }

    /// Puts a value into the buffer, for a receiver that was claimed or for any.
    fn store(&self, value: T, receiver: Option<Claim<'_>>) -> Result<(), SendError<T>> {
        let mut buffer = self.buffer();
        if buffer.is_closed {
            drop(buffer);
            self.refuse(receiver);
            return Err(SendError(value));
        }
        buffer.values.push_back(value);
        self.set_len(&buffer);
        drop(buffer);
        match receiver {
            Some(receiver) => receiver.grant(),
            None => self.filled.release(1),
        }
        Ok(())
    }

    /// Ends a close that another has begun before anybody learns of it, so that nothing is handed
    /// over afterwards. A panic of a waker would take the refused value along: it goes no further.
    #[cold]
    fn refuse(&self, receiver: Option<Claim<'_>>) {
        let close = AssertUnwindSafe(|| match receiver {
            Some(receiver) => receiver.close(&self.filled),
            None => _ = self.filled.close(),
        });
        panic::catch_unwind(close).unwrap_or_else(wait::suppress);
    }

    /// Takes the oldest value, with a permit to do so or because the channel is closed. There is
    /// none only if it is closed, and then there never will be.
    fn pop(&self) -> Result<T, Closed> {
        let mut buffer = self.buffer();
        let value = buffer.values.pop_front().ok_or(Closed)?;
        self.set_len(&buffer);
        drop(buffer);
        self.vacate();
        Ok(value)
    }

    fn len(&self) -> usize {
        // ORDERING: Relaxed. Whoever knows of a send that has returned sees what that has written,
        // or what came later; until the value was taken, that is more than zero.
        self.len.load(Ordering::Relaxed)
    }

    fn set_len(&self, buffer: &Buffer<T>) {
        // ORDERING: Relaxed; see `len`.
        self.len.store(buffer.values.len(), Ordering::Relaxed);
    }

    /// Frees the place of a value that was received.
    #[inline]
    fn vacate(&self) {
        if let Some(room) = &self.room {
            room.vacate();
        }
    }

    fn close(&self) {
        self.buffer().is_closed = true;
        match &self.room {
            // In this order: when a sender is refused nothing is handed over any more.
            Some(room) => wait::close_both(&self.filled, &room.free),
            None => _ = self.filled.close(),
        }
    }
}

/// The side of a channel that sends. Clones send into the same channel.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// The side of a channel that receives. Clones receive from the same channel, each value once.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends a value; waits for room if necessary.
    ///
    /// # Errors
    ///
    /// [`SendError`], with the value, if the channel is closed, or is closed meanwhile.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread. Never, if the channel is unbounded.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match self.wait_for_room(Limit::Never) {
            Ok(()) => self.channel.push(value),
            // There is no limit.
            Err(TimeoutError::Closed | TimeoutError::TimedOut) => Err(SendError(value)),
        }
    }

    /// As [`Sender::send`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it has returned, the value is dropped with it, and was not
    /// sent.
    pub async fn send_async(&self, value: T) -> Result<(), SendError<T>> {
        if let Some(room) = &self.channel.room
            && room.free.acquire(1).await == Outcome::Closed
        {
            return Err(SendError(value));
        }
        self.channel.push(value)
    }

    /// Sends a value, if that takes no waiting. While somebody waits for room there is none.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], with the value, says why it was not sent.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        if let Some(room) = &self.channel.room {
            match room.free.try_acquire(1) {
                Some(Outcome::Granted | Outcome::Woken) => (),
                Some(Outcome::Closed) => return Err(TrySendError::Closed(value)),
                None => return Err(TrySendError::Full(value)),
            }
        }
        Ok(self.channel.push(value)?)
    }

    /// As [`Sender::send`], but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`], with the value, says why it was not sent.
    ///
    /// # Blocking
    ///
    /// As [`Sender::send`], for at most about `timeout`.
    #[track_caller]
    pub fn send_timeout(&self, value: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_within(value, Limit::After(timeout))
    }

    /// As [`Sender::send_timeout`], with the moment at which to give up.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    ///
    /// # Blocking
    ///
    /// As [`Sender::send`], at most until about `deadline`.
    #[track_caller]
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_within(value, Limit::At(deadline))
    }

    #[track_caller]
    fn send_within(&self, value: T, limit: Limit) -> Result<(), SendTimeoutError<T>> {
        match self.wait_for_room(limit) {
            Ok(()) => Ok(self.channel.push(value)?),
            Err(TimeoutError::TimedOut) => Err(SendTimeoutError::TimedOut(value)),
            Err(TimeoutError::Closed) => Err(SendTimeoutError::Closed(value)),
        }
    }

    #[inline]
    #[track_caller]
    fn wait_for_room(&self, limit: Limit) -> Result<(), TimeoutError> {
        match &self.channel.room {
            Some(room) => wait::acquire(&room.free, 1, SENDER, limit),
            None => Ok(()),
        }
    }
}

impl<T> Receiver<T> {
    /// Receives the oldest value; waits for it if necessary.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the channel is closed, and everything that was sent has been received.
    ///
    /// # Blocking
    ///
    /// Suspends the fiber, or parks the plain thread.
    #[track_caller]
    pub fn recv(&self) -> Result<T, Closed> {
        // There is no limit.
        self.recv_within(Limit::Never).map_err(|_| Closed)
    }

    /// As [`Receiver::recv`], for tasks.
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses its place in line, and no value.
    pub async fn recv_async(&self) -> Result<T, Closed> {
        match self.channel.filled.acquire(1).await {
            Outcome::Granted | Outcome::Woken | Outcome::Closed => self.channel.pop(),
        }
    }

    /// Receives the oldest value, if that takes no waiting. While somebody waits for values there
    /// are none to take.
    ///
    /// # Errors
    ///
    /// [`TryError`] says why there is none.
    pub fn try_recv(&self) -> Result<T, TryError> {
        match self.channel.filled.try_acquire(1) {
            None => Err(TryError::WouldBlock),
            Some(_) => Ok(self.channel.pop()?),
        }
    }

    /// As [`Receiver::recv`], but gives up after `timeout`.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] says why there is none.
    ///
    /// # Blocking
    ///
    /// As [`Receiver::recv`], for at most about `timeout`.
    #[track_caller]
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, TimeoutError> {
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
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, TimeoutError> {
        self.recv_within(Limit::At(deadline))
    }

    #[inline]
    #[track_caller]
    fn recv_within(&self, limit: Limit) -> Result<T, TimeoutError> {
        let filled = &self.channel.filled;
        if filled.try_acquire(1).is_none() {
            let mut slot = Slot::new();
            let need = Need::PermitWithSlot(slot.erase());
            let wait = BlockingWait::new(filled, need, RECEIVER, limit.deadline());
            if wait.block().is_none() {
                return Err(TimeoutError::TimedOut);
            }
            if let Some(value) = slot.take() {
                self.channel.vacate();
                return Ok(value);
            }
        }
        // Granted, or closed.
        Ok(self.channel.pop()?)
    }

    /// Returns the values as they come, until the channel is closed and empty.
    ///
    /// # Blocking
    ///
    /// Each `next` blocks as [`Receiver::recv`].
    #[must_use]
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }
}

macro_rules! side {
    ($side:ident, $count:ident) => {
        impl<T> $side<T> {
            /// Closes the channel: nothing can be sent any more. Never blocks.
            pub fn close(&self) {
                self.channel.close();
            }

            /// Tells whether the channel has been closed. There may still be values to receive.
            #[must_use]
            pub fn is_closed(&self) -> bool {
                self.channel.filled.is_closed()
            }

            /// Returns how many values are in the buffer. One that goes straight to a receiver that
            /// waits is never there; it takes room until that receiver goes on.
            #[must_use]
            pub fn len(&self) -> usize {
                self.channel.len()
            }

            /// Tells whether there is nothing to receive.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Returns for how many values there is room; `None`: for any number.
            #[must_use]
            pub fn capacity(&self) -> Option<usize> {
                self.channel.room.as_ref().map(|room| room.capacity)
            }

            /// Tells whether both are of the same channel.
            #[must_use]
            pub fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.channel, &other.channel)
            }
        }

        impl<T> Clone for $side<T> {
            fn clone(&self) -> Self {
                // Whoever clones keeps the count from zero.
                self.channel.$count.fetch_add(1, Ordering::Relaxed);
                $side { channel: Arc::clone(&self.channel) }
            }
        }

        impl<T> fmt::Debug for $side<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($side))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("closed", &self.is_closed())
                    .finish_non_exhaustive()
            }
        }
    };
}

side!(Sender, sender_count);
side!(Receiver, receiver_count);

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed; a sender's pushes come before its decrement, and the lock of the
        // buffer orders them with the close.
        if self.channel.sender_count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.channel.close();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // ORDERING: Relaxed, as for senders.
        if self.channel.receiver_count.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut buffer = self.channel.buffer();
            buffer.is_closed = true;
            // Not later, with the last sender; and not under the lock.
            let unreceived = mem::take(&mut buffer.values);
            self.channel.set_len(&buffer);
            drop(buffer);
            self.channel.close(); // may panic
            drop(unreceived);
        }
    }
}

/// The values of a channel as they come; see [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

/// The values of a channel as they come, with the receiver; otherwise as [`Iter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

//! Primitives on which fibers, plain threads and `async` tasks of any executor wait in one line.
//!
//! They are those of the crate `fiber-sync`, and its documentation tells how they wait. A blocking
//! form suspends the fiber that calls it, and its worker takes other work; who has waited longest
//! goes first. Guards may be held across whatever suspends.
//!
//! | to | take |
//! |---|---|
//! | let one at a time have access | [`Mutex`]; [`RwLock`] where most only read |
//! | wait for a change of what a mutex guards | [`Condvar`] |
//! | let so many at a time go on | [`Semaphore`] |
//! | pass values on | [`channel`]; [`oneshot`] for one |
//! | tell all that something has happened | [`ManualResetEvent`] |
//! | tell one | [`Event`](crate::Event); [`AutoResetEvent`] if waits give up, or tasks wait |
//! | wait until jobs have ended | [`scope`](crate::scope()), or a [`Counter`](crate::Counter) |
//! | the same, and give up, or as a task | [`WaitGroup`] |
//! | go on together | [`Barrier`] |
//! | stop waits, by hand or at a deadline | [`CancelToken`] |
//! | make a value once | [`OnceCell`], [`Lazy`] |
//!
//! # Blocking
//!
//! A fiber is suspended, a plain thread parked. In `async` code take the `_async` forms: a
//! blocking form there stops whatever polls the future, be it a fiber or an executor's thread.
//! Where a job must not suspend (inside [`without_suspending`](crate::without_suspending), or
//! while panicking) its worker's thread is parked: nothing tells who lets such a wait end, so if
//! that is a fiber of the same worker, it lasts for ever. A job that has no fiber, because no
//! stack was to be had, panics with [`FiberLimit`](crate::FiberLimit)'s message if it has to
//! wait; in a form with a timeout or a deadline it parks its worker's thread.
//!
//! # Examples
//!
//! ```
//! use rustfiber::scope;
//! use rustfiber::sync::{Mutex, channel};
//!
//! let (sender, receiver) = channel::bounded::<String>(2);
//! let longest = Mutex::new(String::new());
//! scope(|s| {
//!     for _ in 0..4 {
//!         s.spawn(|| {
//!             while let Ok(word) = receiver.recv() {
//!                 let mut longest = longest.lock();
//!                 if longest.len() < word.len() {
//!                     *longest = word;
//!                 }
//!             }
//!         });
//!     }
//!     for word in "a job that waits suspends its fiber".split(' ') {
//!         sender.send(word.to_owned()).expect("somebody receives");
//!     }
//!     drop(sender); // nobody waits for more
//! });
//! assert_eq!(longest.into_inner(), "suspends");
//! ```

pub use fiber_sync::{
    AutoResetEvent, Barrier, BarrierWaitResult, CancelToken, Cancelled, Closed, Condvar, Fair,
    Lazy, ManualResetEvent, Mutex, MutexGuard, OnceCell, OwnedMutexGuard, OwnedRwLockReadGuard,
    OwnedRwLockWriteGuard, OwnedSemaphorePermit, Policy, RwLock, RwLockReadGuard, RwLockWriteGuard,
    Semaphore, SemaphorePermit, SendError, SendTimeoutError, Ticket, TimeoutError, TryError,
    TrySendError, Unfair, WaitGroup, WaitTimeoutResult, channel, oneshot,
};

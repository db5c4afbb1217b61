#![doc = include_str!("../README.md")]

pub mod blocker;
pub mod channel;
#[cfg(doctest)]
mod compile_fail;
mod condvar;
mod error;
mod mutex;
pub mod oneshot;
mod semaphore;
mod wait;

pub use condvar::{Condvar, WaitTimeoutResult};
pub use error::{Closed, SendError, SendTimeoutError, TimeoutError, TryError, TrySendError};
pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

#![doc = include_str!("../README.md")]

pub mod blocker;
#[cfg(doctest)]
mod compile_fail;
mod condvar;
mod error;
mod mutex;
mod semaphore;
mod wait;

pub use condvar::{Condvar, WaitTimeoutResult};
pub use error::{Closed, TimeoutError, TryError};
pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

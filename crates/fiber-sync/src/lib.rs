#![doc = include_str!("../README.md")]

pub mod blocker;
#[cfg(doctest)]
mod compile_fail;
mod error;
mod semaphore;
mod wait;

pub use error::{Closed, TimeoutError, TryError};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

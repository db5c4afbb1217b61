#![doc = include_str!("../README.md")]

mod barrier;
mod block_on;
pub mod blocker;
mod cancel;
pub mod channel;
#[cfg(doctest)]
mod compile_fail;
mod condvar;
mod error;
mod event;
mod mutex;
mod once;
pub mod oneshot;
mod owner;
mod policy;
mod primitive;
mod rwlock;
mod semaphore;
mod sleep;
mod wait;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use block_on::block_on;
pub use cancel::{CancelToken, Cancelled};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use error::{Closed, SendError, SendTimeoutError, TimeoutError, TryError, TrySendError};
pub use event::{AutoResetEvent, ManualResetEvent};
pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard};
pub use once::{Lazy, OnceCell};
pub use policy::{Fair, Policy, Unfair};
pub use rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use sleep::{sleep, sleep_until};
pub use wait_group::{Ticket, WaitGroup};

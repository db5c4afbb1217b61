//! What each primitive promises, to threads, fibers and tasks.

#[path = "../common/mod.rs"]
mod common;

mod blocker;
mod channel;
mod condvar;
mod mutex;
mod oneshot;
mod semaphore;
mod traits;

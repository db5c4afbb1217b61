//! What each primitive promises, to threads, fibers and tasks.

#[path = "../common/mod.rs"]
mod common;

mod blocker;
mod condvar;
mod mutex;
mod semaphore;
mod traits;

//! What each primitive promises, to threads, fibers and tasks.

#[path = "../common/mod.rs"]
mod common;

mod blocker;
mod semaphore;
mod traits;

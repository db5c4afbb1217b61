//! What each primitive promises, to threads, fibers and tasks.

#[path = "../common/mod.rs"]
mod common;

mod barrier;
mod block_on;
mod blocker;
mod cancel;
mod channel;
mod condvar;
mod dropped;
mod event;
mod mutex;
mod once;
mod oneshot;
mod peers;
mod rwlock;
mod semaphore;
mod traits;
mod unfair;
mod wait_group;
mod wakers;

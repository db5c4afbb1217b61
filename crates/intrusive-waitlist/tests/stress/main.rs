//! Many operations at random, on real threads, with an oracle.
#![cfg(all(not(loom), feature = "std"))]

mod lists;
mod wait_queue;

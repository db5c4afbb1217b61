//! Workloads with oracles, the systems that run them, and the runner that compares these.

pub mod child;
pub mod compare;
pub mod contention;
pub mod counting;
pub mod fork_join;
pub mod idle;
mod matmul;
mod may_peer;
pub mod page;
pub mod paired;
pub mod peers;
pub mod report;
pub mod semaphores;
pub mod suite;

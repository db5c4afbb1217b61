//! Workloads with oracles, the systems that run them, and the runner that compares these.

pub mod fork_join;
pub mod page;
pub mod paired;
pub mod peers;
pub mod report;
pub mod suite;
mod tasks;

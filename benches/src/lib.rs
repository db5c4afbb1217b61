//! Workloads with oracles.

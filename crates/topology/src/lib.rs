#![doc = include_str!("../README.md")]

mod cpu_set;

pub use cpu_set::{CpuSet, Iter, ParseCpuSetError};

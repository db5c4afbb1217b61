#![doc = include_str!("../README.md")]

mod affinity;
mod cpu_set;
mod detect;
mod domain;
mod steal_order;
mod topology;

pub use affinity::{PinError, current_affinity, pin_current_thread};
pub use cpu_set::{CpuSet, Iter, ParseCpuSetError};
pub use detect::DetectError;
pub use steal_order::{Proximity, placement, steal_order};
pub use topology::{Cache, Core, CoreSpeed, Domain, NumaNode, Package, Topology};

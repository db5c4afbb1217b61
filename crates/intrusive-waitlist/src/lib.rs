#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod completion_list;
mod counter_list;
mod join_cell;
mod primitive;
#[cfg(feature = "std")]
mod signal_list;
mod split_counter;
pub mod wait_queue;
mod waiter;

pub use completion_list::{CompletionList, Registration, Woken};
pub use counter_list::CounterList;
pub use join_cell::{Completed, Detach, JoinCell};
#[cfg(feature = "std")]
pub use signal_list::SignalList;
pub use split_counter::SplitCounter;
pub use wait_queue::WaitQueue;
#[cfg(feature = "std")]
pub use waiter::ThreadHandle;
pub use waiter::{FiberHandle, Waiter, WakeHandle};

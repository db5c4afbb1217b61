#![doc = include_str!("../README.md")]

mod completion_list;
mod counter_list;
mod primitive;
mod signal_list;
mod waiter;

pub use completion_list::{Completed, CompletionList, Detach, Registration, Woken};
pub use counter_list::CounterList;
pub use signal_list::SignalList;
pub use waiter::{FiberHandle, ThreadHandle, Waiter, WakeHandle};

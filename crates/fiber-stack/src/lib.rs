#![doc = include_str!("../README.md")]

mod error;
mod fiber;
mod stack;
mod thread_sanitizer;

pub use error::{StackError, StackErrorKind};
pub use fiber::{Fiber, Resumed, Suspender};
pub use stack::{
    Stack, StackCache, StackPool, StackRange, StackSize, live_stack_count, stack_limit,
};

#![doc = include_str!("../README.md")]

mod barrier;
mod end;
mod inbox;
mod injector;
mod job;
mod observer;
mod primitive;
pub mod ring;
mod scheduler;
pub mod sleep;
mod stats;
mod task_state;
mod victims;

pub use barrier::Barrier;
pub use end::{End, JobCounts};
pub use inbox::{Batch, Chain, Inbox, Link, Linked};
pub use job::Job;
#[cfg(feature = "observe")]
pub use observer::Observed;
pub use scheduler::{Find, Scheduler, WorkerQueues};
pub use stats::WorkerStats;
pub use task_state::{AfterRun, TaskRun, TaskState, WakerDrop};
pub use victims::{VictimError, check_victims};

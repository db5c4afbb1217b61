//! Model checks: each test is one claim of a README beside the code.
#![cfg(loom)]

mod end;
mod ring;
mod ring_and_sleep;
mod scheduler;
mod sleep;
mod task_state;

use loom::sync::{Condvar, Mutex};
use test_support::model;

/// Which jobs have run, and a place to wait for them.
struct Ran {
    /// By a job's number less one.
    jobs: Mutex<Vec<bool>>,
    one_more: Condvar,
}

impl Ran {
    fn new(jobs: usize) -> Self {
        Ran { jobs: Mutex::new(vec![false; jobs]), one_more: Condvar::new() }
    }

    fn finish(&self, job: usize) {
        let before = std::mem::replace(&mut self.jobs.lock().unwrap()[job - 1], true);
        assert!(!before, "job {job} ran twice");
        self.one_more.notify_all();
    }

    /// Blocks until the job has run: one that is never run is a deadlock, which loom reports.
    fn wait_for(&self, job: usize) {
        let mut jobs = self.jobs.lock().unwrap();
        while !jobs[job - 1] {
            jobs = self.one_more.wait(jobs).unwrap();
        }
    }
}

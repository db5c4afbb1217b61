//! What a round counts, and what is counted: values, and panics that are meant.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;

const ON_PURPOSE: &str = "on purpose";

pub(crate) const CANARY: u64 = 0x_5afe_5afe_5afe_5afe;

/// What one round's jobs count.
#[derive(Default)]
pub(crate) struct Tally {
    /// Jobs that must run, or be dropped unrun by a panic.
    pub(crate) made: AtomicUsize,
    pub(crate) run: AtomicUsize,
    /// Closures that have been dropped, run or not.
    pub(crate) closures_dropped: AtomicUsize,
    pub(crate) values_made: AtomicUsize,
    pub(crate) values_dropped: AtomicUsize,
    /// Jobs that may be dropped unrun: those beside a panic.
    pub(crate) excused: AtomicUsize,
    /// What nobody waits for, but the runtime's end.
    pub(crate) detached: AtomicUsize,
    pub(crate) detached_run: AtomicUsize,
}

pub(crate) fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn read(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

/// A result: its drop is counted, and sometimes panics if nobody wants it.
pub(crate) struct Value {
    tally: Arc<Tally>,
    canary: Box<u64>,
    panics: bool,
}

impl Value {
    pub(crate) fn new(tally: &Arc<Tally>, random: &mut Rng) -> Self {
        add(&tally.values_made);
        let panics = random.u32(..50) == 0;
        Value { tally: Arc::clone(tally), canary: Box::new(CANARY), panics }
    }

    /// Is dropped by somebody who may not see it panic.
    pub(crate) fn take(mut self) {
        self.panics = false;
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(std::mem::replace(&mut *self.canary, 0), CANARY, "a value was dropped twice");
        add(&self.tally.values_dropped);
        if self.panics && !thread::panicking() {
            resume_unwind(Box::new(ON_PURPOSE));
        }
    }
}

pub(crate) fn panic_on_purpose() -> ! {
    resume_unwind(Box::new(ON_PURPOSE))
}

pub(crate) fn is_on_purpose(payload: &(dyn Any + Send)) -> bool {
    payload.downcast_ref() == Some(&ON_PURPOSE)
}

/// Only panics that are meant may come out of a job.
pub(crate) fn assert_on_purpose(payload: Box<dyn Any + Send>) {
    if !is_on_purpose(&*payload) {
        resume_unwind(payload);
    }
}

pub(crate) fn caught(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        assert_on_purpose(payload);
    }
}

impl std::fmt::Debug for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tally")
            .field("made", &read(&self.made))
            .field("run", &read(&self.run))
            .field("excused", &read(&self.excused))
            .field("closures_dropped", &read(&self.closures_dropped))
            .field("values_made", &read(&self.values_made))
            .field("values_dropped", &read(&self.values_dropped))
            .finish_non_exhaustive()
    }
}

//! The life of a job that somebody may wait for: who runs it, and who disposes of its result.
//!
//! One word of three bits, each set once, all by read-modify-writes:
//!
//! | bit | set by | means |
//! |---|---|---|
//! | `CLAIMED` | the worker or waiter that runs the job | the closure is that one's |
//! | `FINISHED` | the runner, after it wrote the result | the result may be read |
//! | `DETACHED` | the handle, when it is dropped | nobody will ask for the result |
//!
//! Of `FINISHED` and `DETACHED` one is set second, and whoever sets it disposes of the result: each
//! sees the other's bit in the value that its read-modify-write returns.

use std::fmt;

use crate::primitive::{AtomicU32, Ordering};

const CLAIMED: u32 = 1;
const FINISHED: u32 = 2;
const DETACHED: u32 = 4;

/// The life of a job with a handle; see the module.
pub struct Lifecycle(AtomicU32);

/// Who disposes of the result.
#[must_use = "the last one disposes of the result"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// The other side is still there, and will.
    TheirDuty,
    /// The other side is gone: the caller must.
    MyDuty,
}

impl Lifecycle {
    /// Creates the life of a job that has not started.
    #[must_use]
    pub fn new() -> Self {
        Lifecycle(AtomicU32::new(0))
    }

    /// Claims the job. True, once: the caller runs it.
    #[inline]
    #[must_use]
    pub fn claim(&self) -> bool {
        // ORDERING: Relaxed: the closure came to each claimant with its token or handle, and only
        // one of them gets it.
        self.0.fetch_or(CLAIMED, Ordering::Relaxed) & CLAIMED == 0
    }

    /// Tells whether somebody has claimed the job.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & CLAIMED != 0
    }

    /// The runner has written the result.
    #[inline]
    pub fn finish(&self) -> Disposal {
        // ORDERING: Release publishes the result to `detach`; Acquire receives the end of the
        // handle's own use.
        let before = self.0.fetch_or(FINISHED, Ordering::AcqRel);
        if before & DETACHED == 0 { Disposal::TheirDuty } else { Disposal::MyDuty }
    }

    /// The handle goes away without having taken the result.
    pub fn detach(&self) -> Disposal {
        // ORDERING: as in `finish`, the other way round.
        let before = self.0.fetch_or(DETACHED, Ordering::AcqRel);
        if before & FINISHED == 0 { Disposal::TheirDuty } else { Disposal::MyDuty }
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifecycle").field("claimed", &self.is_claimed()).finish_non_exhaustive()
    }
}

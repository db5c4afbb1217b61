//! What is recorded without the feature `trace`: nothing, in no room, by no instruction.

use deque_scheduler::WorkerQueues;
use topology::CpuSet;

use crate::dump::Site;
use crate::error::BuildError;
use crate::latch::Wait;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings;

impl Settings {
    pub(crate) fn check(self) -> Result<(), BuildError> {
        Ok(())
    }

    pub(crate) fn tapes(self, _pins: &[Option<CpuSet>]) -> Tapes {
        Tapes
    }
}

pub(crate) struct Tapes;

impl Tapes {
    /// # Safety
    ///
    /// None of the caller's; the signature is that of the feature.
    pub(crate) unsafe fn recorder(&self, _queues: &mut WorkerQueues) -> Recorder {
        Recorder
    }
}

pub(crate) struct Recorder;

pub(crate) struct JobRun;

pub(crate) struct Suspension;

impl Recorder {
    #[inline(always)]
    pub(crate) fn job_begins(&self, _site: Site) -> JobRun {
        JobRun
    }

    #[inline(always)]
    pub(crate) fn job_ends(&self, _run: JobRun) {}

    #[inline(always)]
    pub(crate) fn suspends(&self, _wait: Option<&Wait>) -> Suspension {
        Suspension
    }

    #[inline(always)]
    pub(crate) fn resumes(&self, _suspension: Suspension) {}

    #[inline(always)]
    pub(crate) fn blocks(&self, _wait: &Wait) {}

    #[inline(always)]
    pub(crate) fn unblocks(&self) {}
}

const _: () = assert!(size_of::<(Settings, Tapes, Recorder, JobRun, Suspension)>() == 0);

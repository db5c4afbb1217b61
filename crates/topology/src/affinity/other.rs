//! Affinity by `core_affinity`, where no own backend exists: one CPU per thread.

use std::io;

use super::PinError;
use crate::cpu_set::CpuSet;

pub(super) fn pin_current_thread(cpus: &CpuSet) -> Result<(), PinError> {
    let unsupported = || PinError::Unsupported { asked: cpus.clone() };
    let system = |source| PinError::System { asked: cpus.clone(), source };
    let allowed = current_affinity().map_err(system)?;
    if !cpus.is_subset(&allowed) {
        return Err(PinError::Refused { asked: cpus.clone(), allowed });
    }
    let id = cpus.first().filter(|_| cpus.len() == 1).ok_or_else(unsupported)?;
    // The crate does not say why it failed; the set is known to be allowed.
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id });
    if pinned { Ok(()) } else { Err(unsupported()) }
}

pub(super) fn current_affinity() -> io::Result<CpuSet> {
    let ids = core_affinity::get_core_ids().ok_or(io::ErrorKind::Unsupported)?;
    Ok(ids.into_iter().map(|core| core.id).collect())
}

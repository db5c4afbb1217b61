//! Affinity by `sched_setaffinity`, with masks as long as the machine needs: the fixed `cpu_set_t`
//! ends at CPU 1023.

use std::io;

use libc::c_ulong;

use super::PinError;
use crate::cpu_set::CpuSet;

const WORD_BITS: usize = c_ulong::BITS as usize;

/// What fits in a `cpu_set_t`: enough for most kernels at the first try.
const MASK_BITS_MIN: usize = 1024;

const CALLING_THREAD: libc::pid_t = 0;

pub(super) fn pin_current_thread(cpus: &CpuSet) -> Result<(), PinError> {
    let system = |source| PinError::System { asked: cpus.clone(), source };
    let before = current_affinity().map_err(system)?;
    match set_affinity(cpus) {
        Ok(()) => {}
        // No CPU of the set can be used.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return Err(refused(cpus, &before));
        }
        Err(error) => return Err(system(error)),
    }
    // The kernel narrows a set that can be used in part, and reports success.
    let granted = current_affinity().map_err(system)?;
    if granted == *cpus { Ok(()) } else { Err(refused(cpus, &before)) }
}

pub(super) fn current_affinity() -> io::Result<CpuSet> {
    let mut mask: Vec<c_ulong> = vec![0; MASK_BITS_MIN / WORD_BITS];
    loop {
        let bytes = size_of_val(mask.as_slice());
        let pointer: *mut libc::cpu_set_t = mask.as_mut_ptr().cast();
        // SAFETY: `mask` is writable for `bytes` bytes, all the kernel and libc may write; any
        // bits are valid words; `cpu_set_t` is an array of such words and no reference is made.
        let code = unsafe { libc::sched_getaffinity(CALLING_THREAD, bytes, pointer) };
        if code == 0 {
            return Ok(cpu_set(&mask));
        }
        let error = io::Error::last_os_error();
        let too_short = error.raw_os_error() == Some(libc::EINVAL);
        if !too_short || mask.len() * WORD_BITS > CpuSet::CPU_MAX {
            return Err(error);
        }
        mask.resize(mask.len() * 2, 0);
    }
}

fn set_affinity(cpus: &CpuSet) -> io::Result<()> {
    let mask = mask(cpus);
    let bytes = size_of_val(mask.as_slice());
    let pointer: *const libc::cpu_set_t = mask.as_ptr().cast();
    // SAFETY: `mask` is readable for `bytes` bytes, all that the kernel reads.
    let code = unsafe { libc::sched_setaffinity(CALLING_THREAD, bytes, pointer) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Describes a refusal, and puts the thread back on the CPUs it had `before`.
fn refused(asked: &CpuSet, before: &CpuSet) -> PinError {
    // Asking for every CPU is granted as far as the cpuset goes: that tells what it allows.
    let every = (0..=CpuSet::CPU_MAX).collect();
    let allowed = set_affinity(&every).and_then(|()| current_affinity());
    // Fails only if the cpuset lost all these CPUs meanwhile; then the wider set is right.
    let _ = set_affinity(before);
    PinError::Refused { asked: asked.clone(), allowed: allowed.unwrap_or_else(|_| before.clone()) }
}

fn mask(cpus: &CpuSet) -> Vec<c_ulong> {
    let bits = cpus.last().map_or(0, |last| last + 1).max(MASK_BITS_MIN);
    let mut mask = vec![0; bits.div_ceil(WORD_BITS)];
    for cpu in cpus {
        mask[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
    }
    mask
}

fn cpu_set(mask: &[c_ulong]) -> CpuSet {
    let is_set = |&cpu: &usize| mask[cpu / WORD_BITS] & (1 << (cpu % WORD_BITS)) != 0;
    (0..mask.len() * WORD_BITS).filter(is_set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_round_trip_also_beyond_a_fixed_cpu_set() {
        for list in ["", "0", "0,63-64,1023", "1024", "5,2000,65535"] {
            let set: CpuSet = list.parse().unwrap();
            assert_eq!(cpu_set(&mask(&set)), set);
        }
        assert_eq!(mask(&CpuSet::from([0])).len() * WORD_BITS, MASK_BITS_MIN);
    }
}

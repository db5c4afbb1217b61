//! The process-wide budget of stacks.
//!
//! Linux allows a process `vm.max_map_count` memory mappings, and a stack takes two: its guard page
//! and its usable bytes. A process that uses up the last ones does not merely fail to map the next
//! stack: `malloc`, thread creation and `mprotect` anywhere in it begin to fail. So the budget ends
//! earlier, and the rest of the process keeps a reserve.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::StackSize;
use crate::error::{Reason, StackError};

/// The mappings that one stack takes.
const MAPPINGS_PER_STACK: usize = 2;

/// The mappings that stacks leave to the rest of the process, where there are plenty.
const RESERVED_MAPPINGS: usize = 8192;

/// The kernel's default, taken where `/proc` cannot be read.
const DEFAULT_MAX_MAP_COUNT: usize = 65_530;

// ORDERING: Relaxed throughout: these only count, and no memory is published through them.
static LIVE_COUNT: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Returns how many stacks of this process are mapped, idle, in use and leaked ones together.
pub fn live_stack_count() -> usize {
    LIVE_COUNT.load(Relaxed)
}

/// Returns how many stacks this process may have at once, or `None` where nothing limits them.
///
/// On Linux this is half of what `vm.max_map_count` leaves after a reserve of 8192 mappings (a
/// quarter of them, if that is less) for the rest of the process: 28,669 stacks at the kernel's
/// default of 65,530. It is read once.
pub fn stack_limit() -> Option<usize> {
    max_map_count().map(stack_budget)
}

/// Returns how many stacks fit under `max_map_count` mappings.
fn stack_budget(max_map_count: usize) -> usize {
    let reserved = RESERVED_MAPPINGS.min(max_map_count / 4);
    (max_map_count - reserved) / MAPPINGS_PER_STACK
}

fn max_map_count() -> Option<usize> {
    static MAX_MAP_COUNT: OnceLock<Option<usize>> = OnceLock::new();
    *MAX_MAP_COUNT.get_or_init(read_max_map_count)
}

fn read_max_map_count() -> Option<usize> {
    if !cfg!(any(target_os = "linux", target_os = "android")) {
        return None;
    }
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    Some(text.and_then(|text| text.trim().parse().ok()).unwrap_or(DEFAULT_MAX_MAP_COUNT))
}

/// Returns the number of live stacks and the sum of their usable bytes.
pub(super) fn live() -> (usize, usize) {
    (LIVE_COUNT.load(Relaxed), LIVE_BYTES.load(Relaxed))
}

/// Counts one stack against the budget of the process for as long as it lives.
pub(super) struct ProcessPermit {
    bytes: usize,
}

impl ProcessPermit {
    pub(super) fn acquire(size: StackSize) -> Result<ProcessPermit, StackError> {
        match max_map_count() {
            None => {
                LIVE_COUNT.fetch_add(1, Relaxed);
            }
            Some(max_map_count) => {
                let limit = stack_budget(max_map_count);
                let reason = Reason::ProcessLimit { limit, max_map_count };
                increment_below(&LIVE_COUNT, limit).map_err(|_| StackError::new(reason))?;
            }
        }
        LIVE_BYTES.fetch_add(size.bytes(), Relaxed);
        Ok(ProcessPermit { bytes: size.bytes() })
    }
}

impl Drop for ProcessPermit {
    fn drop(&mut self) {
        LIVE_BYTES.fetch_sub(self.bytes, Relaxed);
        LIVE_COUNT.fetch_sub(1, Relaxed);
    }
}

/// Adds one to `count` unless that would take it above `limit`.
///
/// A compare-and-swap, not an addition that is taken back: near the limit the latter would refuse
/// others for no reason.
pub(super) fn increment_below(count: &AtomicUsize, limit: usize) -> Result<usize, usize> {
    count.fetch_update(Relaxed, Relaxed, |count| (count < limit).then_some(count + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_leaves_a_reserve_of_8192_mappings_or_a_quarter() {
        assert_eq!(stack_budget(65_530), 28_669);
        assert_eq!(stack_budget(1_048_576), 520_192);
        assert_eq!(stack_budget(32_768), 12_288); // Both rules reserve 8192 here.
        assert_eq!(stack_budget(1000), 375);
    }

    #[test]
    fn budget_and_reserve_fit_under_the_map_count_for_every_value() {
        for max_map_count in (0..100_000).chain([usize::MAX / 2, usize::MAX]) {
            let mappings = stack_budget(max_map_count) * MAPPINGS_PER_STACK;
            let left = max_map_count - mappings;
            assert!(left >= RESERVED_MAPPINGS.min(max_map_count / 4), "at {max_map_count}");
            assert!(max_map_count < 4 || mappings > 0, "at {max_map_count}");
        }
    }

    #[test]
    fn increment_below_stops_at_the_limit() {
        let count = AtomicUsize::new(0);
        assert_eq!(increment_below(&count, 2), Ok(0));
        assert_eq!(increment_below(&count, 2), Ok(1));
        assert_eq!(increment_below(&count, 2), Err(2));
        assert_eq!(count.into_inner(), 2);
    }
}

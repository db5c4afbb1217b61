//! The time, exactly or cheaply.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since some moment in this process, never zero.
pub(crate) fn now_ns() -> u64 {
    ns_of(Instant::now())
}

/// Nanoseconds from the moment of [`now_ns`] to `instant`, never zero.
pub(crate) fn ns_of(instant: Instant) -> u64 {
    let since = instant.saturating_duration_since(*START);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The reverse of [`ns_of`]. None for zero, and for what is past the end of time.
pub(crate) fn instant_of(ns: u64) -> Option<Instant> {
    if ns == 0 { None } else { START.checked_add(Duration::from_nanos(ns)) }
}

/// Returns the processor's own counter of time, never zero: a third of the price of [`now_ns`].
///
/// For statistics only: processors whose counters run apart, or change their speed, are old, but
/// there are some.
#[inline]
pub(crate) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    let ticks = unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    let ticks = now_ns();
    ticks | 1
}

/// Returns how long so many ticks last, by what both clocks have counted so far.
pub(crate) fn ticks_to_duration(ticks: u64) -> Duration {
    let (start_ticks, start_ns) = *ANCHOR;
    let (passed_ticks, passed_ns) =
        (self::ticks().saturating_sub(start_ticks), now_ns() - start_ns);
    let ns = u128::from(ticks) * u128::from(passed_ns) / u128::from(passed_ticks.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// Lets the clocks begin to be compared.
pub(crate) fn start() {
    LazyLock::force(&ANCHOR);
}

static ANCHOR: LazyLock<(u64, u64)> = LazyLock::new(|| (ticks(), now_ns()));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_measure_the_same() {
        start();
        // Long enough for the anchors, whose readings are not quite at the same moment.
        let (start, start_ticks) = (Instant::now(), ticks());
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let by_ticks = ticks_to_duration(ticks() - start_ticks);
        let elapsed = start.elapsed();
        let ratio = by_ticks.as_secs_f64() / elapsed.as_secs_f64();
        assert!((0.9..1.1).contains(&ratio), "{by_ticks:?} of {elapsed:?}");
    }
}

//! What a worker has the processor fetch ahead: the stack of the fiber that runs after the next.
//!
//! A fiber that has waited for long is in no near cache, and each stack is a page of its own, so a
//! switch to it costs as many misses as it has live lines near its top. Where many fibers are ready
//! at once, those misses are known one switch ahead: 1000 fibers that wait for one counter wake in
//! three quarters of the time.

/// Bytes of a cache line, as far as this matters.
const LINE: usize = 64;

/// Lines of a suspended fiber's stack that are fetched, at most.
const LINES: usize = 16;

/// Asks for the part of a stack that is in use, from `newest`, which is among its newest words, to
/// `oldest`.
pub(crate) fn stack(newest: *const u8, oldest: *const u8) {
    // The switch has pushed some words after `newest` was looked at: it begins a line below.
    let bytes = oldest.addr().saturating_sub(newest.addr()) + 2 * LINE;
    for line in 0..LINES.min(bytes / LINE) {
        fetch(newest.wrapping_add(line * LINE).wrapping_sub(LINE));
    }
}

/// Asks for the line at `address`, which need not be anybody's.
#[inline(always)]
fn fetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which is ignored where nothing is mapped.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    // Elsewhere stable Rust has no such hint.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

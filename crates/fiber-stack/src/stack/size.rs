//! The size of a stack, checked before anything is asked of the system.

use std::sync::OnceLock;

use crate::error::{Reason, StackError};

/// Holds the number of usable bytes of a stack: within limits, and a whole number of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackSize {
    bytes: usize,
}

impl StackSize {
    /// The smallest size that may be asked for: 64 KiB.
    ///
    /// The standard library alone takes 24 KiB to print a panic with a backtrace (measured on
    /// x86-64 Linux; 7 KiB without), and a job must be able to panic on any stack. Only the pages
    /// that a fiber touches cost memory, so a smaller size would save address space alone.
    pub const MIN_BYTES: usize = 64 * 1024;

    /// The largest size that may be asked for: 1 GiB.
    pub const MAX_BYTES: usize = 1024 * 1024 * 1024;

    /// The size that [`Default`] gives: 1 MiB.
    pub const DEFAULT_BYTES: usize = 1024 * 1024;

    /// Checks `bytes` and rounds it up to a whole number of pages.
    ///
    /// # Examples
    ///
    /// ```
    /// use fiber_stack::StackSize;
    ///
    /// assert_eq!(StackSize::new(64 * 1024).unwrap().bytes(), 64 * 1024);
    /// assert!(StackSize::new(16).unwrap_err().to_string().contains("65536-byte minimum"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TooSmall`](crate::StackErrorKind::TooSmall) below [`MIN_BYTES`](Self::MIN_BYTES),
    /// [`TooLarge`](crate::StackErrorKind::TooLarge) above [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(bytes: usize) -> Result<StackSize, StackError> {
        if bytes < Self::MIN_BYTES {
            return Err(StackError::new(Reason::TooSmall { requested: bytes }));
        }
        if bytes > Self::MAX_BYTES {
            return Err(StackError::new(Reason::TooLarge { requested: bytes }));
        }
        Ok(StackSize { bytes: bytes.next_multiple_of(page_bytes()) })
    }

    /// Returns the number of usable bytes, the guard page not counted.
    pub fn bytes(self) -> usize {
        self.bytes
    }
}

impl Default for StackSize {
    fn default() -> StackSize {
        // The default is a multiple of every page size in use, so nothing is left to round.
        StackSize { bytes: StackSize::DEFAULT_BYTES }
    }
}

/// Returns the size of a page, in bytes.
pub(super) fn page_bytes() -> usize {
    static PAGE_BYTES: OnceLock<usize> = OnceLock::new();
    *PAGE_BYTES.get_or_init(query_page_bytes)
}

#[cfg(unix)]
fn query_page_bytes() -> usize {
    // SAFETY: `sysconf` takes a plain number and touches no memory of ours.
    let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(answer).expect("fiber-stack: the system does not tell its page size")
}

#[cfg(windows)]
fn query_page_bytes() -> usize {
    // The page size of Windows on x86, x86-64 and ARM64.
    4096
}
